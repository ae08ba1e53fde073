use super::*;
use crate::cli::fake::Fake;
use lacuna_engine::Device;

fn options() -> LocalOptions {
    LocalOptions { model: ModelSource::Embedded, device: Device::Auto, threads: None, ..LocalOptions::default() }
}

fn examine_with(fills: &'static [&'static str]) -> Report {
    examine(&options(), 0, &|_| Ok(Box::new(Fake::with_fills(fills))))
}

#[test]
fn what_works_is_said_in_full() {
    let report = examine_with(&[" + b"]);
    assert_eq!(report.problems, [""; 0]);
    let mut out = Vec::new();
    report.write(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    for part in ["fake, 7 parameters", "1024 tokens", "--device auto", "rust works", "python works", "` + b`"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let object = serde_json::to_value(&report).unwrap();
    assert_eq!(object["model"]["source"], "embedded");
    assert_eq!(object["trial"]["text"], " + b");
}

#[test]
fn what_does_not_work_is_a_problem() {
    assert_eq!(examine_with(&[]).problems, ["the model cannot fill a hole: cancelled"]);
    let report = examine(&options(), 0, &|_| Err(Error::Request("no weights".to_owned())));
    assert_eq!(report.problems, ["the model cannot be opened: no weights"]);
    assert!(report.model.is_none() && report.trial.is_none());
}

#[test]
fn the_layout_is_read_where_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(layout_version(folder.path()), None);
    std::fs::write(folder.path().join("config.json"), r#"{"lacuna": {"layout_version": 1}}"#).unwrap();
    assert_eq!(layout_version(folder.path()), Some(1));
}
