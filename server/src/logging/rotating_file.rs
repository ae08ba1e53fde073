use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The most that a file grows to.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// How many full files are kept beside the one that is written.
const KEPT_FILES: u32 = 3;

/// A file that is moved aside when it is full, to its name with `.1` behind it, and the older ones to higher numbers.
///
/// Several processes may write the same file.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    /// Open from the first record on that could be written.
    file: Option<File>,
}

impl RotatingFile {
    /// The file is opened, and made if need be, at the first record.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, max_bytes: MAX_FILE_BYTES, file: None }
    }

    /// Appends a record, which is lost on an error. The next one may go better.
    pub(super) fn write(&mut self, record: &[u8]) -> io::Result<()> {
        // Others may write it too, so that only the file itself knows its length.
        let file = match self.file.take() {
            Some(file) if !self.is_full(&file.metadata()?, record) => file,
            _ => self.open(record)?,
        };
        self.file.insert(file).write_all(record)
    }

    fn open(&self, record: &[u8]) -> io::Result<File> {
        // Whoever shares the file may have moved it aside already.
        if fs::metadata(&self.path).is_ok_and(|metadata| self.is_full(&metadata, record)) {
            self.move_aside()?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.path)?;
        keep_private(&file)?;
        Ok(file)
    }

    fn is_full(&self, metadata: &Metadata, record: &[u8]) -> bool {
        let byte_length = metadata.len();
        metadata.is_file() && byte_length > 0 && byte_length + record.len() as u64 > self.max_bytes
    }

    fn move_aside(&self) -> io::Result<()> {
        for number in (1..KEPT_FILES).rev() {
            // Most of the time there are not that many yet.
            let _ = fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1));
        }
        fs::rename(&self.path, numbered(&self.path, 1))
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Has nobody but the owner read a file that was there before.
#[cfg(unix)]
fn keep_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata()?;
    let others_may = metadata.permissions().mode() & 0o077 != 0;
    if metadata.is_file() && others_may { file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) }
}

#[cfg(not(unix))]
fn keep_private(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::RotatingFile;

    fn rotating(path: PathBuf) -> RotatingFile {
        RotatingFile { max_bytes: 10, ..RotatingFile::new(path) }
    }

    fn texts(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
        entries
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).expect("a text");
                (entry.file_name().into_string().expect("a name"), text)
            })
            .collect()
    }

    fn expect(folder: &TempDir, files: &[(&str, &str)]) {
        let files = files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        assert_eq!(texts(folder.path()), files);
    }

    #[test]
    fn no_file_grows_too_large_and_no_more_are_kept_than_three() {
        let folder = TempDir::new().expect("a folder");
        let mut file = rotating(folder.path().join("log"));
        for number in 0..5 {
            file.write(format!("{number}aaa\n").as_bytes()).expect("a record");
            file.write(format!("{number}bbb\n").as_bytes()).expect("a record");
        }
        expect(
            &folder,
            &[("log", "4aaa\n4bbb\n"), ("log.1", "3aaa\n3bbb\n"), ("log.2", "2aaa\n2bbb\n"), ("log.3", "1aaa\n1bbb\n")],
        );
    }

    #[test]
    fn what_was_there_before_is_kept_and_counted() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "before").expect("a file");
        rotating(path.clone()).write(b"one\n").expect("a record");
        rotating(path).write(b"two\n").expect("a record");
        expect(&folder, &[("log", "two\n"), ("log.1", "beforeone\n")]);
    }

    #[test]
    fn two_may_write_the_same_file() {
        let folder = TempDir::new().expect("a folder");
        let [mut one, mut other] = [(); 2].map(|()| rotating(folder.path().join("log")));
        for record in ["1\n", "2\n", "3\n"] {
            one.write(record.as_bytes()).expect("a record");
            other.write(record.as_bytes()).expect("a record");
        }
        // The first to find it full has moved it aside, and the second goes on in the new one.
        expect(&folder, &[("log", "3\n"), ("log.1", "1\n1\n2\n2\n3\n")]);
        one.write(b"4\n").expect("a record");
        other.write(b"4\n").expect("a record");
        expect(&folder, &[("log", "3\n4\n4\n"), ("log.1", "1\n1\n2\n2\n3\n")]);
    }

    #[test]
    fn after_an_error_the_next_record_may_go_better() {
        let folder = TempDir::new().expect("a folder");
        let inner = folder.path().join("not there yet");
        let mut file = rotating(inner.join("log"));
        assert!(file.write(b"lost\n").is_err());
        fs::create_dir(&inner).expect("a folder");
        file.write(b"one\n").expect("a record");
        assert_eq!(texts(&inner)["log"], "one\n");
    }

    #[test]
    fn a_file_that_cannot_be_moved_aside_does_not_grow() {
        let folder = TempDir::new().expect("a folder");
        let mut file = rotating(folder.path().join("log"));
        file.write(b"12345678\n").expect("a record");
        for in_the_way in ["log.1/x", "log.2/x", "log.3/x"] {
            fs::create_dir_all(folder.path().join(in_the_way)).expect("a folder");
        }
        assert!(file.write(b"12345678\n").is_err());
        assert_eq!(fs::read_to_string(folder.path().join("log")).expect("a text"), "12345678\n");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = TempDir::new().expect("a folder");
        let mode = |name: &str| fs::metadata(folder.path().join(name)).expect("a file").permissions().mode() & 0o777;
        rotating(folder.path().join("new")).write(b"1\n").expect("a record");
        assert_eq!(mode("new"), 0o600);
        fs::write(folder.path().join("old"), "").expect("a file");
        fs::set_permissions(folder.path().join("old"), fs::Permissions::from_mode(0o644)).expect("permissions");
        rotating(folder.path().join("old")).write(b"1\n").expect("a record");
        assert_eq!(mode("old"), 0o600);
    }
}
