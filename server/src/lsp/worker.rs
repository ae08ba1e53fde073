//! The thread that loads the model and runs it: one request at a time, the newest first.
//!
//! Invariants:
//! - Nobody waits for this thread but the request that it works for: a job goes into the queue and its answer comes
//!   out of a channel.
//! - The queue is bounded; where it is full, the job that waits longest is dropped, and with it its answer's channel.
//! - A panic inside the engine fails the one request, or the loading, and nothing else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lacuna_engine::{Cancel, Description, Error, Infiller};
use tokio::sync::{oneshot, watch};

/// How many jobs wait at most.
const MAX_WAITING: usize = 64;

/// Where the model is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelState {
    Loading,
    Ready(Description),
    /// Why there is no model, in one sentence.
    Failed(String),
}

/// The handle to the thread. The thread ends when the last clone is dropped and its job is done.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: Arc<Queue>,
    state: watch::Receiver<ModelState>,
    _close: Arc<CloseOnDrop>,
}

/// The engine panicked during a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl Worker {
    /// Starts the thread, which first of all loads the model.
    pub(crate) fn start(
        loader: impl FnOnce() -> Result<Box<dyn Infiller>, Error> + Send + 'static,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (report, state) = watch::channel(ModelState::Loading);
        let jobs = Arc::clone(&queue);
        std::thread::Builder::new().name("lacuna-inference".to_owned()).spawn(move || {
            let engine = match catch_unwind(AssertUnwindSafe(loader)) {
                Ok(Ok(engine)) => engine,
                Ok(Err(error)) => {
                    report.send_replace(ModelState::Failed(error.to_string()));
                    return;
                }
                Err(_) => {
                    report.send_replace(ModelState::Failed("loading the model failed unexpectedly".to_owned()));
                    return;
                }
            };
            report.send_replace(ModelState::Ready(engine.describe().clone()));
            while let Some(job) = jobs.next() {
                if !job.cancel.is_cancelled() {
                    (job.work)(engine.as_ref());
                }
            }
        })?;
        let close = Arc::new(CloseOnDrop(Arc::clone(&queue)));
        Ok(Self { queue, state, _close: close })
    }

    /// Follows the model on its way.
    pub(crate) fn state(&self) -> watch::Receiver<ModelState> {
        self.state.clone()
    }

    /// Queues some work, and gives its result. The channel closes without one if the work was cancelled, or dropped
    /// because too much newer work came.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        cancel: Cancel,
        work: impl FnOnce(&dyn Infiller) -> T + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Panicked>> {
        let (answer, receiver) = oneshot::channel();
        let work = Box::new(move |engine: &dyn Infiller| {
            let result = catch_unwind(AssertUnwindSafe(|| work(engine)));
            // Whoever asked may have gone.
            let _ = answer.send(result.map_err(|_| Panicked));
        });
        self.queue.push(Job { cancel, work });
        receiver
    }
}

/// What is to be done with the engine; it sends its result off itself.
type Work = Box<dyn FnOnce(&dyn Infiller) + Send>;

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
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        let mut jobs = self.lock();
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
        let jobs = self.lock();
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
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}
