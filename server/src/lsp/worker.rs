//! The thread that runs the engine: one request at a time, the newest first.
//!
//! Invariants:
//! - Nobody waits for this thread but the request that it works for: a job goes into the queue and its answer comes
//!   out of a channel.
//! - The queue is bounded; where it is full, the job that waits longest is dropped, and with it its answer's channel.
//! - A panic inside the engine fails the one request, or the loading, and nothing else. An engine that panics time
//!   after time is loaded again, and so is one that is lost with the process that ran it.
//! - Loading has a thread of its own, so that an engine serves while the next one is on its way.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lacuna_engine::{Cancel, Description, Error, Infiller, LoadProgress};
use tokio::sync::{oneshot, watch};

use crate::settings::Settings;

/// How many jobs wait at most.
const MAX_WAITING: usize = 64;

/// After so many panics without a result between them, an engine is no longer trusted.
const PANICS_BEFORE_RELOADING: usize = 3;

/// Makes engines.
pub trait LoadEngine: Send + Sync + 'static {
    /// The engine that the settings name. May take minutes, in which `progress` is told how far it is.
    fn load(&self, settings: &Settings, progress: &mut dyn FnMut(LoadProgress)) -> Result<Box<dyn Infiller>, Error>;

    /// An engine that is there at once and serves while the one above is loaded, if that is worth it.
    fn interim(&self, _: &Settings) -> Option<Box<dyn Infiller>> {
        None
    }
}

impl<F: Fn(&Settings) -> Result<Box<dyn Infiller>, Error> + Send + Sync + 'static> LoadEngine for F {
    fn load(&self, settings: &Settings, _: &mut dyn FnMut(LoadProgress)) -> Result<Box<dyn Infiller>, Error> {
        self(settings)
    }
}

/// How the engine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelState {
    /// What serves at present.
    pub(crate) serving: Option<Description>,
    pub(crate) loading: Loading,
}

/// Where the model is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loading {
    UnderWay,
    Done,
    /// Why there is no model, in one sentence.
    Failed(String),
}

/// The handle to the thread. The thread ends when the last clone is dropped and its job is done.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: Arc<Queue>,
    engines: Arc<Engines>,
    _close: Arc<CloseOnDrop>,
}

/// The engine panicked during a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl Worker {
    /// Starts the thread. There is no engine before [`Worker::load`].
    pub(crate) fn start(loader: impl LoadEngine) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let engines = Arc::new(Engines::new(loader));
        let (jobs, at_work) = (Arc::clone(&queue), Arc::clone(&engines));
        std::thread::Builder::new().name("lacuna-inference".to_owned()).spawn(move || {
            while catch_unwind(AssertUnwindSafe(|| work_off(&jobs, &at_work))).is_err() {
                tracing::error!("the inference thread failed, and was started again");
            }
        })?;
        let close = Arc::new(CloseOnDrop(Arc::clone(&queue)));
        Ok(Self { queue, engines, _close: close })
    }

    /// Loads the engine that the settings name, in place of the present one.
    pub(crate) fn load(&self, settings: &Settings) {
        self.engines.load(settings);
    }

    /// Whether nothing has been loaded yet, nor is being loaded.
    pub(crate) fn is_idle(&self) -> bool {
        self.engines.loading.load(Ordering::SeqCst) == 0
    }

    /// Follows the model on its way.
    pub(crate) fn state(&self) -> watch::Receiver<ModelState> {
        self.engines.state.subscribe()
    }

    /// How far the loading that is under way has come, in words; empty where there is nothing to say.
    pub(crate) fn stages(&self) -> watch::Receiver<String> {
        self.engines.stage.subscribe()
    }

    /// Queues some work, and gives its result. The channel closes without one if the work was cancelled, or dropped
    /// because too much newer work came, or if there is no engine.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        cancel: Cancel,
        work: impl FnOnce(&dyn Infiller) -> T + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Panicked>> {
        let (answer, receiver) = oneshot::channel();
        let work = Box::new(move |engine: &dyn Infiller| {
            let result = catch_unwind(AssertUnwindSafe(|| work(engine)));
            let has_panicked = result.is_err();
            // Whoever asked may have gone.
            let _ = answer.send(result.map_err(|_| Panicked));
            has_panicked
        });
        self.queue.push(Job { cancel, work });
        receiver
    }
}

