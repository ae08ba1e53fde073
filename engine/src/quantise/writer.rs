//! A safetensors file written as its tensors come, and a folder that gets its name when it is complete.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::Error;

/// Name, number format and shape of a tensor to come.
pub(super) struct Announced {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

impl Announced {
    pub(super) fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// A safetensors file whose header says what is still to be written.
pub(super) struct TensorFile {
    path: PathBuf,
    file: BufWriter<File>,
    left: usize,
}

/// What headers are padded to, so that tensors are aligned.
const ALIGNMENT: usize = 8;

impl TensorFile {
    /// Makes the file and writes its header; the tensors are to follow in this order.
    pub(super) fn create(path: &Path, tensors: Vec<Announced>) -> Result<Self, Error> {
        let mut left = 0;
        let infos = tensors
            .into_iter()
            .map(|tensor| {
                let start = left;
                left += tensor.bytes();
                let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape, data_offsets: (start, left) };
                (tensor.name, info)
            })
            .collect();
        // What other readers of these files look for.
        let format = [("format".to_owned(), "pt".to_owned())].into();
        let refuse = |error: &dyn std::fmt::Display| Error::checkpoint(path, format!("cannot be described: {error}"));
        let metadata = Metadata::new(Some(format), infos).map_err(|error| refuse(&error))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|error| refuse(&error))?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        let file = File::create_new(path).map_err(|source| Error::io(path, source))?;
        let mut file = Self { path: path.to_path_buf(), file: BufWriter::new(file), left: left + header.len() + 8 };
        file.write(&(header.len() as u64).to_le_bytes())?;
        file.write(&header)?;
        Ok(file)
    }

    /// Writes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.left = self.left.checked_sub(bytes.len()).expect("no more is written than was announced");
        self.file.write_all(bytes).map_err(|source| Error::io(&self.path, source))
    }

    /// Sees to it that all of it is on the disk.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        assert_eq!(self.left, 0, "all is written that was announced");
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|source| Error::io(&self.path, source))
    }
}

/// Writes a file of JSON as people read it.
pub(super) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), Error> {
    fs::write(path, format!("{value:#}\n")).map_err(|source| Error::io(path, source))
}

/// A folder that is removed with all that is in it, unless it is finished.
pub(super) struct UnfinishedFolder {
    path: PathBuf,
    finished: bool,
}

impl UnfinishedFolder {
    /// Makes a folder beside where the finished one will be, so that it can be renamed.
    pub(super) fn beside(output: &Path) -> Result<Self, Error> {
        let Some(name) = output.file_name() else {
            return Err(Error::Request(format!("{}: is not the name of a folder to make", output.display())));
        };
        let path = output.with_file_name(format!(".{}.unfinished-{}", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&path).map_err(|source| Error::io(&path, source))?;
        Ok(Self { path, finished: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its name.
    pub(super) fn finish(mut self, output: &Path) -> Result<(), Error> {
        fs::rename(&self.path, output).map_err(|source| Error::io(output, source))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for UnfinishedFolder {
    fn drop(&mut self) {
        if !self.finished {
            // Whoever could be told of a failure here is being told of a worse one.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
