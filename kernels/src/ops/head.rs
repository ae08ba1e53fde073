//! The canvas head: from hidden rows to what the sampler needs of their distributions, and to soft embeddings.

use crate::error::require;
use crate::kernel::Launch;
use crate::memory::{Slice, SliceMut};
use crate::ops::linear::Matrix;
use crate::ops::steps::{RowOutcome, SampleRows, Step, TokenLists, TokenSets};
use crate::{Device, Error};

mod kernels;
mod soft;
mod workspace;

pub use kernels::{HeadKernels, VocabularyElement};
pub use soft::{soft_embeddings, soften};
pub use workspace::{HeadShape, HeadWorkspace};

use kernels::{CombineParameters, RowsParameters, TileKernels, TilesParameters};
use soft::weigh;

const THREADS: u32 = 256;
/// Tokens of a tile of logits, and columns of a tile of soft embeddings.
const TILE: usize = 128;
/// What a block that reduces rows shares: a sum in f64 a thread, and what warps and votes leave.
const COMBINE_SHARED_BYTES: u32 = THREADS * 8 + 4 * (2 * 8 + 3 * 8 + 4 * 24 + 2);
/// As many as the kernels' registers allow.
const BLOCKS_PER_MULTIPROCESSOR: u32 = 2;

/// What the head reads of a model.
#[derive(Clone, Copy)]
pub struct Vocabulary<'a> {
    /// [vocabulary, hidden]
    pub embedding: Matrix<'a>,
    /// `[hidden]`
    pub final_norm: Slice<'a, f32>,
    /// Of the norm.
    pub eps: f32,
    /// Logits are `soft_cap * tanh(logit / soft_cap)`.
    pub soft_cap: f32,
}

impl Vocabulary<'_> {
    /// The kernels for so many rows, if everything fits.
    fn check<T: VocabularyElement>(
        &self,
        operation: &'static str,
        rows: usize,
        workspace: &HeadWorkspace<T>,
    ) -> Result<TileKernels, Error> {
        let HeadShape { vocabulary, hidden, .. } = workspace.shape;
        let Matrix { weights, outputs, inputs } = self.embedding;
        require!(
            operation,
            outputs == vocabulary && inputs == hidden && weights.len() == vocabulary * hidden,
            "an embedding of {} numbers is not {vocabulary} rows of {hidden}",
            weights.len()
        );
        require!(operation, self.final_norm.len() == hidden, "the norm is not as long as a row of {hidden}");
        require!(operation, rows <= workspace.shape.rows, "{rows} rows in a workspace for {}", workspace.shape.rows);
        let device = weights.device();
        let is_here = self.final_norm.device().is(device) && workspace.rows_in.as_slice().device().is(device);
        require!(operation, is_here, "norm or workspace are on another device");
        T::HEAD.kernels_for(rows, &weights).ok_or_else(|| {
            crate::error::shape(
                operation,
                format!("an input in this dtype does not go with an embedding in {}", weights.format()),
            )
        })
    }

    fn device(&self) -> &Device {
        self.embedding.weights.device()
    }
}

/// The final norm of rows of `stream`, [packed rows, hidden]: of `table`'s, or of the first ones. Gives the kernels for what follows.
fn norm_rows<T: VocabularyElement>(
    operation: &'static str,
    vocabulary: Vocabulary<'_>,
    stream: Slice<'_, f32>,
    table: Option<&SampleRows>,
    rows: usize,
    workspace: &mut HeadWorkspace<T>,
) -> Result<TileKernels, Error> {
    let tiles = vocabulary.check(operation, rows, workspace)?;
    let hidden = workspace.shape.hidden;
    let device = vocabulary.device();
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
        device.launch(T::HEAD.rows, launch, &parameters)?;
    }
    Ok(tiles)
}

