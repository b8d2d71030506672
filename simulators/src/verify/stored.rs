//! What the service has stored, by SQL: Postgres or SQLite, as `docs/sql.md` describes them.
//!
//! Patient by patient, so that no more than one patient's readings are held at once. It reads only,
//! and only what was received since the run began: what stood there before is not the run's.

mod postgres;
mod sqlite;

use std::collections::{BTreeMap, HashMap};

use crate::oracle::profile::Micros;
use crate::proto::v1;

/// A row of `readings`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredReading {
    /// The device, by its place in the run; `None` for one that is not of the run.
    pub device: Option<u32>,
    /// What was measured.
    pub vital: v1::Vital,
    /// Microseconds since 1970.
    pub measured_at: Micros,
    /// The value; `None` where there is none.
    pub value: Option<f64>,
    /// Why there is none; 0 where there is one.
    pub absent: u8,
    /// Flags.
    pub quality: u32,
    /// When the service says that it received it.
    pub received_at: Micros,
}

/// What is stored of the run's patients and devices.
#[derive(Debug)]
pub enum Stored {
    /// In Postgres.
    Postgres(Box<postgres::Database>),
    /// In SQLite.
    Sqlite(Box<sqlite::Database>),
    /// As it is given, for those who make it up.
    Given(Given),
}

/// Rows that are given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// By patient.
    pub readings: BTreeMap<String, Vec<StoredReading>>,
    /// Of the run's devices, as nobody's or a stranger's.
    pub strays: Vec<(String, StoredReading)>,
    /// Messages of which something was refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// Which keys stand for whom.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Patients by id.
    pub(crate) patients: HashMap<String, i64>,
    /// Devices' places in the run, by key.
    pub(crate) devices: HashMap<i64, u32>,
    /// Vitals by number.
    pub(crate) vitals: HashMap<i64, v1::Vital>,
}

/// Why what is stored can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("{url:?} is no store; one is like postgres://user@host/database or sqlite:PATH")]
    Url {
        /// What was given.
        url: String,
    },
    /// Postgres does not answer as it must.
    #[error("{doing} in Postgres")]
    Postgres {
        /// What was done.
        doing: &'static str,
        /// What came of it.
        #[source]
        source: tokio_postgres::Error,
    },
    /// SQLite does not answer as it must.
    #[error("{doing} in SQLite")]
    Sqlite {
        /// What was done.
        doing: &'static str,
        /// What came of it.
        #[source]
        source: rusqlite::Error,
    },
}

impl Stored {
    /// Opens the store at `url`, for the devices of a run that began then.
    ///
    /// # Errors
    /// If it is not there, or none of the service's.
    pub async fn open(url: &str, devices: &[&str], since: Micros) -> Result<Self, Error> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(Box::new(sqlite::Database::open(path, devices, since)?)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let database = postgres::Database::open(url, devices, since).await?;
            return Ok(Self::Postgres(Box::new(database)));
        }
        Err(Error::Url { url: url.to_owned() })
    }

    /// How many readings are there.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn count(&self) -> Result<u64, Error> {
        match self {
            Self::Postgres(database) => database.count().await,
            Self::Sqlite(database) => database.count(),
            Self::Given(given) => Ok(given.readings.values().map(|it| it.len() as u64).sum()),
        }
    }

    /// A patient's readings, in any order.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn of_patient(&self, patient: &str) -> Result<Vec<StoredReading>, Error> {
        match self {
            Self::Postgres(database) => database.of_patient(patient).await,
            Self::Sqlite(database) => database.of_patient(patient),
            Self::Given(given) => Ok(given.readings.get(patient).cloned().unwrap_or_default()),
        }
    }

    /// Readings of the run's devices as those of patients who are not the run's; the first
    /// [`STRAYS_MAX`] of them.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn strays(&self, patients: &[&str]) -> Result<Vec<(String, StoredReading)>, Error> {
        match self {
            Self::Postgres(database) => database.strays(patients).await,
            Self::Sqlite(database) => database.strays(patients),
            Self::Given(given) => Ok(given.strays.clone()),
        }
    }

    /// Messages of the run's devices of which something was refused, by reason.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn refused(&self, devices: &[&str]) -> Result<BTreeMap<String, u64>, Error> {
        match self {
            Self::Postgres(database) => database.refused(devices).await,
            Self::Sqlite(database) => database.refused(devices),
            Self::Given(given) => Ok(given.refused.clone()),
        }
    }
}

/// Stray readings that are looked at.
pub const STRAYS_MAX: u32 = 10_000;

impl Keys {
    fn reading(&self, row: &Row) -> StoredReading {
        StoredReading {
            device: self.devices.get(&row.device_key).copied(),
            vital: self.vitals.get(&row.vital).copied().unwrap_or_default(),
            measured_at: row.measured_at,
            value: row.value,
            absent: u8::try_from(row.absent).unwrap_or(u8::MAX),
            quality: u32::try_from(row.quality).unwrap_or(0),
            received_at: row.received_at,
        }
    }

    fn add_devices(&mut self, names: &[&str], rows: impl Iterator<Item = (i64, String)>) {
        let places: HashMap<&str, u32> =
            names.iter().zip(0..).map(|(name, place)| (*name, place)).collect();
        let of_run = |(key, name): (i64, String)| Some((key, *places.get(name.as_str())?));
        self.devices = rows.filter_map(of_run).collect();
    }

    fn add_vitals(&mut self, rows: impl Iterator<Item = (i64, String)>) {
        let vital =
            |name: &str| v1::Vital::from_str_name(&format!("VITAL_{}", name.to_ascii_uppercase()));
        self.vitals = rows.filter_map(|(key, name)| Some((key, vital(&name)?))).collect();
    }
}

/// A row as both databases give it.
#[derive(Clone, Copy, Debug)]
struct Row {
    device_key: i64,
    vital: i64,
    measured_at: Micros,
    value: Option<f64>,
    absent: i64,
    quality: i64,
    received_at: Micros,
}
