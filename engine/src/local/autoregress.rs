//! The same weights used autoregressively: a baseline to hold denoising against.

use std::time::Instant;

use super::answer::geometric_mean;
use super::{Engine, LocalOptions, OnEngine, milliseconds_since, open_engine};
use crate::backend::{Backend, RowOutcome, SampleNoise, SampleRow, SampleSettings, Segment, Stack, encode};
use crate::canvas::TokenSet;
use crate::infiller::check::check;
use crate::philox::Place;
use crate::prompt::{self, LineEnd, SizedHole};
use crate::{
    Cancel, Candidate, Description, Error, Extent, Infill, InfillRequest, Infiller, LengthUse, Piece, PromptUse, Step,
    Timings,
};

/// Fills a hole token by token with the encoder, which was trained to say what comes next: the suffix stands before
/// the prefix in its prompt, and the likeliest token is taken each time.
///
/// It is told whether the hole ends with its line, as the denoiser is. A hole of several lines ends where the suffix's
/// first line would begin again.
pub struct Autoregressor {
    writer: Box<dyn Infiller>,
}

/// The baseline on a backend.
struct Writer<B: Backend> {
    engine: Engine<B>,
    description: Description,
    /// All text, and all text without a newline.
    text: TokenSet,
}

impl Autoregressor {
    /// Opens and checks the checkpoint, and readies the device.
    pub fn open(options: &LocalOptions) -> Result<Self, Error> {
        struct Writing;
        impl OnEngine for Writing {
            type Output = Box<dyn Infiller>;

            fn run<B: Backend + 'static>(self, engine: Engine<B>) -> Box<dyn Infiller> {
                Box::new(Writer::new(engine))
            }
        }
        Ok(Self { writer: open_engine(options, &mut |_| {}, Writing)? })
    }
}

impl Infiller for Autoregressor {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        self.writer.infill(request, cancel, on_step)
    }

    fn describe(&self) -> &Description {
        self.writer.describe()
    }
}

impl<B: Backend> Infiller for Writer<B> {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        check(request)?;
        let [hole] = &request.holes[..] else {
            return Err(Error::Request("the autoregressive baseline fills one hole at a time".to_owned()));
        };
        let engine = &self.engine;
        let started = Instant::now();
        let sized = [SizedHole::free(hole.byte_range.clone(), hole.extent, hole.max_tokens)];
        let passage = request.passage(&request.text, &sized);
        let mut prompt = prompt::reading_order(&passage, &engine.tokenizer, &engine.form, engine.budget);
        let begun = self.take_back_indentation(&mut prompt);

        let mut workspace = engine.backend.new_workspace(engine.budget.prompt_tokens.max(1))?;
        let mut cache = engine.backend.new_cache();
        let known = &prompt[..prompt.len() - 1];
        engine.backend.run(|| encode(&engine.backend, engine.layers, known, &mut cache, &mut workspace, cancel))?;
        let prompt_ms = milliseconds_since(started);

        let started = Instant::now();
        let beginnings = TokenSet::from_predicate(engine.noise.vocabulary as usize, |id| {
            engine.tokenizer.token_bytes(id).starts_with(&begun) && !engine.tokenizer.is_special(id)
        });
        let sets = [self.text.clone(), beginnings];
        let mut newest = prompt[prompt.len() - 1];
        let mut writing = Writing::new(&request.text[hole.byte_range.end..], hole.extent, begun.len());
        while writing.tokens < sized[0].rows {
            cancel.check()?;
            let is_first = writing.tokens == 0 && !begun.is_empty();
            let place = Place { seed: request.seed, candidate: 0, step: writing.tokens as u32, row: 0 };
            let rows = [SampleRow { row: 0, allowed: Some(usize::from(is_first)), place }];
            let settings = SampleSettings {
                temperature: 1.0,
                sets: &sets,
                noise: SampleNoise::Philox,
                votes: &[],
                own_probabilities: false,
                keep_soft: false,
            };
            let mut outcomes = [RowOutcome::default()];
            engine.backend.run(|| {
                engine.backend.embed(&mut workspace, &[newest])?;
                for layer in 0..engine.layers {
                    let segments = [Segment { rows: 1, prompt: 0 }];
                    engine.backend.attend_prompt(&mut workspace, layer, &segments, &mut [&mut cache], false)?;
                    engine.backend.feed_forward(&mut workspace, layer, Stack::Encoder)?;
                }
                engine.backend.sample(&mut workspace, &rows, settings, &mut outcomes)
            })?;
            newest = outcomes[0].argmax;
            let goes_on = writing.add(engine.tokenizer.token_bytes(newest), outcomes[0].probability);
            let draft = vec![Piece { text: writing.text(), settled: true, certainty: outcomes[0].probability }];
            on_step(Step { index: writing.tokens, limit: sized[0].rows, candidate: 0, holes: &[draft] });
            if !goes_on {
                break;
            }
        }
        let fill = LineEnd::near(&request.text, hole.byte_range.start).restore(writing.text());
        let confidence = geometric_mean(writing.log_sum, writing.tokens);
        let candidate = Candidate {
            tokens: writing.tokens,
            fills: vec![fill],
            choices: vec![None],
            confidence,
            confidences: vec![confidence],
            steps: writing.tokens,
        };
        let timings = Timings { prompt_ms, denoise_ms: milliseconds_since(started), stages: None };
        let prompt = PromptUse { tokens: prompt.len(), reused: 0, canvas_rows: 0 };
        Ok(Infill { candidates: vec![candidate], prompt, length: LengthUse::default(), timings })
    }

    fn describe(&self) -> &Description {
        &self.description
    }
}

