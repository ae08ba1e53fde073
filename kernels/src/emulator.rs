//! The processor as a device: kernels compiled as C++ and run when they are launched, each launch to its end.
//!
//! Buffers begin as bytes that are no number, and stand between guards that are looked at after each launch.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

use crate::kernel::{Kernel, Launch};
use crate::memory::ALIGNMENT;
use crate::{DeviceInfo, Error};

mod graph;

pub(crate) use graph::Graph;
use graph::{Command, EmulatedLaunch};

/// What the emulated device is like.
#[derive(Clone, Copy, Debug)]
pub struct EmulatorOptions {
    /// Memory for buffers.
    pub memory_bytes: u64,
    /// What persistent kernels and splits go by.
    pub multiprocessors: u32,
    /// Dynamic shared memory that a block may ask for.
    pub shared_bytes: u32,
    /// Whether products go by warpgroups, as on sm_90a; their blocks need more shared memory than other cards have.
    pub warpgroups: bool,
    /// Whether it says that it multiplies e2m1 by e2m1, as only some cards do.
    pub multiplies_fp4: bool,
    /// Whether the last block and the last thread run first: results must not depend on it.
    pub reversed: bool,
    /// Threads of the processor that run blocks at the same time, at most.
    pub threads: u32,
}

impl Default for EmulatorOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            multiprocessors: 4,
            shared_bytes: SHARED_BYTES_MAX,
            warpgroups: false,
            multiplies_fp4: false,
            reversed: false,
            threads: 1,
        }
    }
}

impl EmulatorOptions {
    /// With what sm_90a has beyond the others.
    pub fn hopper() -> Self {
        Self { shared_bytes: HOPPER_SHARED_BYTES_MAX, warpgroups: true, ..Self::default() }
    }

    /// With what compute capability 12 has beyond the others.
    pub fn blackwell() -> Self {
        Self { multiplies_fp4: true, ..Self::default() }
    }
}

/// Of the cards that the kernels are for, the least that one offers a block.
const SHARED_BYTES_MAX: u32 = 99 * 1024;
const HOPPER_SHARED_BYTES_MAX: u32 = 227 * 1024;
/// Two blocks of the largest kind, as on larger cards.
const SHARED_BYTES_PER_MULTIPROCESSOR: u32 = 228 * 1024;
const GUARD_BYTES: usize = ALIGNMENT;
/// No number as f32 and as bf16, and too great for an index: who reads it shows it.
const GUARD: [u8; GUARD_BYTES] = {
    let mut bytes = [0xF5; GUARD_BYTES];
    let mut index = 1;
    while index < GUARD_BYTES {
        bytes[index] = 0xFF;
        index += 2;
    }
    bytes
};
/// What a fresh buffer holds.
const POISON: u8 = 0xFF;

pub(crate) struct Emulator {
    options: EmulatorOptions,
    /// The bytes of each buffer by its address.
    buffers: Mutex<BTreeMap<u64, usize>>,
    /// What the work that is being captured asked for.
    captured: Mutex<Vec<Command>>,
}

impl Emulator {
    pub(crate) fn new(options: EmulatorOptions) -> Self {
        Self { options, buffers: Mutex::default(), captured: Mutex::default() }
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        DeviceInfo { index: 0, name: "emulator".to_owned(), compute_capability: (8, 0) }
    }

    pub(crate) fn multiprocessors(&self) -> u32 {
        self.options.multiprocessors
    }

    pub(crate) fn multiplies_fp4(&self) -> bool {
        self.options.multiplies_fp4
    }

    pub(crate) fn has_warpgroup_products(&self) -> bool {
        self.options.warpgroups
    }

    pub(crate) fn shared_bytes_max(&self) -> u32 {
        self.options.shared_bytes
    }

    pub(crate) fn shared_bytes_per_multiprocessor(&self) -> u32 {
        SHARED_BYTES_PER_MULTIPROCESSOR
    }

    pub(crate) fn memory(&self) -> Result<(u64, u64), Error> {
        let used: usize = self.buffers().values().sum();
        Ok((self.options.memory_bytes.saturating_sub(used as u64), self.options.memory_bytes))
    }

    #[expect(clippy::unused_self, reason = "every executor has it")]
    pub(crate) fn synchronize(&self) -> Result<(), Error> {
        Ok(())
    }

