//! The output tensors, written whole or not at all.

use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::invalid;
use crate::Error;
use crate::denoiser::StepReport;

pub(super) enum Output {
    Logits {
        rows: usize,
        vocabulary: usize,
        logits: Vec<f32>,
    },
    /// A denoising run and the steps it took.
    Trace(Trace, usize),
}

/// What a denoising run did, a row a step.
pub(super) struct Trace {
    rows: usize,
    pub(super) canvas: Vec<i64>,
    pub(super) argmax: Vec<i64>,
    pub(super) accepted: Vec<u8>,
    pub(super) entropy: Vec<f32>,
}

impl Trace {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, canvas: Vec::new(), argmax: Vec::new(), accepted: Vec::new(), entropy: Vec::new() }
    }

    /// Appends a step; a pinned row keeps its token, is never accepted and has no entropy.
    pub(super) fn record(&mut self, report: &StepReport<'_>) {
        let first = self.canvas.len();
        self.canvas.extend(report.canvas.tokens().iter().map(|token| i64::from(*token)));
        self.argmax.extend_from_slice(&self.canvas[first..]);
        self.accepted.resize(first + self.rows, 0);
        self.entropy.resize(first + self.rows, 0.0);
        for ((row, outcome), accepted) in report.hole_rows.iter().zip(report.outcomes).zip(report.accepted) {
            self.argmax[first + row] = i64::from(outcome.argmax);
            self.accepted[first + row] = u8::from(*accepted);
            self.entropy[first + row] = outcome.entropy;
        }
    }
}

impl Output {
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = match self {
            Self::Logits { rows, vocabulary, logits } => {
                vec![("logits", Dtype::F32, vec![*rows, *vocabulary], float_bytes(logits))]
            }
            Self::Trace(trace, steps) => {
                let shape = vec![*steps, trace.rows];
                vec![
                    ("canvas", Dtype::I64, shape.clone(), id_bytes(&trace.canvas)),
                    ("argmax", Dtype::I64, shape.clone(), id_bytes(&trace.argmax)),
                    ("accepted", Dtype::U8, shape.clone(), trace.accepted.clone()),
                    ("entropy", Dtype::F32, shape, float_bytes(&trace.entropy)),
                    ("steps", Dtype::I64, vec![1], id_bytes(&[*steps as i64])),
                ]
            }
        };
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, data)| TensorView::new(*dtype, shape.clone(), data).map(|view| (*name, view)));
        let bytes = views
            .collect::<Result<Vec<_>, _>>()
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|error| invalid(path, error.to_string()))?;
        write_whole(path, &bytes).map_err(|source| Error::io(path, source))
    }
}

/// Writes beside the target and renames, so that a full disk leaves no half of a file and no loss of an older one.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A device or a pipe is written to, never replaced.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let written = std::fs::File::create(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn float_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn id_bytes(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
