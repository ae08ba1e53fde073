//! Work that is done when it is asked for, or noted and done later.

use std::sync::PoisonError;

use super::Emulator;
use crate::Error;
use crate::kernel::{Kernel, Launch, RunEmulated};

/// Commands in their order.
pub(crate) struct Graph {
    commands: Vec<Command>,
}

/// What the emulator can be asked for without an answer.
pub(super) enum Command {
    Launch(EmulatedLaunch),
    Copy { target: u64, source: u64, bytes: usize },
    Clear { address: u64, bytes: usize },
}

/// A launch with its parameters, which lie in words so that they are aligned.
pub(super) struct EmulatedLaunch {
    pub(super) name: &'static str,
    pub(super) run: RunEmulated,
    pub(super) launch: Launch,
    pub(super) parameters: Box<[u64]>,
}

impl EmulatedLaunch {
    #[expect(unsafe_code, reason = "parameters are copied as bytes")]
    pub(super) fn new<P: Copy>(kernel: &Kernel<P>, launch: Launch, parameters: &P) -> Self {
        let mut words = vec![0_u64; size_of::<P>().div_ceil(8)].into_boxed_slice();
        // SAFETY: there is room for so many bytes, which are apart from the parameters.
        unsafe {
            std::ptr::from_ref(parameters)
                .cast::<u8>()
                .copy_to_nonoverlapping(words.as_mut_ptr().cast(), size_of::<P>());
        }
        Self { name: kernel.name, run: kernel.emulated.run, launch, parameters: words }
    }
}

impl Emulator {
    pub(super) fn ask(&self, command: Command, is_captured: bool) -> Result<(), Error> {
        if is_captured {
            self.captured().push(command);
            return Ok(());
        }
        self.obey(&command)
    }

    #[expect(unsafe_code, reason = "buffers are raw memory")]
    fn obey(&self, command: &Command) -> Result<(), Error> {
        match *command {
            Command::Launch(ref launch) => return self.run(launch),
            // SAFETY: both are live runs of so many bytes of buffers.
            Command::Copy { target, source, bytes } => unsafe {
                std::ptr::copy(source as *const u8, target as *mut u8, bytes);
            },
            // SAFETY: a live run of so many bytes of a buffer.
            Command::Clear { address, bytes } => unsafe { (address as *mut u8).write_bytes(0, bytes) },
        }
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "every executor has it")]
    pub(crate) fn begin_capture(&self) -> Result<(), Error> {
        self.captured().clear();
        Ok(())
    }

    pub(crate) fn end_capture(&self) -> Graph {
        Graph { commands: std::mem::take(&mut *self.captured()) }
    }

    pub(crate) fn abandon_capture(&self) {
        self.captured().clear();
    }

    pub(crate) fn launch_graph(&self, graph: &Graph) -> Result<(), Error> {
        graph.commands.iter().try_for_each(|command| self.obey(command))
    }

    fn captured(&self) -> std::sync::MutexGuard<'_, Vec<Command>> {
        // A list that is only ever added to or cleared is whole whatever a thread was doing when it panicked.
        self.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
