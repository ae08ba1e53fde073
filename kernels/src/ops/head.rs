//! The canvas head: from hidden rows to what the sampler needs of their distributions, and to soft embeddings.

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Arena, Buffer, Slice, SliceMut};
use crate::ops::rope::HeadElement;
use crate::ops::splits::{SPLITS_MAX, best_splits, slots};
use crate::ops::steps::{RowOutcome, SampleRows, Step, TokenLists, TokenSets};
use crate::{Device, Error, bf16};

const THREADS: u32 = 256;
const WARPS: usize = 8;
/// Tokens of a tile of logits, and columns of a tile of soft embeddings.
const TILE: usize = 128;
/// Words of what a tile leaves of a row.
const FINDINGS_WORDS: usize = 9;
/// Words of a row's scale.
const SCALE_WORDS: usize = 2;
/// What a block that reduces rows shares: sums in f64 and what warps and votes leave.
const COMBINE_SHARED_BYTES: u32 = 256 * 8 + 4 * (3 * 8 + 32 + 4 * 24 + 2);
const BLOCKS_PER_MULTIPROCESSOR: usize = 2;
/// What a share of the vocabulary costs, in quarters of a slab of tokens.
const SPLIT_COST: usize = 16;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RowsParameters {
    stream: u64,
    table: u64,
    weight: u64,
    output: u64,
    floors: u64,
    hidden: u32,
    eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TilesParameters {
    rows_in: u64,
    embedding: u64,
    table: u64,
    step: u64,
    sets: u64,
    listed_from: u64,
    listed: u64,
    listed_logits: u64,
    tape: u64,
    findings: u64,
    floors: u64,
    kept: u64,
    logits: u64,
    kept_stride: u64,
    rows: u32,
    vocabulary: u32,
    hidden: u32,
    set_words: u32,
    soft_cap: f32,
    leaves_out_listed: u32,
    wants_sample: u32,
    wants_own: u32,
    is_vectorised: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CombineParameters {
    findings: u64,
    table: u64,
    step: u64,
    listed_from: u64,
    listed: u64,
    listed_logits: u64,
    vote_probabilities: u64,
    vote_weights: u64,
    log_probabilities: u64,
    tape: u64,
    outcomes: u64,
    scales: u64,
    tiles: u32,
    vocabulary: u32,
    wants_own: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct WeightsParameters {
    findings: u64,
    scales: u64,
    listed_from: u64,
    listed: u64,
    vote_weights: u64,
    kept: u64,
    kept_stride: u64,
    vocabulary: u32,
    tiles: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SoftenParameters {
    logits: u64,
    weights: u64,
    weights_stride: u64,
    vocabulary: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SoftParameters {
    weights: u64,
    embedding: u64,
    shares: u64,
    weights_stride: u64,
    rows: u32,
    vocabulary: u32,
    hidden: u32,
    is_vectorised: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SoftSumParameters {
    shares: u64,
    output: u64,
    numbers: u64,
    splits: u32,
    scale: f32,
}

kernel!(static ROWS_F32: "head", head_rows_f32(RowsParameters));
kernel!(static ROWS_BF16: "head", head_rows_bf16(RowsParameters));
kernel!(static TILES_F32: "head", head_tiles_f32(TilesParameters));
kernel!(static TILES_BF16_64: "head", head_tiles_bf16_64(TilesParameters));
kernel!(static TILES_BF16_128: "head", head_tiles_bf16_128(TilesParameters));
kernel!(static COMBINE: "head", head_combine(CombineParameters));
kernel!(static WEIGHTS_F32: "head", head_weights_f32(WeightsParameters));
kernel!(static WEIGHTS_BF16: "head", head_weights_bf16(WeightsParameters));
kernel!(static SOFTEN_F32: "head", soften_f32(SoftenParameters));
kernel!(static SOFTEN_BF16: "head", soften_bf16(SoftenParameters));
kernel!(static SOFT_F32: "head", soft_embeddings_f32(SoftParameters));
kernel!(static SOFT_BF16_64: "head", soft_embeddings_bf16_64(SoftParameters));
kernel!(static SOFT_BF16_128: "head", soft_embeddings_bf16_128(SoftParameters));
kernel!(static SOFT_SUM: "head", soft_embeddings_sum(SoftSumParameters));

/// What the head multiplies: f32 exactly, or bf16 on tensor cores.
pub trait VocabularyElement: HeadElement {
    #[doc(hidden)]
    const HEAD: HeadKernels;
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct HeadKernels {
    element_bytes: usize,
    rows: &'static Kernel<RowsParameters>,
    /// For few rows and for many.
    tiles: [TileKernels; 2],
    weights: &'static Kernel<WeightsParameters>,
    soften: &'static Kernel<SoftenParameters>,
}

/// The kernels of one height of tiles, with the sizes of their pipelines.
#[derive(Clone, Copy)]
struct TileKernels {
    rows: usize,
    depth: usize,
    stages: usize,
    logits: &'static Kernel<TilesParameters>,
    soft: &'static Kernel<SoftParameters>,
}

impl VocabularyElement for f32 {
    const HEAD: HeadKernels = {
        let tiles = TileKernels { rows: 32, depth: 32, stages: 3, logits: &TILES_F32, soft: &SOFT_F32 };
        HeadKernels {
            element_bytes: 4,
            rows: &ROWS_F32,
            tiles: [tiles, tiles],
            weights: &WEIGHTS_F32,
            soften: &SOFTEN_F32,
        }
    };
}

impl VocabularyElement for bf16 {
    const HEAD: HeadKernels = HeadKernels {
        element_bytes: 2,
        rows: &ROWS_BF16,
        tiles: [
            TileKernels { rows: 64, depth: 64, stages: 3, logits: &TILES_BF16_64, soft: &SOFT_BF16_64 },
            TileKernels { rows: 128, depth: 32, stages: 4, logits: &TILES_BF16_128, soft: &SOFT_BF16_128 },
        ],
        weights: &WEIGHTS_BF16,
        soften: &SOFTEN_BF16,
    };
}

impl HeadKernels {
    fn tiles_for(&self, rows: usize) -> TileKernels {
        if rows <= self.tiles[0].rows { self.tiles[0] } else { self.tiles[1] }
    }
}

impl TileKernels {
    /// Of the products of hidden rows with rows of the embedding. Rows in shared memory are padded by 16 bytes.
    fn logits_shared_bytes(&self, element_bytes: usize) -> u32 {
        (self.stages * (self.rows + TILE) * (self.depth * element_bytes + 16)) as u32
    }

    /// Of the products of weights with columns of the embedding.
    fn soft_shared_bytes(&self, element_bytes: usize) -> u32 {
        let left = self.rows * (self.depth * element_bytes + 16);
        let right = self.depth * (TILE * element_bytes + 16);
        (self.stages * (left + right)) as u32
    }
}

/// What the head reads of a model.
#[derive(Clone, Copy)]
pub struct Vocabulary<'a, T> {
    /// [vocabulary, hidden]
    pub embedding: Slice<'a, T>,
    /// `[hidden]`
    pub final_norm: Slice<'a, f32>,
    /// Of the norm.
    pub eps: f32,
    /// Logits are `soft_cap * tanh(logit / soft_cap)`.
    pub soft_cap: f32,
}

impl<T: VocabularyElement> Vocabulary<'_, T> {
    fn hidden(&self) -> usize {
        self.final_norm.len()
    }

    /// How many tokens.
    pub fn tokens(&self) -> usize {
        self.embedding.len().checked_div(self.hidden()).unwrap_or(0)
    }

    fn check(&self, operation: &'static str, workspace: &HeadWorkspace<T>) -> Result<(), Error> {
        let HeadShape { vocabulary, hidden, .. } = workspace.shape;
        require!(
            operation,
            self.hidden() == hidden && self.embedding.len() == vocabulary * hidden,
            "an embedding of {} numbers is not {vocabulary} rows of {hidden}",
            self.embedding.len()
        );
        let device = self.embedding.device();
        let is_here = self.final_norm.device().is(device) && workspace.rows_in.as_slice().device().is(device);
        require!(operation, is_here, "norm or workspace are on another device");
        Ok(())
    }
}

/// What a workspace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Rows at a time, at most.
    pub rows: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// Numbers in a hidden row.
    pub hidden: usize,
    /// Whether soft embeddings will be wanted, for which a weight of each row and token is kept.
    pub keeps_weights: bool,
}

/// What the head works with.
pub struct HeadWorkspace<T> {
    shape: HeadShape,
    /// [rows, hidden]
    rows_in: Buffer<T>,
    /// [rows, tiles]
    findings: Buffer<u32>,
    /// `[rows]`: orders of the best samples so far.
    floors: Buffer<u32>,
    /// [rows, 2]
    scales: Buffer<f32>,
    /// [rows, kept stride]
    kept: Buffer<T>,
    /// Of soft embeddings, [splits, rows, hidden].
    shares: Buffer<f32>,
    /// Rows whose weights are kept.
    kept_rows: usize,
}

impl HeadShape {
    /// Numbers from row to row of the kept weights: a multiple of what one vector load reads.
    fn kept_stride(&self) -> usize {
        self.vocabulary.next_multiple_of(8)
    }

    fn tiles(&self) -> usize {
        self.vocabulary.div_ceil(TILE)
    }

    fn lengths<T: VocabularyElement>(&self, device: &Device) -> [usize; 6] {
        let blocks = self.rows.div_ceil(T::HEAD.tiles_for(self.rows).rows) * self.hidden.div_ceil(TILE);
        let splits = (2 * slots(device, BLOCKS_PER_MULTIPROCESSOR)).div_ceil(blocks.max(1)).min(SPLITS_MAX);
        [
            self.rows * self.hidden,
            self.rows * self.tiles() * FINDINGS_WORDS,
            self.rows,
            self.rows * SCALE_WORDS,
            if self.keeps_weights { self.rows * self.kept_stride() } else { 0 },
            if self.keeps_weights { splits * self.rows * self.hidden } else { 0 },
        ]
    }

    /// The bytes of an arena that a workspace takes.
    pub fn footprint<T: VocabularyElement>(&self, device: &Device) -> usize {
        let [rows_in, findings, floors, scales, kept, shares] = self.lengths::<T>(device);
        Arena::footprint::<T>(rows_in)
            + Arena::footprint::<u32>(findings)
            + Arena::footprint::<u32>(floors)
            + Arena::footprint::<f32>(scales)
            + Arena::footprint::<T>(kept)
            + Arena::footprint::<f32>(shares)
    }
}

impl<T: VocabularyElement> HeadWorkspace<T> {
    /// Takes the workspace from an arena of the device.
    pub fn new(device: &Device, arena: &mut Arena, shape: HeadShape) -> Result<Self, Error> {
        const NAME: &str = "head workspace";
        require!(
            NAME,
            shape.vocabulary > 0 && shape.vocabulary <= 1 << 22 && shape.hidden > 0 && shape.hidden <= 1 << 20,
            "a vocabulary of {} tokens of {} numbers",
            shape.vocabulary,
            shape.hidden
        );
        require!(NAME, shape.rows <= 1 << 16, "{} rows are too many", shape.rows);
        let [rows_in, findings, floors, scales, kept, shares] = shape.lengths::<T>(device);
        Ok(Self {
            shape,
            rows_in: arena.take(rows_in)?,
            findings: arena.take(findings)?,
            floors: arena.take(floors)?,
            scales: arena.take(scales)?,
            kept: arena.take(kept)?,
            shares: arena.take(shares)?,
            kept_rows: 0,
        })
    }

    /// Rows whose weights the last [`sample`] or [`soften`] kept.
    pub fn kept_rows(&self) -> usize {
        self.kept_rows
    }
}

/// The final norm of rows of `stream`, [packed rows, hidden]: of `table`'s, or of the first ones.
fn norm_rows<T: VocabularyElement>(
    operation: &'static str,
    vocabulary: Vocabulary<'_, T>,
    stream: Slice<'_, f32>,
    table: Option<&SampleRows>,
    rows: usize,
    workspace: &mut HeadWorkspace<T>,
) -> Result<(), Error> {
    vocabulary.check(operation, workspace)?;
    let hidden = workspace.shape.hidden;
    let device = vocabulary.embedding.device();
    require!(operation, rows <= workspace.shape.rows, "{rows} rows in a workspace for {}", workspace.shape.rows);
    let packed_rows = table.map_or(rows, SampleRows::packed_rows);
    let fits = stream.len().is_multiple_of(hidden) && packed_rows <= stream.len() / hidden;
    require!(operation, fits, "{} numbers have no {packed_rows} rows of {hidden}", stream.len());
    let is_here = stream.device().is(device) && table.is_none_or(|table| table.records().device().is(device));
    require!(operation, is_here, "the rows are on another device");
    let parameters = RowsParameters {
        stream: stream.address(),
        table: table.map_or(0, |table| table.records().address()),
        weight: vocabulary.final_norm.address(),
        output: workspace.rows_in.as_mut().address(),
        floors: workspace.floors.as_mut().address(),
        hidden: hidden as u32,
        eps: vocabulary.eps,
    };
    let launch = Launch { grid: [rows as u32, 1, 1], threads: THREADS, shared_bytes: 32 * 4 };
    // SAFETY: every row of the table is one of the stream's, and there are at most as many as the workspace has room for; both were just checked.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(T::HEAD.rows, launch, &parameters)
    }
}

/// The parameters of a tile that finds nothing; callers fill in what they want.
fn tiles_parameters<T: VocabularyElement>(
    vocabulary: Vocabulary<'_, T>,
    rows: usize,
    workspace: &HeadWorkspace<T>,
) -> TilesParameters {
    let HeadShape { hidden, vocabulary: tokens, .. } = workspace.shape;
    let (rows_in, embedding) = (workspace.rows_in.as_slice().address(), vocabulary.embedding.address());
    let is_aligned = (hidden * T::HEAD.element_bytes).is_multiple_of(16) && (rows_in | embedding).is_multiple_of(16);
    TilesParameters {
        rows_in,
        embedding,
        table: 0,
        step: 0,
        sets: 0,
        listed_from: 0,
        listed: 0,
        listed_logits: 0,
        tape: 0,
        findings: workspace.findings.as_slice().address(),
        floors: workspace.floors.as_slice().address(),
        kept: 0,
        logits: 0,
        kept_stride: 0,
        rows: rows as u32,
        vocabulary: tokens as u32,
        hidden: hidden as u32,
        set_words: 0,
        soft_cap: vocabulary.soft_cap,
        leaves_out_listed: 0,
        wants_sample: 0,
        wants_own: 0,
        is_vectorised: is_aligned.into(),
        reserved: 0,
    }
}

/// # Safety
///
/// As for a device's launch.
#[expect(unsafe_code, reason = "a launch on behalf of a caller")]
unsafe fn launch_tiles<T: VocabularyElement>(device: &Device, parameters: &TilesParameters) -> Result<(), Error> {
    let tiles = T::HEAD.tiles_for(parameters.rows as usize);
    let launch = Launch {
        grid: [parameters.rows.div_ceil(tiles.rows as u32), parameters.vocabulary.div_ceil(TILE as u32), 1],
        threads: THREADS,
        shared_bytes: tiles.logits_shared_bytes(T::HEAD.element_bytes),
    };
    // SAFETY: promised by the caller.
    unsafe { device.launch(tiles.logits, launch, parameters) }
}

/// The soft-capped logits of the first rows of `stream`, as many as fit `output`, [rows, vocabulary]. For conformance: [`sample`] never
/// writes them.
pub fn logits<T: VocabularyElement>(
    vocabulary: Vocabulary<'_, T>,
    stream: Slice<'_, f32>,
    workspace: &mut HeadWorkspace<T>,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    const NAME: &str = "logits";
    let HeadShape { vocabulary: tokens, hidden, rows: room, .. } = workspace.shape;
    require!(NAME, output.len().is_multiple_of(tokens), "{} logits are not rows of {tokens}", output.len());
    require!(NAME, output.device().is(vocabulary.embedding.device()), "the output is on another device");
    let rows = output.len() / tokens;
    require!(NAME, rows <= stream.len() / hidden, "there are no {rows} rows");
    for first in (0..rows).step_by(room.max(1)) {
        let count = room.min(rows - first);
        norm_rows(NAME, vocabulary, stream.slice(first * hidden..stream.len()), None, count, workspace)?;
        let logits = output.as_slice().slice(first * tokens..(first + count) * tokens);
        let parameters = TilesParameters { logits: logits.address(), ..tiles_parameters(vocabulary, count, workspace) };
        // SAFETY: the workspace has the normed rows; the output, which is borrowed mutably, has room for the logits of each.
        #[expect(unsafe_code, reason = "a launch")]
        unsafe {
            launch_tiles::<T>(output.device(), &parameters)?;
        }
    }
    Ok(())
}

/// The natural logarithms of the listed tokens' probabilities at temperature 1 among the whole vocabulary. `rows` gives the
/// packed row of each list.
pub fn log_probabilities<T: VocabularyElement>(
    vocabulary: Vocabulary<'_, T>,
    stream: Slice<'_, f32>,
    rows: &SampleRows,
    tokens: &mut TokenLists,
    workspace: &mut HeadWorkspace<T>,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    const NAME: &str = "log_probabilities";
    let device = vocabulary.embedding.device();
    check_lists(NAME, rows, tokens, workspace)?;
    require!(NAME, !tokens.are_votes(), "votes have no log probabilities");
    require!(NAME, rows.sets() == 0, "the whole vocabulary is asked for");
    require!(NAME, output.len() == tokens.tokens(), "{} numbers do not fit the tokens", output.len());
    require!(NAME, output.device().is(device), "the output is on another device");
    norm_rows(NAME, vocabulary, stream, Some(rows), rows.len(), workspace)?;
    let (table, lists) = (rows.records().address(), tokens.addresses());
    let parameters = TilesParameters {
        table,
        listed_from: lists.from,
        listed: lists.tokens,
        listed_logits: lists.logits,
        ..tiles_parameters(vocabulary, rows.len(), workspace)
    };
    let combine = CombineParameters {
        vote_probabilities: 0,
        vote_weights: 0,
        log_probabilities: output.address(),
        outcomes: 0,
        scales: 0,
        ..combine_parameters(&parameters, lists.probabilities, lists.weights)
    };
    // SAFETY: the workspace has room for the rows, whose number the lists have too; their tokens are below the vocabulary, and the
    // output, which is borrowed mutably, has a place for each.
    #[expect(unsafe_code, reason = "launches")]
    unsafe {
        launch_tiles::<T>(device, &parameters)?;
        device.launch(&COMBINE, combine_launch(rows.len()), &combine)
    }
}

fn check_lists<T: VocabularyElement>(
    operation: &'static str,
    rows: &SampleRows,
    lists: &TokenLists,
    workspace: &HeadWorkspace<T>,
) -> Result<(), Error> {
    require!(operation, lists.rows() == rows.len(), "{} lists do not fit {} rows", lists.rows(), rows.len());
    let tokens = workspace.shape.vocabulary;
    require!(operation, lists.vocabulary_least() <= tokens, "a token is not one of {tokens}");
    let device = workspace.rows_in.as_slice().device();
    require!(operation, lists.is_on(device), "the tokens are on another device");
    Ok(())
}

fn combine_parameters(tiles: &TilesParameters, vote_probabilities: u64, vote_weights: u64) -> CombineParameters {
    CombineParameters {
        findings: tiles.findings,
        table: tiles.table,
        step: tiles.step,
        listed_from: tiles.listed_from,
        listed: tiles.listed,
        listed_logits: tiles.listed_logits,
        vote_probabilities,
        vote_weights,
        log_probabilities: 0,
        tape: tiles.tape,
        outcomes: 0,
        scales: 0,
        tiles: tiles.vocabulary.div_ceil(TILE as u32),
        vocabulary: tiles.vocabulary,
        wants_own: tiles.wants_own,
        reserved: 0,
    }
}

fn combine_launch(rows: usize) -> Launch {
    Launch { grid: [rows as u32, 1, 1], threads: THREADS, shared_bytes: COMBINE_SHARED_BYTES }
}

/// What holds for all rows of one [`sample`].
pub struct SampleSettings<'a> {
    /// One step: its temperature and index.
    pub step: Slice<'a, Step>,
    /// The sets that the rows name.
    pub sets: Option<&'a TokenSets>,
    /// Recorded Gumbel noise, [canvas rows, vocabulary]; drawn from each row's place where there is none.
    pub tape: Option<Slice<'a, f32>>,
    /// A list a row, mixed into the distribution at temperature 1.
    pub votes: Option<&'a mut TokenLists>,
    /// Whether the samples' own probabilities are wanted, as they are wherever there are votes.
    pub own_probabilities: bool,
    /// Whether a next step will want the soft embeddings.
    pub keep_soft: bool,
}

/// The head and the sampler's arithmetic on chosen rows of `stream`, [packed rows, hidden]. With `keep_soft` the workspace keeps the rows'
/// distributions for [`soft_embeddings`].
pub fn sample<T: VocabularyElement>(
    vocabulary: Vocabulary<'_, T>,
    stream: Slice<'_, f32>,
    rows: &SampleRows,
    settings: SampleSettings<'_>,
    workspace: &mut HeadWorkspace<T>,
    outcomes: SliceMut<'_, RowOutcome>,
) -> Result<(), Error> {
    const NAME: &str = "sample";
    let device = vocabulary.embedding.device();
    let SampleSettings { step, sets, tape, votes, own_probabilities, keep_soft } = settings;
    let tokens = workspace.shape.vocabulary;
    require!(NAME, step.len() == 1, "{} steps at a time", step.len());
    require!(NAME, outcomes.len() == rows.len(), "{} outcomes do not fit {} rows", outcomes.len(), rows.len());
    require!(NAME, rows.sets() <= sets.map_or(0, TokenSets::len), "a row names a set that there is not");
    let words = sets.map_or(0, TokenSets::words_per_set);
    require!(NAME, words == 0 || words == tokens.div_ceil(64), "sets are not of {tokens} tokens");
    if let Some(tape) = tape {
        let fits = tape.len().is_multiple_of(tokens) && rows.canvas_rows() <= tape.len() / tokens;
        require!(NAME, fits, "a tape of {} numbers has no {} rows", tape.len(), rows.canvas_rows());
    }
    require!(NAME, !keep_soft || workspace.shape.keeps_weights, "the workspace keeps no weights");
    if let Some(votes) = &votes {
        check_lists(NAME, rows, votes, workspace)?;
        require!(NAME, votes.are_votes(), "tokens without probabilities are no votes");
    }
    let is_here = step.device().is(device)
        && outcomes.device().is(device)
        && tape.is_none_or(|tape| tape.device().is(device))
        && sets.is_none_or(|sets| sets.words().device().is(device));
    require!(NAME, is_here, "settings or outcomes are on another device");
    workspace.kept_rows = 0;
    norm_rows(NAME, vocabulary, stream, Some(rows), rows.len(), workspace)?;

    let lists = votes.map(|votes| votes.addresses());
    let kept = workspace.kept.as_mut().address();
    let kept_stride = workspace.shape.kept_stride() as u64;
    let parameters = TilesParameters {
        table: rows.records().address(),
        step: step.address(),
        sets: sets.map_or(0, |sets| sets.words().address()),
        listed_from: lists.map_or(0, |lists| lists.from),
        listed: lists.map_or(0, |lists| lists.tokens),
        listed_logits: lists.map_or(0, |lists| lists.logits),
        tape: tape.map_or(0, |tape| tape.address()),
        kept: if keep_soft { kept } else { 0 },
        kept_stride,
        set_words: words as u32,
        leaves_out_listed: lists.is_some().into(),
        wants_sample: 1,
        wants_own: (own_probabilities || lists.is_some()).into(),
        ..tiles_parameters(vocabulary, rows.len(), workspace)
    };
    let scales = workspace.scales.as_mut().address();
    let (probabilities, weights) = lists.map_or((0, 0), |lists| (lists.probabilities, lists.weights));
    let combine = CombineParameters {
        outcomes: outcomes.address(),
        scales,
        ..combine_parameters(&parameters, probabilities, weights)
    };
    // SAFETY: the workspace has room for the rows; what the table names (rows, sets, rows of the tape) is there, and the lists' tokens are below the
    // vocabulary, as was just checked. Workspace and outcomes are borrowed mutably.
    #[expect(unsafe_code, reason = "launches")]
    unsafe {
        launch_tiles::<T>(device, &parameters)?;
        device.launch(&COMBINE, combine_launch(rows.len()), &combine)?;
    }
    if !keep_soft {
        return Ok(());
    }
    let tiles = combine.tiles;
    let weights = WeightsParameters {
        findings: parameters.findings,
        scales,
        listed_from: parameters.listed_from,
        listed: parameters.listed,
        vote_weights: weights,
        kept,
        kept_stride,
        vocabulary: parameters.vocabulary,
        tiles,
    };
    // Some tiles a warp, so that many loads are under way and a row's scale is read once.
    let shares = tiles.div_ceil(4 * WARPS as u32).min(1 << 15);
    let launch = Launch { grid: [parameters.rows, shares, 1], threads: THREADS, shared_bytes: 0 };
    // SAFETY: goes over the weights that the tiles have just kept.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(T::HEAD.weights, launch, &weights)?;
    }
    workspace.kept_rows = rows.len();
    Ok(())
}

/// Keeps the distributions of whole rows of logits, [rows, vocabulary], for [`soft_embeddings`].
pub fn soften<T: VocabularyElement>(logits: Slice<'_, f32>, workspace: &mut HeadWorkspace<T>) -> Result<(), Error> {
    const NAME: &str = "soften";
    let tokens = workspace.shape.vocabulary;
    require!(NAME, logits.len().is_multiple_of(tokens), "{} logits are not rows of {tokens}", logits.len());
    let rows = logits.len() / tokens;
    require!(NAME, rows <= workspace.shape.rows, "{rows} rows in a workspace for {}", workspace.shape.rows);
    require!(NAME, workspace.shape.keeps_weights, "the workspace keeps no weights");
    let device = logits.device();
    require!(NAME, workspace.kept.as_slice().device().is(device), "the workspace is on another device");
    let parameters = SoftenParameters {
        logits: logits.address(),
        weights: workspace.kept.as_mut().address(),
        weights_stride: workspace.shape.kept_stride() as u64,
        vocabulary: tokens as u32,
        reserved: 0,
    };
    // SAFETY: block r reads row r of the logits and writes row r of the weights, for which the workspace has room.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(T::HEAD.soften, combine_launch(rows), &parameters)?;
    }
    workspace.kept_rows = rows;
    Ok(())
}