impl<B: Backend> Writer<B> {
    fn new(engine: Engine<B>) -> Self {
        let description = Description {
            model: format!("{}, autoregressive", engine.description.model),
            ..engine.description.clone()
        };
        let text = TokenSet::from_predicate(engine.noise.vocabulary as usize, |id| engine.tokenizer.is_text(id));
        Self { engine, description, text }
    }

    /// Takes back a newline that the prompt ends with, and the blanks after it: the encoder has only seen them in one
    /// token with the whole indentation. What was taken is what the first token has to begin with.
    fn take_back_indentation(&self, prompt: &mut Vec<u32>) -> Vec<u8> {
        let tokenizer = &self.engine.tokenizer;
        let is_indentation = |id: u32| tokenizer.contains_newline(id) && !tokenizer.is_special(id);
        match prompt.pop_if(|last| is_indentation(*last)) {
            Some(taken) => tokenizer.token_bytes(taken).to_vec(),
            None => Vec::new(),
        }
    }
}

/// What has been written so far.
struct Writing<'a> {
    bytes: Vec<u8>,
    /// How many of the bytes stood there before.
    begun: usize,
    extent: Extent,
    /// The suffix's first line that is not blank.
    next_line: &'a str,
    tokens: usize,
    log_sum: f64,
}

impl<'a> Writing<'a> {
    fn new(suffix: &'a str, extent: Extent, begun: usize) -> Self {
        let next_line = suffix.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        Self { bytes: Vec::new(), begun, extent, next_line, tokens: 0, log_sum: 0.0 }
    }

    /// Adds a token; false where the hole's text ends before it.
    fn add(&mut self, token: &[u8], probability: f32) -> bool {
        self.tokens += 1;
        self.log_sum += f64::from(probability).ln();
        let is_new_line = token.first() == Some(&b'\n') && self.bytes.len() >= self.begun;
        if is_new_line && self.extent == Extent::Line {
            return false;
        }
        let ends_before_suffix = is_new_line && self.last_line_is_the_suffixs();
        if ends_before_suffix {
            let line = self.bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            self.bytes.truncate(line);
            return false;
        }
        self.bytes.extend_from_slice(token);
        true
    }

    fn last_line_is_the_suffixs(&self) -> bool {
        let line = self.bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        !self.next_line.is_empty() && line.trim_ascii() == self.next_line.as_bytes()
    }

    /// The text, without what stood there before and without an invalid end.
    fn text(&self) -> String {
        let own = self.bytes.get(self.begun..).unwrap_or_default();
        let valid = own.utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default();
        valid.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Hole, Language, ModelSource};

    fn write(tokens: &[&str], suffix: &str, extent: Extent, begun: usize) -> String {
        let mut writing = Writing::new(suffix, extent, begun);
        for token in tokens {
            if !writing.add(token.as_bytes(), 0.5) {
                break;
            }
        }
        writing.text()
    }

    #[test]
    fn a_line_ends_at_its_newline() {
        assert_eq!(write(&["a", " b", "\n    ", "c"], "\n", Extent::Line, 0), "a b");
        assert_eq!(write(&["\n    ", "a", "\n"], "\nb\n", Extent::Line, 1), "    a");
        assert_eq!(write(&["\n    ", "a"], "\nb\n", Extent::Line, 0), "");
    }

    #[test]
    fn a_block_ends_where_the_suffix_begins() {
        let suffix = "\n    done()\n}\n";
        assert_eq!(write(&["a", "\n    ", "b", "\n    ", "done()", "\n"], suffix, Extent::Block, 0), "a\n    b");
        assert_eq!(write(&["a", "\n    ", "b"], suffix, Extent::Block, 0), "a\n    b");
    }

    #[test]
    fn the_embedded_model_reads_and_goes_on() {
        let options = LocalOptions {
            model: ModelSource::Embedded,
            device: Device::Cpu,
            threads: Some(1),
            ..LocalOptions::default()
        };
        let baseline = Autoregressor::open(&options).unwrap();
        let text = "fn a() {\n    b();\n}\n\nfn c() {\n".to_owned();
        let hole = Hole { max_tokens: Some(6), ..Hole::new(text.len()..text.len(), Extent::Block) };
        let request = InfillRequest::new(text, Language::Rust, vec![hole]);
        let mut drafts = 0;
        let infill = baseline.infill(&request, &Cancel::new(), &mut |_| drafts += 1).unwrap();
        let candidate = &infill.candidates[0];
        assert_eq!((candidate.steps, drafts), (candidate.tokens, candidate.tokens));
        assert!((1..=6).contains(&candidate.tokens) && (0.0..=1.0).contains(&candidate.confidence), "{candidate:?}");
        assert_eq!(baseline.infill(&request, &Cancel::new(), &mut |_| {}).unwrap().candidates, infill.candidates);

        let two = InfillRequest { holes: [request.holes.clone(), request.holes.clone()].concat(), ..request };
        assert!(matches!(baseline.infill(&two, &Cancel::new(), &mut |_| {}), Err(Error::Request(_))));
    }
}
