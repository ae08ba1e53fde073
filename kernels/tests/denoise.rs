//! A whole denoising run of a model with one layer of attention: prompts are encoded, then canvases are embedded, conditioned on
//! themselves, attended, sampled, accepted and renoised, all on the device, its steps launched one by one and captured as a graph, against the same
//! in f64.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use lacuna_kernels::ops::attention::{AttentionInput, attend, attention_scratch_len};
use lacuna_kernels::ops::embed::{NO_SIGNAL, Signal, embed, self_condition};
use lacuna_kernels::ops::head::{
    HeadShape as VocabularyShape, HeadWorkspace, SampleSettings, Vocabulary, sample, soft_embeddings,
};
use lacuna_kernels::ops::linear::{LinearScratch, Matrix, Weights, linear};
use lacuna_kernels::ops::norm::{add_normed, rms_norm};
use lacuna_kernels::ops::rope::{HeadWeights, OwnKeys, place_heads};
use lacuna_kernels::ops::rows::NormedOutput;
use lacuna_kernels::ops::sampler::{AdvanceInput, CanvasStart, Renoise, Report, RunState, Schedule, advance};
use lacuna_kernels::ops::segments::{CanvasSegment, HeadShape, PromptSegment, SegmentBuffer};
use lacuna_kernels::ops::steps::{RowOutcome, SampleRow, SampleRows, TokenSets};
use lacuna_kernels::reference::attention::{Heads, SegmentKeys};
use lacuna_kernels::reference::philox::{self, Place};
use lacuna_kernels::reference::sampler::Stopping;
use lacuna_kernels::{Arena, Buffer, Device, Error, reference};

const HIDDEN: usize = 48;
const SHAPE: HeadShape = HeadShape { heads: 4, kv_heads: 2, head_dim: 8 };
const WINDOW: usize = 9;
const TOKENS: usize = 150;
const EPS: f32 = 1e-6;
const CAP: f32 = 30.0;
const SCALE: f32 = 6.9375;
const SCHEDULE: Schedule = Schedule {
    step_limit: 6,
    entropy_bound: 8.0,
    t_min: 0.4,
    t_max: 0.8,
    stability_threshold: 1,
    confidence_threshold: 0.9,
};

/// Numbers that look random, between -1 and 1, and are the same in every run.
fn numbers(seed: u32, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        // Marsaglia, Xorshift RNGs, 2003.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32 * scale
    };
    (0..count).map(|_| next()).collect()
}

struct Model {
    seed: u64,
    embedding: Vec<f32>,
    input_norm: Vec<f32>,
    qkv: Vec<f32>,
    query_norm: Vec<f32>,
    key_norm: Vec<f32>,
    frequencies: Vec<f32>,
    output: Vec<f32>,
    post_norm: Vec<f32>,
    final_norm: Vec<f32>,
    /// All that the second canvas's holes may hold.
    set: Vec<u64>,
    prompts: [Vec<u32>; 2],
    /// Tokens, and which rows are holes.
    canvases: [(Vec<u32>, Vec<usize>); 2],
}

/// Numbers in a row of the projection.
const QKV: usize = (SHAPE.heads + 2 * SHAPE.kv_heads) * SHAPE.head_dim;

impl Model {
    fn new(seed: u64) -> Self {
        let norm = |seed, width| numbers(seed, width, 0.3).into_iter().map(|value| 1.0 + value).collect();
        let mut set = vec![0_u64; TOKENS.div_ceil(64)];
        for token in [5, 7, 130] {
            set[token as usize / 64] |= 1 << (token % 64);
        }
        let ids = |seed, count| numbers(seed, count, 75.0).into_iter().map(|value| (value + 75.0) as u32).collect();
        Self {
            seed,
            embedding: numbers(1, TOKENS * HIDDEN, 0.1),
            input_norm: norm(2, HIDDEN),
            qkv: numbers(3, QKV * HIDDEN, 0.3),
            query_norm: norm(4, SHAPE.head_dim),
            key_norm: norm(5, SHAPE.head_dim),
            frequencies: vec![1.0, 0.1, 0.01, 0.0],
            output: numbers(6, HIDDEN * SHAPE.query_width(), 0.3),
            post_norm: norm(7, HIDDEN),
            final_norm: norm(8, HIDDEN),
            set,
            prompts: [ids(9, 23), ids(10, 5)],
            canvases: [(ids(11, 9), vec![1, 2, 3, 7]), (ids(12, 20), (3..15).collect())],
        }
    }

