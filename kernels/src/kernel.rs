//! Kernels by name, and how many threads to run them with.

use std::marker::PhantomData;

/// A kernel that takes one `P`.
pub(crate) struct Kernel<P> {
    /// The file that it stands in.
    pub(crate) family: &'static str,
    pub(crate) name: &'static str,
    #[cfg(feature = "emulator")]
    pub(crate) emulated: Emulated,
    pub(crate) parameters: PhantomData<fn(P)>,
}

/// Runs a kernel to its end; what went wrong, or null.
#[cfg(feature = "emulator")]
pub(crate) type RunEmulated = unsafe extern "C" fn(
    parameters: *const std::ffi::c_void,
    grid: *const u32,
    block: *const u32,
    shared_bytes: usize,
    reversed: std::ffi::c_int,
    threads: std::ffi::c_uint,
) -> *const std::ffi::c_char;

/// The kernel compiled for the processor, and the bytes of its parameters.
#[cfg(feature = "emulator")]
pub(crate) struct Emulated {
    pub(crate) run: RunEmulated,
    pub(crate) parameters_size: unsafe extern "C" fn() -> usize,
}

/// How a kernel is spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch {
    pub(crate) grid: [u32; 3],
    /// Of each block, a multiple of 32.
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
}

/// Declares a kernel: `kernel!(static NAME: "family", function(Parameters));`.
macro_rules! kernel {
    (static $name:ident: $family:literal, $function:ident($parameters:ty)) => {
        #[cfg_attr(
            feature = "emulator",
            expect(unsafe_code, reason = "the kernel compiled for the processor is a foreign function")
        )]
        static $name: $crate::kernel::Kernel<$parameters> = {
            #[cfg(feature = "emulator")]
            unsafe extern "C" {
                #[link_name = concat!(stringify!($function), "__emulated")]
                fn run(
                    parameters: *const std::ffi::c_void,
                    grid: *const u32,
                    block: *const u32,
                    shared_bytes: usize,
                    reversed: std::ffi::c_int,
                    threads: std::ffi::c_uint,
                ) -> *const std::ffi::c_char;
                #[link_name = concat!(stringify!($function), "__parameters_size")]
                fn parameters_size() -> usize;
            }
            $crate::kernel::Kernel {
                family: $family,
                name: stringify!($function),
                #[cfg(feature = "emulator")]
                emulated: $crate::kernel::Emulated { run, parameters_size },
                parameters: std::marker::PhantomData,
            }
        };
    };
}
pub(crate) use kernel;
