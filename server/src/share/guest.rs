//! An engine in another process.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lacuna_engine::{Cancel, Description, Error, Infill, InfillRequest, Infiller, Step};

use super::place::Place;
use super::protocol::{Answer, Ask, Messages, is_timeout, write};

/// How often is looked whether the request has been cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(5);
/// How long a host may take to say who it is, or what a text comes to.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The other end of a host's connection.
pub(super) struct Guest {
    description: Description,
    connection: Mutex<Connection>,
    is_lost: AtomicBool,
}

struct Connection {
    stream: UnixStream,
    answers: Messages<UnixStream>,
    /// Every question has its answer: the next message belongs to the next question.
    is_in_step: bool,
}

impl Guest {
    pub(super) fn connect(place: &Place) -> io::Result<Self> {
        let stream = UnixStream::connect(&place.socket)?;
        stream.set_read_timeout(Some(CANCEL_INTERVAL))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut connection = Connection { answers: Messages::new(stream.try_clone()?), stream, is_in_step: true };
        let Answer::Description { mut description, process } = connection.ask(&Ask::Describe)? else {
            return Err(unexpected());
        };
        tracing::info!("the engine of process {process} is shared");
        description.device = format!("{} in process {process}", description.device);
        Ok(Self { description, connection: Mutex::new(connection), is_lost: AtomicBool::new(false) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Whether it is still good is noted in it.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the host is gone.
    fn lose(&self, error: &io::Error) -> Error {
        if !self.is_lost.swap(true, Ordering::SeqCst) {
            tracing::warn!("the engine of another process is gone: {error}");
        }
        Error::Ended
    }
}

impl Connection {
    /// Asks for what is answered at once.
    fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.begin(ask)?;
        let began = Instant::now();
        loop {
            match self.answers.next() {
                Err(error) if is_timeout(&error) && began.elapsed() < ANSWER_LIMIT => {}
                answer => {
                    self.is_in_step = answer.is_ok();
                    return answer;
                }
            }
        }
    }

    fn begin(&mut self, ask: &Ask) -> io::Result<()> {
        if !self.is_in_step {
            return Err(io::Error::other("an earlier request was left without its answer"));
        }
        self.is_in_step = false;
        write(&mut self.stream, ask)
    }

    fn infill(
        &mut self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> io::Result<Result<Infill, Error>> {
        self.begin(&Ask::Infill(request.clone()))?;
        let mut has_cancelled = false;
        loop {
            if cancel.is_cancelled() && !has_cancelled {
                write(&mut self.stream, &Ask::Cancel)?;
                has_cancelled = true;
            }
            let answer = match self.answers.next() {
                Ok(Answer::Step(step)) => {
                    on_step(step.borrow());
                    continue;
                }
                Ok(Answer::Filled(infill)) => Ok(infill),
                Ok(Answer::Failed(failure)) => Err(failure.into()),
                Ok(_) => return Err(unexpected()),
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error),
            };
            self.is_in_step = true;
            return Ok(answer);
        }
    }
}

impl Infiller for Guest {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        let answer = self.connection().infill(request, cancel, on_step);
        answer.unwrap_or_else(|error| Err(self.lose(&error)))
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    fn token_count(&self, text: &str) -> Option<usize> {
        let answer = self.connection().ask(&Ask::CountTokens(text.to_owned()));
        let error = match answer {
            Ok(Answer::TokenCount(count)) => return count,
            Ok(_) => unexpected(),
            Err(error) => error,
        };
        self.lose(&error);
        None
    }
}

fn unexpected() -> io::Error {
    io::Error::other("the answer is of another kind than the question")
}
