//! Requests that come from several threads while the engine is busy are answered together once it is free.
//!
//! One of the threads leads: it has its own request answered and those that wait, and hands on to one that has come
//! meanwhile. The others wait for messages. Nobody waits who could work: whoever comes first leads at once, and alone.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::prompts::PROMPTS_LIMIT;
use crate::{Cancel, Error, Infill, InfillRequest, OwnedStep, Step};

/// A request, and what its thread wants to know.
pub(super) struct Asked<'a> {
    pub(super) request: &'a InfillRequest,
    pub(super) cancel: &'a Cancel,
    pub(super) on_step: &'a mut dyn FnMut(Step<'_>),
}

/// What answers requests together, in their order.
type Answer<'a> = &'a dyn Fn(Vec<Asked<'_>>) -> Vec<Result<Infill, Error>>;

/// Those who ask at present.
#[derive(Default)]
pub(super) struct Gathering(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Whether a thread leads.
    is_led: bool,
    tickets: VecDeque<Ticket>,
}

/// A request whose thread waits.
struct Ticket {
    request: InfillRequest,
    cancel: Cancel,
    thread: Sender<Message>,
    /// Whether it is to be answered by itself.
    is_alone: bool,
}

enum Message {
    Step(OwnedStep),
    Answered(Result<Infill, Error>),
    /// It is this thread's turn to lead.
    Lead,
}

impl Gathering {
    /// Answers the request, perhaps together with others, on this thread or on another.
    pub(super) fn infill(&self, asked: Asked<'_>, answer: Answer<'_>) -> Result<Infill, Error> {
        let mut is_alone = false;
        loop {
            let Some(messages) = self.wait_behind_leader(&asked, is_alone) else {
                return self.lead(asked, is_alone, answer);
            };
            for message in messages {
                match message {
                    Message::Step(step) => (asked.on_step)(step.borrow()),
                    Message::Answered(answer) => return answer,
                    Message::Lead => return self.lead(asked, is_alone, answer),
                }
            }
            // The thread that led has panicked. Whatever it was about will not happen to anybody else.
            is_alone = true;
        }
    }

    /// A place among those who wait; `None` if nobody leads, so that this thread does from now on.
    fn wait_behind_leader(&self, asked: &Asked<'_>, is_alone: bool) -> Option<Receiver<Message>> {
        let mut waiting = self.lock();
        if !waiting.is_led {
            waiting.is_led = true;
            return None;
        }
        let (thread, messages) = channel();
        let (request, cancel) = (asked.request.clone(), asked.cancel.clone());
        waiting.tickets.push_back(Ticket { request, cancel, thread, is_alone });
        Some(messages)
    }

    /// Answers this thread's request, and unless it is alone others with it.
    fn lead(&self, asked: Asked<'_>, is_alone: bool, answer: Answer<'_>) -> Result<Infill, Error> {
        // On the way out in any case, a panic included.
        let _hand_on = HandOn(self);
        let others = if is_alone { Vec::new() } else { self.take_others() };
        let mut relays: Vec<_> = others.iter().map(Ticket::relay).collect();
        let Asked { request, cancel, on_step } = asked;
        let mut together = vec![Asked { request, cancel, on_step: &mut *on_step }];
        together.extend(others.iter().zip(&mut relays).map(|(ticket, relay)| Asked {
            request: &ticket.request,
            cancel: &ticket.cancel,
            on_step: relay,
        }));
        let mut answers = answer(together).into_iter();
        let own = answers.next();
        drop(relays);
        for (ticket, answer) in others.into_iter().zip(answers) {
            // Its thread may have panicked in its own callback.
            let _ = ticket.thread.send(Message::Answered(answer));
        }
        own.unwrap_or(Err(Error::Cancelled))
    }

    /// Those who wait and may be answered with others, as many as the engine keeps prompts for.
    fn take_others(&self) -> Vec<Ticket> {
        let mut waiting = self.lock();
        let mut others = Vec::new();
        for ticket in std::mem::take(&mut waiting.tickets) {
            if ticket.is_alone || others.len() + 1 == PROMPTS_LIMIT {
                waiting.tickets.push_back(ticket);
            } else {
                others.push(ticket);
            }
        }
        others
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is half done between two of its lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Sends steps to the ticket's thread.
    fn relay(&self) -> impl FnMut(Step<'_>) + use<> {
        let (thread, cancel) = (self.thread.clone(), self.cancel.clone());
        move |step| {
            if thread.send(Message::Step(OwnedStep::of(&step))).is_err() {
                // Nobody is there to read the answer.
                cancel.cancel();
            }
        }
    }
}

/// Makes the next thread lead.
struct HandOn<'a>(&'a Gathering);

impl Drop for HandOn<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        while let Some(ticket) = waiting.tickets.pop_front() {
            if ticket.thread.send(Message::Lead).is_ok() {
                return;
            }
        }
        waiting.is_led = false;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::{Asked, Gathering};
    use crate::{Cancel, Error, Extent, Hole, Infill, InfillRequest, Language, Piece, Step};

    fn request(name: usize) -> InfillRequest {
        InfillRequest::new(name.to_string(), Language::Text, vec![Hole::new(0..0, Extent::Line)])
    }

    /// An answer whose only fill is the request's text, after one step that shows it.
    fn echo(asked: Asked<'_>) -> Result<Infill, Error> {
        let text = &asked.request.text;
        let piece = Piece { text: text.clone(), settled: true, certainty: 1.0 };
        (asked.on_step)(Step { index: 1, limit: 1, candidate: 0, holes: &[vec![piece]] });
        Err(Error::Request(text.clone()))
    }

    fn said(answer: Result<Infill, Error>) -> String {
        match answer {
            Err(Error::Request(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many threads wait for the one that leads.
    fn wait_for(gathering: &Gathering, count: usize) {
        while gathering.lock().tickets.len() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn those_who_came_meanwhile_are_answered_together_and_each_gets_its_own() {
        let gathering = Gathering::default();
        let sizes = std::sync::Mutex::new(Vec::new());
        let answer = |together: Vec<Asked<'_>>| {
            if sizes.lock().unwrap().is_empty() {
                wait_for(&gathering, 5);
            }
            sizes.lock().unwrap().push(together.len());
            together.into_iter().map(echo).collect()
        };
        let ask = |name: usize| {
            let mut steps = Vec::new();
            let mut on_step = |step: Step<'_>| steps.push(step.holes[0][0].text.clone());
            let (request, cancel) = (request(name), Cancel::new());
            let asked = Asked { request: &request, cancel: &cancel, on_step: &mut on_step };
            assert_eq!(said(gathering.infill(asked, &answer)), name.to_string());
            assert_eq!(steps, [name.to_string()]);
        };
        thread::scope(|scope| {
            scope.spawn(|| ask(0));
            while !gathering.lock().is_led {
                thread::yield_now();
            }
            for name in 1..6 {
                let ask = &ask;
                scope.spawn(move || ask(name));
            }
        });
        // One at a time there would be six.
        let sizes = sizes.into_inner().unwrap();
        assert_eq!((sizes[0], sizes.iter().sum::<usize>()), (1, 6));
        assert!(sizes[1..].iter().all(|size| *size <= 4) && sizes.len() <= 4, "{sizes:?}");
        assert!(!gathering.lock().is_led);
    }

    #[test]
    fn a_leader_that_panics_takes_nobody_with_it() {
        let gathering = Gathering::default();
        let (first, calls) = (Barrier::new(2), AtomicUsize::new(0));
        let answer = |together: Vec<Asked<'_>>| {
            match calls.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    first.wait();
                    wait_for(&gathering, 3);
                }
                1 => {
                    assert!(together.len() > 1);
                    panic!("the test wants this");
                }
                _ => assert_eq!(together.len(), 1),
            }
            together.into_iter().map(echo).collect()
        };
        let ask = |name: usize| {
            let (request, cancel) = (request(name), Cancel::new());
            let asked = Asked { request: &request, cancel: &cancel, on_step: &mut |_| {} };
            catch_unwind(AssertUnwindSafe(|| said(gathering.infill(asked, &answer))))
        };
        let answers: Vec<_> = thread::scope(|scope| {
            let ask = &ask;
            let leader = scope.spawn(move || ask(0));
            first.wait();
            let others: Vec<_> = (1..4).map(|name| scope.spawn(move || ask(name))).collect();
            [leader].into_iter().chain(others).map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        for (name, answer) in answers.iter().enumerate().filter(|(_, answer)| answer.is_ok()) {
            assert_eq!(answer.as_ref().unwrap(), &name.to_string());
        }
        assert!(!gathering.lock().is_led && gathering.lock().tickets.is_empty());
    }
}
