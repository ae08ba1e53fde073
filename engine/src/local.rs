//! An engine in this process.

mod answer;
mod autoregress;
mod choose;
mod device;
mod free;
mod gathering;
mod progress;
mod prompts;
mod show;
#[cfg(test)]
mod tests;
mod together;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::backend::{Backend, Timed};
use crate::canvas::TokenSet;
use crate::checkpoint::{Checkpoint, ModelConfig, Noise};
use crate::clock::{Clock, Stage};
use crate::infiller::check::check;
use crate::noise::{NoiseKind, SeededNoise};
use crate::prompt::{self, Budget, Chat, Form, Markers};
use crate::sampler::Schedule;
use crate::tokenizer::Tokenizer;
use crate::{
    Cancel, Description, Device, Elastic, Error, Infill, InfillRequest, Infiller, ModelSource, PromptForm, Step,
};

pub use autoregress::Autoregressor;
pub use device::{LoadProgress, cuda_devices};
pub(crate) use device::{OnBackend, Placement, Precision, measure_synthetic, on_backend};
use gathering::{Asked, Gathering};
use prompts::Prompts;
pub use show::{ShownCanvas, ShownRows, ShownToken, show_canvases};

/// The embedded model's name in descriptions.
const EMBEDDED_NAME: &str = "nano (embedded)";
/// Prompt tokens that layout 1 was trained with at most.
const PROMPT_TOKENS: usize = 1024;
/// Prompt tokens of any other form at most; more of a document would take long to read.
const UNTRAINED_PROMPT_TOKENS: usize = 4096;
/// Prompt tokens for choices at most. What decides them stands near, and a document may need many prompts.
const CHOICE_PROMPT_TOKENS: usize = 384;

/// How to open a [`LocalInfiller`].
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Where the weights come from.
    pub model: ModelSource,
    /// Where to run.
    pub device: Device,
    /// Threads to compute with; all cores where it is `None`.
    pub threads: Option<usize>,
    /// How holes find their length; as suits the checkpoint where it is `None`.
    pub elastic: Option<Elastic>,
    /// How text becomes a prompt; as suits the checkpoint where it is `None`: as a message if it has a template for
    /// messages and no layout that it has learned.
    pub prompt: Option<PromptForm>,
    /// Whether answers tell the time by stage. On a card, which does its work later, the times would say little.
    pub clocked: bool,
}

impl Default for LocalOptions {
    /// The embedded model, wherever it runs best.
    fn default() -> Self {
        Self {
            model: ModelSource::Embedded,
            device: Device::Auto,
            threads: None,
            elastic: None,
            prompt: None,
            clocked: false,
        }
    }
}

/// An engine in this process. Requests that come from several threads are answered one after the other on a processor,
/// and together on a card, where they share the reading of the weights.
pub struct LocalInfiller {
    engine: Box<dyn Infiller>,
}

impl LocalInfiller {
    /// Opens and checks the checkpoint, and readies the device.
    pub fn open(options: &LocalOptions) -> Result<Self, Error> {
        Self::open_with(options, &mut |_| {})
    }

    /// The same; `progress` is told how far the weights have come where that takes long.
    pub fn open_with(options: &LocalOptions, progress: &mut dyn FnMut(LoadProgress)) -> Result<Self, Error> {
        Ok(Self { engine: open_engine(options, progress, Boxed)? })
    }
}

/// What becomes of an engine whose backend has been chosen.
trait OnEngine {
    type Output;
    fn run<B: Backend + 'static>(self, engine: Engine<B>) -> Self::Output;
}

/// An engine whose backend nobody need know.
struct Boxed;

impl OnEngine for Boxed {
    type Output = Box<dyn Infiller>;

    fn run<B: Backend + 'static>(self, engine: Engine<B>) -> Box<dyn Infiller> {
        Box::new(engine)
    }
}

