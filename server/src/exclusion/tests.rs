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
