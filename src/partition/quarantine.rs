//! The inputs that are set aside, because the engine panicked on them: what they are known by, on
//! disk.
//!
//! Each is a small file in the data directory, under `poison/` and the version of the service that
//! panicked. It stands there before the process ends, so that the next run knows the input when it
//! comes again. What came from the broker or a caller is known by its digest, and the file has that
//! name. The digest covers what the engine would break down on again: of a message its topic,
//! payload and declared encoding, also when it is to be sent through the intake again by a command;
//! of any other command the action and who asks.
//!
//! An entry of the journal on which a newer engine panics is known by its place, because its
//! content says nothing of the others: the same bytes may stand there before it, taken in and
//! acted upon, and are replayed as they were.
//!
//! The file stays: the same bytes would panic again. Another version of the service begins with
//! nothing set aside, for it may read what this one could not; a message that was refused can then
//! be sent again. Removing a file makes this version try the input again.
//!
//! The file says for people what happened and when, and never what the input says: no payload, and
//! no panic's message, which may quote one.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::engine::input::{Action, Event, Input, Publish};
use crate::position::MessageId;

/// Where in the data directory they are.
const DIRECTORY: &str = "poison";
/// A file that is not complete yet.
const DRAFT: &str = "draft";
/// The engine of this process. Another may read what this one could not.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Set aside at most. Each costs a restart, so that whoever sees hundreds of them is past helping
/// by setting aside one more.
const SET_ASIDE_MAX: usize = 1024;

/// What is set aside; its text is the name of the file that says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum SetAside {
    /// Whatever comes with this content.
    Content(Digest),
    /// One entry of the journal.
    Entry(MessageId),
}

impl SetAside {
    fn parse(name: &str) -> Option<Self> {
        let entry = || name.parse().ok().map(Self::Entry);
        Digest::parse(name).map(Self::Content).or_else(entry)
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(digest) => digest.fmt(f),
            Self::Entry(entry) => entry.fmt(f),
        }
    }
}

/// SHA-256 of an input.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Digest([u8; 32]);

impl Digest {
    /// The digest of what can be set aside; `None` of an input that the service makes itself.
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Publish(publish) => Some(Self::of_message(publish)),
            Event::Command(command) => Some(match &command.action {
                Action::Redrive(redrive) => Self::of_message(&redrive.publish),
                // Where it came from is another each time.
                action => Self::of_value(&(&command.principal, action)),
            }),
            _ => None,
        }
    }

    fn of_message(Publish { topic, payload, encoding, .. }: &Publish) -> Self {
        Self::of_value(&(topic, payload, encoding))
    }

    fn of_value(value: &impl Serialize) -> Self {
        let bytes = postcard::to_extend(value, Vec::new())
            .expect("plain values into a growing buffer have no way to fail");
        Self(Sha256::digest(bytes).into())
    }

    fn parse(name: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if name.len() != digest.len() * 2 || !name.is_ascii() {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&name[index * 2..index * 2 + 2], 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is set aside in a data directory.
pub struct Quarantine {
    dir: PathBuf,
    known: HashSet<SetAside>,
}

impl Quarantine {
    /// Reads what this version of the service has set aside in `data_dir`. Blocking. The directory
    /// must be locked by the journal that is opened in it.
    ///
    /// # Errors
    /// [`Error::Quarantine`] if the disk doesn't say.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        let dir = data_dir.join(DIRECTORY).join(VERSION);
        let known = match fs::read_dir(&dir) {
            Ok(listing) => listing
                .map(|found| Ok(found?.file_name().to_str().and_then(SetAside::parse)))
                .filter_map(Result::transpose)
                .collect::<io::Result<_>>(),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(error),
        };
        let known = known.map_err(Error::quarantine("listing", &dir))?;
        Ok(Self { dir, known })
    }

    /// How many inputs are set aside.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether what came is set aside. Costs something, about a microsecond for a small message,
    /// only where anything is.
    pub(super) fn holds(&self, event: &Event) -> bool {
        let is_known = |digest| self.known.contains(&SetAside::Content(digest));
        !self.is_empty() && Digest::of(event).is_some_and(is_known)
    }

    /// Whether an entry of the journal is set aside.
    pub(super) fn holds_entry(&self, entry: MessageId) -> bool {
        self.known.contains(&SetAside::Entry(entry))
    }

    /// Sets aside what came, durably, on which the engine panicked at `location`; gives the error
    /// with which the run must end. Blocking, for a few fsyncs.
    pub(super) fn set_aside(&mut self, input: &Input, location: String) -> Error {
        self.keep(Digest::of(&input.event).map(SetAside::Content), input, location)
    }

    /// The same of an entry of the journal.
    pub(super) fn set_aside_entry(
        &mut self,
        entry: MessageId,
        input: &Input,
        location: String,
    ) -> Error {
        let may_be_refused = matches!(input.event, Event::Publish(_) | Event::Command(_));
        self.keep(may_be_refused.then_some(SetAside::Entry(entry)), input, location)
    }

    /// `what` is not there of an input of the service's own.
    fn keep(&mut self, what: Option<SetAside>, input: &Input, location: String) -> Error {
        let kind = input.event.kind();
        let Some(what) = what else {
            return Error::OwnInputPanicked { kind, location };
        };
        if self.known.len() >= SET_ASIDE_MAX && !self.known.contains(&what) {
            let dir = self.dir.clone();
            return Error::QuarantineFull { kind, location, dir, max: SET_ASIDE_MAX };
        }
        let file = self.dir.join(what.to_string());
        match write(&self.dir, &file, &describe(what, input, &location)) {
            Ok(()) => {
                self.known.insert(what);
                Error::Poisoned { kind, location, file }
            }
            Err(source) => Error::quarantine("writing", file)(source),
        }
    }
}

/// What people are told.
fn describe(what: SetAside, input: &Input, location: &str) -> String {
    let refused = match what {
        SetAside::Content(_) => "input, and refuses it unread",
        SetAside::Entry(_) => "entry of the journal, and replays it as refused unread",
    };
    let mut text = format!(
        "Pulseward {VERSION} broke down on this {refused} while this file is here.\n\
         kind: {}\nreceived: {}\npanicked at: {location}\n",
        input.event.kind(),
        input.received_at,
    );
    if let SetAside::Entry(entry) = what {
        let more = format!("journal: {}\nposition: {}\n", entry.journal_id, entry.position);
        text.push_str(&more);
    }
    if let Some(message) = input.event.message() {
        let more = format!("topic: {:?}\nbytes: {}\n", message.topic, message.payload.len());
        text.push_str(&more);
    }
    text
}

/// Writes a file whole or not at all, durable with the directories above it.
fn write(dir: &Path, file: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for above in dir.ancestors().take(3) {
        sync(above)?;
    }
    let draft = dir.join(DRAFT);
    let mut written = File::create(&draft)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&draft, file)?;
    sync(dir)
}

