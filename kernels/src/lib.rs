//! CUDA kernels and their checked launches. The driver is loaded at run time.