    #[expect(unsafe_code, reason = "buffers are raw memory")]
    pub(crate) fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        let (free, total) = self.memory()?;
        let no_room = || Error::OutOfMemory { requested_bytes: bytes as u64, free_bytes: free, total_bytes: total };
        if bytes as u64 > free {
            return Err(no_room());
        }
        let layout = layout(bytes).ok_or_else(no_room)?;
        // SAFETY: the layout has a size; the guards and the buffer between them are exactly what was allocated.
        let address = unsafe {
            let start = alloc(layout);
            if start.is_null() {
                return Err(no_room());
            }
            write_guard(start);
            start.add(GUARD_BYTES).write_bytes(POISON, bytes);
            write_guard(start.add(GUARD_BYTES + bytes));
            start.add(GUARD_BYTES) as u64
        };
        self.buffers().insert(address, bytes);
        Ok(address)
    }

    #[expect(unsafe_code, reason = "buffers are raw memory")]
    pub(crate) fn free(&self, address: u64, bytes: usize) {
        self.buffers().remove(&address);
        let Some(layout) = layout(bytes) else { return };
        // SAFETY: `allocate` made it with this layout, and its one owner gives it back.
        unsafe { dealloc((address as *mut u8).sub(GUARD_BYTES), layout) };
    }

    #[expect(unsafe_code, reason = "buffers are raw memory")]
    pub(crate) fn upload(&self, address: u64, source: *const u8, bytes: usize) -> Result<(), Error> {
        // SAFETY: both are live runs of so many bytes, one on either side.
        unsafe { std::ptr::copy_nonoverlapping(source, address as *mut u8, bytes) };
        Ok(())
    }

    #[expect(unsafe_code, reason = "buffers are raw memory")]
    pub(crate) fn download(&self, address: u64, bytes: usize, target: *mut u8) -> Result<(), Error> {
        // SAFETY: both are live runs of so many bytes, one on either side.
        unsafe { std::ptr::copy_nonoverlapping(address as *const u8, target, bytes) };
        Ok(())
    }

    pub(crate) fn copy(&self, target: u64, source: u64, bytes: usize, is_captured: bool) -> Result<(), Error> {
        self.ask(Command::Copy { target, source, bytes }, is_captured)
    }

    pub(crate) fn clear(&self, address: u64, bytes: usize, is_captured: bool) -> Result<(), Error> {
        self.ask(Command::Clear { address, bytes }, is_captured)
    }

    /// # Safety
    ///
    /// As for a device's launch.
    #[expect(unsafe_code, reason = "a kernel reads and writes where its parameters say")]
    pub(crate) unsafe fn launch<P: Copy>(
        &self,
        kernel: &Kernel<P>,
        launch: Launch,
        parameters: &P,
        is_captured: bool,
    ) -> Result<(), Error> {
        // SAFETY: takes nothing and returns a constant.
        let found = unsafe { (kernel.emulated.parameters_size)() };
        let expected = size_of::<P>();
        if found != expected {
            return Err(Error::Parameters { kernel: kernel.name, expected, found });
        }
        self.ask(Command::Launch(EmulatedLaunch::new(kernel, launch, parameters)), is_captured)
    }

    /// Runs a kernel to its end.
    #[expect(unsafe_code, reason = "a kernel reads and writes where its parameters say")]
    fn run(&self, launch: &EmulatedLaunch) -> Result<(), Error> {
        let block = [launch.launch.threads, 1, 1];
        // SAFETY: the parameters have the size that the kernel takes, and who asked for the launch promised what they point to.
        let message = unsafe {
            (launch.run)(
                launch.parameters.as_ptr().cast(),
                launch.launch.grid.as_ptr(),
                block.as_ptr(),
                launch.launch.shared_bytes as usize,
                self.options.reversed.into(),
                self.options.threads,
            )
        };
        let emulation = |reason: String| Error::Emulation { kernel: launch.name, reason };
        if !message.is_null() {
            // SAFETY: a string that lives until this thread's next launch.
            let message = unsafe { CStr::from_ptr(message) };
            return Err(emulation(message.to_string_lossy().into_owned()));
        }
        for (address, bytes) in self.buffers().iter() {
            // SAFETY: the buffer is live while the map is locked, and stands between its guards.
            let intact = unsafe {
                is_guard((*address as *const u8).sub(GUARD_BYTES)) && is_guard((*address as *const u8).add(*bytes))
            };
            if !intact {
                return Err(emulation(format!("it wrote outside of a buffer of {bytes} bytes")));
            }
        }
        Ok(())
    }

    fn buffers(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, usize>> {
        // A map of numbers is whole whatever a thread was doing when it panicked.
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(2 * GUARD_BYTES)?, ALIGNMENT).ok()
}

/// # Safety
///
/// There must be so many bytes.
#[expect(unsafe_code, reason = "buffers are raw memory")]
unsafe fn write_guard(start: *mut u8) {
    // SAFETY: promised by the caller.
    unsafe { start.copy_from_nonoverlapping(GUARD.as_ptr(), GUARD_BYTES) };
}

/// # Safety
///
/// There must be so many bytes.
#[expect(unsafe_code, reason = "buffers are raw memory")]
unsafe fn is_guard(start: *const u8) -> bool {
    // SAFETY: promised by the caller.
    let bytes = unsafe { std::slice::from_raw_parts(start, GUARD_BYTES) };
    bytes == GUARD
}

#[cfg(test)]
mod tests;
