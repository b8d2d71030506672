//! The state to and from checkpoint blobs: one a row, and one for what belongs to no row.
//!
//! [`State::begin_snapshot`] fixes the moment; [`State::capture`] gathers the rows changed since
//! the snapshot before, a bounded number at a time, between inputs; [`Captured::encode`] makes
//! bytes of them, on any thread. [`Restoration`] takes all blobs ever kept back into a state.
//! Each blob begins with a kind and a version; its body is postcard's wire format.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::admit::Device;
use super::input::Schedule;
use super::patient::Patient;
use super::requests::Requests;
use super::requests::kept::Kept;
use super::state::{General, Site, State};
use super::table::Table;

const VERSION: u8 = 4;
/// Up to here, what pre-releases wrote.
const PRE_RELEASE_VERSION_MAX: u8 = 3;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// What belongs to no row.
    General = b'G',
    /// A site.
    Site = b'S',
    /// A patient, with channels and open alerts.
    Patient = b'P',
    /// A device, with bindings and numbers.
    Device = b'D',
    /// A request that was carried out.
    Request = b'R',
}

impl Kind {
    /// The kind of this byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::General, Self::Site, Self::Patient, Self::Device, Self::Request]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Under which key a blob is kept: a later one replaces an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobKey {
    /// What it holds.
    pub kind: Kind,
    /// Which row of that kind.
    pub id: u32,
}

/// A part of a snapshot, not yet in bytes.
#[derive(Debug)]
pub struct Captured {
    id: u32,
    row: Row,
}

#[derive(Debug)]
enum Row {
    General(Box<General>),
    Site(Arc<Site>),
    Patient(Arc<Patient>),
    Device(Arc<Device>),
    Request(Arc<Option<Kept>>),
}

impl Captured {
    /// Its key and bytes.
    #[must_use]
    pub fn encode(&self) -> (BlobKey, Vec<u8>) {
        let (kind, bytes) = match &self.row {
            Row::General(row) => (Kind::General, encode(Kind::General, &**row)),
            Row::Site(row) => (Kind::Site, encode(Kind::Site, &**row)),
            Row::Patient(row) => (Kind::Patient, encode(Kind::Patient, &**row)),
            Row::Device(row) => (Kind::Device, encode(Kind::Device, &**row)),
            Row::Request(row) => (Kind::Request, encode(Kind::Request, &**row)),
        };
        (BlobKey { kind, id: self.id }, bytes)
    }
}

fn encode(kind: Kind, row: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(row, vec![kind as u8, VERSION])
        .expect("plain values into a growing buffer have no way to fail")
}

impl State {
    /// Begins a snapshot of the state as it is now. Constant time.
    pub fn begin_snapshot(&mut self) -> Captured {
        self.sites.begin_snapshot();
        self.patients.begin_snapshot();
        self.devices.begin_snapshot();
        self.requests.begin_snapshot();
        Captured { id: 0, row: Row::General(Box::new(self.general.clone())) }
    }

    /// Gathers about `rows` more rows of the snapshot under way; an empty answer means that it is
    /// complete.
    pub fn capture(&mut self, rows: usize) -> Vec<Captured> {
        let mut captured = Vec::new();
        let sites = self.sites.capture(rows).into_iter();
        captured.extend(sites.map(|(id, row)| Captured { id, row: Row::Site(row) }));
        let patients = self.patients.capture(rows.saturating_sub(captured.len())).into_iter();
        captured.extend(patients.map(|(id, row)| Captured { id, row: Row::Patient(row) }));
        let devices = self.devices.capture(rows.saturating_sub(captured.len())).into_iter();
        captured.extend(devices.map(|(id, row)| Captured { id, row: Row::Device(row) }));
        let requests = self.requests.capture(rows.saturating_sub(captured.len())).into_iter();
        captured.extend(requests.map(|(id, row)| Captured { id, row: Row::Request(row) }));
        captured
    }
}

