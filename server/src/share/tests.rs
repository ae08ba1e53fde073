//! Hosts and guests in one process: locks and sockets do not know the difference.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use lacuna_engine::{
    Cancel, Candidate, Description, Error, Extent, Hole, Infill, InfillRequest, Infiller, Language, Piece, Step,
};
use proptest::prelude::{any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use tempfile::TempDir;

use super::open_at;
use super::place::Place;
use super::protocol::{Ask, Messages, write};

/// Fills holes with what stands in them, backwards, after a step that shows it; waits for a cancel where the text says so.
struct Mirror {
    description: Description,
    is_waiting: Arc<AtomicBool>,
}

impl Mirror {
    fn boxed(is_waiting: &Arc<AtomicBool>) -> Box<dyn Infiller> {
        let description =
            Description { model: "mirror".to_owned(), device: "cpu".to_owned(), parameters: 7, context_tokens: 9 };
        Box::new(Self { description, is_waiting: Arc::clone(is_waiting) })
    }
}

impl Infiller for Mirror {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        assert!(!request.text.contains("panic"), "the test wants this");
        if request.text.contains("refuse") {
            return Err(Error::Request("it says so".to_owned()));
        }
        let fills: Vec<String> =
            request.holes.iter().map(|hole| request.text[hole.byte_range.clone()].chars().rev().collect()).collect();
        let draft: Vec<Vec<Piece>> =
            (fills.iter()).map(|fill| vec![Piece { text: fill.clone(), settled: true, certainty: 0.1 }]).collect();
        on_step(Step { index: 1, limit: 3, candidate: 0, holes: &draft });
        while request.text.contains("wait") {
            self.is_waiting.store(true, Ordering::SeqCst);
            if cancel.is_cancelled() {
                self.is_waiting.store(false, Ordering::SeqCst);
                return Err(Error::Cancelled);
            }
            std::thread::yield_now();
        }
        let candidate = Candidate {
            confidences: vec![1.0 / 3.0; fills.len()],
            choices: vec![None; fills.len()],
            fills,
            confidence: 1.0 / 3.0,
            tokens: 2,
            steps: 1,
        };
        Ok(Infill {
            candidates: vec![candidate],
            prompt: Default::default(),
            length: Default::default(),
            timings: Default::default(),
        })
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    fn token_count(&self, text: &str) -> Option<usize> {
        Some(text.len())
    }
}

struct Scene {
    folder: TempDir,
    is_waiting: Arc<AtomicBool>,
}

impl Scene {
    fn new() -> Self {
        Self { folder: TempDir::with_prefix("share").unwrap(), is_waiting: Arc::default() }
    }

    fn place(&self) -> Place {
        Place::within(&self.folder.path().join("own"), "mirror").unwrap()
    }

    /// As another process would; whether it had to load the model itself.
    fn open(&self) -> (Box<dyn Infiller>, bool) {
        let mut has_loaded = false;
        let engine = open_at(self.place(), || {
            has_loaded = true;
            Ok(Mirror::boxed(&self.is_waiting))
        });
        (engine.unwrap(), has_loaded)
    }
}

fn request(text: &str) -> InfillRequest {
    let holes = vec![Hole::new(0..text.len(), Extent::Line)];
    InfillRequest { seed: u64::MAX, ..InfillRequest::new(text, Language::Rust, holes) }
}

fn fill(engine: &dyn Infiller, text: &str) -> Result<Candidate, Error> {
    let infill = engine.infill(&request(text), &Cancel::new(), &mut |_| {})?;
    Ok(infill.candidates[0].clone())
}

#[test]
fn a_guest_gets_what_the_host_gets() {
    let scene = Scene::new();
    let (host, has_loaded) = scene.open();
    assert!(has_loaded);
    let guests = [scene.open(), scene.open()];
    assert!(guests.iter().all(|(_, has_loaded)| !has_loaded), "one engine serves all");
    let mut steps = Vec::new();
    for engine in [&host, &guests[0].0, &guests[1].0] {
        let mut on_step = |step: Step<'_>| steps.push((step.index, step.limit, step.holes.to_vec()));
        let found = engine.infill(&request("för 🦀"), &Cancel::new(), &mut on_step).unwrap();
        assert_eq!(found.candidates[0].fills, ["🦀 röf"]);
        assert_eq!(found.candidates[0], fill(&*host, "för 🦀").unwrap(), "floats included");
        assert_eq!(engine.token_count("abc"), Some(3));
        let error = fill(&**engine, "refuse").unwrap_err();
        assert!(matches!(&error, Error::Request(reason) if reason.contains("it says so")), "{error}");
    }
    assert!(steps.len() == 3 && steps[0] == steps[1] && steps[1] == steps[2]);
    let description = guests[0].0.describe();
    assert_eq!((description.model.as_str(), description.parameters), ("mirror", 7));
    assert_eq!(description.device, format!("cpu in process {}", std::process::id()));
}

#[test]
fn a_guests_request_is_cancelled_where_it_runs() {
    let scene = Scene::new();
    let (_host, _) = scene.open();
    let (guest, _) = scene.open();
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !scene.is_waiting.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        let result = guest.infill(&request("wait"), &cancel, &mut |_| {});
        assert!(matches!(result, Err(Error::Cancelled)));
    });
    assert_eq!(fill(&*guest, "ab").unwrap().fills, ["ba"], "the next request has its own answer");
    assert!(!guest.is_lost());
}