/// Opens an engine, and hands it on.
fn open_engine<W: OnEngine>(
    options: &LocalOptions,
    progress: &mut dyn FnMut(LoadProgress),
    work: W,
) -> Result<W::Output, Error> {
    struct Opening<'a, W> {
        checkpoint: &'a Checkpoint,
        options: &'a LocalOptions,
        work: W,
    }
    impl<W: OnEngine> OnBackend for Opening<'_, W> {
        type Output = W::Output;

        fn run<B: Backend + 'static>(self, backend: B, device: String) -> Result<W::Output, Error> {
            let Self { checkpoint, options, work } = self;
            if !options.clocked {
                return Engine::new(checkpoint, backend, device, options).map(|engine| work.run(engine));
            }
            let clock = Arc::new(Clock::default());
            let timed = Timed { backend, clock: Arc::clone(&clock) };
            let engine = Engine::new(checkpoint, timed, device, options)?;
            Ok(work.run(Engine { clock: Some(clock), ..engine }))
        }
    }
    let checkpoint = open_checkpoint(&options.model)?;
    let LocalOptions { device, threads, .. } = *options;
    let placement = Placement { device, threads, precision: Precision::Stored, progress };
    on_backend(&checkpoint, placement, Opening { checkpoint: &checkpoint, options, work })
}

impl Infiller for LocalInfiller {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        self.engine.infill(request, cancel, on_step)
    }

    fn describe(&self) -> &Description {
        self.engine.describe()
    }

    fn token_count(&self, text: &str) -> Option<usize> {
        self.engine.token_count(text)
    }
}

/// What a model is called in descriptions and messages.
fn name_of(model: &ModelSource) -> String {
    match model {
        ModelSource::Embedded => EMBEDDED_NAME.to_owned(),
        ModelSource::Folder(path) => {
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
        }
    }
}

pub(crate) fn open_checkpoint(model: &ModelSource) -> Result<Checkpoint, Error> {
    match model {
        ModelSource::Embedded => crate::embedded::open(),
        ModelSource::Folder(path) => Checkpoint::open_folder(path),
    }
}

/// A model on a backend, and what it remembers between requests.
struct Engine<B: Backend> {
    backend: B,
    layers: usize,
    description: Description,
    tokenizer: Tokenizer,
    form: Form,
    /// The token that says that a row holds no text, if the model is to use it.
    delete: Option<u32>,
    elastic: Elastic,
    /// The odds of what the document repeats against the model; `None` where it does not count.
    prior_odds: Option<f64>,
    /// What a token adds to a fill's score where several lengths are tried.
    length_bonus: Option<f64>,
    /// For free holes.
    budget: Budget,
    /// For holes with choices.
    choice_budget: Budget,
    schedule: Schedule,
    noise: SeededNoise,
    /// What holes may hold, by the indices that [`prompt`] names.
    sets: [TokenSet; 2],
    /// Rows that requests may fill a pass with together.
    shared_rows: usize,
    gathering: Gathering,
    /// Runs if somebody asked for it.
    clock: Option<Arc<Clock>>,
    state: Mutex<State<B>>,
}

/// What requests change.
struct State<B: Backend> {
    workspace: B::Workspace,
    workspace_rows: usize,
    prompts: Prompts<B>,
}

impl<B: Backend> Engine<B> {
    fn new(checkpoint: &Checkpoint, backend: B, device: String, options: &LocalOptions) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let model = name_of(&options.model);
        let cannot_fill = |reason: String| Error::unsupported(model.as_ref(), reason);
        let known_delete = config.lacuna.delete_token_id;
        let suits =
            Elastic { delete: known_delete.is_some(), lengths: known_delete.is_none(), growth: known_delete.is_some() };
        let elastic = options.elastic.unwrap_or(suits);
        if elastic.delete && known_delete.is_none() {
            return Err(cannot_fill("the checkpoint knows no delete token (lacuna.delete_token_id)".to_owned()));
        }
        let delete = known_delete.filter(|_| elastic.delete);
        let tokenizer = checkpoint.tokenizer()?;
        let form = form_of(checkpoint, &tokenizer, options)?;
        let budget = free_budget(config, &form);
        let vocabulary = config.vocab_size;
        let is_text = |id: u32| Some(id) == delete || tokenizer.is_text(id);
        let sets = [
            TokenSet::from_predicate(vocabulary, |id| is_text(id) && !tokenizer.contains_newline(id)),
            TokenSet::from_predicate(vocabulary, is_text),
        ];
        let workspace_rows = config.canvas_length.max(backend.encode_rows());
        Ok(Self {
            layers: config.layers.len(),
            description: Description {
                model,
                device,
                parameters: checkpoint.parameters(),
                context_tokens: budget.prompt_tokens,
            },
            form,
            delete,
            elastic,
            prior_odds: config.lacuna.context_prior,
            length_bonus: config.lacuna.length_bonus,
            budget,
            // Nobody types between two rounds, so nothing is gained by dropping text in large blocks.
            choice_budget: Budget {
                prompt_tokens: CHOICE_PROMPT_TOKENS.min(budget.prompt_tokens),
                canvas_rows: config.canvas_length,
                drop_bytes: 128,
                drop_tokens: 1,
            },
            schedule: Schedule::new(&checkpoint.generation, checkpoint.generation.max_denoising_steps),
            noise: SeededNoise {
                kind: match config.lacuna.noise {
                    Noise::Uniform => NoiseKind::Uniform,
                    Noise::Absorbing { mask_token_id } => NoiseKind::Absorbing(mask_token_id),
                },
                vocabulary: vocabulary as u32,
            },
            sets,
            shared_rows: backend.shared_rows(),
            gathering: Gathering::default(),
            clock: None,
            state: Mutex::new(State {
                workspace: backend.new_workspace(workspace_rows)?,
                workspace_rows,
                prompts: Prompts::new(),
            }),
            tokenizer,
            backend,
        })
    }
}

