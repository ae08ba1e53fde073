//! What the binary does with bad input: one line on standard error, and a status other than 0.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/binary.rs"]
mod binary;

use std::fs;
use std::path::Path;
use std::process::Output;

use binary::lacuna;

const TEXT: &str = "fn main() {\n    let x = 1;\n}\n";

fn run(folder: &Path, arguments: &[&str]) -> Output {
    lacuna(folder, arguments).output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.rs"), TEXT).unwrap();
    fs::write(folder.path().join("latin1.rs"), b"// caf\xe9\n").unwrap();
    fs::create_dir(folder.path().join("folder.rs")).unwrap();
    folder
}

/// Asserts that the one line on standard error contains all of these, and that nothing was printed or written.
fn refuses(arguments: &[&str], parts: &[&str]) {
    let folder = folder();
    let output = run(folder.path(), arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    assert!(error.ends_with('\n') && !error.contains("panicked") && !error.contains("internal error"), "{error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?}: {part:?} is not in {error:?}");
    }
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(fs::read_to_string(folder.path().join("a.rs")).unwrap(), TEXT);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "{arguments:?} wrote something");
}

/// Asserts that the arguments are not understood.
fn misunderstands(arguments: &[&str], part: &str) {
    let folder = folder();
    let output = run(folder.path(), arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(error.starts_with("error: ") && error.contains(part) && !error.contains("panicked"), "{error}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

#[test]
fn files_that_cannot_be_read() {
    refuses(&["fill", "none.rs", "--at", "1:1"], &["none.rs: No such file"]);
    refuses(&["fill", "folder.rs", "--at", "1:1"], &["folder.rs: a folder"]);
    refuses(&["fill", "latin1.rs", "--at", "1:1"], &["latin1.rs: not UTF-8 text, at byte 6"]);
    refuses(&["fill", "two\nlines\x1b[2J", "--at", "1:1"], &["two␊lines␛[2J: No such file"]);
}

#[cfg(unix)]
#[test]
fn files_without_an_end() {
    refuses(&["fill", "/dev/zero", "--at", "1:1"], &["/dev/zero: larger than 64 MiB"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.rs");
    let output = lacuna(folder.path(), &["fill", "--at", "1:1"]).arg(name).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

#[test]
fn places_that_are_not_there() {
    refuses(&["fill", "a.rs", "--at", "9:1"], &["a.rs: --at: 9:1 is past the end: there are 4 lines"]);
    refuses(&["fill", "a.rs", "--at", "1:13"], &["1:13 is past the end of line 1 of 4, which has 11 characters"]);
    refuses(&["fill", "a.rs", "--at", "1:1", "--end", "5:1"], &["a.rs: --end: 5:1 is past the end"]);
    refuses(&["fill", "a.rs", "--at", "2:1", "--end", "1:1"], &["--end 1:1 stands before --at 2:1"]);
    let most = format!("{0}:{0}", usize::MAX);
    refuses(&["fill", "a.rs", "--at", &most], &["past the end"]);
}

#[test]
fn markers_that_are_not_there() {
    refuses(&["fill", "a.rs", "--holes", "<?>"], &["a.rs: there is no marker `<?>` in this file"]);
    refuses(&["fill", "a.rs", "--holes"], &["a.rs: there is no placeholder in this file"]);
    refuses(&["fill", "a.rs", "--holes", "--language", "text"], &["name the marker with --holes MARK"]);
    refuses(&["fill", "a.rs", "--holes", " "], &["a marker has to be something to see"]);
    refuses(&["fill", "a.rs", "--holes", ""], &["a marker has to be something to see"]);
    refuses(&["fill", "a.rs", "--holes", "a\nb"], &["a marker is no longer than a line"]);
}

#[test]
fn models_that_are_not_there() {
    for command in [vec!["fill", "a.rs", "--at", "1:1"], vec!["forward", "--input", "i", "--output", "o"]] {
        refuses(&[command.clone(), vec!["--model", "none"]].concat(), &["none: No such file"]);
        refuses(&[command.clone(), vec!["--model", "a.rs"]].concat(), &["a.rs: not a folder"]);
        refuses(&[command, vec!["--model", "folder.rs"]].concat(), &["folder.rs"]);
    }
}

#[test]
fn tensors_that_are_not_there() {
    refuses(&["forward", "--input", "none.safetensors", "--output", "out.safetensors"], &["none.safetensors"]);
    refuses(&["forward", "--input", "a.rs", "--output", "out.safetensors"], &["a.rs"]);
}

#[test]
fn a_sick_doctor_reports_and_fails() {
    let folder = folder();
    let output = run(folder.path(), &["doctor", "--json", "--model", "none"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["model"].is_null());
    assert!(report["problems"][0].as_str().unwrap().contains("none"), "{report}");
}

#[test]
fn arguments_that_are_not_understood() {
    misunderstands(&["fill", "a.rs"], "--at");
    misunderstands(&["fill", "", "--at", "1:1"], "<FILE>");
    for at in ["", "1", "0:1", "1:0", "1:-1", "x:y", "1:1:1"] {
        misunderstands(&["fill", "a.rs", "--at", at], "--at");
    }
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--candidates", "0"], "--candidates");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--extent", "page"], "--extent");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--language", "cobol"], "--language");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--watch", "--json"], "--json");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--holes"], "--holes");
    misunderstands(&["fill", "a.rs", "--end", "1:1", "--holes"], "--end");
    misunderstands(&["fill", "a.rs", "--end", "1:1"], "--at");
    misunderstands(&["fill", "a.rs", "--holes", "--watch"], "--watch");
    misunderstands(&["fill", "a.rs", "--holes", "--json", "--diff"], "--diff");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--diff"], "--diff");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--show-canvas", "--json"], "--json");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--device", "abacus"], "--device");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--seed", "-1"], "unexpected argument");
    misunderstands(&["fill", "a.rs", "--at", "1:1", "--threads", "0"], "--threads");
    misunderstands(&["no-such-command"], "no-such-command");
    misunderstands(&["forward"], "--input");
}

#[test]
fn help_is_there_for_all() {
    for command in ["lsp", "fill", "format", "eval", "forward", "bench", "doctor"] {
        let output = run(Path::new("."), &[command, "--help"]);
        assert!(output.status.success() && !output.stdout.is_empty(), "{command}");
    }
}

#[test]
fn the_schema_of_the_settings_is_printed() {
    let output = run(Path::new("."), &["lsp", "--schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(schema, lacuna_server::settings::Settings::schema());
}
