//! The journal's directory: private, locked, and marked with what it is.
//!
//! The marker is a line of text in the file `format`, readable by people and by every later
//! version. A directory in which a journal is being rebuilt holds the file `restoring` from before the
//! first entry until after the last: one that still has it is not used, and may be begun again. The
//! lock is the operating system's, on the file `lock`: it ends with the process,
//! however that ends. A directory that holds anything else is left untouched.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Error;

const LOCK: &str = "lock";
const MARKER: &str = "format";
const MARKER_DRAFT: &str = "format.new";
const MARKER_KIND: &str = "pulseward-journal";
const MARKER_VERSION: u32 = 1;
const RESTORING: &str = "restoring";
const STORAGE: &str = "fjall";

/// What is in a directory that may be a journal's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, or no directory.
    Nothing,
    /// A journal whose rebuilding was cut off.
    Unfinished,
    /// A journal.
    Journal,
}

/// A locked journal directory.
pub(super) struct Directory {
    path: PathBuf,
    /// Held, never used: closing it gives the lock back.
    _lock: File,
}

impl Directory {
    /// Makes or checks the directory and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if contents(path)? == Contents::Unfinished {
            return Err(Error::Unfinished { dir: path.to_owned() });
        }
        let directory = Self::locked(path)?;
        directory.mark()?;
        Ok(directory)
    }

    /// Makes the directory, or takes one in which a journal was being rebuilt, and begins anew in
    /// it. One that holds a journal is refused and left untouched.
    pub(super) fn begin_restored(path: &Path) -> Result<Self, Error> {
        let directory = Self::locked(path)?;
        if contents(path)? == Contents::Journal {
            return Err(Error::InUse { dir: path.to_owned() });
        }
        directory.begin_anew().map_err(failed("preparing", path))?;
        directory.mark()?;
        Ok(directory)
    }

    /// The journal is rebuilt: from here on it is one like any other.
    pub(super) fn finish_restored(&self) -> Result<(), Error> {
        let path = self.path.join(RESTORING);
        let finished = fs::remove_file(&path).and_then(|()| sync(&self.path));
        finished.map_err(failed("removing", &path))
    }

    fn locked(path: &Path) -> Result<Self, Error> {
        create_private(path).map_err(failed("creating", path))?;
        read_marker(path)?;
        restrict(path).map_err(failed("setting the mode of", path))?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn mark(&self) -> Result<(), Error> {
        if !read_marker(&self.path)? {
            write_marker(&self.path).map_err(failed("marking", &self.path))?;
        }
        Ok(())
    }

    /// Says first that what follows is unfinished, so that nothing but a rest of that is removed.
    fn begin_anew(&self) -> io::Result<()> {
        File::create(self.path.join(RESTORING))?.sync_all()?;
        sync(&self.path)?;
        match fs::remove_dir_all(self.storage()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync(&self.path),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the storage engine has its files.
    pub(super) fn storage(&self) -> PathBuf {
        self.path.join(STORAGE)
    }
}

/// What is in `dir`.
pub(super) fn contents(dir: &Path) -> Result<Contents, Error> {
    if !dir.is_dir() {
        return Ok(Contents::Nothing);
    }
    let is_marked = read_marker(dir)?;
    if dir.join(RESTORING).exists() {
        Ok(Contents::Unfinished)
    } else if is_marked {
        Ok(Contents::Journal)
    } else {
        Ok(Contents::Nothing)
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Directory { action, path, source }
}

/// Creates what is missing of the path, each part durable in its parent.
fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_private(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    sync(parent.unwrap_or(Path::new(".")))
}

/// Takes group's and others' rights from a directory that someone else made.
#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> io::Result<()> {
    Ok(())
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed("locking", &path)(source)),
    }
}

/// Whether the directory is a journal's; false if it may become one.
fn read_marker(dir: &Path) -> Result<bool, Error> {
    let path = dir.join(MARKER);
    match fs::read_to_string(&path) {
        Ok(text) => check_marker(dir, &text).map(|()| true),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            if is_unused(dir).map_err(failed("listing", dir))? {
                Ok(false)
            } else {
                Err(Error::NotAJournal { dir: dir.to_owned() })
            }
        }
        Err(source) => Err(failed("reading", &path)(source)),
    }
}

fn check_marker(dir: &Path, text: &str) -> Result<(), Error> {
    let version = text
        .trim_end()
        .strip_prefix(MARKER_KIND)
        .and_then(|rest| rest.strip_prefix(' '))
        .and_then(|version| version.parse().ok());
    match version {
        Some(MARKER_VERSION) => Ok(()),
        Some(version) if version > MARKER_VERSION => {
            Err(Error::Newer { dir: dir.to_owned(), version })
        }
        _ => Err(Error::NotAJournal { dir: dir.to_owned() }),
    }
}

