//! What cards there are.

use cudarc::driver::{CudaContext, sys};

use crate::Error;

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

/// The cards of this machine.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    (0..device_count()?)
        .map(|index| {
            let context = CudaContext::new(index).map_err(|error| Error::Driver(error.to_string()))?;
            info(index, &context)
        })
        .collect()
}

pub(crate) fn device_count() -> Result<usize, Error> {
    // Asked first, because every other call of the library panics where there is no driver.
    if !is_driver_present() {
        return Err(Error::NoDriver);
    }
    check_version(driver_version()?)?;
    let count = CudaContext::device_count().map_err(|error| Error::Driver(error.to_string()))?;
    Ok(count.max(0) as usize)
}

/// The oldest driver that has all functions which are called, as it says it: 12.8.
const DRIVER_VERSION_MIN: i32 = 12_080;

fn check_version(found: i32) -> Result<(), Error> {
    if found < DRIVER_VERSION_MIN {
        return Err(Error::OldDriver { found, needed: DRIVER_VERSION_MIN });
    }
    Ok(())
}

/// The version of CUDA that the driver is for: 1000 times the major, 10 times the minor. There must be a driver.
#[expect(unsafe_code, reason = "the driver's functions are foreign")]
pub(crate) fn driver_version() -> Result<i32, Error> {
    let mut version = 0;
    // SAFETY: every driver has the function, which writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(|error| Error::Driver(error.to_string()))?;
    Ok(version)
}

pub(crate) fn info(index: usize, context: &CudaContext) -> Result<DeviceInfo, Error> {
    let driver_error = |error: cudarc::driver::DriverError| Error::Driver(error.to_string());
    Ok(DeviceInfo {
        index,
        name: context.name().map_err(driver_error)?,
        compute_capability: context.compute_capability().map_err(driver_error)?,
    })
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
    fn an_old_driver_is_named_with_what_is_needed() {
        assert!(check_version(12_080).is_ok() && check_version(13_000).is_ok());
        let error = check_version(12_040).unwrap_err().to_string();
        assert_eq!(error, "the NVIDIA driver is for CUDA 12.4, and at least 12.8 is needed: install a newer one");
    }

    #[test]
    fn asking_for_cards_is_an_answer_or_a_sentence() {
        match devices() {
            Ok(devices) => assert!(devices.iter().all(|device| !device.name.is_empty())),
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    }
}
