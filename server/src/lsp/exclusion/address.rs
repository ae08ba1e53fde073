use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use tower_lsp::ls_types::Uri;

/// Where a document lies, as far as that is known.
#[derive(Debug)]
pub(super) struct Address {
    /// The last part of its path.
    pub(super) name: String,
    /// Its absolute path, without `.` and `..`, if it is a file of this machine's.
    pub(super) path: Option<PathBuf>,
}

impl Address {
    pub(super) fn of(uri: &Uri) -> Self {
        let is_here = uri.scheme().as_str().eq_ignore_ascii_case("file")
            && (cfg!(windows) || uri.authority().is_none_or(|authority| matches!(authority.host(), "" | "localhost")));
        let path = if is_here { file_path(uri).and_then(|path| normal(&path)) } else { None };
        Self { name: file_name(uri).unwrap_or_default(), path }
    }
}

/// The last part of an address' path.
pub(crate) fn file_name(uri: &Uri) -> Option<String> {
    let decoded = uri.path().decode().to_string_lossy();
    // A path of Windows may stand in an address that this machine takes for a single name.
    decoded.rsplit(['/', '\\']).find(|part| !matches!(*part, "" | ".")).map(str::to_owned)
}

#[cfg(unix)]
fn file_path(uri: &Uri) -> Option<Cow<'_, Path>> {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    // A name need not be UTF-8.
    Some(Cow::Owned(PathBuf::from(OsString::from_vec(uri.path().decode().to_bytes().into_owned()))))
}

#[cfg(not(unix))]
fn file_path(uri: &Uri) -> Option<Cow<'_, Path>> {
    uri.to_file_path()
}

/// The path without `.` and `..`; `None` where it is not absolute or has no name.
pub(super) fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            // Above the root is the root.
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(component),
        }
    }
    (normal.is_absolute() && normal.file_name().is_some()).then_some(normal)
}
