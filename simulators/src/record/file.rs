//! The record's files: written in order, read back in order.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::{Entry, Error, Run, VERSION, What};

const RUN_FILE: &str = "run.json";
const ENTRIES_FILE: &str = "entries";
/// No entry is longer: a payload of MQTT has 256 MiB at most, ours a few KiB.
const ENTRY_BYTES_MAX: usize = 1 << 28;

/// Writes a record. Dropping it without [`Writer::close`] may lose the newest entries.
#[derive(Debug)]
pub struct Writer {
    entries: BufWriter<File>,
    path: PathBuf,
    buffer: Vec<u8>,
}

impl Writer {
    /// Begins a record in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// If there is a record already, or the directory can't be written.
    pub fn create(dir: &Path, run: &Run) -> Result<Self, Error> {
        let path = dir.join(ENTRIES_FILE);
        let file = |doing, path: &Path, source| Error::File { doing, path: path.into(), source };
        std::fs::create_dir_all(dir).map_err(|source| file("making", dir, source))?;
        let entries = File::create_new(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: dir.into() },
            _ => file("making", &path, source),
        })?;
        let run_path = dir.join(RUN_FILE);
        let text = serde_json::to_vec_pretty(run)
            .map_err(|source| Error::Run { path: run_path.clone(), source })?;
        std::fs::write(&run_path, text).map_err(|source| file("writing", &run_path, source))?;
        Ok(Self { entries: BufWriter::with_capacity(1 << 18, entries), path, buffer: Vec::new() })
    }

    /// Adds what happened.
    ///
    /// # Errors
    /// If it can't be written, as on a full disk.
    pub fn add(&mut self, at_micros: u64, what: What) -> Result<(), Error> {
        self.buffer.clear();
        let entry = Entry { at_micros, what: Some(what) };
        entry.encode_length_delimited(&mut self.buffer).expect("a vector grows");
        self.entries.write_all(&self.buffer).map_err(|source| self.failed(source))
    }

    /// Writes what is left, and waits until the disk has it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn close(mut self) -> Result<(), Error> {
        let flushed = self.entries.flush().and_then(|()| self.entries.get_ref().sync_all());
        flushed.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File { doing: "writing", path: self.path.clone(), source }
    }
}

/// A record, read one entry after the other.
#[derive(Debug)]
pub struct Read {
    /// What the run was.
    pub run: Run,
    entries: BufReader<File>,
    path: PathBuf,
    offset: u64,
    is_whole: bool,
}

/// Opens the record in `dir`.
///
/// # Errors
/// If it is not there, or not a record of this version.
pub fn read(dir: &Path) -> Result<Read, Error> {
    let run_path = dir.join(RUN_FILE);
    let file = |path: &Path, source| Error::File { doing: "reading", path: path.into(), source };
    let text = std::fs::read(&run_path).map_err(|source| file(&run_path, source))?;
    let refused = |source| Error::Run { path: run_path.clone(), source };
    let found: serde_json::Value = serde_json::from_slice(&text).map_err(refused)?;
    if let Some(version) = found["version"].as_u64().and_then(|it| u32::try_from(it).ok())
        && version != VERSION
    {
        return Err(Error::Version { path: run_path, found: version });
    }
    let run = serde_json::from_value(found).map_err(refused)?;
    let path = dir.join(ENTRIES_FILE);
    let entries = File::open(&path).map_err(|source| file(&path, source))?;
    let entries = BufReader::with_capacity(1 << 18, entries);
    Ok(Read { run, entries, path, offset: 0, is_whole: true })
}

impl Read {
    /// Whether the last entry that was begun is whole: false, once all were read, of a run that was
    /// killed while it wrote.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let Some(length) = self.length()? else { return Ok(None) };
        let mut bytes = vec![0; length];
        match self.entries.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.is_whole = false;
                return Ok(None);
            }
            Err(source) => return Err(self.failed(source)),
        }
        let entry = Entry::decode(&*bytes).map_err(|_| self.no_entry())?;
        self.offset += (length + prost::length_delimiter_len(length)) as u64;
        Ok(Some(entry))
    }

    /// The length of the next entry; `None` at the end.
    fn length(&mut self) -> Result<Option<usize>, Error> {
        let mut prefix = Vec::with_capacity(10);
        for byte in self.entries.by_ref().bytes() {
            let byte = byte.map_err(|source| Error::File {
                doing: "reading",
                path: self.path.clone(),
                source,
            })?;
            prefix.push(byte);
            if byte < 0x80 || prefix.len() == 10 {
                let length = prost::decode_length_delimiter(&*prefix).ok();
                let length = length.filter(|length| *length <= ENTRY_BYTES_MAX);
                return length.map(Some).ok_or_else(|| self.no_entry());
            }
        }
        self.is_whole = prefix.is_empty();
        Ok(None)
    }

    fn no_entry(&self) -> Error {
        Error::Entry { path: self.path.clone(), offset: self.offset }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File { doing: "reading", path: self.path.clone(), source }
    }
}

