//! A device: a card or, for tests, the processor as if it were one.

use std::sync::Arc;

use crate::cuda::Cuda;
#[cfg(feature = "emulator")]
use crate::emulator::{Emulator, EmulatorOptions};
use crate::kernel::{Kernel, Launch};
use crate::memory::{Buffer, Element};
use crate::{DeviceInfo, Error};

mod capture;
mod mark;
mod profile;

use capture::Captures;
pub use capture::Graph;
pub use mark::Mark;
pub use profile::KernelTime;
use profile::Profiler;

/// A device with one queue: whatever is asked of it happens in order, behind the caller's back until something is read. Clones are the
/// same device.
#[derive(Clone)]
pub struct Device {
    executor: Executor,
    captures: Arc<Captures>,
    profiler: Arc<Profiler>,
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
            $crate::device::Executor::Cuda($executor) => $work,
            #[cfg(feature = "emulator")]
            $crate::device::Executor::Emulator($executor) => $work,
        }
    };
}
use dispatch;

impl Device {
    /// Opens a card.
    pub fn cuda(index: usize) -> Result<Self, Error> {
        Ok(Self::on(Executor::Cuda(Arc::new(Cuda::open(index)?))))
    }

    fn on(executor: Executor) -> Self {
        Self { executor, captures: Arc::default(), profiler: Arc::default() }
    }

    /// The processor, with room and a number of multiprocessors like a small card's.
    #[cfg(feature = "emulator")]
    pub fn emulator() -> Self {
        Self::emulator_with(EmulatorOptions::default())
    }

    /// The processor, as the options say.
    #[cfg(feature = "emulator")]
    pub fn emulator_with(options: EmulatorOptions) -> Self {
        Self::on(Executor::Emulator(Arc::new(Emulator::new(options))))
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

    /// Whether there are products of e2m1 by e2m1: tensor cores that multiply them, and loaded kernels that make use of those.
    pub fn multiplies_fp4(&self) -> bool {
        dispatch!(self, executor => executor.multiplies_fp4())
    }

    /// Waits for everything that was asked for.
    pub fn synchronize(&self) -> Result<(), Error> {
        self.not_captured("synchronize")?;
        dispatch!(self, executor => executor.synchronize())
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
        Arc::ptr_eq(&self.captures, &other.captures)
    }

    /// Whether it is the processor.
    pub fn is_emulator(&self) -> bool {
        !matches!(self.executor, Executor::Cuda(_))
    }

    /// Whether the kernels by warpgroups are there: an instruction of sm_90a alone.
    pub(crate) fn has_warpgroup_products(&self) -> bool {
        dispatch!(self, executor => executor.has_warpgroup_products())
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
        let is_captured = self.is_capturing();
        let before = if is_captured { None } else { self.mark_if_profiled()? };
        // SAFETY: promised by the caller; the kernel's parameters have type P, whose size is checked against the kernel's.
        unsafe { dispatch!(self, executor => executor.launch(kernel, launch, parameters, is_captured)) }?;
        self.note_if_profiled(kernel.name, before)
    }

    pub(crate) fn allocate_bytes(&self, bytes: usize) -> Result<u64, Error> {
        self.not_captured("allocate")?;
        dispatch!(self, executor => executor.allocate(bytes))
    }

    pub(crate) fn free_bytes(&self, address: u64, bytes: usize) {
        self.forget_graphs();
        dispatch!(self, executor => executor.free(address, bytes));
    }

    pub(crate) fn upload_bytes(&self, address: u64, source: *const u8, bytes: usize) -> Result<(), Error> {
        self.not_captured("write")?;
        dispatch!(self, executor => executor.upload(address, source, bytes))
    }

    pub(crate) fn download(&self, address: u64, bytes: usize, target: *mut u8) -> Result<(), Error> {
        self.not_captured("read")?;
        dispatch!(self, executor => executor.download(address, bytes, target))
    }

    pub(crate) fn copy_bytes(&self, target: u64, source: u64, bytes: usize) -> Result<(), Error> {
        let is_captured = self.is_capturing();
        dispatch!(self, executor => executor.copy(target, source, bytes, is_captured))
    }

    pub(crate) fn clear_bytes(&self, address: u64, bytes: usize) -> Result<(), Error> {
        let is_captured = self.is_capturing();
        dispatch!(self, executor => executor.clear(address, bytes, is_captured))
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Device({})", self.info().name)
    }
}