fn work_off(jobs: &Queue, engines: &Arc<Engines>) {
    let mut panics = 0;
    while let Some(job) = jobs.next() {
        let Some(engine) = engines.current().filter(|_| !job.cancel.is_cancelled()) else {
            continue;
        };
        panics = if (job.work)(engine.as_ref()) { panics + 1 } else { 0 };
        let is_broken = panics == PANICS_BEFORE_RELOADING;
        if is_broken {
            panics = 0;
            tracing::error!("the engine failed {PANICS_BEFORE_RELOADING} times in a row, and is loaded again");
        }
        if is_broken || engine.is_lost() {
            drop(engine);
            engines.reload();
        }
    }
}

/// The present engine, and the loading of the next one.
struct Engines {
    loader: Box<dyn LoadEngine>,
    current: Mutex<Option<Arc<dyn Infiller>>>,
    settings: Mutex<Settings>,
    /// Counts the loadings, so that one that was overtaken changes nothing any more.
    loading: AtomicU64,
    state: watch::Sender<ModelState>,
    stage: watch::Sender<String>,
}

impl Engines {
    fn new(loader: impl LoadEngine) -> Self {
        Self {
            loader: Box::new(loader),
            current: Mutex::default(),
            settings: Mutex::default(),
            loading: AtomicU64::new(0),
            state: watch::Sender::new(ModelState { serving: None, loading: Loading::UnderWay }),
            stage: watch::Sender::default(),
        }
    }

    fn current(&self) -> Option<Arc<dyn Infiller>> {
        lock(&self.current).clone()
    }

    fn reload(self: &Arc<Self>) {
        // Another job must not find it and have it loaded once more.
        drop(lock(&self.current).take());
        let settings = lock(&self.settings).clone();
        self.load(&settings);
    }

    fn load(self: &Arc<Self>, settings: &Settings) {
        settings.clone_into(&mut lock(&self.settings));
        let number = self.loading.fetch_add(1, Ordering::SeqCst) + 1;
        let (engines, settings) = (Arc::clone(self), settings.clone());
        let thread = std::thread::Builder::new().name("lacuna-loader".to_owned());
        let started = thread.spawn(move || {
            // The old engine goes first: two large ones may not fit into memory side by side.
            let interim = catch_unwind(AssertUnwindSafe(|| engines.loader.interim(&settings))).ok().flatten();
            engines.put(number, interim, Loading::UnderWay);
            let mut progress = |progress| engines.tell(number, stage_of(progress));
            let loaded = catch_unwind(AssertUnwindSafe(|| engines.loader.load(&settings, &mut progress)));
            engines.tell(number, String::new());
            match loaded {
                Ok(Ok(engine)) => engines.put(number, Some(engine), Loading::Done),
                Ok(Err(error)) => engines.put(number, None, Loading::Failed(error.to_string())),
                Err(_) => {
                    engines.put(number, None, Loading::Failed("loading the model failed unexpectedly".to_owned()));
                }
            }
        });
        if let Err(error) = started {
            self.put(number, None, Loading::Failed(format!("the model cannot be loaded: {error}")));
        }
    }

    /// Shows how far a loading has come, unless it was overtaken.
    fn tell(&self, number: u64, stage: String) {
        if self.loading.load(Ordering::SeqCst) == number {
            self.stage.send_if_modified(|shown| {
                let is_new = *shown != stage;
                *shown = stage;
                is_new
            });
        }
    }

    fn put(&self, number: u64, engine: Option<Box<dyn Infiller>>, loading: Loading) {
        let engine: Option<Arc<dyn Infiller>> = engine.map(Arc::from);
        let serving = engine.as_ref().map(|engine| engine.describe().clone());
        let mut current = lock(&self.current);
        if self.loading.load(Ordering::SeqCst) != number {
            return;
        }
        let old = std::mem::replace(&mut *current, engine);
        self.state.send_replace(ModelState { serving, loading });
        drop(current);
        // Unmapping a large model takes its time.
        drop(old);
    }
}

fn stage_of(progress: LoadProgress) -> String {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    format!("{:.1} of {:.1} GB", gigabytes(progress.done_bytes), gigabytes(progress.total_bytes))
}

/// What is to be done with the engine; it sends its result off itself, and says whether the engine panicked.
type Work = Box<dyn FnOnce(&dyn Infiller) -> bool + Send>;

struct Job {
    cancel: Cancel,
    work: Work,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    fn push(&self, job: Job) {
        let mut jobs = lock(&self.jobs);
        jobs.waiting.retain(|job| !job.cancel.is_cancelled());
        if jobs.waiting.len() >= MAX_WAITING {
            tracing::warn!("too many requests at once: the oldest is dropped");
            jobs.waiting.pop_front();
        }
        jobs.waiting.push_back(job);
        drop(jobs);
        self.changed.notify_one();
    }