/// Makes names in a directory durable.
fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::audit::Origin;
    use crate::engine::input::{Command, Encoding, Principal, Publish, Redrive, Role, Sites};
    use crate::position::{JournalId, Partition, Position};

    fn publish() -> Publish {
        Publish {
            topic: "pulseward/v1/north/watch-1/readings".to_owned(),
            payload: Bytes::from_static(b"personal"),
            encoding: Some(Encoding::Json),
            correlation: Some(Bytes::from_static(b"7")),
            retained: false,
        }
    }

    fn input(publish: Publish) -> Input {
        Input { received_at: Timestamp::from_seconds(1_000_000), event: Event::Publish(publish) }
    }

    const LOCATION: &str = "src/engine/decode.rs:1:2";

    #[test]
    fn what_was_set_aside_is_known_to_the_next_run_and_nothing_else_is() {
        let dir = TempDir::new().unwrap();
        let mut quarantine = Quarantine::open(dir.path()).unwrap();
        assert!(quarantine.is_empty() && !quarantine.holds(&Event::Publish(publish())));
        let error = quarantine.set_aside(&input(publish()), LOCATION.to_owned());
        assert!(matches!(error, Error::Poisoned { kind: "publish", .. }), "{error}");
        let quarantine = Quarantine::open(dir.path()).unwrap();
        assert_eq!(quarantine.len(), 1);
        assert!(quarantine.holds(&Event::Publish(publish())));
        for other in [
            Publish { topic: "pulseward/v1/north/watch-2/readings".to_owned(), ..publish() },
            Publish { payload: Bytes::from_static(b"persona"), ..publish() },
            Publish { encoding: None, ..publish() },
        ] {
            assert!(!quarantine.holds(&Event::Publish(other.clone())));
            assert!(!quarantine.holds(&redrive_of(other)));
        }
        let retained = Publish { correlation: None, retained: true, ..publish() };
        assert!(quarantine.holds(&Event::Publish(retained.clone())));
        assert!(quarantine.holds(&redrive_of(retained)), "whoever sends it through");
    }

    #[test]
    fn an_entry_of_the_journal_is_set_aside_for_itself_and_not_for_what_it_says() {
        let dir = TempDir::new().unwrap();
        let mut quarantine = Quarantine::open(dir.path()).unwrap();
        let error = quarantine.set_aside_entry(entry(), &input(publish()), LOCATION.to_owned());
        let Error::Poisoned { kind: "publish", file, .. } = error else { panic!("{error}") };
        let text = fs::read_to_string(file).unwrap();
        let place = format!("\njournal: {}\nposition: 7\n", entry().journal_id);
        assert!(text.contains(&place) && !text.contains("personal"), "{text}");
        let quarantine = Quarantine::open(dir.path()).unwrap();
        assert!(quarantine.holds_entry(entry()) && quarantine.len() == 1);
        let other = JournalId::generate();
        assert!(!quarantine.holds_entry(MessageId { position: Position(8), ..entry() }));
        assert!(!quarantine.holds_entry(MessageId { journal_id: other, ..entry() }));
        assert!(!quarantine.holds(&Event::Publish(publish())), "it may be taken when it comes");
    }

    fn entry() -> MessageId {
        MessageId {
            journal_id: JournalId(uuid::Uuid::from_u128(9)),
            partition: Partition::FIRST,
            position: Position(7),
        }
    }

    fn redrive_of(publish: Publish) -> Event {
        let message = entry();
        let (received_at, refused, redrives_stored) = (Timestamp::EPOCH, Vec::new(), 0);
        let redrive = Redrive { message, publish, received_at, refused, redrives_stored };
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: String::new(), salt: [0; 16] };
        Event::Command(Box::new(Command {
            principal,
            action: Action::Redrive(redrive),
            origin,
            request: None,
        }))
    }

    #[test]
    fn the_file_tells_people_what_happened_and_nothing_of_the_payload() {
        let dir = TempDir::new().unwrap();
        let mut quarantine = Quarantine::open(dir.path()).unwrap();
        let error = quarantine.set_aside(&input(publish()), LOCATION.to_owned());
        let Error::Poisoned { file, .. } = error else { panic!("{error}") };
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            format!(
                "Pulseward {VERSION} broke down on this input, and refuses it unread while this \
                 file is here.\nkind: publish\nreceived: 1970-01-12T13:46:40Z\n\
                 panicked at: {LOCATION}\ntopic: \"pulseward/v1/north/watch-1/readings\"\n\
                 bytes: 8\n"
            )
        );
    }

    #[test]
    fn an_input_of_the_services_own_is_not_set_aside() {
        let dir = TempDir::new().unwrap();
        let mut quarantine = Quarantine::open(dir.path()).unwrap();
        let tick = Input { received_at: Timestamp::EPOCH, event: Event::Tick };
        for error in [
            quarantine.set_aside(&tick, LOCATION.to_owned()),
            quarantine.set_aside_entry(entry(), &tick, LOCATION.to_owned()),
        ] {
            assert!(matches!(error, Error::OwnInputPanicked { kind: "tick", .. }), "{error}");
        }
        assert!(quarantine.is_empty() && fs::read_dir(dir.path()).unwrap().next().is_none());
    }

    #[test]
    fn at_the_bound_no_more_is_set_aside_and_the_error_says_so() {
        let dir = TempDir::new().unwrap();
        let mut quarantine = Quarantine::open(dir.path()).unwrap();
        quarantine.known = (0..SET_ASIDE_MAX)
            .map(|number| Digest(Sha256::digest(number.to_be_bytes()).into()))
            .map(SetAside::Content)
            .collect();
        let error = quarantine.set_aside(&input(publish()), LOCATION.to_owned());
        assert!(matches!(error, Error::QuarantineFull { max: SET_ASIDE_MAX, .. }), "{error}");
        assert!(!quarantine.holds(&Event::Publish(publish())));
    }

    #[test]
    fn what_is_no_digest_is_left_alone_and_what_another_version_set_aside_is_tried_again() {
        let dir = TempDir::new().unwrap();
        let name = Digest([0xab; 32]).to_string();
        for path in [format!("{VERSION}/{DRAFT}"), format!("0.0.0/{name}")] {
            let path = dir.path().join(DIRECTORY).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert!(Quarantine::open(dir.path()).unwrap().is_empty());
        fs::write(dir.path().join(DIRECTORY).join(VERSION).join(name), "").unwrap();
        assert_eq!(Quarantine::open(dir.path()).unwrap().len(), 1);
    }
}
