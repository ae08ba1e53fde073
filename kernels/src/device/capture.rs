//! Work that is noted once and launched many times, as one piece.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use super::{Executor, dispatch};
#[cfg(feature = "emulator")]
use crate::emulator;
use crate::error::shape;
use crate::{Device, Error, cuda};

/// What captures of a device have to know of each other and of its memory.
#[derive(Default)]
pub(super) struct Captures {
    /// Held while one is under way: there is one at a time.
    turn: Mutex<()>,
    /// Whose work is being noted.
    thread: Mutex<Option<ThreadId>>,
    /// How many buffers have been given back. Graphs of before then may name one of them.
    frees: Mutex<u64>,
}

/// Nothing here is left half done by a panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Captured work of a device. It names the buffers that it was captured with, so it can be launched as long as no buffer of the device
/// has been given back since.
pub struct Graph {
    device: Device,
    executor: ExecutorGraph,
    frees: u64,
}

enum ExecutorGraph {
    Cuda(cuda::Graph),
    #[cfg(feature = "emulator")]
    Emulator(emulator::Graph),
}

/// Ends a capture however its work ends.
struct Capturing<'a>(&'a Device);

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        *locked(&self.0.captures.thread) = None;
        dispatch!(self.0, executor => executor.abandon_capture());
    }
}

impl Device {
    /// Notes what `work` asks of the device instead of doing it. What makes the host wait or moves buffers (reading, writing, allocating,
    /// marking) is refused in `work`; what other threads ask of the device meanwhile is done as ever.
    pub fn capture(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<Graph, Error> {
        let _turn = locked(&self.captures.turn);
        let frees = *locked(&self.captures.frees);
        dispatch!(self, executor => executor.begin_capture())?;
        let capturing = Capturing(self);
        *locked(&self.captures.thread) = Some(thread::current().id());
        work()?;
        *locked(&self.captures.thread) = None;
        let executor = match &self.executor {
            Executor::Cuda(cuda) => ExecutorGraph::Cuda(cuda.end_capture()?),
            #[cfg(feature = "emulator")]
            Executor::Emulator(emulator) => ExecutorGraph::Emulator(emulator.end_capture()),
        };
        drop(capturing);
        Ok(Graph { device: self.clone(), executor, frees })
    }

    /// Whether this thread's work is being noted.
    pub(super) fn is_capturing(&self) -> bool {
        *locked(&self.captures.thread) == Some(thread::current().id())
    }

    /// Refuses what cannot be noted.
    pub(super) fn not_captured(&self, operation: &'static str) -> Result<(), Error> {
        if self.is_capturing() { Err(shape(operation, "it cannot be part of a graph")) } else { Ok(()) }
    }

    /// A buffer is about to be given back: graphs may name it.
    pub(super) fn forget_graphs(&self) {
        *locked(&self.captures.frees) += 1;
    }
}

impl Graph {
    /// Whether it can still be launched.
    pub fn is_current(&self) -> bool {
        *locked(&self.device.captures.frees) == self.frees
    }

    /// Queues the work.
    pub fn launch(&self) -> Result<(), Error> {
        self.device.not_captured("graph")?;
        // A buffer that is given back meanwhile waits for the queue, and so for this work.
        let frees = locked(&self.device.captures.frees);
        if *frees != self.frees {
            return Err(shape("graph", "a buffer of its device has been given back since it was captured"));
        }
        match (&self.executor, &self.device.executor) {
            (ExecutorGraph::Cuda(graph), Executor::Cuda(cuda)) => cuda.launch_graph(graph),
            #[cfg(feature = "emulator")]
            (ExecutorGraph::Emulator(graph), Executor::Emulator(emulator)) => emulator.launch_graph(graph),
            #[cfg(feature = "emulator")]
            _ => Err(shape("graph", "it is of another device")),
        }
    }
}

#[cfg(test)]
mod tests;