#[test]
fn when_the_host_ends_its_guests_know_and_one_takes_over() {
    let scene = Scene::new();
    let (host, _) = scene.open();
    let (guest, _) = scene.open();
    let (other, _) = scene.open();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| guest.infill(&request("wait"), &Cancel::new(), &mut |_| {}).map(drop));
        while !scene.is_waiting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        drop(host);
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Ended | Error::Cancelled), "{error}");
    });
    assert!(matches!(fill(&*guest, "ab"), Err(Error::Ended)));
    assert!(guest.is_lost());
    assert_eq!(other.token_count("abc"), None);
    assert!(other.is_lost());
    // What ran for a guest that is gone has been cancelled.
    while scene.is_waiting.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (next, has_loaded) = scene.open();
    assert!(has_loaded);
    let (guest, has_loaded) = scene.open();
    assert!(!has_loaded);
    assert_eq!(fill(&*guest, "ab").unwrap(), fill(&*next, "ab").unwrap());
}

#[test]
fn a_guest_that_goes_ends_what_runs_for_it() {
    let scene = Scene::new();
    let (host, _) = scene.open();
    let mut guest = UnixStream::connect(&scene.place().socket).unwrap();
    write(&mut guest, &Ask::Infill(request("wait"))).unwrap();
    while !scene.is_waiting.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    drop(guest);
    while scene.is_waiting.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    assert_eq!(fill(&*host, "ab").unwrap().fills, ["ba"]);
}

#[test]
fn a_request_that_panics_ends_its_guest_and_no_other() {
    let scene = Scene::new();
    let (host, _) = scene.open();
    let (guest, _) = scene.open();
    let (other, _) = scene.open();
    assert!(matches!(fill(&*guest, "panic"), Err(Error::Ended)));
    assert!(guest.is_lost());
    for engine in [&host, &other, &scene.open().0] {
        assert_eq!(fill(&**engine, "ab").unwrap().fills, ["ba"]);
    }
}

#[test]
fn a_second_process_waits_until_the_first_has_loaded() {
    let scene = Scene::new();
    let (loading, may_go_on) = (mpsc::channel(), mpsc::channel::<()>());
    std::thread::scope(|scope| {
        let (begun, go_on) = (loading.0, may_go_on.1);
        let (place, is_waiting) = (scene.place(), Arc::clone(&scene.is_waiting));
        let first = scope.spawn(move || {
            open_at(place, || {
                begun.send(()).unwrap();
                go_on.recv().unwrap();
                Ok(Mirror::boxed(&is_waiting))
            })
        });
        loading.1.recv().unwrap();
        let second = scope.spawn(|| scene.open().1);
        std::thread::sleep(Duration::from_millis(120));
        assert!(!second.is_finished());
        may_go_on.0.send(()).unwrap();
        let _host = first.join().unwrap().unwrap();
        assert!(!second.join().unwrap());
    });
}

#[test]
fn a_model_that_does_not_load_leaves_the_place_to_others() {
    let scene = Scene::new();
    let refused = open_at(scene.place(), || Err(Error::Request("no".to_owned())));
    assert!(matches!(refused, Err(Error::Request(_))));
    assert!(scene.open().1);
}

#[test]
fn a_socket_that_a_killed_host_left_behind_is_replaced() {
    let scene = Scene::new();
    let socket = scene.place().socket;
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let (_host, has_loaded) = scene.open();
    assert!(has_loaded);
    assert!(!scene.open().1);
}

#[test]
fn a_folder_that_others_can_enter_is_not_used() {
    let scene = Scene::new();
    let place = scene.place();
    let folder = place.socket.parent().unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o750)).unwrap();
    let error = Place::within(folder, "mirror").err().unwrap();
    assert!(error.to_string().contains("only its owner"), "{error}");
    let link = scene.folder.path().join("link");
    std::os::unix::fs::symlink(folder, &link).unwrap();
    assert!(Place::within(&link, "mirror").is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_do_more_than_refuse_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut messages = Messages::new(&bytes[..]);
        while messages.next::<Ask>().is_ok() {}
    }

    #[test]
    fn messages_arrive_in_whatever_parts(texts in prop::collection::vec(".{0,40}", 1..5), part in 1..50_usize) {
        /// Gives a few bytes at a time, and times out between them.
        struct Slow<'a>(&'a [u8], usize, bool);
        impl std::io::Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.2 = !self.2;
                if self.2 {
                    return Err(std::io::ErrorKind::WouldBlock.into());
                }
                let count = self.1.min(buffer.len()).min(self.0.len());
                let (now, later) = self.0.split_at(count);
                buffer[..count].copy_from_slice(now);
                self.0 = later;
                Ok(count)
            }
        }
        let mut bytes = Vec::new();
        for text in &texts {
            write(&mut bytes, &Ask::CountTokens(text.clone())).unwrap();
        }
        let mut messages = Messages::new(Slow(&bytes, part, false));
        for text in &texts {
            let found = loop {
                match messages.next::<Ask>() {
                    Err(error) if super::protocol::is_timeout(&error) => {}
                    found => break found.unwrap(),
                }
            };
            prop_assert!(matches!(&found, Ask::CountTokens(found) if found == text));
        }
        prop_assert_eq!(messages.next::<Ask>().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
