//! Why CUDA cannot be used, or a launch was refused.

/// Each message is one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no driver library.
    #[error("no NVIDIA driver was found on this machine")]
    NoDriver,
    /// The driver lacks functions that are called.
    #[error("the NVIDIA driver is for CUDA {}.{}, and at least {}.{} is needed: install a newer one", .found / 1000, .found % 1000 / 10, .needed / 1000, .needed % 1000 / 10)]
    OldDriver {
        /// The version that it says: 1000 times the major, 10 times the minor.
        found: i32,
        /// The version that is needed.
        needed: i32,
    },
    /// There is no such card.
    #[error("there is no CUDA device {index}: this machine has {count}, counted from 0")]
    NoSuchDevice {
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The card is older than the oldest that the kernels are written for.
    #[error("{name} has compute capability {}.{}, and the kernels need at least 8.0", capability.0, capability.1)]
    UnsupportedArchitecture {
        /// The card.
        name: String,
        /// Major and minor.
        capability: (i32, i32),
    },
    /// The program holds no kernels that fit the card, and there is nothing to compile them with.
    #[error(
        "this program holds no kernels for sm_{architecture}: build it where nvcc 12.8 or later is on the path, or install NVRTC 12.8 \
         or later (pip install nvidia-cuda-nvrtc-cu12) and name its folder in LD_LIBRARY_PATH"
    )]
    NoCompiler {
        /// The card's architecture, as in `90`.
        architecture: String,
    },
    /// NVRTC refuses a source.
    #[error("NVRTC does not compile the kernels of {family:?}: {log}")]
    Compilation {
        /// Which file of kernels.
        family: &'static str,
        /// What it says, on one line.
        log: String,
    },
    /// The device has no room.
    #[error("the device has no room for {requested_bytes} bytes: {free_bytes} of its {total_bytes} are free")]
    OutOfMemory {
        /// What was asked for.
        requested_bytes: u64,
        /// What is left.
        free_bytes: u64,
        /// What the device has.
        total_bytes: u64,
    },
    /// The device cannot be used any more by this process.
    #[error("the device was lost ({reason}): the program has to be started anew")]
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
    /// The driver refused.
    #[error("the NVIDIA driver reports: {0}")]
    Driver(String),
    /// A kernel does not have the parameters that the program passes.
    #[error("the kernel {kernel} takes {found} bytes of parameters, not {expected}")]
    Parameters {
        /// Which kernel.
        kernel: &'static str,
        /// What the program passes.
        expected: usize,
        /// What the kernel takes.
        found: usize,
    },
    /// An operation was asked for with sizes that do not fit each other or its limits.
    #[error("{operation}: {reason}")]
    Shape {
        /// Which operation.
        operation: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A kernel broke a rule of CUDA on the emulator.
    #[error("the kernel {kernel} on the emulator: {reason}")]
    Emulation {
        /// Which kernel.
        kernel: &'static str,
        /// Which rule, and where.
        reason: String,
    },
}

/// An error of an operation's arguments.
pub(crate) fn shape(operation: &'static str, reason: impl Into<String>) -> Error {
    Error::Shape { operation, reason: reason.into() }
}

/// Fails with a sentence unless the condition holds.
macro_rules! require {
    ($operation:expr, $condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::error::shape($operation, format!($($reason)+)));
        }
    };
}
pub(crate) use require;
