//! What the journal has on disk against what it may have.
//!
//! Two limits count, whichever is nearer: that of the settings, and what the file system has left.
//! A storage that runs into the second breaks, so that it is kept away from it: what the storage
//! may need for itself is not given to entries. Others write to the file system too, so that it is
//! asked every time; the journal's own files are measured now and then, and what was written since
//! is counted.

use std::path::Path;

use super::storage::{Reader, Space};
use super::{Error, Room};

/// The disk is measured again after this much was written; what was written since is counted.
const MEASURE_EVERY_BYTES: u64 = 4 << 20;
/// Kept free of the limit for what the storage does between two measures: preallocating a
/// write-ahead log file (64 MiB), and flushing a table before it clears the log.
pub(super) const SLACK_BYTES: u64 = 128 << 20;
/// Above this share of the limit the resume window is given up.
const LOW_PERCENT: u64 = 85;
/// Above this share only commands are to be taken.
const COMMANDS_ONLY_PERCENT: u64 = 95;

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
        if above(COMMANDS_ONLY_PERCENT) {
            Room::CommandsOnly
        } else if above(LOW_PERCENT) {
            Room::Low
        } else {
            Room::Plenty
        }
    }

    /// Which limit leaves less than plenty, if one does.
    pub(super) fn shortage(&self, reader: &dyn Reader, dir: &Path) -> Option<Error> {
        if self.room(reader) == Room::Plenty {
            return None;
        }
        let is_nearer = |space: &Space| self.bytes().saturating_add(space.left()) < self.max;
        let space = reader.space().ok().filter(is_nearer);
        Some(space.map_or_else(|| self.full(), |space| file_system_full(space, dir)))
    }

    pub(super) fn make_sure_of_room(
        &mut self,
        bytes: u64,
        reader: &dyn Reader,
        dir: &Path,
    ) -> Result<(), Error> {
        if let Ok(space) = reader.space()
            && bytes > space.left()
        {
            return Err(file_system_full(space, dir));
        }
        if !self.fits(bytes) {
            self.measure(reader);
        }
        if self.fits(bytes) { Ok(()) } else { Err(self.full()) }
    }

    fn full(&self) -> Error {
        Error::Full { disk_bytes: self.bytes(), max_bytes: self.max }
    }

    fn fits(&self, bytes: u64) -> bool {
        self.bytes().saturating_add(bytes) <= self.max
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

fn file_system_full(space: Space, dir: &Path) -> Error {
    let Space { available, reserved } = space;
    let (available_bytes, reserved_bytes) = (available, reserved);
    Error::FileSystemFull { dir: dir.to_owned(), available_bytes, reserved_bytes }
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
            (0, Room::CommandsOnly),
        ] {
            let memory = Memory::default();
            memory.state().space_left = Some(space_left);
            let disk = Disk { measured: 4000, since: 1000, max: 10_000 };
            assert_eq!(disk.room(&memory), expected, "{space_left}");
        }
    }

    #[test]
    fn what_does_not_fit_the_file_system_is_refused_by_its_name_though_the_limit_is_far() {
        let memory = Memory::default();
        let mut disk = Disk::new(SLACK_BYTES + 1000, &memory);
        memory.state().space_left = Some(99);
        let refused = disk.make_sure_of_room(100, &memory, Path::new("/var/lib/journal"));
        let refused = refused.expect_err("no space").to_string();
        assert!(refused.contains("file system of /var/lib/journal has 99 bytes left"), "{refused}");
        memory.state().space_left = Some(100);
        disk.make_sure_of_room(100, &memory, Path::new("")).expect("space");
    }

    #[test]
    fn the_limit_that_is_nearer_is_named() {
        let memory = Memory::default();
        let told = |measured, space_left| {
            memory.state().space_left = Some(space_left);
            let disk = Disk { measured, since: 0, max: 10_000 };
            disk.shortage(&memory, Path::new("/journal")).map(|error| error.to_string())
        };
        assert_eq!(told(5000, 10_000), None);
        let of_settings = told(9600, 10_000).expect("short");
        assert_eq!(of_settings, "the journal has 9600 of at most 10000 bytes on disk");
        let of_disk = told(5000, 7).expect("short");
        assert!(of_disk.starts_with("the file system of /journal has 7 bytes left"), "{of_disk}");
    }
}
