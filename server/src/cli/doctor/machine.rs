//! The machine that this program runs on.

use std::path::Path;

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Machine {
    architecture: &'static str,
    cores: usize,
    /// Vector instructions that the CPU backend can choose from at run time.
    vector_features: Vec<&'static str>,
    /// Whether the CUDA backend is in this program.
    built_with_cuda: bool,
    /// The file by which an NVIDIA driver shows itself.
    cuda_driver: Option<String>,
}

impl Machine {
    pub(super) fn examine() -> Self {
        Self {
            architecture: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            vector_features: vector_features(),
            built_with_cuda: cfg!(feature = "cuda"),
            cuda_driver: cuda_driver(),
        }
    }

    pub(super) fn processor(&self) -> String {
        let features = if self.vector_features.is_empty() { "none".to_owned() } else { self.vector_features.join(" ") };
        format!("{}, {} cores, vector instructions: {features}", self.architecture, self.cores)
    }

    pub(super) fn cuda(&self) -> String {
        let built = if self.built_with_cuda { "built in" } else { "not built in" };
        match &self.cuda_driver {
            Some(file) => format!("{built}; there is a driver ({file})"),
            None => format!("{built}; no driver found"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn vector_features() -> Vec<&'static str> {
    let all = [
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
    ];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn vector_features() -> Vec<&'static str> {
    vec!["neon"]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vector_features() -> Vec<&'static str> {
    Vec::new()
}

/// Where drivers are on Linux, on Linux inside Windows, and on Windows.
fn cuda_driver() -> Option<String> {
    let files = ["/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1", "C:\\Windows\\System32\\nvcuda.dll"];
    files.into_iter().find(|file| Path::new(file).exists()).map(ToOwned::to_owned)
}