    fn sample_rows(&self) -> Vec<SampleRow> {
        let mut rows = Vec::new();
        let mut first = 0;
        for (index, (ids, holes)) in self.canvases.iter().enumerate() {
            rows.extend(holes.iter().map(|hole| SampleRow {
                row: first + hole,
                set: (index == 1).then_some(0),
                seed: self.seed,
                candidate: index as u32,
                canvas_row: *hole as u32,
            }));
            first += ids.len();
        }
        rows
    }
}

/// After a step: the packed tokens, and which canvases are done.
type Seen = (Vec<u32>, Vec<bool>);

/// The model on a device.
struct Loaded {
    embedding: Buffer<f32>,
    input_norm: Buffer<f32>,
    qkv: Buffer<f32>,
    query_norm: Buffer<f32>,
    key_norm: Buffer<f32>,
    frequencies: Buffer<f32>,
    output: Buffer<f32>,
    post_norm: Buffer<f32>,
    final_norm: Buffer<f32>,
}

fn matrix(weights: &Buffer<f32>, outputs: usize, inputs: usize) -> Matrix<'_> {
    Matrix { weights: Weights::F32(weights.as_slice()), outputs, inputs }
}

impl Loaded {
    fn new(device: &Device, model: &Model) -> Result<Self, Error> {
        Ok(Self {
            embedding: device.upload(&model.embedding)?,
            input_norm: device.upload(&model.input_norm)?,
            qkv: device.upload(&model.qkv)?,
            query_norm: device.upload(&model.query_norm)?,
            key_norm: device.upload(&model.key_norm)?,
            frequencies: device.upload(&model.frequencies)?,
            output: device.upload(&model.output)?,
            post_norm: device.upload(&model.post_norm)?,
            final_norm: device.upload(&model.final_norm)?,
        })
    }

    fn heads(&self) -> HeadWeights<'_> {
        HeadWeights {
            query_norm: self.query_norm.as_slice(),
            key_norm: self.key_norm.as_slice(),
            inverse_frequencies: self.frequencies.as_slice(),
            eps: EPS,
            has_values: true,
        }
    }
}

