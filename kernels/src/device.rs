//! A device: a card or, for tests, the processor as if it were one.

use std::sync::Arc;
use std::time::Duration;
#[cfg(feature = "emulator")]
use std::time::Instant;

use crate::cuda::{self, Cuda};
#[cfg(feature = "emulator")]
use crate::emulator::{Emulator, EmulatorOptions};
use crate::kernel::{Kernel, Launch};
use crate::memory::{Buffer, Element};
use crate::{DeviceInfo, Error};

/// A device with one queue: whatever is asked of it happens in order, behind the caller's back until something is read. Clones are the
/// same device.
#[derive(Clone)]
pub struct Device {
    executor: Executor,
}

#[derive(Clone)]
enum Executor {
    Cuda(Arc<Cuda>),
    #[cfg(feature = "emulator")]
    Emulator(Arc<Emulator>),
}

/// Does the same to whichever executor it is.
macro_rules! dispatch {
    ($device:expr, $executor:ident => $work:expr) => {
        match &$device.executor {
            Executor::Cuda($executor) => $work,
            #[cfg(feature = "emulator")]
            Executor::Emulator($executor) => $work,
        }
    };
}

impl Device {
    /// Opens a card.
    pub fn cuda(index: usize) -> Result<Self, Error> {
        Ok(Self { executor: Executor::Cuda(Arc::new(Cuda::open(index)?)) })
    }

    /// The processor, with room and a number of multiprocessors like a small card's.
    #[cfg(feature = "emulator")]
    pub fn emulator() -> Self {
        Self::emulator_with(EmulatorOptions::default())
    }

    /// The processor, as the options say.
    #[cfg(feature = "emulator")]
    pub fn emulator_with(options: EmulatorOptions) -> Self {
        Self { executor: Executor::Emulator(Arc::new(Emulator::new(options))) }
    }

    /// Name and compute capability.
    pub fn info(&self) -> DeviceInfo {
        dispatch!(self, executor => executor.info())
    }

    /// Blocks that run at the same time, at least: persistent kernels and splits of long sums go by it.
    pub fn multiprocessors(&self) -> u32 {
        dispatch!(self, executor => executor.multiprocessors())
    }

    /// Free bytes, and all.
    pub fn memory(&self) -> Result<(u64, u64), Error> {
        dispatch!(self, executor => executor.memory())
    }

    /// Waits for everything that was asked for.
    pub fn synchronize(&self) -> Result<(), Error> {
        dispatch!(self, executor => executor.synchronize())
    }

    /// Marks this place in the queue, to ask later when the device came by.
    pub fn mark(&self) -> Result<Mark, Error> {
        Ok(Mark {
            executor: match &self.executor {
                Executor::Cuda(cuda) => ExecutorMark::Cuda(cuda.mark()?),
                #[cfg(feature = "emulator")]
                Executor::Emulator(_) => ExecutorMark::Emulator(Instant::now()),
            },
        })
    }

    /// Room for so many elements.
    pub fn allocate<T: Element>(&self, len: usize) -> Result<Buffer<T>, Error> {
        Buffer::new(self, len)
    }

    /// The elements, copied to the device.
    pub fn upload<T: Element>(&self, elements: &[T]) -> Result<Buffer<T>, Error> {
        let mut buffer = Buffer::new(self, elements.len())?;
        buffer.as_mut().write(elements)?;
        Ok(buffer)
    }

    /// Whether it is the same device.
    pub fn is(&self, other: &Self) -> bool {
        match (&self.executor, &other.executor) {
            (Executor::Cuda(own), Executor::Cuda(other)) => Arc::ptr_eq(own, other),
            #[cfg(feature = "emulator")]
            (Executor::Emulator(own), Executor::Emulator(other)) => Arc::ptr_eq(own, other),
            #[cfg(feature = "emulator")]
            _ => false,
        }
    }

    /// Whether it is the processor.
    pub fn is_emulator(&self) -> bool {
        !matches!(self.executor, Executor::Cuda(_))
    }

    /// Dynamic shared memory that a block may ask for.
    pub(crate) fn shared_bytes_max(&self) -> u32 {
        dispatch!(self, executor => executor.shared_bytes_max())
    }

    /// Shared memory that the blocks of a multiprocessor have together.
    pub(crate) fn shared_bytes_per_multiprocessor(&self) -> u32 {
        dispatch!(self, executor => executor.shared_bytes_per_multiprocessor())
    }

    /// Queues a kernel; a grid without blocks is no work.
    ///
    /// # Safety
    ///
    /// Every address in the parameters, with the sizes that the kernel reads or writes there, must lie in live buffers of this device, and what
    /// the kernel writes must be borrowed mutably.
    #[expect(unsafe_code, reason = "a kernel reads and writes where its parameters say")]
    pub(crate) unsafe fn launch<P: Copy>(
        &self,
        kernel: &Kernel<P>,
        launch: Launch,
        parameters: &P,
    ) -> Result<(), Error> {
        let operation = kernel.name;
        crate::error::require!(operation, launch.grid[1].max(launch.grid[2]) < 1 << 16, "the grid is too large");
        crate::error::require!(
            operation,
            launch.shared_bytes <= self.shared_bytes_max(),
            "a block needs {} bytes of shared memory, and the device has {}",
            launch.shared_bytes,
            self.shared_bytes_max()
        );
        if launch.grid.contains(&0) {
            return Ok(());
        }
        // SAFETY: promised by the caller; the kernel's parameters have type P, whose size is checked against the kernel's.
        unsafe { dispatch!(self, executor => executor.launch(kernel, launch, parameters)) }
    }

    pub(crate) fn allocate_bytes(&self, bytes: usize) -> Result<u64, Error> {
        dispatch!(self, executor => executor.allocate(bytes))
    }

    pub(crate) fn free_bytes(&self, address: u64, bytes: usize) {
        dispatch!(self, executor => executor.free(address, bytes));
    }

    pub(crate) fn upload_bytes(&self, address: u64, source: *const u8, bytes: usize) -> Result<(), Error> {
        dispatch!(self, executor => executor.upload(address, source, bytes))
    }

    pub(crate) fn download(&self, address: u64, bytes: usize, target: *mut u8) -> Result<(), Error> {
        dispatch!(self, executor => executor.download(address, bytes, target))
    }

    pub(crate) fn copy_bytes(&self, target: u64, source: u64, bytes: usize) -> Result<(), Error> {
        dispatch!(self, executor => executor.copy(target, source, bytes))
    }

    pub(crate) fn clear_bytes(&self, address: u64, bytes: usize) -> Result<(), Error> {
        dispatch!(self, executor => executor.clear(address, bytes))
    }
}

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

impl std::fmt::Debug for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Device({})", self.info().name)
    }
}
