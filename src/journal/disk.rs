//! What the journal has on disk against what it may have.
//!
//! Two limits count, whichever is nearer: that of the settings, and what the file system has left.
//! A storage that runs into the second breaks, so that it is kept away from it: what the storage
//! may need for itself is not given to entries. Others write to the file system too, so that it is
//! asked every time; the journal's own files are measured now and then, and what was written since
//! is counted.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Room;
use super::storage::{Reader, Space};

/// The disk is measured again after this much was written; what was written since is counted.
const MEASURE_EVERY_BYTES: u64 = 4 << 20;
/// Kept free of the limit for what the storage does between two measures: preallocating a
/// write-ahead log file (64 MiB), and flushing a table before it clears the log.
pub(super) const SLACK_BYTES: u64 = 128 << 20;
/// Above this share of the limit the resume window is given up.
const LOW_PERCENT: u64 = 85;
/// Above this share only commands are to be taken.
const COMMANDS_ONLY_PERCENT: u64 = 95;
/// Above this share only commands that change something: the greater part of what was left for
/// commands, whatever readers do.
const CHANGES_ONLY_PERCENT: u64 = 97;

/// Which limit leaves less than plenty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// That of the settings.
    Limit {
        /// What the journal has on disk.
        disk_bytes: u64,
        /// Its limit.
        max_bytes: u64,
    },
    /// That of the file system.
    FileSystem {
        /// The journal's directory.
        dir: PathBuf,
        /// What the file system has left.
        available_bytes: u64,
        /// What of it the storage may need.
        reserved_bytes: u64,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { disk_bytes, max_bytes } => {
                write!(f, "the journal has {disk_bytes} of at most {max_bytes} bytes on disk")
            }
            Self::FileSystem { dir, available_bytes, reserved_bytes } => write!(
                f,
                "the file system of {} has {available_bytes} bytes left, of which the journal \
                 keeps {reserved_bytes} for itself",
                dir.display()
            ),
        }
    }
}

/// What is on disk against what may be.
pub(super) struct Disk {
    measured: u64,
    /// Written since it was measured.
    since: u64,
    max: u64,
}

impl Disk {
    pub(super) fn new(max_bytes: u64, reader: &dyn Reader) -> Self {
        let mut disk = Self { measured: 0, since: 0, max: max_bytes.saturating_sub(SLACK_BYTES) };
        disk.measure(reader);
        disk
    }

    pub(super) fn bytes(&self) -> u64 {
        self.measured.saturating_add(self.since)
    }

    /// What more the file system takes. One that doesn't say is not what limits us.
    fn space_left(reader: &dyn Reader) -> u64 {
        reader.space().map_or(u64::MAX, |space| space.left())
    }

    pub(super) fn room(&self, reader: &dyn Reader) -> Room {
        let limit = self.max.min(self.bytes().saturating_add(Self::space_left(reader)));
        let above = |percent| self.bytes() > limit / 100 * percent;
        if above(CHANGES_ONLY_PERCENT) {
            Room::ChangesOnly
        } else if above(COMMANDS_ONLY_PERCENT) {
            Room::CommandsOnly
        } else if above(LOW_PERCENT) {
            Room::Low
        } else {
            Room::Plenty
        }
    }

    /// Which limit leaves less than plenty, if one does.
    pub(super) fn shortage(&self, reader: &dyn Reader, dir: &Path) -> Option<Shortage> {
        if self.room(reader) == Room::Plenty {
            return None;
        }
        let is_nearer = |space: &Space| self.bytes().saturating_add(space.left()) < self.max;
        Some(match reader.space().ok().filter(is_nearer) {
            Some(Space { available, reserved }) => Shortage::FileSystem {
                dir: dir.to_owned(),
                available_bytes: available,
                reserved_bytes: reserved,
            },
            None => Shortage::Limit { disk_bytes: self.bytes(), max_bytes: self.max },
        })
    }

    pub(super) fn wrote(&mut self, bytes: u64, reader: &dyn Reader) {
        self.since = self.since.saturating_add(bytes);
        if self.since >= MEASURE_EVERY_BYTES {
            self.measure(reader);
        }
    }

    /// Where the disk doesn't say, the count goes on from the last measure: too high, never low.
    pub(super) fn measure(&mut self, reader: &dyn Reader) {
        if let Ok(measured) = reader.disk_bytes() {
            (self.measured, self.since) = (measured, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::storage::memory::Memory;

    fn room(measured: u64, since: u64) -> Room {
        Disk { measured, since, max: 1000 }.room(&Memory::default())
    }

    #[test]
    fn room_follows_the_disk() {
        for (bytes, expected) in [
            (0, Room::Plenty),
            (850, Room::Plenty),
            (851, Room::Low),
            (950, Room::Low),
            (951, Room::CommandsOnly),
            (970, Room::CommandsOnly),
            (971, Room::ChangesOnly),
        ] {
            assert_eq!(room(bytes, 0), expected);
            assert_eq!(room(0, bytes), expected);
        }
    }

    #[test]
    fn room_follows_the_file_system_where_it_has_less_than_the_limit() {
        for (space_left, expected) in [
            (100_000, Room::Plenty),
            (2000, Room::Plenty),
            (800, Room::Low),
            (200, Room::CommandsOnly),
            (0, Room::ChangesOnly),
        ] {
            let memory = Memory::default();
            memory.state().space_left = Some(space_left);
            let disk = Disk { measured: 4000, since: 1000, max: 10_000 };
            assert_eq!(disk.room(&memory), expected, "{space_left}");
        }
    }

    #[test]
    fn the_limit_that_is_nearer_is_named() {
        let memory = Memory::default();
        let told = |measured, space_left| {
            memory.state().space_left = Some(space_left);
            let disk = Disk { measured, since: 0, max: 10_000 };
            disk.shortage(&memory, Path::new("/journal")).map(|shortage| shortage.to_string())
        };
        assert_eq!(told(5000, 10_000), None);
        let of_settings = told(9600, 10_000).expect("short");
        assert_eq!(of_settings, "the journal has 9600 of at most 10000 bytes on disk");
        let of_disk = told(5000, 7).expect("short");
        assert!(of_disk.starts_with("the file system of /journal has 7 bytes left"), "{of_disk}");
    }
}