impl Iterator for Read {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::{Device, Mark};
    use super::*;

    fn run() -> Run {
        Run {
            version: VERSION,
            began_at: "2026-01-31T08:15:00.123456Z".parse().expect("valid"),
            site: "icu".to_owned(),
            seed: u64::MAX,
            profile: vec![0, 1, 254, 255],
            scenario: serde_json::json!({ "devices": 2 }),
            devices: vec![Device {
                device_id: "d-1".to_owned(),
                patient_id: Some("p-1".to_owned()),
                is_enrolled: true,
                bound_from: "2026-01-31T07:15:00Z".parse().expect("valid"),
                upload_interval: SignedDuration::from_mins(5),
                measures_every: SignedDuration::from_secs(1),
            }],
        }
    }

    fn mark(number: usize) -> What {
        What::Mark(Mark { text: "x".repeat(number * 40) })
    }

    /// A directory with a record of so many marks.
    fn recorded(marks: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = Writer::create(dir.path(), &run()).expect("a record");
        (0..marks).for_each(|number| writer.add(number as u64, mark(number)).expect("room"));
        writer.close().expect("room");
        dir
    }

    #[test]
    fn what_was_written_is_read_in_order() {
        let dir = recorded(20);
        let mut read = read(dir.path()).expect("a record");
        assert_eq!(read.run, run());
        let entries: Vec<_> = read.by_ref().map(|entry| entry.expect("whole")).collect();
        let expected = |number| Entry { at_micros: number as u64, what: Some(mark(number)) };
        assert_eq!(entries, (0..20).map(expected).collect::<Vec<_>>());
        assert!(read.is_whole());
    }

    #[test]
    fn a_record_cut_anywhere_is_read_up_to_the_last_whole_entry() {
        let dir = recorded(5);
        let path = dir.path().join(ENTRIES_FILE);
        let whole = std::fs::read(&path).expect("there");
        let ends = ends(&whole);
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).expect("room");
            let mut read = read(dir.path()).expect("a record");
            let entries: Result<Vec<_>, _> = read.by_ref().collect();
            let expected = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(entries.expect("whole entries").len(), expected, "cut at {length}");
            assert_eq!(read.is_whole(), length == 0 || ends.contains(&length), "cut at {length}");
        }
    }

    /// Where each entry ends.
    fn ends(whole: &[u8]) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < whole.len() {
            let entry = prost::decode_length_delimiter(&whole[at..]).expect("ours");
            at += entry + prost::length_delimiter_len(entry);
            ends.push(at);
        }
        ends
    }

    #[test]
    fn a_second_record_does_not_replace_the_first() {
        let dir = recorded(1);
        let refused = Writer::create(dir.path(), &run()).expect_err("there is one");
        assert!(matches!(refused, Error::Exists { .. }), "{refused}");
    }

    #[test]
    fn another_version_and_what_is_no_record_are_refused_by_name() {
        let dir = recorded(1);
        let path = dir.path().join(RUN_FILE);
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 9")).expect("room");
        let refused = read(dir.path()).expect_err("of another version");
        assert!(refused.to_string().contains("version 9"), "{refused}");
        std::fs::write(&path, "{}").expect("room");
        assert!(matches!(read(dir.path()), Err(Error::Run { .. })));
        std::fs::write(&path, &text).expect("room");
        std::fs::write(dir.path().join(ENTRIES_FILE), [3, 0xff, 0xff, 0xff]).expect("room");
        let mut read = read(dir.path()).expect("a record");
        assert!(matches!(read.next(), Some(Err(Error::Entry { offset: 0, .. }))));
    }
}
