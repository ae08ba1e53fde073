//! Files of weights in memory, without reading them first. The only `unsafe` of this crate is here.
#![expect(unsafe_code, reason = "mapping a file cannot be proved safe by the compiler")]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::Error;

/// A file mapped for reading.
///
/// Nobody may shorten or rewrite the file while this lives: its bytes would change under their readers, and a
/// read beyond its new end kills the process. Replacing it by renaming another over it does no harm.
#[derive(Debug)]
pub(super) struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a regular file that is not empty.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        super::files::check_regular(path)?;
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        // SAFETY: the mapping is private to this process and only ever read. What the compiler cannot see is that
        // no other process writes to the file, which is stated above as a condition; every use of the bytes treats
        // them as plain numbers, of which any bit pattern is one.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(path, source))?;
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
