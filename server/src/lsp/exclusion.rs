//! Documents that are never read.

use tower_lsp::ls_types::Uri;

/// Why nothing is to be read of the document, in one sentence without its name; `None` if it may be read.
pub(crate) fn reason_to_exclude(uri: &Uri) -> Option<&'static str> {
    let path = uri.path().decode().to_string_lossy().to_ascii_lowercase();
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_secret = name.starts_with(".env")
        || name.starts_with("secrets.")
        || [".pem", ".key", ".cert", ".crt"].iter().any(|extension| name.ends_with(extension));
    is_secret.then_some("files with this name often hold secrets, so that they are never read")
}

#[cfg(test)]
mod tests {
    use super::reason_to_exclude;

    fn is_excluded(uri: &str) -> bool {
        reason_to_exclude(&uri.parse().expect("a URI")).is_some()
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
        ] {
            assert!(is_excluded(uri), "{uri}");
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
        ] {
            assert!(!is_excluded(uri), "{uri}");
        }
    }
}
