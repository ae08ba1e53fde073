//! `lacuna format`, through the binary.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/binary.rs"]
mod binary;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Output, Stdio};

use binary::lacuna;

const UNTIDY: &str = "#  A title\r\n* a\r\n";
const TIDY: &str = "# A title\r\n\r\n* a\r\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("untidy.md"), UNTIDY).unwrap();
    fs::write(folder.path().join("tidy.md"), TIDY).unwrap();
    fs::write(folder.path().join("latin1.md"), b"caf\xe9\n").unwrap();
    fs::create_dir(folder.path().join("folder.md")).unwrap();
    folder
}

fn format(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = lacuna(folder, &["format"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that is not asked for its input may be gone before it has it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What is printed, on both streams, and the status.
fn outcome(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn prints_the_text() {
    let folder = folder();
    let output = format(folder.path(), &["untidy.md"], "");
    assert_eq!(outcome(&output), (TIDY.to_owned(), String::new(), 0));
    let output = format(folder.path(), &["--no-model", "-", "tidy.md"], "a  b");
    assert_eq!(outcome(&output), (format!("a b\n{TIDY}"), String::new(), 0));
    assert_eq!(read(folder.path(), "untidy.md"), UNTIDY);
}

#[test]
fn checks() {
    let folder = folder();
    let output = format(folder.path(), &["--check", "tidy.md"], "");
    assert_eq!(outcome(&output), (String::new(), String::new(), 0));
    let output = format(folder.path(), &["--check", "untidy.md", "tidy.md", "-"], "\n\na\n");
    let said = "untidy.md: line 1: blanks and marks\n-: line 1: blank lines\n".to_owned();
    assert_eq!(outcome(&output), (said, String::new(), 1));
    assert_eq!(read(folder.path(), "untidy.md"), UNTIDY);
}

#[test]
fn writes_what_changes() {
    let folder = folder();
    let untidy = folder.path().join("untidy.md");
    fs::set_permissions(&untidy, Permissions::from_mode(0o640)).unwrap();
    symlink("untidy.md", folder.path().join("link.md")).unwrap();
    let before = fs::metadata(folder.path().join("tidy.md")).unwrap().modified().unwrap();
    let output = format(folder.path(), &["--write", "link.md", "tidy.md"], "");
    assert_eq!(outcome(&output), (String::new(), String::new(), 0));
    assert_eq!(read(folder.path(), "untidy.md"), TIDY);
    assert_eq!(fs::metadata(&untidy).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(folder.path().join("link.md")).unwrap().is_symlink());
    assert_eq!(fs::metadata(folder.path().join("tidy.md")).unwrap().modified().unwrap(), before);
    // Nothing is left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = folder();
    let untidy = folder.path().join("untidy.md");
    fs::set_permissions(&untidy, Permissions::from_mode(0o444)).unwrap();
    for (arguments, said) in [
        (&["none.md"][..], "none.md: No such file"),
        (&["latin1.md"], "latin1.md: not UTF-8 text, at byte 3"),
        (&["--check", "folder.md"], "folder.md: a folder, not a file"),
        (&["--write", "untidy.md"], "untidy.md: it is read-only"),
        (&["--write", "-"], "-: standard input cannot be written back"),
        (&["--model", "none", "tidy.md"], "none: No such file"),
    ] {
        let (stdout, stderr, code) = outcome(&format(folder.path(), arguments, ""));
        assert_eq!((stdout.as_str(), code), ("", 1), "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with(&format!("lacuna: {said}")), "{stderr}");
    }
    // One wrong file does not keep the others from being done.
    let (stdout, stderr, code) = outcome(&format(folder.path(), &["--no-model", "none.md", "untidy.md"], ""));
    assert_eq!((stdout.as_str(), stderr.lines().count(), code), (TIDY, 1, 1));
    assert_eq!(read(folder.path(), "untidy.md"), UNTIDY);
    for arguments in [&[][..], &["--check", "--write", "tidy.md"]] {
        let (stdout, stderr, code) = outcome(&format(folder.path(), arguments, ""));
        assert_eq!((stdout.as_str(), code), ("", 2), "{arguments:?}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[test]
fn what_is_left_alone_is_printed_as_it_was_and_says_so() {
    let folder = folder();
    let deep = format!("{} a\n\n#  b\n", ">".repeat(500));
    let (stdout, stderr, code) = outcome(&format(folder.path(), &["-"], &deep));
    assert_eq!((stdout, code), (deep, 0));
    assert!(stderr.starts_with("lacuna: -: left as it was: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

/// What the embedded model itself makes of plain defects.
#[test]
fn the_sample_is_mended() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/samples");
    let (stdout, stderr, code) = outcome(&format(&samples, &["--check", "notes.md"], ""));
    assert_eq!((stdout.lines().count(), stderr.as_str(), code), (8, "", 1), "{stdout}");
    let (mended, _, _) = outcome(&format(&samples, &["notes.md"], ""));
    for part in ["# Release notes\n", "```sh\n", "```rust\n", "- accounts", "| --- | --- | --- |\n", "   - Blank"] {
        assert!(mended.contains(part), "{part:?}: {mended}");
    }
    let (again, _, code) = outcome(&format(&samples, &["--check", "-"], &mended));
    assert_eq!((again.as_str(), code), ("", 0));
}