/// Why blobs are not a state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Written by a version of the service that this one doesn't know.
    #[error("checkpoint blob {key:?}: version {version} is newer than this service knows")]
    Version {
        /// Which blob.
        key: BlobKey,
        /// Its version.
        version: u8,
    },
    /// Written before the first release.
    #[error("checkpoint blob {key:?}: written by a pre-release of the service; it can't be read")]
    PreRelease {
        /// Which blob.
        key: BlobKey,
    },
    /// The bytes do not hold what their kind and version say.
    #[error("checkpoint blob {key:?}: reading its body")]
    Body {
        /// Which blob.
        key: BlobKey,
        /// What was wrong.
        #[source]
        source: postcard::Error,
    },
    /// A row is missing between others.
    #[error("checkpoint blob {key:?} stands where {expected} was due: rows are missing")]
    Hole {
        /// Which blob.
        key: BlobKey,
        /// The id of the missing row.
        expected: usize,
    },
    /// The bytes belong under another key.
    #[error("checkpoint blob {key:?}: its bytes are of another kind")]
    Kind {
        /// Which blob.
        key: BlobKey,
    },
}

/// A state being put together from blobs, given by rising id within each kind.
#[derive(Debug, Default)]
pub struct Restoration {
    general: General,
    sites: Vec<Site>,
    patients: Vec<Patient>,
    devices: Vec<Device>,
    requests: Vec<Option<Kept>>,
    /// Each schedule once, as in the state that was kept.
    schedules: BTreeSet<Arc<Schedule>>,
}

impl Restoration {
    /// Takes one blob in.
    ///
    /// # Errors
    /// [`RestoreError`] if the blob is damaged, newer than this service, or out of order.
    pub fn add(&mut self, key: BlobKey, bytes: &[u8]) -> Result<(), RestoreError> {
        match key.kind {
            Kind::General => self.general = decode(key, bytes)?,
            Kind::Site => push(&mut self.sites, key, bytes)?,
            Kind::Patient => push(&mut self.patients, key, bytes)?,
            Kind::Device => {
                push(&mut self.devices, key, bytes)?;
                self.share_schedules();
            }
            Kind::Request => {
                push(&mut self.requests, key, bytes)?;
                self.check_request(key)?;
            }
        }
        Ok(())
    }

    /// Of the device that came last.
    fn share_schedules(&mut self) {
        for binding in
            self.devices.iter_mut().next_back().into_iter().flat_map(|it| &mut it.bindings)
        {
            match self.schedules.get(&binding.schedule) {
                Some(shared) => binding.schedule = Arc::clone(shared),
                None => drop(self.schedules.insert(Arc::clone(&binding.schedule))),
            }
        }
    }

    /// What the one that came last was answered is looked at now, when it can still be told.
    fn check_request(&self, key: BlobKey) -> Result<(), RestoreError> {
        let kept = self.requests.last().and_then(Option::as_ref);
        let checked = kept.map_or(Ok(()), Kept::check);
        checked.map_err(|source| RestoreError::Body { key, source })
    }

    /// The state, once all blobs are in.
    #[must_use]
    pub fn finish(self) -> State {
        State::restored(
            self.general,
            Table::restored(self.sites.into_iter()),
            Table::restored(self.patients.into_iter()),
            Table::restored(self.devices.into_iter()),
            Requests::restored(Table::restored(self.requests.into_iter())),
            self.schedules,
        )
    }
}

fn push<T: DeserializeOwned>(
    rows: &mut Vec<T>,
    key: BlobKey,
    bytes: &[u8],
) -> Result<(), RestoreError> {
    let expected = rows.len();
    if key.id as usize != expected {
        return Err(RestoreError::Hole { key, expected });
    }
    rows.push(decode(key, bytes)?);
    Ok(())
}

fn decode<T: DeserializeOwned>(key: BlobKey, bytes: &[u8]) -> Result<T, RestoreError> {
    match bytes {
        [kind, VERSION, body @ ..] if *kind == key.kind as u8 => {
            postcard::from_bytes(body).map_err(|source| RestoreError::Body { key, source })
        }
        [kind, 1..=PRE_RELEASE_VERSION_MAX, ..] if *kind == key.kind as u8 => {
            Err(RestoreError::PreRelease { key })
        }
        [kind, version, ..] if *kind == key.kind as u8 => {
            Err(RestoreError::Version { key, version: *version })
        }
        _ => Err(RestoreError::Kind { key }),
    }
}
