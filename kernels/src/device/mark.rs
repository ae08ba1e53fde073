//! The device's own time.

use std::time::Duration;
#[cfg(feature = "emulator")]
use std::time::Instant;

use super::Executor;
use crate::{Device, Error, cuda};

/// A place in a device's queue.
pub struct Mark {
    executor: ExecutorMark,
}

enum ExecutorMark {
    Cuda(cuda::Mark),
    /// The emulator's work is done when the call returns.
    #[cfg(feature = "emulator")]
    Emulator(Instant),
}

impl Device {
    /// Marks this place in the queue, to ask later when the device came by.
    pub fn mark(&self) -> Result<Mark, Error> {
        self.not_captured("mark")?;
        Ok(Mark {
            executor: match &self.executor {
                Executor::Cuda(cuda) => ExecutorMark::Cuda(cuda.mark()?),
                #[cfg(feature = "emulator")]
                Executor::Emulator(_) => ExecutorMark::Emulator(Instant::now()),
            },
        })
    }
}

impl Mark {
    /// The device's time from an earlier mark of its own to this one. Waits until it has come by.
    pub fn since(&self, earlier: &Self) -> Result<Duration, Error> {
        match (&self.executor, &earlier.executor) {
            (ExecutorMark::Cuda(own), ExecutorMark::Cuda(earlier)) => own.since(earlier),
            #[cfg(feature = "emulator")]
            (ExecutorMark::Emulator(own), ExecutorMark::Emulator(earlier)) => Ok(own.duration_since(*earlier)),
            #[cfg(feature = "emulator")]
            _ => Err(crate::error::shape("Mark::since", "the marks are of different devices")),
        }
    }
}