/// The parameters of a tile that finds nothing; callers fill in what they want.
fn tiles_parameters<T: VocabularyElement>(
    vocabulary: Vocabulary<'_>,
    rows: usize,
    workspace: &HeadWorkspace<T>,
) -> TilesParameters {
    let HeadShape { hidden, vocabulary: tokens, .. } = workspace.shape;
    let (rows_in, embedding) = (workspace.rows_in.as_slice().address(), vocabulary.embedding.weights.address());
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
unsafe fn launch_tiles<T: VocabularyElement>(
    device: &Device,
    tiles: TileKernels,
    parameters: &TilesParameters,
) -> Result<(), Error> {
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
    vocabulary: Vocabulary<'_>,
    stream: Slice<'_, f32>,
    workspace: &mut HeadWorkspace<T>,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    const NAME: &str = "logits";
    let HeadShape { vocabulary: tokens, hidden, rows: room, .. } = workspace.shape;
    require!(NAME, output.len().is_multiple_of(tokens), "{} logits are not rows of {tokens}", output.len());
    require!(NAME, output.device().is(vocabulary.device()), "the output is on another device");
    let rows = output.len() / tokens;
    require!(NAME, rows <= stream.len() / hidden, "there are no {rows} rows");
    for first in (0..rows).step_by(room.max(1)) {
        let count = room.min(rows - first);
        let tiles = norm_rows(NAME, vocabulary, stream.slice(first * hidden..stream.len()), None, count, workspace)?;
        let logits = output.as_slice().slice(first * tokens..(first + count) * tokens);
        let parameters = TilesParameters { logits: logits.address(), ..tiles_parameters(vocabulary, count, workspace) };
        // SAFETY: the workspace has the normed rows; the output, which is borrowed mutably, has room for the logits of each.
        #[expect(unsafe_code, reason = "a launch")]
        unsafe {
            launch_tiles::<T>(output.device(), tiles, &parameters)?;
        }
    }
    Ok(())
}

/// The natural logarithms of the listed tokens' probabilities at temperature 1 among the whole vocabulary. `rows` gives the
/// packed row of each list.
pub fn log_probabilities<T: VocabularyElement>(
    vocabulary: Vocabulary<'_>,
    stream: Slice<'_, f32>,
    rows: &SampleRows,
    tokens: &mut TokenLists,
    workspace: &mut HeadWorkspace<T>,
    output: SliceMut<'_, f32>,
) -> Result<(), Error> {
    const NAME: &str = "log_probabilities";
    let device = vocabulary.device();
    check_lists(NAME, rows, tokens, workspace)?;
    require!(NAME, !tokens.are_votes(), "votes have no log probabilities");
    require!(NAME, rows.sets() == 0, "the whole vocabulary is asked for");
    require!(NAME, output.len() == tokens.tokens(), "{} numbers do not fit the tokens", output.len());
    require!(NAME, output.device().is(device), "the output is on another device");
    let tiles = norm_rows(NAME, vocabulary, stream, Some(rows), rows.len(), workspace)?;
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
        launch_tiles::<T>(device, tiles, &parameters)?;
        device.launch(T::HEAD.combine, combine_launch(rows.len()), &combine)
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
    vocabulary: Vocabulary<'_>,
    stream: Slice<'_, f32>,
    rows: &SampleRows,
    settings: SampleSettings<'_>,
    workspace: &mut HeadWorkspace<T>,
    outcomes: SliceMut<'_, RowOutcome>,
) -> Result<(), Error> {
    const NAME: &str = "sample";
    let device = vocabulary.device();
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
    let tiles = norm_rows(NAME, vocabulary, stream, Some(rows), rows.len(), workspace)?;

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
        launch_tiles::<T>(device, tiles, &parameters)?;
        device.launch(T::HEAD.combine, combine_launch(rows.len()), &combine)?;
    }
    if !keep_soft {
        return Ok(());
    }
    weigh::<T>(device, &parameters, &combine)?;
    workspace.kept_rows = rows.len();
    Ok(())
}

#[cfg(test)]
mod tests;
