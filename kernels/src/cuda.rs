//! A card: its context, one stream, memory, and the kernels loaded so far.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, CudaStream};

use crate::cards::{device_count, driver_version, info};
use crate::compile;
use crate::kernel::{Kernel, Launch};
use crate::module::{self, fitting_images};
use crate::{DeviceInfo, Error};

pub(crate) struct Cuda {
    info: DeviceInfo,
    multiprocessors: u32,
    shared_bytes_max: u32,
    shared_bytes_per_multiprocessor: u32,
    /// Whether to do without what only some architectures have.
    is_portable: bool,
    /// What of the instructions that only some architectures have there are kernels for.
    multiplies_fp4: bool,
    has_warpgroup_products: bool,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// Where work goes that is captured, so that what other threads ask for meanwhile is not.
    capture_stream: Arc<CudaStream>,
    loaded: Mutex<Loaded>,
}

/// A kernel that can be launched.
#[derive(Clone, Copy)]
struct Function {
    handle: sys::CUfunction,
    /// Whether its blocks may be there before the kernel before it has ended: it waits for that by itself.
    waits: bool,
}

/// What stays loaded for as long as the process lives.
#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, sys::CUmodule>,
    functions: HashMap<&'static str, Function>,
}

// SAFETY: the handles are the driver's, which any thread may use once the context is bound to it, as every use here does first.
#[expect(unsafe_code, reason = "handles of the driver are raw pointers")]
unsafe impl Send for Loaded {}

/// A place in the queue, whose time the card notes when it comes by.
pub(crate) struct Mark {
    context: Arc<CudaContext>,
    event: sys::CUevent,
}

// SAFETY: a handle of the driver, which any thread may use once the context is bound to it, as every use here does first.
#[expect(unsafe_code, reason = "handles of the driver are raw pointers")]
unsafe impl Send for Mark {}

impl Mark {
    /// From an earlier mark of the same card to this one; waits for this one.
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn since(&self, earlier: &Self) -> Result<Duration, Error> {
        self.context.bind_to_thread().map_err(driver_error)?;
        // SAFETY: both events live as long as their marks, and were recorded.
        let milliseconds = unsafe {
            result::event::synchronize(self.event).map_err(driver_error)?;
            result::event::elapsed(earlier.event, self.event).map_err(driver_error)?
        };
        Ok(Duration::from_secs_f64(f64::from(milliseconds.max(0.0)) / 1e3))
    }
}

impl Drop for Mark {
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: created by `mark` and destroyed once; the driver keeps it until the queue has come by.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}

mod graph;

pub(crate) use graph::Graph;

/// What asks for the kernels that all cards have: to compare, and to tell whether one architecture's own give wrong results.
const PORTABLE: &str = "LACUNA_CUDA_PORTABLE";
const OLDEST_CAPABILITY: (i32, i32) = (8, 0);
/// From this architecture on kernels wait by themselves for the one before: `follow_previous_kernel` in `platform.cuh`.
const FIRST_TO_WAIT: i32 = 90;

/// Kernels that are only in images with instructions for e2m1: one of each file that has any.
const FP4_FUNCTIONS: [(&str, &CStr); 2] =
    [("linear_quantised", c"linear_nvfp4_32"), ("experts_quantised", c"experts_gated_nvfp4_32")];
const WARPGROUP_CAPABILITY: (i32, i32) = (9, 0);
/// The same of products by warpgroups, which have files of their own.
const WARPGROUP_FUNCTIONS: [(&str, &CStr); 2] =
    [("linear_warpgroup", c"linear_warpgroup_fp8_64x32"), ("experts_warpgroup", c"experts_gated_warpgroup_fp8_64x32")];

