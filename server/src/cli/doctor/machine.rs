//! The machine that this program runs on.

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Machine {
    architecture: &'static str,
    cores: usize,
    /// Vector instructions that the CPU backend can choose from at run time.
    vector_features: Vec<&'static str>,
    /// The cards that CUDA finds, or why it cannot be used.
    cuda: Vec<String>,
}

impl Machine {
    pub(super) fn examine() -> Self {
        Self {
            architecture: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            vector_features: vector_features(),
            cuda: lacuna_engine::cuda_devices().unwrap_or_else(|error| vec![error.to_string()]),
        }
    }

    pub(super) fn processor(&self) -> String {
        let features = if self.vector_features.is_empty() { "none".to_owned() } else { self.vector_features.join(" ") };
        format!("{}, {} cores, vector instructions: {features}", self.architecture, self.cores)
    }

    pub(super) fn cuda(&self) -> String {
        self.cuda.join("; ")
    }
}

#[cfg(target_arch = "x86_64")]
fn vector_features() -> Vec<&'static str> {
    let all = [
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
    ];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn vector_features() -> Vec<&'static str> {
    vec!["neon"]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vector_features() -> Vec<&'static str> {
    Vec::new()
}
