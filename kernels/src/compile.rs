//! Kernels compiled at run time by NVRTC, for cards that this program holds no image for; kept on disk for the next time.

mod cache;

use std::ffi::CString;

use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys::{self, nvrtcResult};

use crate::Error;
use crate::module::Module;

/// As in build.rs: arithmetic as it is written.
const OPTIONS: [&str; 5] = ["--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

/// The module's image for a card of this compute capability, from the cache or compiled and put there. `driver_version` is the driver's own
/// number.
pub(crate) fn image(module: &Module, capability: (i32, i32), driver_version: i32) -> Result<Vec<u8>, Error> {
    let architecture = architecture(capability);
    let key = cache::Key { family: module.family, architecture: &architecture, driver_version, source: module.source };
    let folder = cache::folder();
    if let Some(image) = folder.as_deref().and_then(|folder| cache::read(folder, &key)) {
        return Ok(image);
    }
    let image = compile(module, &architecture)?;
    if let Some(folder) = folder {
        // A cache that cannot be written costs the next start some seconds, and nothing else.
        let _ = cache::write(&folder, &key, &image);
    }
    Ok(image)
}

/// As nvcc names it, with the `a` of those that have instructions of their own.
fn architecture((major, minor): (i32, i32)) -> String {
    format!("{major}{minor}{}", if major >= 9 { "a" } else { "" })
}

fn compile(module: &Module, architecture: &str) -> Result<Vec<u8>, Error> {
    if !is_nvrtc_present() {
        return Err(Error::NoCompiler { architecture: architecture.to_owned() });
    }
    let program = Program::new(module)?;
    let target = format!("--gpu-architecture=sm_{architecture}");
    let options: Vec<&str> = OPTIONS.into_iter().chain([target.as_str()]).collect();
    match program.compile(&options) {
        Ok(()) => program.image(),
        // This NVRTC is older than the card.
        Err(NvrtcError(nvrtcResult::NVRTC_ERROR_INVALID_OPTION)) => {
            Err(Error::NoCompiler { architecture: architecture.to_owned() })
        }
        Err(error) => Err(program.refused(error)),
    }
}

#[expect(unsafe_code, reason = "the library marks the question unsafe because it loads NVRTC to answer it")]
fn is_nvrtc_present() -> bool {
    // SAFETY: loads the NVRTC library by its name, or finds that there is none; nothing is called in it.
    unsafe { sys::is_culib_present() }
}

/// One source that NVRTC holds.
struct Program {
    handle: sys::nvrtcProgram,
    family: &'static str,
}

impl Program {
    fn new(module: &Module) -> Result<Self, Error> {
        let failed = |log: String| Error::Compilation { family: module.family, log };
        let source = CString::new(module.source).map_err(|error| failed(error.to_string()))?;
        let handle = result::create_program(&source, None).map_err(|error| failed(error.to_string()))?;
        Ok(Self { handle, family: module.family })
    }

    #[expect(unsafe_code, reason = "NVRTC's functions are foreign")]
    fn compile(&self, options: &[&str]) -> Result<(), NvrtcError> {
        // SAFETY: the program is live until it is dropped.
        unsafe { result::compile_program(self.handle, options) }
    }

    #[expect(unsafe_code, reason = "NVRTC's functions are foreign")]
    fn image(&self) -> Result<Vec<u8>, Error> {
        let mut size = 0;
        // SAFETY: the program is live and compiled; the number is written.
        unsafe { sys::nvrtcGetCUBINSize(self.handle, &raw mut size) }.result().map_err(|error| self.refused(error))?;
        let mut image = vec![0_u8; size];
        // SAFETY: the image has just been said to be so long.
        unsafe { sys::nvrtcGetCUBIN(self.handle, image.as_mut_ptr().cast()) }
            .result()
            .map_err(|error| self.refused(error))?;
        Ok(image)
    }

    #[expect(unsafe_code, reason = "NVRTC's functions are foreign")]
    fn refused(&self, error: NvrtcError) -> Error {
        // SAFETY: the program is live until it is dropped.
        let log = unsafe { result::get_program_log(self.handle) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).take_while(|byte| *byte != 0).collect();
        let log = String::from_utf8_lossy(&log).lines().map(str::trim).collect::<Vec<_>>().join("; ");
        Error::Compilation { family: self.family, log: format!("{error}: {log}") }
    }
}

impl Drop for Program {
    #[expect(unsafe_code, reason = "NVRTC's functions are foreign")]
    fn drop(&mut self) {
        // SAFETY: created by `new` and destroyed once. What could be refused here has no consequence.
        let _ = unsafe { result::destroy_program(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::MODULES;

    #[test]
    fn every_source_compiles_by_itself_where_there_is_a_compiler() {
        for module in MODULES {
            for architecture in ["80", "90a"] {
                match compile(module, architecture) {
                    // An image is an ELF file.
                    Ok(image) => assert!(image.starts_with(b"\x7fELF"), "{} for sm_{architecture}", module.family),
                    Err(error) => {
                        assert!(matches!(error, Error::NoCompiler { .. }), "{error}");
                        assert!(error.to_string().contains(architecture) && !error.to_string().contains('\n'));
                    }
                }
            }
        }
    }

    #[test]
    fn products_in_four_bits_are_compiled_for_the_cards_that_have_them() {
        for family in ["linear_quantised", "experts_quantised"] {
            match compile(crate::module::module(family), &architecture((12, 0))) {
                // Kernels' names stand in the image.
                Ok(image) => assert!(image.windows(10).any(|name| name == b"_nvfp4_128"), "{family}"),
                Err(error) => assert!(matches!(error, Error::NoCompiler { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn what_does_not_compile_is_one_sentence_with_the_compilers_words() {
        let module =
            Module { family: "broken", source: "extern \"C\" __global__ void kernel() { nonsense; }", images: &[] };
        let error = compile(&module, "80").unwrap_err();
        assert_eq!(matches!(error, Error::Compilation { family: "broken", .. }), is_nvrtc_present(), "{error}");
        let sentence = error.to_string();
        assert!(!is_nvrtc_present() || sentence.contains("nonsense"), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
        let error = compile(&module, "7").unwrap_err();
        assert!(matches!(error, Error::NoCompiler { .. }), "{error}");
    }

    #[test]
    fn newer_architectures_are_compiled_for_with_their_own_instructions() {
        assert_eq!(architecture((8, 6)), "86");
        assert_eq!(architecture((9, 0)), "90a");
        assert_eq!(architecture((12, 0)), "120a");
    }
}