impl Cuda {
    pub(crate) fn open(index: usize) -> Result<Self, Error> {
        let count = device_count()?;
        if index >= count {
            return Err(Error::NoSuchDevice { index, count });
        }
        let context = CudaContext::new(index).map_err(driver_error)?;
        let info = info(index, &context)?;
        if info.compute_capability < OLDEST_CAPABILITY {
            return Err(Error::UnsupportedArchitecture { name: info.name, capability: info.compute_capability });
        }
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        };
        let attribute = |attribute| Ok(context.attribute(attribute).map_err(driver_error)?.max(0) as u32);
        let mut opened = Self {
            multiplies_fp4: false,
            multiprocessors: attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_bytes_max: attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            shared_bytes_per_multiprocessor: attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
            stream: context.new_stream().map_err(driver_error)?,
            capture_stream: context.new_stream().map_err(driver_error)?,
            has_warpgroup_products: false,
            is_portable: std::env::var_os(PORTABLE).is_some_and(|value| value != "0"),
            info,
            context,
            loaded: Mutex::new(Loaded::default()),
        };
        // Whatever is missing is missing now, and not in the middle of a request. Files that hold nothing for other cards are left to theirs.
        let is_for_all = |family: &str| WARPGROUP_FUNCTIONS.iter().all(|(own, _)| *own != family);
        for module in module::MODULES.iter().filter(|module| is_for_all(module.family)) {
            opened.load_module(&mut opened.loaded(), module.family)?;
        }
        if !opened.is_portable {
            opened.multiplies_fp4 = opened.has_functions(&FP4_FUNCTIONS)?;
            // Without an image for the card's own architecture nothing has to be there.
            opened.has_warpgroup_products = opened.info.compute_capability == WARPGROUP_CAPABILITY
                && matches!(opened.has_functions(&WARPGROUP_FUNCTIONS), Ok(true));
        }
        Ok(opened)
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    pub(crate) fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    pub(crate) fn multiplies_fp4(&self) -> bool {
        self.multiplies_fp4
    }

    pub(crate) fn has_warpgroup_products(&self) -> bool {
        self.has_warpgroup_products
    }

    pub(crate) fn shared_bytes_max(&self) -> u32 {
        self.shared_bytes_max
    }

    pub(crate) fn shared_bytes_per_multiprocessor(&self) -> u32 {
        self.shared_bytes_per_multiprocessor
    }