fn run(device: &Device, model: &Model, is_captured: bool) -> Result<Vec<Seen>, Error> {
    let loaded = Loaded::new(device, model)?;
    let mut scratch = LinearScratch::new(device)?;
    let mut segments = SegmentBuffer::new(device, 2)?;
    let embedding = matrix(&loaded.embedding, TOKENS, HIDDEN);

    let mut caches = Vec::new();
    for prompt in &model.prompts {
        let rows = prompt.len();
        let mut cache: (Buffer<f32>, Buffer<f32>) =
            (device.allocate(rows * SHAPE.kv_width())?, device.allocate(rows * SHAPE.kv_width())?);
        let (mut stream, mut normed) = (device.allocate(rows * HIDDEN)?, device.allocate::<f32>(rows * HIDDEN)?);
        embed(device.upload(prompt)?.as_slice(), &embedding, SCALE, stream.as_mut())?;
        rms_norm(stream.as_slice(), Some(loaded.input_norm.as_slice()), HIDDEN, EPS, normed.as_mut())?;
        let mut qkv = device.allocate(rows * QKV)?;
        linear(normed.as_slice(), &matrix(&loaded.qkv, QKV, HIDDEN), &mut scratch, qkv.as_mut())?;
        let segment = PromptSegment { rows, cached_tokens: 0, keys: cache.0.as_mut(), values: cache.1.as_mut() };
        let tables = segments.write_prompts(vec![vec![segment]], |_| SHAPE)?;
        place_heads(&tables.layer(0), qkv.as_slice(), loaded.heads(), None, None)?;
        caches.push(cache);
    }

    let mut ids = device.upload(&model.canvases.iter().flat_map(|(ids, _)| ids.clone()).collect::<Vec<u32>>())?;
    let packed = ids.len();
    let sample_rows = model.sample_rows();
    let holes = sample_rows.len();
    let mut rows = SampleRows::new(device, holes)?;
    rows.write(&sample_rows)?;
    let mut entries = vec![NO_SIGNAL; packed];
    for (entry, row) in sample_rows.iter().enumerate() {
        entries[row.row] = entry as u32;
    }
    let sources = device.upload(&entries)?;
    let mut soft = device.allocate::<f32>(holes * HIDDEN)?;
    let sets = TokenSets::upload(device, &[&model.set], TOKENS)?;
    let shape = VocabularyShape { rows: holes, vocabulary: TOKENS, hidden: HIDDEN, keeps_weights: true };
    let mut arena = Arena::new(device, shape.footprint::<f32>(device))?;
    let mut workspace = HeadWorkspace::<f32>::new(device, &mut arena, shape)?;
    let vocabulary = Vocabulary { embedding, final_norm: loaded.final_norm.as_slice(), eps: EPS, soft_cap: CAP };
    let mut state = RunState::new(device, 2, holes, 1)?;
    let starts: Vec<_> =
        model.canvases.iter().map(|(_, holes)| CanvasStart { holes: holes.len(), history: &[] }).collect();
    state.begin(&starts, 0, SCHEDULE)?;

    let mut stream = device.allocate(packed * HIDDEN)?;
    let mut normed = device.allocate::<f32>(packed * HIDDEN)?;
    let mut qkv = device.allocate(packed * QKV)?;
    let list =
        caches.iter().zip(&model.prompts).zip(&model.canvases).map(|((cache, prompt), (ids, _))| CanvasSegment {
            rows: ids.len(),
            cached_tokens: prompt.len(),
            keys: cache.0.as_slice(),
            values: cache.1.as_slice(),
        });
    let tables = segments.write_canvases(&[list.collect()], |_| SHAPE)?;
    let layer = tables.layer(0);
    let mut queries = device.allocate(packed * SHAPE.query_width())?;
    let mut own = (device.allocate(packed * SHAPE.kv_width())?, device.allocate(packed * SHAPE.kv_width())?);
    let mut shares = device.allocate(attention_scratch_len::<f32>(device, packed, SHAPE))?;
    let mut attended = device.allocate(packed * SHAPE.query_width())?;
    let mut projected = device.allocate(packed * HIDDEN)?;
    let mut outcomes = device.allocate::<RowOutcome>(holes)?;

    let mut step = |is_first: bool, state: &mut RunState| {
        embed(ids.as_slice(), &embedding, SCALE, stream.as_mut())?;
        let signal = Signal { sources: sources.as_slice(), entries: soft.as_slice() };
        let output = NormedOutput { weight: Some(loaded.input_norm.as_slice()), output: normed.as_mut().into() };
        self_condition((!is_first).then_some(signal), HIDDEN, EPS, stream.as_mut(), [Some(output), None, None])?;
        linear(normed.as_slice(), &matrix(&loaded.qkv, QKV, HIDDEN), &mut scratch, qkv.as_mut())?;
        let keys = OwnKeys { keys: own.0.as_mut(), values: own.1.as_mut() };
        place_heads(&layer, qkv.as_slice(), loaded.heads(), Some(queries.as_mut()), Some(keys))?;
        let input = AttentionInput { queries: queries.as_slice(), own: Some((own.0.as_slice(), own.1.as_slice())) };
        attend(&layer, input, Some(WINDOW), shares.as_mut(), attended.as_mut())?;
        let output = matrix(&loaded.output, HIDDEN, SHAPE.query_width());
        linear(attended.as_slice(), &output, &mut scratch, projected.as_mut())?;
        let post_norm = loaded.post_norm.as_slice();
        add_normed::<f32>(projected.as_slice(), post_norm, HIDDEN, EPS, stream.as_mut(), [None, None, None])?;
        let settings = SampleSettings {
            step: state.step(),
            sets: Some(&sets),
            tape: None,
            votes: None,
            own_probabilities: false,
            keep_soft: true,
        };
        sample(vocabulary, stream.as_slice(), &rows, settings, &mut workspace, outcomes.as_mut())?;
        soft_embeddings(vocabulary, &mut workspace, SCALE, soft.as_mut())?;
        let input = AdvanceInput {
            outcomes: outcomes.as_slice(),
            sets: Some(&sets),
            renoise: Renoise::Uniform,
            vocabulary: TOKENS,
        };
        advance(state, &rows, input, ids.as_mut())
    };

    step(true, &mut state)?;
    let graph = if is_captured { Some(device.capture(|| step(false, &mut state))?) } else { None };
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let done: Vec<bool> = state.report()?.canvases.iter().map(|canvas| canvas.is_done).collect();
        let is_over = done.iter().all(|done| *done) || seen.len() + 1 == SCHEDULE.step_limit as usize;
        seen.push((tokens(&state.report()?, &model.canvases), done));
        if is_over {
            return Ok(seen);
        }
        match &graph {
            Some(graph) => graph.launch()?,
            None => step(false, &mut state)?,
        }
    }
}

