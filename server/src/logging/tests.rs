use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tracing::subscriber::with_default;

use super::build;
use crate::settings::{LogLevel, LogSettings};

/// A standard error that can be read.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn at(level: LogLevel) -> LogSettings {
    LogSettings { level, ..LogSettings::default() }
}

fn to(file: &Path) -> LogSettings {
    LogSettings { file: Some(file.to_owned()), ..LogSettings::default() }
}

/// What standard error gets of `events`, after all of them, with these settings changed from the first to the last.
fn logged(from_environment: Option<&str>, settings: &[LogSettings], events: impl Fn()) -> String {
    let sink = Sink::default();
    let (subscriber, handle) = build(&settings[0], from_environment.map(str::to_owned), sink.clone());
    with_default(subscriber, || {
        events();
        for settings in &settings[1..] {
            handle.apply(settings);
            events();
        }
    });
    drop(handle);
    sink.text()
}

fn every_level() {
    tracing::error!("e.");
    tracing::warn!("w.");
    tracing::info!("i.");
    tracing::debug!("d.");
    tracing::trace!("t.");
}

/// The initials of what was logged.
fn initials(log: &str) -> String {
    log.lines().filter_map(|line| line.rsplit(": ").next()?.strip_suffix('.')).collect()
}

#[test]
fn the_level_can_be_changed_at_any_time() {
    let log = logged(None, &[at(LogLevel::Warn), at(LogLevel::Trace), at(LogLevel::Error)], every_level);
    assert_eq!(initials(&log), "ewewidte", "{log}");
}

#[test]
fn the_environment_comes_before_the_setting_if_it_is_understood() {
    let settings = [at(LogLevel::Error), at(LogLevel::Trace)];
    assert_eq!(initials(&logged(Some("info"), &settings, every_level)), "ewiewi");
    assert_eq!(initials(&logged(Some("=what=?"), &settings, every_level)), "eewidt");
}

#[test]
fn what_might_quote_a_document_is_logged_only_if_that_is_asked_for() {
    let events = || {
        tracing::trace!(target: "tower_lsp_server", "quoted.");
        tracing::trace!(target: "tower_lsp_server::service", "quoted.");
        tracing::error!(target: "tower_lsp_server::codec", "noise.");
    };
    let with_text = LogSettings { level: LogLevel::Trace, text: true, ..LogSettings::default() };
    assert_eq!(logged(None, &[at(LogLevel::Trace)], events), "");
    let named = "tower_lsp_server=trace,tower_lsp_server::service=trace,trace";
    assert_eq!(logged(Some(named), &[at(LogLevel::Trace)], events), "");
    assert_eq!(initials(&logged(None, &[with_text], events)), "quotedquotednoise");
}

/// The file's text once it has so many lines: nobody waits for a file that is not the last one to be written.
fn text_with_lines(path: &Path, lines: usize) -> String {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= lines || start.elapsed() > Duration::from_secs(60) {
            return text;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_file_gets_what_standard_error_gets_for_as_long_as_it_is_set() {
    let folder = TempDir::new().expect("a folder");
    let [one, other] = ["one.log", "other.log"].map(|name| folder.path().join(name));
    let log = logged(None, &[to(&one), to(&one), to(&other), LogSettings::default()], || tracing::warn!("w."));
    assert_eq!(initials(&log), "wwww");
    let texts = [(one, 2), (other, 1)].map(|(path, lines)| text_with_lines(&path, lines));
    assert_eq!(texts.each_ref().map(|text| initials(text)), ["ww", "w"]);
    assert!(log.starts_with(&texts[0]) && !texts[0].contains('\u{1b}'), "{log}");
}

#[test]
fn a_file_that_cannot_be_written_is_one_warning() {
    let folder = TempDir::new().expect("a folder");
    let log = logged(None, &[to(&folder.path().join("missing/lacuna.log"))], || {
        tracing::warn!("1.");
        tracing::warn!("2.");
    });
    assert_eq!(initials(&log), "12");
    assert_eq!(log.matches("lacuna: the log file cannot be written: ").count(), 1, "{log}");
    assert_eq!(log.lines().count(), 3, "{log}");
}

/// Writes nothing before the other end of the channel is gone.
struct Stuck {
    until: Receiver<()>,
    sink: Sink,
}

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.until.recv();
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nobody_waits_for_a_reader_that_does_not_read() {
    let (release, until) = channel();
    let sink = Sink::default();
    let (subscriber, handle) = build(&LogSettings::default(), None, Stuck { until, sink: sink.clone() });
    // Would never end if any of these waited.
    with_default(subscriber, || (0..3000).for_each(|_| tracing::warn!("w.")));
    drop(release);
    drop(handle);
    let log = sink.text();
    let written = initials(&log).len();
    assert!((1024..=1025).contains(&written), "{written}");
    assert!(log.contains(&format!("lacuna: {} records were lost", 3000 - written)), "{log}");
}

#[test]
fn an_endless_record_is_cut() {
    let log = logged(None, &[LogSettings::default()], || tracing::warn!("{}", "x".repeat(1 << 20)));
    assert!(log.ends_with("xxx ...\n") && log.len() < 1 << 15, "{}", log.len());
}
