//! Graphs of the driver.

use std::sync::Arc;

use cudarc::driver::CudaContext;
use cudarc::driver::{result, sys};

use super::{Cuda, driver_error};
use crate::Error;

/// Work that the driver launches as one piece.
pub(crate) struct Graph {
    context: Arc<CudaContext>,
    executable: sys::CUgraphExec,
}

// SAFETY: a handle of the driver, which any thread may use once the context is bound to it; the graph is launched through `Cuda`, one thread
// at a time, because its launches are serialised by the device.
#[expect(unsafe_code, reason = "handles of the driver are raw pointers")]
unsafe impl Send for Graph {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "handles of the driver are raw pointers")]
unsafe impl Sync for Graph {}

impl Drop for Graph {
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: made by `end_capture` and destroyed once; the driver keeps it until its launches have ended.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
        }
    }
}

impl Cuda {
    /// From now on what goes to the capture stream is noted. The device lets one thread at a time.
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn begin_capture(&self) -> Result<(), Error> {
        self.bind()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as self, and nothing is captured on it.
        unsafe { result::stream::begin_capture(self.capture_stream.cu_stream(), mode) }.map_err(driver_error)
    }

    /// What was noted.
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn end_capture(&self) -> Result<Graph, Error> {
        self.bind()?;
        // SAFETY: the stream lives as long as self; the graph is destroyed once, when what can be launched has been made of it.
        let executable = unsafe {
            let graph = result::stream::end_capture(self.capture_stream.cu_stream()).map_err(driver_error)?;
            if graph.is_null() {
                return Err(Error::Driver("the capture of a graph was lost".to_owned()));
            }
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            executable.map_err(driver_error)?
        };
        Ok(Graph { context: Arc::clone(&self.context), executable })
    }

    /// Ends a capture that nobody wants any more; without one nothing happens.
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn abandon_capture(&self) {
        let stream = self.capture_stream.cu_stream();
        if self.bind().is_err() {
            return;
        }
        // SAFETY: the stream lives as long as self; a graph that was begun is destroyed once.
        unsafe {
            use sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
            if result::stream::is_capturing(stream).is_ok_and(|status| status != CU_STREAM_CAPTURE_STATUS_NONE)
                && let Ok(graph) = result::stream::end_capture(stream)
                && !graph.is_null()
            {
                let _ = result::graph::destroy(graph);
            }
        }
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn launch_graph(&self, graph: &Graph) -> Result<(), Error> {
        self.bind()?;
        // SAFETY: graph and stream are live, and so is all memory that the graph names: the device has just made sure.
        unsafe { result::graph::launch(graph.executable, self.stream.cu_stream()) }.map_err(driver_error)
    }
}