/// The canvases with what a step reports of their holes.
fn tokens(report: &Report, canvases: &[(Vec<u32>, Vec<usize>)]) -> Vec<u32> {
    let mut rows = report.rows.iter();
    let mut all = Vec::new();
    for (ids, holes) in canvases {
        let mut ids = ids.clone();
        for (hole, row) in holes.iter().zip(&mut rows) {
            ids[*hole] = row.token;
        }
        all.extend(ids);
    }
    all
}

fn narrowed(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|number| *number as f32).collect()
}

fn product(input: &[f32], matrix: &[f32], inputs: usize) -> Vec<f32> {
    reference::linear::linear(input, matrix, inputs).into_iter().map(|sum| sum.value as f32).collect()
}

/// Queries, keys and values of rows at these positions.
fn placed(model: &Model, normed: &[f32], positions: &[usize]) -> [Vec<f32>; 3] {
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (row, position) in product(normed, &model.qkv, HIDDEN).chunks(QKV).zip(positions) {
        let rotation = Some((&model.frequencies[..], *position));
        for (index, head) in row.chunks(SHAPE.head_dim).enumerate() {
            let (part, weight, rotation) = match index {
                index if index < SHAPE.heads => (0, Some(&model.query_norm[..]), rotation),
                index if index < SHAPE.heads + SHAPE.kv_heads => (1, Some(&model.key_norm[..]), rotation),
                _ => (2, None, None),
            };
            parts[part].extend(narrowed(&reference::rope::place_head(head, weight, EPS, rotation)));
        }
    }
    parts
}

/// One canvas in f64.
struct Twin {
    index: usize,
    ids: Vec<u32>,
    holes: Vec<usize>,
    /// Of each row, its soft embedding.
    signals: Vec<Option<Vec<f32>>>,
    stopping: Stopping,
    is_done: bool,
}

impl Twin {
    fn step(&mut self, model: &Model, step: u32) {
        let rows = self.ids.len();
        let stream = reference::embed::embed(&self.ids, &model.embedding, HIDDEN, SCALE);
        let signal: Vec<f32> = self.signals.iter().flatten().flatten().copied().collect();
        let mut entries = 0..;
        let sources: Vec<Option<usize>> =
            self.signals.iter().map(|signal| signal.as_ref().and_then(|_| entries.next())).collect();
        let stream = narrowed(&reference::embed::self_condition(&stream, &sources, &signal, HIDDEN, EPS));
        let norm =
            |stream: &[f32], weight: &[f32]| narrowed(&reference::norm::rms_norm(stream, Some(weight), HIDDEN, EPS));
        let prompt = &model.prompts[self.index];
        let embedded = reference::embed::embed(prompt, &model.embedding, HIDDEN, SCALE);
        let positions: Vec<usize> = (0..prompt.len() + rows).collect();
        let (before, own) = positions.split_at(prompt.len());
        let [_, cached_keys, cached_values] = placed(model, &norm(&embedded, &model.input_norm), before);
        let [queries, keys, values] = placed(model, &norm(&stream, &model.input_norm), own);
        let HeadShape { heads, kv_heads, head_dim } = SHAPE;
        let attended = reference::attention::attend(
            Heads { heads, kv_heads, head_dim },
            Some(WINDOW),
            &[SegmentKeys { rows, cached_keys: &cached_keys, cached_values: &cached_values }],
            &queries,
            Some((&keys, &values)),
        );
        let projected = product(&narrowed(&attended), &model.output, SHAPE.query_width());
        let stream = narrowed(&reference::norm::add_normed(&stream, &projected, &model.post_norm, HIDDEN, EPS));
        self.sample(model, step, &norm(&stream, &model.final_norm));
    }

