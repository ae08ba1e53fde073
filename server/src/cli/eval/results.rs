use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::score::Outcome;

/// What came of the tasks, which may be done in any order; written in their own as soon as that is possible.
pub(super) struct Results {
    outcomes: Vec<Option<Outcome>>,
    written: usize,
    out: Option<BufWriter<File>>,
}

impl Results {
    pub(super) fn new(tasks: usize, out: Option<BufWriter<File>>) -> Self {
        Self { outcomes: vec![None; tasks], written: 0, out }
    }

    pub(super) fn add(&mut self, index: usize, outcome: Outcome) -> anyhow::Result<()> {
        self.outcomes[index] = Some(outcome);
        while let Some(Some(outcome)) = self.outcomes.get(self.written) {
            if let Some(out) = &mut self.out {
                serde_json::to_writer(&mut *out, outcome).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            self.written += 1;
        }
        Ok(())
    }

    /// All of them, in the tasks' order.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<Outcome>> {
        if let Some(out) = &mut self.out {
            out.flush()?;
        }
        Ok(self.outcomes.into_iter().flatten().collect())
    }
}
