//! Which devices there are.

use crate::Error;

/// The cards that CUDA finds, a line each, or why it cannot be used.
#[cfg(feature = "cuda")]
pub fn cuda_devices() -> Result<Vec<String>, Error> {
    let devices = lacuna_kernels::devices().map_err(|error| unusable("cuda", error.to_string()))?;
    let line = |device: lacuna_kernels::DeviceInfo| {
        let (major, minor) = device.compute_capability;
        format!("cuda:{} {}, compute capability {major}.{minor}", device.index, device.name)
    };
    Ok(devices.into_iter().map(line).collect())
}

/// The cards that CUDA finds, a line each, or why it cannot be used.
#[cfg(not(feature = "cuda"))]
pub fn cuda_devices() -> Result<Vec<String>, Error> {
    Err(unusable("cuda", "this program was built without the feature cuda"))
}

/// Why a model cannot run on that card.
pub(super) fn refuse_cuda(index: usize) -> Error {
    let device = format!("cuda:{index}");
    match cuda_devices() {
        Err(Error::Device { reason, .. }) => unusable(&device, reason),
        Err(other) => other,
        Ok(devices) if index >= devices.len() => unusable(&device, format!("there are {} cards", devices.len())),
        Ok(_) => unusable(&device, "this version finds cards but has no CUDA backend for the model; use --device cpu"),
    }
}

fn unusable(device: &str, reason: impl Into<String>) -> Error {
    Error::Device { device: device.to_owned(), reason: reason.into() }
}