    fn sample(&mut self, model: &Model, step: u32, normed: &[f32]) {
        let (mut argmax, mut samples, mut entropies) = (Vec::new(), Vec::new(), Vec::new());
        let allowed = (self.index == 1).then_some(&model.set[..]);
        let temperature = SCHEDULE.temperature(step);
        let mut signals = vec![None; self.ids.len()];
        let place = |hole: usize| Place { seed: model.seed, candidate: self.index as u32, step, row: hole as u32 };
        for hole in &self.holes {
            let logits = reference::head::logits(&normed[hole * HIDDEN..][..HIDDEN], &model.embedding, CAP);
            let row = reference::head::Row { allowed, votes: &[], temperature };
            let found = reference::head::findings(&logits, row);
            argmax.push(reference::head::argmax(&found.tempered) as u32);
            let noise = |token: usize| philox::gumbel(place(*hole), token as u32);
            let noisy: Vec<f64> =
                found.tempered.iter().enumerate().map(|(token, logit)| logit + noise(token)).collect();
            samples.push(reference::head::argmax(&noisy) as u32);
            entropies.push(found.entropy as f32);
            let soft = reference::head::soft_embedding(&found.probabilities, &model.embedding, HIDDEN, SCALE);
            signals[*hole] = Some(narrowed(&soft));
        }
        let accepted = reference::sampler::accept(&entropies, SCHEDULE.entropy_bound);
        for (index, hole) in self.holes.iter().enumerate() {
            let noise = || reference::sampler::uniform_token(place(*hole), allowed, TOKENS as u32);
            self.ids[*hole] = if accepted[index] { samples[index] } else { noise() };
        }
        let Schedule { stability_threshold, confidence_threshold, .. } = SCHEDULE;
        (self.is_done, _) =
            self.stopping.observe(&argmax, &entropies, stability_threshold as usize, confidence_threshold);
        self.signals = signals;
    }
}

fn expected(model: &Model) -> Vec<Seen> {
    let twin = |(index, (ids, holes)): (usize, &(Vec<u32>, Vec<usize>))| Twin {
        index,
        ids: ids.clone(),
        holes: holes.clone(),
        signals: vec![None; ids.len()],
        stopping: Stopping::default(),
        is_done: false,
    };
    let mut canvases: Vec<Twin> = model.canvases.iter().enumerate().map(twin).collect();
    let mut seen = Vec::new();
    while canvases.iter().any(|canvas| !canvas.is_done) && seen.len() < SCHEDULE.step_limit as usize {
        let step = seen.len() as u32;
        canvases.iter_mut().filter(|canvas| !canvas.is_done).for_each(|canvas| canvas.step(model, step));
        let ids = canvases.iter().flat_map(|canvas| canvas.ids.clone()).collect();
        seen.push((ids, canvases.iter().map(|canvas| canvas.is_done).collect()));
    }
    seen
}

#[test]
fn runs_on_the_device_are_the_runs_in_f64() {
    let mut stopped = 0;
    for seed in 0..8 {
        let model = Model::new(seed);
        let expected = expected(&model);
        let device = if cfg!(feature = "card") { Device::cuda(0).unwrap() } else { Device::emulator() };
        for is_captured in [false, true] {
            let found = run(&device, &model, is_captured).unwrap();
            for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(found, expected, "seed {seed}, step {step}, captured: {is_captured}");
            }
            assert_eq!(found.len(), expected.len());
            stopped += found[found.len() - 1].1.iter().filter(|is_done| **is_done).count();
        }
    }
    assert!(stopped > 1, "{stopped} canvases have stopped");
}