/// The mean of the embedding under each kept distribution, times `scale`: [kept rows, hidden].
pub fn soft_embeddings<T: VocabularyElement>(
    vocabulary: Vocabulary<'_, T>,
    workspace: &mut HeadWorkspace<T>,
    scale: f32,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    const NAME: &str = "soft_embeddings";
    vocabulary.check(NAME, workspace)?;
    let (rows, shape, device) = (workspace.kept_rows, workspace.shape, vocabulary.embedding.device());
    require!(NAME, output.len() == rows * shape.hidden, "{} numbers do not fit {rows} rows", output.len());
    require!(NAME, output.device().is(device), "the output is on another device");
    if rows == 0 {
        return Ok(());
    }
    let tiles = T::HEAD.tiles_for(rows);
    let (row_tiles, column_tiles) = (rows.div_ceil(tiles.rows), shape.hidden.div_ceil(TILE));
    let splits = best_splits(
        row_tiles * column_tiles,
        shape.vocabulary.div_ceil(tiles.depth),
        slots(device, BLOCKS_PER_MULTIPROCESSOR),
        workspace.shares.len() / (rows * shape.hidden),
        SPLIT_COST,
    );
    let (weights, embedding) = (workspace.kept.as_slice().address(), vocabulary.embedding.address());
    let bytes = T::HEAD.element_bytes;
    let parameters = SoftParameters {
        weights,
        embedding,
        shares: workspace.shares.as_mut().address(),
        weights_stride: shape.kept_stride() as u64,
        rows: rows as u32,
        vocabulary: shape.vocabulary as u32,
        hidden: shape.hidden as u32,
        is_vectorised: ((shape.hidden * bytes).is_multiple_of(16) && (weights | embedding).is_multiple_of(16)).into(),
    };
    let launch = Launch {
        grid: [row_tiles as u32, column_tiles as u32, splits as u32],
        threads: THREADS,
        shared_bytes: tiles.soft_shared_bytes(bytes),
    };
    let numbers = (rows * shape.hidden) as u64;
    let sum = SoftSumParameters {
        shares: parameters.shares,
        output: output.address(),
        numbers,
        splits: splits as u32,
        scale,
    };
    let sum_launch =
        Launch { grid: [numbers.div_ceil(u64::from(THREADS)) as u32, 1, 1], threads: THREADS, shared_bytes: 0 };
    // SAFETY: the workspace keeps weights of so many rows, and its shares have room for so many splits of them; the output has one number
    // for each of a share.
    #[expect(unsafe_code, reason = "launches")]
    unsafe {
        device.launch(tiles.soft, launch, &parameters)?;
        device.launch(&SOFT_SUM, sum_launch, &sum)
    }
}

#[cfg(test)]
mod tests;