    pub(crate) fn memory(&self) -> Result<(u64, u64), Error> {
        let (free, total) = self.context.mem_get_info().map_err(driver_error)?;
        Ok((free as u64, total as u64))
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn synchronize(&self) -> Result<(), Error> {
        self.bind()?;
        // SAFETY: the stream lives as long as self.
        unsafe { result::stream::synchronize(self.stream.cu_stream()) }.map_err(driver_error)
    }

    /// Marks this place in the queue.
    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn mark(&self) -> Result<Mark, Error> {
        self.bind()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).map_err(driver_error)?;
        let mark = Mark { context: Arc::clone(&self.context), event };
        // SAFETY: event and stream are live.
        unsafe { result::event::record(event, self.stream.cu_stream()) }.map_err(driver_error)?;
        Ok(mark)
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        self.bind()?;
        // The driver refuses to allocate nothing.
        // SAFETY: allocates; the address is freed once, by the allocation that owns it.
        unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| {
            if error.0 != CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                return driver_error(error);
            }
            match self.memory() {
                Ok((free_bytes, total_bytes)) => {
                    Error::OutOfMemory { requested_bytes: bytes as u64, free_bytes, total_bytes }
                }
                Err(error) => error,
            }
        })
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn free(&self, address: u64, _bytes: usize) {
        // Kernels that were queued may still use it. A card that is lost needs nothing back.
        if self.synchronize().is_ok() {
            // SAFETY: allocated by `allocate` and given back once; nothing that was queued is left to use it.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn upload(&self, address: u64, source: *const u8, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: both are live runs of so many bytes; the stream is waited for before the host's is given back.
        unsafe { sys::cuMemcpyHtoDAsync_v2(address, source.cast(), bytes, self.stream.cu_stream()) }
            .result()
            .map_err(driver_error)?;
        self.synchronize()
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn download(&self, address: u64, bytes: usize, target: *mut u8) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: both are live runs of so many bytes; the stream is waited for before the host's is given back.
        unsafe { sys::cuMemcpyDtoHAsync_v2(target.cast(), address, bytes, self.stream.cu_stream()) }
            .result()
            .map_err(driver_error)?;
        self.synchronize()
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn copy(&self, target: u64, source: u64, bytes: usize, is_captured: bool) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: both are live runs of so many bytes on this device; they are freed only behind the stream.
        unsafe { result::memcpy_dtod_async(target, source, bytes, self.stream_for(is_captured)) }.map_err(driver_error)
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    pub(crate) fn clear(&self, address: u64, bytes: usize, is_captured: bool) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: a live run of so many bytes on this device; it is freed only behind the stream.
        unsafe { result::memset_d8_async(address, 0, bytes, self.stream_for(is_captured)) }.map_err(driver_error)
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
        self.bind()?;
        let Function { handle, waits } = self.function(kernel)?;
        let mut parameters = [std::ptr::from_ref(parameters).cast_mut().cast()];
        let [x, y, z] = launch.grid;
        let mut attribute = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: launch.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: launch.shared_bytes,
            hStream: self.stream_for(is_captured),
            attrs: &raw mut attribute,
            numAttrs: u32::from(waits),
        };
        // SAFETY: the function takes one P by value, which the driver copies before it returns; the caller promises what it points to. A function that
        // is launched with the attribute waits for the one before it.
        unsafe { sys::cuLaunchKernelEx(&raw const config, handle, parameters.as_mut_ptr(), std::ptr::null_mut()) }
            .result()
            .map_err(driver_error)
    }

    fn stream_for(&self, is_captured: bool) -> sys::CUstream {
        if is_captured { self.capture_stream.cu_stream() } else { self.stream.cu_stream() }
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    fn function<P>(&self, kernel: &Kernel<P>) -> Result<Function, Error> {
        let mut loaded = self.loaded();
        if let Some(function) = loaded.functions.get(kernel.name) {
            return Ok(*function);
        }
        let module = self.load_module(&mut loaded, kernel.family)?;
        let name = CString::new(kernel.name).map_err(|error| Error::Driver(error.to_string()))?;
        // SAFETY: the module is loaded and stays so.
        let function = unsafe { result::module::get_function(module, name) }.map_err(driver_error)?;
        let (mut offset, mut found) = (0, 0);
        // SAFETY: writes two numbers.
        unsafe { sys::cuFuncGetParamInfo(function, 0, &raw mut offset, &raw mut found) }
            .result()
            .map_err(driver_error)?;
        let expected = size_of::<P>();
        if found != expected {
            return Err(Error::Parameters { kernel: kernel.name, expected, found });
        }
        // Only kernels without shared memory of their own are written, so all that a block may have is the launch's.
        use sys::CUfunction_attribute_enum::{
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT,
            CU_FUNC_ATTRIBUTE_PTX_VERSION,
        };
        // Blocks of different kernels are on a multiprocessor together only where it is divided alike for both.
        for (attribute, value) in [
            (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, self.shared_bytes_max as i32),
            (CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100),
        ] {
            // SAFETY: the function is loaded.
            unsafe { result::function::set_function_attribute(function, attribute, value) }.map_err(driver_error)?;
        }
        // Compiled for an architecture that has the instruction to wait.
        // SAFETY: the function is loaded.
        let compiled_for = unsafe { result::function::get_function_attribute(function, CU_FUNC_ATTRIBUTE_PTX_VERSION) }
            .map_err(driver_error)?;
        let can_wait = compiled_for >= FIRST_TO_WAIT && self.info.compute_capability.0 * 10 >= FIRST_TO_WAIT;
        let function = Function { handle: function, waits: !self.is_portable && can_wait };
        loaded.functions.insert(kernel.name, function);
        Ok(function)
    }

    /// Whether the images that were loaded of some files have these kernels, all of them.
    fn has_functions(&self, functions: &[(&'static str, &CStr)]) -> Result<bool, Error> {
        functions.iter().try_fold(true, |has_all, (family, name)| {
            let has = self.has_function(&mut self.loaded(), family, name)?;
            Ok(has_all && has)
        })
    }

    #[expect(unsafe_code, reason = "the driver's functions are foreign")]
    fn has_function(&self, loaded: &mut Loaded, family: &'static str, name: &CStr) -> Result<bool, Error> {
        let module = self.load_module(loaded, family)?;
        // SAFETY: the module is loaded and stays so.
        match unsafe { result::module::get_function(module, name.to_owned()) } {
            Ok(_) => Ok(true),
            Err(error) if error.0 == CUresult::CUDA_ERROR_NOT_FOUND => Ok(false),
            Err(error) => Err(driver_error(error)),
        }
    }

    fn load_module(&self, loaded: &mut Loaded, family: &'static str) -> Result<sys::CUmodule, Error> {
        if let Some(module) = loaded.modules.get(family) {
            return Ok(*module);
        }
        self.bind()?;
        let module = module::module(family);
        for image in fitting_images(module.images, self.info.compute_capability) {
            if let Some(handle) = load_image(image.bytes)? {
                loaded.modules.insert(family, handle);
                return Ok(handle);
            }
        }
        let image = compile::image(module, self.info.compute_capability, driver_version()?)?;
        let (major, minor) = self.info.compute_capability;
        let handle =
            load_image(&image)?.ok_or_else(|| Error::NoCompiler { architecture: format!("{major}{minor}") })?;
        loaded.modules.insert(family, handle);
        Ok(handle)
    }

    fn bind(&self) -> Result<(), Error> {
        self.context.bind_to_thread().map_err(driver_error)
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        // Two maps that are only ever added to are whole whatever a thread was doing when it panicked.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads an image into the bound context, or nothing where this driver and card cannot run it: an older driver knows less than the
/// compiler that made it, and refuses it in several ways.
#[expect(unsafe_code, reason = "the driver's functions are foreign")]
fn load_image(image: &[u8]) -> Result<Option<sys::CUmodule>, Error> {
    // PTX is text that ends in a zero; an image made by the assembler says itself where it ends.
    let mut bytes = image.to_vec();
    bytes.push(0);
    // SAFETY: a whole image, as a compiler wrote it, that the driver copies.
    match unsafe { result::module::load_data(bytes.as_ptr().cast()) } {
        Ok(module) => Ok(Some(module)),
        Err(error) if is_lost(error.0) || error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(driver_error(error)),
        Err(_) => Ok(None),
    }
}

/// The driver's word as an error of ours.
fn driver_error(error: DriverError) -> Error {
    if is_lost(error.0) { Error::DeviceLost { reason: error.to_string() } } else { Error::Driver(error.to_string()) }
}

/// Whether nothing works any more in this process behind such a result: the driver keeps answering with it.
fn is_lost(result: CUresult) -> bool {
    use CUresult as R;
    matches!(
        result,
        R::CUDA_ERROR_ILLEGAL_ADDRESS
            | R::CUDA_ERROR_MISALIGNED_ADDRESS
            | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | R::CUDA_ERROR_INVALID_PC
            | R::CUDA_ERROR_HARDWARE_STACK_ERROR
            | R::CUDA_ERROR_LAUNCH_FAILED
            | R::CUDA_ERROR_LAUNCH_TIMEOUT
            | R::CUDA_ERROR_ASSERT
            | R::CUDA_ERROR_ECC_UNCORRECTABLE
            | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | R::CUDA_ERROR_DEVICE_UNAVAILABLE
            | R::CUDA_ERROR_UNKNOWN
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_a_card_is_a_device_or_a_sentence() {
        let count = device_count().unwrap_or(0);
        let error = Cuda::open(count).map(|_| ()).unwrap_err();
        match count {
            0 => assert!(matches!(error, Error::NoDriver | Error::Driver(_) | Error::NoSuchDevice { .. }), "{error}"),
            _ => assert!(matches!(error, Error::NoSuchDevice { .. }), "{error}"),
        }
        assert!(!error.to_string().contains('\n'));
    }

    #[test]
    fn what_ends_all_work_is_told_from_what_ends_one_call() {
        assert!(is_lost(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
        assert!(is_lost(CUresult::CUDA_ERROR_LAUNCH_TIMEOUT));
        assert!(!is_lost(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
        assert!(!is_lost(CUresult::CUDA_ERROR_INVALID_VALUE));
    }
}
