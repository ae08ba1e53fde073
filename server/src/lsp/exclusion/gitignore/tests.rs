use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use tempfile::TempDir;

use super::IgnoredByGit;

/// A folder with these files in it, each a path and a text.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (path, text) in files {
        write(&folder.path().join(path), text);
    }
    folder
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Without the rules of whoever runs the tests.
fn ignored_by_git() -> IgnoredByGit {
    IgnoredByGit::new(Gitignore::empty())
}

/// Those of the files that are ignored.
fn ignored<'a>(folder: &TempDir, files: &[&'a str]) -> Vec<&'a str> {
    let ignored_by_git = ignored_by_git();
    files.iter().copied().filter(|file| ignored_by_git.contains(&folder.path().join(file))).collect()
}

#[test]
fn rules_hold_from_their_folder_down() {
    let folder = folder(&[
        (".git/HEAD", ""),
        (".gitignore", "\u{feff}*.log\n/build\ntarget/\nsub/one.txt\n# c\n[\n"),
        ("sub/.gitignore", "!keep.log\n/here\n"),
    ]);
    let files = [
        "a.log",
        "deep/er/a.log",
        "sub/keep.log",
        "keep.log",
        "build",
        "build/main.rs",
        "sub/build",
        "target",
        "target/x",
        "sub/target/debug/x",
        "sub/one.txt",
        "sub/sub/one.txt",
        "sub/here",
        "here",
        "main.rs",
    ];
    let expected = [
        "a.log",
        "deep/er/a.log",
        "keep.log",
        "build",
        "build/main.rs",
        "target/x",
        "sub/target/debug/x",
        "sub/one.txt",
        "sub/here",
    ];
    assert_eq!(ignored(&folder, &files), expected);
}

#[test]
fn nothing_in_an_ignored_folder_can_be_taken_back() {
    let folder = folder(&[(".git/HEAD", ""), (".gitignore", "out/\ndist/*\n!dist/keep\n"), ("out/.gitignore", "!*\n")]);
    assert_eq!(ignored(&folder, &["out/a", "dist/a", "dist/keep"]), ["out/a", "dist/a"]);
}

#[test]
fn outside_a_repository_nothing_is_ignored() {
    let folder = folder(&[(".gitignore", "*\n"), ("inner/.git/HEAD", ""), ("inner/.gitignore", "*.log\n")]);
    // A repository does not hear what lies above it.
    assert_eq!(ignored(&folder, &["a", "inner/a", "inner/a.log"]), ["inner/a.log"]);
}

#[test]
fn the_repositorys_own_excludes_and_the_users_come_after_the_folders() {
    let folder = folder(&[(".git/info/exclude", "*.tmp\n*.bak\n!mine.swp\n/only\n"), (".gitignore", "!keep.tmp\n")]);
    let mut everywhere = GitignoreBuilder::new("");
    everywhere.add_line(None, "*.swp").expect("a rule");
    let ignored_by_git = IgnoredByGit::new(everywhere.build().expect("rules"));
    for (file, is_ignored) in [
        ("a.tmp", true),
        ("keep.tmp", false),
        ("sub/a.bak", true),
        ("a.swp", true),
        ("mine.swp", false),
        ("only", true),
        ("sub/only", false),
        (".git/a.tmp", false),
    ] {
        assert_eq!(ignored_by_git.contains(&folder.path().join(file)), is_ignored, "{file}");
    }
}

#[test]
fn a_further_copy_of_a_repository_has_the_excludes_of_the_first() {
    let folder = folder(&[
        ("first/.git/info/exclude", "*.tmp\n"),
        ("first/.git/worktrees/second/commondir", "../..\n"),
        ("second/.git", "gitdir: ../first/.git/worktrees/second\n"),
        ("first/.git/modules/part/info/exclude", "*.bak\n"),
        ("first/part/.git", "gitdir: ../.git/modules/part"),
        ("broken/.git", "what"),
        ("broken/.gitignore", "*.tmp\n"),
    ]);
    let files = ["second/a.tmp", "second/a.bak", "first/part/a.tmp", "first/part/a.bak", "broken/a.tmp", "broken/a"];
    assert_eq!(ignored(&folder, &files), ["second/a.tmp", "first/part/a.bak", "broken/a.tmp"]);
}

#[test]
fn a_change_of_the_rules_counts_at_once() {
    let folder = folder(&[(".git/HEAD", ""), (".gitignore", "*.a\n")]);
    let ignored_by_git = ignored_by_git();
    let file = folder.path().join("x.a");
    assert!(ignored_by_git.contains(&file));
    // As long as before and, by the clock of many a file system, as old.
    write(&folder.path().join(".gitignore"), "*.b\n");
    assert!(!ignored_by_git.contains(&file));
    fs::remove_file(folder.path().join(".gitignore")).expect("removal");
    write(&folder.path().join("sub/.gitignore"), "*\n");
    assert!(!ignored_by_git.contains(&folder.path().join("x.b")));
    assert!(ignored_by_git.contains(&folder.path().join("sub/x.b")));
}

#[test]
fn rules_are_read_once_while_they_do_not_change() {
    let folder = folder(&[(".git/HEAD", ""), (".gitignore", "*.a\n")]);
    let rules = folder.path().join(".gitignore");
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let set_time = || File::options().write(true).open(&rules).and_then(|file| file.set_modified(long_ago));
    set_time().expect("a time");
    let ignored_by_git = ignored_by_git();
    let file = folder.path().join("x.a");
    assert!(ignored_by_git.contains(&file));
    // Behind its back, and therefore unseen.
    fs::write(&rules, "*.b\n").and_then(|()| set_time()).expect("a file");
    assert!(ignored_by_git.contains(&file));
}

#[test]
fn a_huge_file_of_rules_is_read_only_so_far() {
    let mut text = "first\n".to_owned();
    text.push_str(&"#\n".repeat(1 << 17));
    text.push_str("last\n");
    let folder = folder(&[(".git/HEAD", ""), (".gitignore", &text)]);
    assert_eq!(ignored(&folder, &["first", "last"]), ["first"]);
}

#[cfg(unix)]
#[test]
fn what_is_no_plain_file_has_no_rules() {
    let folder = folder(&[(".git/HEAD", ""), ("rules", "*\n"), ("sub/.gitignore/x", "")]);
    std::os::unix::fs::symlink("rules", folder.path().join(".gitignore")).expect("a link");
    assert_eq!(ignored(&folder, &["a", "sub/a"]), Vec::<&str>::new());
}

#[test]
fn a_very_deep_file_is_let_be() {
    let folder = folder(&[(".git/HEAD", ""), (".gitignore", "x\n")]);
    let deep = "d/".repeat(200) + "x";
    assert_eq!(ignored(&folder, &[&deep, "d/d/x"]), ["d/d/x"]);
}