/// Whether nothing is in it but what an open that was cut short leaves.
fn is_unused(dir: &Path) -> io::Result<bool> {
    for found in fs::read_dir(dir)? {
        let name = found?.file_name();
        if name != LOCK && name != MARKER_DRAFT && name != RESTORING {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_marker(dir: &Path) -> io::Result<()> {
    let draft = dir.join(MARKER_DRAFT);
    let mut file = File::create(&draft)?;
    writeln!(file, "{MARKER_KIND} {MARKER_VERSION}")?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(MARKER))?;
    sync(dir)
}

/// The length of all files in a directory and below. What vanishes meanwhile counts as gone.
pub(super) fn bytes_in(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let Some(listing) = unless_gone(fs::read_dir(dir))? else { return Ok(0) };
    for found in listing {
        let Some(found) = unless_gone(found)? else { continue };
        let Some(metadata) = unless_gone(found.metadata())? else { continue };
        bytes += if metadata.is_dir() { bytes_in(&found.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes names in a directory durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().expect("temporary directory");
        let dir = parent.path().join("a").join("journal");
        (parent, dir)
    }

    #[test]
    fn a_new_directory_is_private_and_marked() {
        let (_parent, dir) = fresh();
        drop(Directory::open(&dir).expect("new"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&dir).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        assert_eq!(fs::read_to_string(dir.join(MARKER)).expect("marker"), "pulseward-journal 1\n");
        Directory::open(&dir).expect("again");
    }

    #[test]
    fn a_second_holder_is_told_which_directory_is_locked() {
        let (_parent, dir) = fresh();
        let _held = Directory::open(&dir).expect("new");
        let error = Directory::open(&dir).err().expect("locked");
        assert!(matches!(error, Error::Locked { .. }));
        assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
    }

    #[test]
    fn a_directory_of_something_else_is_refused_and_left_untouched() {
        let (_parent, dir) = fresh();
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("thesis.txt"), "years of work").expect("written");
        assert!(matches!(Directory::open(&dir), Err(Error::NotAJournal { .. })));
        assert_eq!(fs::read_dir(&dir).expect("listed").count(), 1);
    }

    #[test]
    fn a_newer_format_and_a_foreign_marker_are_told_apart() {
        let (_parent, dir) = fresh();
        drop(Directory::open(&dir).expect("new"));
        fs::write(dir.join(MARKER), "pulseward-journal 2\n").expect("written");
        assert!(matches!(Directory::open(&dir), Err(Error::Newer { version: 2, .. })));
        fs::write(dir.join(MARKER), "something else\n").expect("written");
        assert!(matches!(Directory::open(&dir), Err(Error::NotAJournal { .. })));
    }

    #[test]
    fn a_journal_that_is_being_rebuilt_is_not_used_before_it_is_whole() {
        let (_parent, dir) = fresh();
        assert_eq!(contents(&dir).expect("nothing there"), Contents::Nothing);
        let first = Directory::begin_restored(&dir).expect("begun");
        fs::create_dir_all(first.storage()).expect("made");
        fs::write(first.storage().join("half"), "").expect("written");
        drop(first);
        assert_eq!(contents(&dir).expect("cut off"), Contents::Unfinished);
        assert!(matches!(Directory::open(&dir), Err(Error::Unfinished { .. })));
        let again = Directory::begin_restored(&dir).expect("begun again");
        assert!(!again.storage().exists(), "what was cut off is gone");
        again.finish_restored().expect("finished");
        drop(again);
        assert_eq!(contents(&dir).expect("whole"), Contents::Journal);
        assert!(matches!(Directory::begin_restored(&dir), Err(Error::InUse { .. })));
        Directory::open(&dir).expect("a journal like any other");
    }

    #[test]
    fn every_file_counts_by_its_length() {
        let (_parent, dir) = fresh();
        assert_eq!(bytes_in(&dir).expect("nothing there"), 0);
        fs::create_dir_all(dir.join("below")).expect("made");
        fs::write(dir.join("one"), [0; 10]).expect("written");
        fs::write(dir.join("below").join("two"), [0; 32]).expect("written");
        assert_eq!(bytes_in(&dir).expect("counted"), 42);
    }

    #[test]
    fn an_open_that_was_cut_short_is_taken_up_again() {
        let (_parent, dir) = fresh();
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join(LOCK), "").expect("written");
        fs::write(dir.join(MARKER_DRAFT), "pulsew").expect("written");
        Directory::open(&dir).expect("taken up");
    }
}
