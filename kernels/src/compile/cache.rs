//! Compiled kernels on disk, a file each, named and headed by what they were made from.
//!
//! A file begins with a line that holds its whole key and the image's length and checksum. One that does not begin with the line that is
//! expected, or ends early, is as good as none.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// What an image depends on.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) family: &'a str,
    pub(crate) architecture: &'a str,
    pub(crate) driver_version: i32,
    pub(crate) source: &'a str,
}

impl Key<'_> {
    fn path(&self, folder: &Path) -> PathBuf {
        let Self { family, architecture, driver_version, source } = self;
        folder.join(format!(
            "{family}-sm_{architecture}-driver{driver_version}-{:016x}.cubin",
            checksum(source.as_bytes())
        ))
    }

    fn header(&self, image: &[u8]) -> String {
        let Self { family, architecture, driver_version, source } = self;
        format!(
            "lacuna {} {family} sm_{architecture} driver {driver_version} source {:016x} {} image {} {:016x}\n",
            env!("CARGO_PKG_VERSION"),
            checksum(source.as_bytes()),
            source.len(),
            image.len(),
            checksum(image)
        )
    }
}

/// Where a user's caches are: `XDG_CACHE_HOME`, or `LOCALAPPDATA`, or `.cache` at home. None where the environment says nothing.
pub(crate) fn folder() -> Option<PathBuf> {
    let named = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches =
        named("XDG_CACHE_HOME").or_else(|| named("LOCALAPPDATA")).or_else(|| Some(named("HOME")?.join(".cache")));
    Some(caches?.join("lacuna").join("kernels"))
}

/// The image with this key, if it is there and whole.
pub(crate) fn read(folder: &Path, key: &Key<'_>) -> Option<Vec<u8>> {
    let file = fs::read(key.path(folder)).ok()?;
    let end = file.iter().position(|byte| *byte == b'\n')? + 1;
    let image = &file[end..];
    (file[..end] == *key.header(image).as_bytes()).then(|| image.to_vec())
}

/// Puts an image into the folder, whole or not at all.
pub(crate) fn write(folder: &Path, key: &Key<'_>, image: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = key.path(folder);
    // Of two processes that write the same, each has a file of its own until it is whole.
    let part = path.with_extension(format!("{}.part", process::id()));
    let mut file = key.header(image).into_bytes();
    file.extend_from_slice(image);
    let written = fs::write(&part, file).and_then(|()| fs::rename(&part, &path));
    if written.is_err() {
        // What is left of it is in nobody's way.
        let _ = fs::remove_file(&part);
    }
    written
}

/// FNV-1a, 64 bits: tells a changed source and a damaged file from what was written.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'_> = Key { family: "norm", architecture: "90a", driver_version: 12080, source: "source" };

    #[test]
    fn an_image_comes_back_for_its_own_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("caches");
        assert_eq!(read(&folder, &KEY), None);
        write(&folder, &KEY, b"image\nof two lines").unwrap();
        assert_eq!(read(&folder, &KEY).unwrap(), b"image\nof two lines");
        assert_eq!(read(&folder, &Key { driver_version: 13000, ..KEY }), None);
        assert_eq!(read(&folder, &Key { architecture: "80", ..KEY }), None);
        assert_eq!(read(&folder, &Key { source: "another", ..KEY }), None);
        write(&folder, &KEY, b"newer").unwrap();
        assert_eq!(read(&folder, &KEY).unwrap(), b"newer");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no half of a file is left");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &KEY, &[7; 100]).unwrap();
        let path = KEY.path(folder.path());
        let whole = fs::read(&path).unwrap();
        for length in [0, 10, whole.len() - 101, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(folder.path(), &KEY), None, "cut to {length} bytes");
        }
        for at in [3, whole.len() - 50] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(read(folder.path(), &KEY), None, "byte {at} changed");
        }
        fs::write(&path, &whole).unwrap();
        assert!(read(folder.path(), &KEY).is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(write(&file.path().join("below a file"), &KEY, b"image").is_err());
    }
}
