//! CUDA for `lacuna-engine`.
//!
//! Entry point: [`devices`], which says what cards this machine has. The driver is loaded at run time, so this crate
//! builds without a toolkit and a program with it starts without a card.

use cudarc::driver::{CudaContext, sys};

/// Why CUDA cannot be used. Each message is one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no driver library.
    #[error("no NVIDIA driver was found on this machine")]
    NoDriver,
    /// The driver refused.
    #[error("the NVIDIA driver reports: {0}")]
    Driver(String),
}

/// A card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What CUDA counts it as.
    pub index: usize,
    /// The maker's name for it.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (i32, i32),
}

/// The cards of this machine, none of them touched.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    // Asked first, because every other call of the library panics where there is no driver.
    if !is_driver_present() {
        return Err(Error::NoDriver);
    }
    let driver_error = |error: cudarc::driver::DriverError| Error::Driver(error.to_string());
    let count = CudaContext::device_count().map_err(driver_error)?;
    (0..count.max(0) as usize)
        .map(|index| {
            let context = CudaContext::new(index).map_err(driver_error)?;
            Ok(DeviceInfo {
                index,
                name: context.name().map_err(driver_error)?,
                compute_capability: context.compute_capability().map_err(driver_error)?,
            })
        })
        .collect()
}

#[expect(unsafe_code, reason = "the library marks the question unsafe because it loads the driver to answer it")]
fn is_driver_present() -> bool {
    // SAFETY: loads the system's CUDA driver library by its name, or finds that there is none; nothing is called in it.
    unsafe { sys::is_culib_present() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_cards_is_an_answer_or_a_sentence() {
        match devices() {
            Ok(devices) => assert!(devices.iter().all(|device| !device.name.is_empty())),
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    }
}
