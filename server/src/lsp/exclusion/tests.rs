use proptest::prelude::*;

use super::{Exclusion, Reason};

fn reason(uri: &str) -> Option<Reason> {
    let (exclusion, problems) = Exclusion::new(&[], true, Vec::new());
    assert_eq!(problems, []);
    exclusion.reason(&uri.parse().expect("a URI"))
}

#[test]
fn files_that_hold_secrets_are_excluded() {
    for uri in [
        "file:///home/me/project/.env",
        "file:///p/.env.local",
        "file:///p/.envrc",
        "file:///p/%2Eenv",
        "file:///p/.ENV",
        "file:///p/server.pem",
        "file:///p/id.key",
        "file:///p/a.cert",
        "file:///p/a.crt",
        "file:///p/secrets.yaml",
        "file:///p/Secrets.toml",
        "file:///p/my%20secret.pem?query#fragment",
        "untitled:.env",
        "file:///c%3A%5Cp%5C.env",
        "file:///p/src/../.env",
        "file:///p/.env/.",
        "file:///p/.env/",
        "vscode-vfs://github/p/.env",
        "file://elsewhere/p/.env",
        "file:///p/%FF.pem",
    ] {
        assert_eq!(reason(uri), Some(Reason::Secret), "{uri}");
    }
}

#[test]
fn other_files_are_not() {
    for uri in [
        "file:///p/main.rs",
        "file:///p/.env/main.rs",
        "file:///p/environment.py",
        "file:///p/my.env.rs",
        "file:///p/secrets/main.rs",
        "file:///p/secrets",
        "file:///p/key",
        "untitled:Untitled-1",
        "file:///p/100%25.md",
        "file:///",
        "file:",
        "file:///p/%00/%FF",
        "untitled:",
    ] {
        assert_eq!(reason(uri), None, "{uri}");
    }
}

/// What the globs exclude in a workspace at `/w`.
fn excluded<'a>(globs: &[&str], uris: &[&'a str]) -> Vec<&'a str> {
    let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
    let (exclusion, problems) = Exclusion::new(&globs, true, vec!["/w".into()]);
    assert_eq!(problems, []);
    let is_excluded = |uri: &str| exclusion.reason(&uri.parse().expect("a URI")) == Some(Reason::Glob);
    uris.iter().copied().filter(|uri| is_excluded(uri)).collect()
}

#[cfg(not(windows))]
#[test]
fn globs_match_names_paths_and_folders() {
    let uris = [
        "file:///w/notes.txt",
        "file:///w/src/notes.txt",
        "file:///w/src/a/notes.txt",
        "file:///elsewhere/src/notes.txt",
        "untitled:notes.txt",
    ];
    assert_eq!(excluded(&["notes.txt"], &uris), uris);
    assert_eq!(excluded(&["*.txt"], &uris), uris);
    assert_eq!(excluded(&["src/*.txt"], &uris), [uris[1]]);
    assert_eq!(excluded(&["./src/**/*.txt"], &uris), [uris[1], uris[2]]);
    assert_eq!(excluded(&["src/"], &uris), [uris[1], uris[2]]);
    assert_eq!(excluded(&["a"], &uris), [uris[2]]);
    assert_eq!(excluded(&["/elsewhere"], &uris), [uris[3]]);
    assert_eq!(excluded(&["/w/src/*.txt"], &uris), [uris[1]]);
    assert_eq!(excluded(&["**/src/**"], &uris), [uris[1], uris[2], uris[3]]);
    assert_eq!(excluded(&["{x,notes}.[t]xt"], &uris), uris);
    // The names of folders above the workspace say nothing.
    assert_eq!(excluded(&["w", "elsewhere"], &uris), Vec::<&str>::new());
}

#[test]
fn a_wrong_glob_is_named_and_the_others_hold() {
    let globs = ["a[", "", "!b", "*.txt", "x\ny{"].map(str::to_owned);
    let (exclusion, problems) = Exclusion::new(&globs, true, Vec::new());
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the glob `a[` cannot be used: unclosed character class; missing ']'",
            "the glob `` is empty",
            "the glob `!b` begins with `!`, but nothing can be taken back here",
            "the glob `x\u{fffd}y{` cannot be used: unclosed alternate group; missing '}' \
             (maybe escape '{' with '[{]'?)",
        ]
    );
    assert!(problems.iter().all(|problem| problem.key == "exclude"));
    assert_eq!(exclusion.reason(&"untitled:b.txt".parse().expect("a URI")), Some(Reason::Glob));
}

#[test]
fn globs_beyond_all_reason_are_left_out() {
    let globs: Vec<String> = (0..1001).map(|number| format!("file{number}")).collect();
    let (exclusion, problems) = Exclusion::new(&globs, true, Vec::new());
    assert_eq!(problems.len(), 1);
    let reason = |uri: &str| exclusion.reason(&uri.parse().expect("a URI"));
    assert_eq!((reason("untitled:file999"), reason("untitled:file1000")), (Some(Reason::Glob), None));
}

#[cfg(not(windows))]
#[test]
fn what_git_ignores_is_left_alone_unless_it_need_not_be() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    std::fs::create_dir(folder.path().join(".git")).expect("a folder");
    std::fs::write(folder.path().join(".gitignore"), "my notes.txt\n").expect("a file");
    let uri = |scheme: &str| format!("{scheme}{}/my%20notes.txt", folder.path().display()).parse().expect("a URI");
    let (respecting, _) = Exclusion::new(&[], true, Vec::new());
    let (regardless, _) = Exclusion::new(&[], false, Vec::new());
    assert_eq!(respecting.reason(&uri("file://")), Some(Reason::IgnoredByGit));
    assert_eq!(respecting.reason(&uri("file://localhost")), Some(Reason::IgnoredByGit));
    assert_eq!(respecting.reason(&uri("file://elsewhere")), None);
    assert_eq!(respecting.reason(&uri("untitled:")), None);
    assert_eq!(regardless.reason(&uri("file://")), None);
}

proptest! {
    #[test]
    fn no_address_and_no_glob_makes_it_panic(
        uri in "(file|untitled|git):(//(localhost|h)?)?[/a-z.*%0-9\\[\\]]{0,40}",
        globs in prop::collection::vec("\\PC{0,12}|[*?/\\[\\]{}!,a-c.-]{0,12}", 0..4),
    ) {
        let (exclusion, problems) = Exclusion::new(&globs, true, vec!["/a".into(), "".into(), "..".into()]);
        prop_assert!(problems.len() <= globs.len());
        if let Ok(uri) = uri.parse() {
            // The same every time it is asked.
            prop_assert_eq!(exclusion.reason(&uri), exclusion.reason(&uri));
        }
    }
}
