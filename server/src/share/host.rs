//! An engine that other processes use, too.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use lacuna_engine::{Cancel, Description, Error, Infill, InfillRequest, Infiller, OwnedStep, Step};

use super::place::Place;
use super::protocol::{Answer, Ask, Failure, Messages, write};

/// Processes that are served at the same time at most.
const GUESTS_MAX: usize = 64;
/// A guest that does not read for so long is let go.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// The engine in this process. Whoever came as a guest finds it gone when this is dropped.
pub(super) struct Host {
    shared: Arc<Shared>,
    socket: PathBuf,
    /// Held to the end: who has it is the host.
    _lock: File,
}

struct Shared {
    engine: Box<dyn Infiller>,
    guests: Mutex<HashMap<u64, UnixStream>>,
    next_guest: AtomicU64,
    is_closing: AtomicBool,
}

impl Host {
    /// Serves an engine to whoever comes. Where that fails, it serves this process alone.
    pub(super) fn start(place: Place, lock: File, engine: Box<dyn Infiller>) -> Box<dyn Infiller> {
        // Left behind by a host that was killed; it cannot be in use, since the lock was free.
        let _ = fs::remove_file(&place.socket);
        let shared = Arc::new(Shared {
            engine,
            guests: Mutex::default(),
            next_guest: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        });
        let listening = UnixListener::bind(&place.socket).and_then(|listener| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("lacuna-host".to_owned());
            thread.spawn(move || accept_guests(&listener, &shared)).map(drop)
        });
        if let Err(error) = listening {
            tracing::warn!("the engine is not shared with other editors: {}: {error}", place.socket.display());
        }
        Box::new(Self { shared, socket: place.socket, _lock: lock })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which looks at the flag and ends.
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
        for guest in self.shared.guests().values() {
            let _ = guest.shutdown(Shutdown::Both);
        }
    }
}

impl Infiller for Host {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        self.shared.engine.infill(request, cancel, on_step)
    }

    fn describe(&self) -> &Description {
        self.shared.engine.describe()
    }

    fn is_lost(&self) -> bool {
        self.shared.engine.is_lost()
    }

    fn token_count(&self, text: &str) -> Option<usize> {
        self.shared.engine.token_count(text)
    }
}

impl Shared {
    fn guests(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        // A map of streams is whole whatever a thread was doing when it panicked.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept_guests(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of files, for example: better later than in a loop without rest.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let number = shared.next_guest.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = welcome(stream, number, shared) {
            tracing::warn!("a process that wants to share the engine is turned away: {error}");
        }
    }
}

/// Gives a guest a thread of its own.
fn welcome(stream: UnixStream, number: u64, shared: &Arc<Shared>) -> io::Result<()> {
    let mut guests = shared.guests();
    if guests.len() >= GUESTS_MAX {
        return Err(io::Error::other(format!("{GUESTS_MAX} others are served already")));
    }
    stream.set_write_timeout(Some(WRITE_LIMIT))?;
    let (kept, for_questions) = (stream.try_clone()?, stream.try_clone()?);
    let own = Arc::clone(shared);
    std::thread::Builder::new().name("lacuna-guest".to_owned()).spawn(move || {
        let _leaving = Leaving { shared: &own, number };
        if let Err(error) = serve(stream, for_questions, &*own.engine) {
            tracing::debug!("a process that shared the engine is gone: {error}");
        }
    })?;
    guests.insert(number, kept);
    // It was closed while this guest came, and looked through the others without it.
    if shared.is_closing.load(Ordering::SeqCst)
        && let Some(guest) = guests.get(&number)
    {
        let _ = guest.shutdown(Shutdown::Both);
    }
    Ok(())
}

/// Lets a guest go, also where the engine has panicked: it must not wait for an answer that will never come.
struct Leaving<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(guest) = self.shared.guests().remove(&self.number) {
            let _ = guest.shutdown(Shutdown::Both);
        }
    }
}

/// Answers a guest's questions until it goes, which ends the request that is under way.
fn serve(mut stream: UnixStream, for_questions: UnixStream, engine: &dyn Infiller) -> io::Result<()> {
    let (questions, asked) = mpsc::channel();
    std::thread::Builder::new().name("lacuna-listener".to_owned()).spawn(move || listen(for_questions, &questions))?;
    // Ends when the listener does.
    for (ask, cancel) in asked {
        let answer = match ask {
            Ask::Describe => {
                Answer::Description { description: engine.describe().clone(), process: std::process::id() }
            }
            Ask::CountTokens(text) => Answer::TokenCount(engine.token_count(&text)),
            Ask::Infill(request) => {
                let mut on_step = |step: Step<'_>| {
                    // Nobody is left to fill holes for.
                    if write(&mut stream, &Answer::Step(OwnedStep::of(&step))).is_err() {
                        cancel.cancel();
                    }
                };
                match engine.infill(&request, &cancel, &mut on_step) {
                    Ok(infill) => Answer::Filled(infill),
                    Err(error) => Answer::Failed(Failure::from(error)),
                }
            }
            // The listener sees to it.
            Ask::Cancel => continue,
        };
        write(&mut stream, &answer)?;
    }
    Ok(())
}

/// Hands on what a guest asks, each request with its flag, and sets the flag of the last one where it is cancelled or the
/// guest goes.
fn listen(stream: UnixStream, questions: &mpsc::Sender<(Ask, Cancel)>) {
    let mut under_way = Cancel::new();
    let mut messages = Messages::new(stream);
    while let Ok(ask) = messages.next() {
        if matches!(ask, Ask::Cancel) {
            under_way.cancel();
            continue;
        }
        under_way = Cancel::new();
        if questions.send((ask, under_way.clone())).is_err() {
            return;
        }
    }
    under_way.cancel();
}