impl<B: Backend> Engine<B> {
    fn lock_state(&self) -> MutexGuard<'_, State<B>> {
        // A panic of an earlier request may have left a prompt half encoded.
        self.state.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut state = poisoned.into_inner();
            state.prompts.forget();
            self.state.clear_poison();
            state
        })
    }

    /// Does work that belongs to a stage.
    fn time<R>(&self, stage: Stage, work: impl FnOnce() -> R) -> R {
        match &self.clock {
            Some(clock) => clock.time(stage, work),
            None => work(),
        }
    }
}

impl<B: Backend> Infiller for Engine<B> {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        check(request)?;
        let asked = Asked { request, cancel, on_step };
        if self.shared_rows == 0 {
            return self.infill_together(vec![asked]).remove(0);
        }
        self.gathering.infill(asked, &|together| self.infill_together(together))
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    fn token_count(&self, text: &str) -> Option<usize> {
        Some(self.tokenizer.encode(&prompt::normalise(text)).len())
    }
}

/// How text becomes a prompt for this checkpoint.
fn form_of(checkpoint: &Checkpoint, tokenizer: &Tokenizer, options: &LocalOptions) -> Result<Form, Error> {
    let missing = |what: &str, token: &str| {
        let reason = format!("{what} needs the token {token}, which tokenizer.json lacks");
        Error::unsupported(name_of(&options.model).as_ref(), reason)
    };
    let is_trained = checkpoint.config.lacuna.layout_version == Some(prompt::LAYOUT_VERSION);
    let wants_message = match options.prompt {
        Some(form) => form == PromptForm::Chat,
        None => !is_trained && checkpoint.has_chat_template()?,
    };
    if is_trained && !wants_message {
        return Markers::find(tokenizer).map(Form::Trained).map_err(|token| missing("layout 1", token));
    }
    let bos = tokenizer.special("<bos>").or(checkpoint.config.bos_token_id);
    let bos = bos.ok_or_else(|| missing("a prompt", "<bos>"))?;
    if wants_message {
        let way_out = "a prompt that is a message (another one is a raw prompt)";
        return Chat::find(tokenizer, bos).map(Form::Chat).map_err(|token| missing(way_out, token));
    }
    Ok(Form::Plain { bos })
}

/// What a layout of free holes may hold.
fn free_budget(config: &ModelConfig, form: &Form) -> Budget {
    let prompt_tokens = match form {
        Form::Trained(_) => PROMPT_TOKENS.min(config.max_positions),
        Form::Plain { .. } | Form::Chat(_) => {
            UNTRAINED_PROMPT_TOKENS.min(config.max_positions.saturating_sub(config.canvas_length))
        }
    };
    Budget { prompt_tokens, canvas_rows: config.canvas_length, drop_bytes: 1024, drop_tokens: 256 }
}

impl<B: Backend> State<B> {
    /// Makes the workspace large enough for so many rows.
    fn make_room(&mut self, backend: &B, rows: usize) -> Result<(), Error> {
        if rows > self.workspace_rows {
            self.workspace = backend.new_workspace(rows)?;
            self.workspace_rows = rows;
        }
        Ok(())
    }
}

fn milliseconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