    /// Waits for a job; `None` once there will be none.
    fn next(&self) -> Option<Job> {
        let jobs = lock(&self.jobs);
        let mut jobs = self
            .changed
            .wait_while(jobs, |jobs| jobs.waiting.is_empty() && !jobs.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if jobs.closed { None } else { jobs.waiting.pop_back() }
    }
}

struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        lock(&self.0.jobs).closed = true;
        self.0.changed.notify_all();
    }
}

/// What a panic leaves behind these locks is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use lacuna_engine::{Cancel, Description, Error, Infill, InfillRequest, Infiller, LoadProgress, Step};

    use super::{Job, Loading, Worker};
    use crate::settings::Settings;

    struct Nothing(Description);

    impl Infiller for Nothing {
        fn infill(&self, _: &InfillRequest, _: &Cancel, _: &mut dyn FnMut(Step<'_>)) -> Result<Infill, Error> {
            Err(Error::Cancelled)
        }

        fn describe(&self) -> &Description {
            &self.0
        }
    }

    fn nothing(model: &str) -> Box<dyn Infiller> {
        let (model, device) = (model.to_owned(), "none".to_owned());
        Box::new(Nothing(Description { model, device, parameters: 0, context_tokens: 0 }))
    }

    fn wait_until_done(worker: &Worker) {
        while worker.state().borrow().loading == Loading::UnderWay {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_dies_is_started_again() {
        let worker = Worker::start(|_: &Settings| Ok(nothing("a"))).expect("a thread");
        worker.load(&Settings::default());
        wait_until_done(&worker);
        // Not through `submit`, which keeps a panic from getting this far.
        worker.queue.push(Job { cancel: Cancel::default(), work: Box::new(|_| panic!("the test wants this")) });
        let model = worker.submit(Cancel::default(), |engine| engine.describe().model.clone());
        assert_eq!(model.blocking_recv().expect("an answer").as_deref(), Ok("a"));
    }

    #[test]
    fn an_engine_that_panics_time_after_time_is_loaded_again() {
        let (loaded, loads) = mpsc::channel();
        let worker = Worker::start(move |_: &Settings| {
            loaded.send(()).expect("the test counts");
            Ok(nothing("a"))
        })
        .expect("a thread");
        worker.load(&Settings::default());
        loads.recv().expect("the first loading");
        wait_until_done(&worker);
        for panics in [true, true, false, true, true, true] {
            let work = move |_: &dyn Infiller| assert!(!panics, "the test wants this");
            let answer = worker.submit(Cancel::default(), work).blocking_recv().expect("an answer");
            assert_eq!(answer.is_err(), panics);
        }
        loads.recv().expect("the second loading");
        assert!(loads.try_recv().is_err());
    }

    #[test]
    fn an_engine_serves_while_the_next_one_is_loaded() {
        struct Slow(mpsc::Receiver<()>);
        impl super::LoadEngine for std::sync::Mutex<Slow> {
            fn load(&self, _: &Settings, progress: &mut dyn FnMut(LoadProgress)) -> Result<Box<dyn Infiller>, Error> {
                progress(LoadProgress { done_bytes: 1_250_000_000, total_bytes: 27_400_000_000 });
                self.lock().expect("one loading").0.recv().expect("the test says when");
                Ok(nothing("large"))
            }

            fn interim(&self, _: &Settings) -> Option<Box<dyn Infiller>> {
                Some(nothing("small"))
            }
        }
        let (go, wait) = mpsc::channel();
        let worker = Worker::start(std::sync::Mutex::new(Slow(wait))).expect("a thread");
        worker.load(&Settings::default());
        let serving = || worker.state().borrow().serving.clone().map(|description| description.model);
        while serving().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(serving().as_deref(), Some("small"));
        while worker.stages().borrow().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(*worker.stages().borrow(), "1.2 of 27.4 GB");
        let model = worker.submit(Cancel::default(), |engine| engine.describe().model.clone());
        assert_eq!(model.blocking_recv().expect("an answer").as_deref(), Ok("small"));
        go.send(()).expect("it is loading");
        wait_until_done(&worker);
        assert_eq!(serving().as_deref(), Some("large"));
        assert_eq!(*worker.stages().borrow(), "", "what is there needs no progress");
    }
}
