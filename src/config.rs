//! The configuration: a TOML file, overridden key by key by environment variables.
//!
//! Promises: every key has a default or may be absent; an unknown key, a value of the wrong kind
//! or one that contradicts another is refused with its place (`file:line:column`, or the name of
//! the variable), and all of them at once; what is printed of it holds no secret, because secrets
//! stand in files of their own.
//!
//! `PULSEWARD_<SECTION>__<KEY>` overrides a key, as in `PULSEWARD_STORE__URL`. Its value is read as
//! TOML, and as a plain string where it is not TOML or not of the key's kind.
//!
//! The sections here are plain data. What each part of the service makes of its section is decided
//! where the service is put together, not here.

mod auth;
mod changes;
mod grpc;
mod http;
mod period;
mod reader;
mod secret;
mod size;
mod tls;
mod traces;
mod url;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::reader::Reader;

pub use self::auth::{Auth, AuthMode};
pub use self::grpc::Grpc;
pub use self::http::Http;
pub use self::period::{InvalidPeriod, Period};
pub use self::reader::{Violation, Violations};
pub(crate) use self::reader::{from_toml, hint, parse_toml, place_in_file};
pub use self::secret::{Secret, SecretError};
pub use self::size::{ByteSize, InvalidByteSize};
pub use self::tls::{CertificateCaller, GrpcTls, HttpTls, MqttTls, StoreTls};
pub use self::traces::{CollectorUrl, Traces};
pub use self::url::{InvalidUrl, Jwks, MqttUrl, Origin, StoreUrl};

/// Everything that is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// The broker that gateways publish to.
    pub mqtt: Mqtt,
    /// What is taken of what gateways publish.
    pub ingest: Ingest,
    /// The database that keeps every reading.
    pub store: Store,
    /// The server that clinicians and administrators call.
    pub grpc: Grpc,
    /// The server of health, metrics and the ward page.
    pub http: Http,
    /// The journal that makes inputs durable before they are acknowledged.
    pub journal: Journal,
    /// Who may call.
    pub auth: Auth,
    /// The log on standard error.
    pub log: Log,
    /// Traces of message batches.
    pub traces: Traces,
}

/// `[mqtt]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mqtt {
    /// The broker. Default `mqtt://127.0.0.1:1883`.
    pub url: MqttUrl,
    /// The name of our session: stable, so that the broker keeps messages for us while we are
    /// away, and no other client's. Default `pulseward`.
    pub client_id: String,
    /// Whom to log in as. Default nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The file that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// How many messages may be unacknowledged at a time. Default 1024.
    pub receive_maximum: NonZeroU16,
    /// How long the broker keeps our session and its queue while we are away. Default 24 h.
    pub session_expiry: Period,
    /// How to speak to it where `url` begins with `mqtts://`.
    #[serde(skip_serializing_if = "MqttTls::is_default")]
    pub tls: MqttTls,
}

/// `[ingest]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ingest {
    /// Larger payloads are refused. Default 1 MiB.
    pub payload_bytes_max: ByteSize,
    /// Batches of more readings are refused. Default 10,000.
    pub batch_readings_max: u32,
    /// Readings measured longer ago are refused. Default 30 days.
    pub reading_age_max: Period,
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Store {
    /// `postgres://…` or `sqlite:PATH`. Default `sqlite:pulseward-data/readings.sqlite`.
    pub url: StoreUrl,
    /// The file that holds the password of the Postgres user in `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// How long readings are kept, by their measured time. Default for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readings_retention: Option<Period>,
    /// How long buckets of a minute and of an hour are kept. Default for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets_retention: Option<Period>,
    /// How long refused messages are kept. Default 90 days.
    pub rejected_retention: Period,
    /// When readings go to TimescaleDB's columnstore. Default 7 days.
    pub columnstore_after: Period,
    /// How to speak to Postgres where `url` asks for TLS.
    #[serde(skip_serializing_if = "StoreTls::is_default")]
    pub tls: StoreTls,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Journal {
    /// Its directory, which it has for itself. Default `pulseward-data/journal`.
    pub dir: PathBuf,
    /// What it may take on disk, all in all. Default 10 GiB.
    pub max_bytes: ByteSize,
    /// A checkpoint is begun after this much of it. Default 64 MiB.
    pub checkpoint_bytes: ByteSize,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// How a line looks. Default `text`.
    pub format: LogFormat,
    /// The least severe that is logged. Default `info`. `RUST_LOG` stands in its place, if it is set.
    pub level: LogLevel,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// How severe a line of the log is, the most severe first: a greater level tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// We coped.
    Warn,
    /// State changed.
    Info,
    /// For finding faults.
    Debug,
    /// For finding faults, step by step.
    Trace,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What it says, or what the environment says, can't be.
    #[error("{0}")]
    Invalid(Violations),
}

impl Config {
    /// The configuration of a file and this process's environment.
    ///
    /// # Errors
    /// When the file can't be read, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text, std::env::vars_os()).map_err(Error::Invalid)
    }

    /// The configuration of a text, which errors call `file`, and of environment variables, of
    /// which those that are not ours are ignored.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        file: &str,
        text: &str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Violations> {
        let mut reader = Reader::new(file, text, environment)?;
        let config = Self::read(&mut reader);
        config.check(&mut reader);
        reader.finish().map(|()| config)
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            mqtt: Mqtt::read(reader),
            ingest: Ingest::read(reader),
            store: Store::read(reader),
            grpc: Grpc::read(reader),
            http: Http::read(reader),
            journal: Journal::read(reader),
            auth: Auth::read(reader),
            log: Log {
                format: reader.or("log", "format", LogFormat::Text),
                level: reader.or("log", "level", LogLevel::Info),
            },
            traces: Traces::read(reader),
        }
    }

    fn check(&self, reader: &mut Reader<'_>) {
        self.mqtt.check(reader);
        self.ingest.check(reader, self.mqtt.session_expiry);
        self.store.check(reader, self.ingest.reading_age_max);
        self.journal.check(reader);
        self.traces.check(reader);
        self.grpc.check(reader);
        self.http.check(reader);
        self.auth.check(reader, self.grpc.tls.client_ca.is_some());
        if self.auth.mode == AuthMode::None && !self.grpc.listen.ip().is_loopback() {
            reader.refuse(
                "grpc",
                "listen",
                format!(
                    "{} can be reached from other machines, and auth.mode = \"none\" lets whoever \
                     reaches it read and change everything; set auth.mode = \"jwt\" or \
                     \"certificates\", or listen on loopback, such as 127.0.0.1:{}",
                    self.grpc.listen,
                    self.grpc.listen.port(),
                ),
            );
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::parse("defaults", "", []).expect("the defaults agree with each other")
    }
}

impl fmt::Display for Config {
    /// As a TOML file without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(toml::to_string(self).map_err(|_| fmt::Error)?.trim_end())
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

impl Mqtt {
    /// At a commit every 10 ms this carries 100,000 messages a second; more would only lengthen what
    /// comes twice after a lost connection.
    const RECEIVE_MAXIMUM_DEFAULT: NonZeroU16 = NonZeroU16::new(1024).expect("not zero");
    /// Longer than a night with nobody there to repair the service.
    const SESSION_EXPIRY_DEFAULT: Period = Period(Duration::from_secs(24 * 60 * 60));

    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            url: reader.or("mqtt", "url", MqttUrl::local()),
            client_id: reader.or("mqtt", "client_id", "pulseward".to_owned()),
            username: reader.optional("mqtt", "username"),
            password_file: reader.optional("mqtt", "password_file"),
            receive_maximum: reader.or("mqtt", "receive_maximum", Self::RECEIVE_MAXIMUM_DEFAULT),
            session_expiry: reader.or("mqtt", "session_expiry", Self::SESSION_EXPIRY_DEFAULT),
            tls: MqttTls::read(reader),
        }
    }

    fn check(&self, reader: &mut Reader<'_>) {
        if self.client_id.is_empty() {
            reader.refuse("mqtt", "client_id", "a session needs a name");
        }
        match (&self.username, &self.password_file) {
            (Some(_), None) => reader.refuse("mqtt", "username", "needs password_file beside it"),
            (None, Some(_)) => reader.refuse("mqtt", "password_file", "needs username beside it"),
            _ => {}
        }
        let Period(expiry) = self.session_expiry;
        if expiry.as_secs() == 0 || u32::try_from(expiry.as_secs()).is_err() {
            reader.refuse("mqtt", "session_expiry", "must be 1 s to 2^32 - 1 s (136 years)");
        }
        self.tls.check(reader, self.url.is_encrypted());
    }

    /// The password, if one is configured.
    ///
    /// # Errors
    /// When its file can't be read or is no password.
    pub fn password(&self) -> Result<Option<Secret>, SecretError> {
        self.password_file.as_deref().map(Secret::read).transpose()
    }
}

impl Ingest {
    /// 10,000 readings in JSON.
    const PAYLOAD_BYTES_DEFAULT: ByteSize = ByteSize(1 << 20);
    /// A batch of a few readings and a status must fit.
    const PAYLOAD_BYTES_MIN: ByteSize = ByteSize(1 << 10);
    /// A payload is in memory several times while it is on its way.
    const PAYLOAD_BYTES_MAX: ByteSize = ByteSize(16 << 20);
    /// Almost three hours of one vital a second.
    const BATCH_READINGS_DEFAULT: u32 = 10_000;
    /// Everything of a batch is decided before anything else is.
    const BATCH_READINGS_MAX: u32 = 200_000;
    /// Longer than gateways buffer.
    const READING_AGE_DEFAULT: Period = Period(Duration::from_secs(30 * 24 * 60 * 60));
    /// A device that nobody has used for longer has another patient by now.
    const READING_AGE_MAX: Period = Period(Duration::from_secs(10 * 366 * 24 * 60 * 60));

    fn read(reader: &mut Reader<'_>) -> Self {
        let payload_bytes_max = Self::PAYLOAD_BYTES_DEFAULT;
        let batch_readings_max = Self::BATCH_READINGS_DEFAULT;
        let reading_age_max = Self::READING_AGE_DEFAULT;
        Self {
            payload_bytes_max: reader.or("ingest", "payload_bytes_max", payload_bytes_max),
            batch_readings_max: reader.or("ingest", "batch_readings_max", batch_readings_max),
            reading_age_max: reader.or("ingest", "reading_age_max", reading_age_max),
        }
    }

    fn check(&self, reader: &mut Reader<'_>, session_expiry: Period) {
        let (least, most) = (Self::PAYLOAD_BYTES_MIN, Self::PAYLOAD_BYTES_MAX);
        if !(least..=most).contains(&self.payload_bytes_max) {
            reader.refuse("ingest", "payload_bytes_max", format!("must be {least} to {most}"));
        }
        let most = Self::BATCH_READINGS_MAX;
        if !(1..=most).contains(&self.batch_readings_max) {
            reader.refuse("ingest", "batch_readings_max", format!("must be 1 to {most}"));
        }
        if self.reading_age_max > Self::READING_AGE_MAX {
            reader.refuse("ingest", "reading_age_max", "must be 10 years or less");
        }
        if self.reading_age_max < session_expiry {
            let problem = "is shorter than mqtt.session_expiry, so that what the broker keeps for \
                           us while we are away would be refused for its age";
            reader.refuse("ingest", "reading_age_max", problem);
        }
    }
}

impl Store {
    /// Long enough for somebody to have found out why, and to have sent them through again.
    const REJECTED_RETENTION_DEFAULT: Period = Period(Duration::from_secs(90 * DAY_SECONDS));
    /// Late readings, which are dearer in the columnstore, have mostly come by then.
    const COLUMNSTORE_AFTER_DEFAULT: Period = Period(Duration::from_secs(7 * DAY_SECONDS));
    /// A reading that is taken must still be kept when it is stored and summed up, after an outage
    /// of the database too.
    const RETENTION_MARGIN: Duration = Duration::from_secs(2 * DAY_SECONDS);

    fn read(reader: &mut Reader<'_>) -> Self {
        let rejected_retention = Self::REJECTED_RETENTION_DEFAULT;
        let columnstore_after = Self::COLUMNSTORE_AFTER_DEFAULT;
        Self {
            url: reader.or("store", "url", StoreUrl::local()),
            password_file: reader.optional("store", "password_file"),
            readings_retention: reader.optional("store", "readings_retention"),
            buckets_retention: reader.optional("store", "buckets_retention"),
            rejected_retention: reader.or("store", "rejected_retention", rejected_retention),
            columnstore_after: reader.or("store", "columnstore_after", columnstore_after),
            tls: StoreTls::read(reader),
        }
    }

    fn check(&self, reader: &mut Reader<'_>, reading_age_max: Period) {
        self.check_retention(reader, reading_age_max);
        self.tls.check(reader, self.url.is_encrypted());
        if self.password_file.is_some()
            && let Err(problem) = self.url.can_take_password()
        {
            reader.refuse("store", "password_file", problem);
        }
    }

    fn check_retention(&self, reader: &mut Reader<'_>, reading_age_max: Period) {
        let least = Period(reading_age_max.0.saturating_add(Self::RETENTION_MARGIN));
        let kept = [
            ("readings_retention", self.readings_retention),
            ("buckets_retention", self.buckets_retention),
        ];
        for (key, retention) in kept {
            if retention.is_some_and(|retention| retention < least) {
                let problem = format!(
                    "must be {least} or longer: ingest.reading_age_max lets readings of \
                     {reading_age_max} in, and two days more are for an outage of the database"
                );
                reader.refuse("store", key, problem);
            }
        }
        if let (Some(readings), Some(buckets)) = (self.readings_retention, self.buckets_retention)
            && buckets < readings
        {
            let problem = "is shorter than store.readings_retention, so that readings would be \
                           kept whose buckets are gone";
            reader.refuse("store", "buckets_retention", problem);
        }
        let day = Duration::from_secs(DAY_SECONDS);
        let others = [
            ("rejected_retention", self.rejected_retention),
            ("columnstore_after", self.columnstore_after),
        ];
        for (key, _) in others.into_iter().filter(|(_, period)| period.0 < day) {
            reader.refuse("store", key, "must be 24h or longer");
        }
    }

    /// The password as its file has it now, if a file holds it.
    ///
    /// # Errors
    /// When the file can't be read or is no password.
    pub fn password(&self) -> Result<Option<Secret>, SecretError> {
        self.password_file.as_deref().map(Secret::read).transpose()
    }
}

impl Journal {
    /// About 50 million messages of 200 bytes.
    const MAX_BYTES_DEFAULT: ByteSize = ByteSize(10 << 30);
    /// Below this the storage's own write-ahead log leaves no room.
    const MAX_BYTES_MIN: ByteSize = ByteSize(1 << 30);
    /// A start reads about so much in a second.
    const CHECKPOINT_BYTES_DEFAULT: ByteSize = ByteSize(64 << 20);
    /// Less would write the same rows again all the time.
    const CHECKPOINT_BYTES_MIN: ByteSize = ByteSize(1 << 20);
    /// Only what a checkpoint holds may go, so that several must fit.
    const CHECKPOINTS_MIN: u64 = 4;

    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            dir: reader.or("journal", "dir", PathBuf::from("pulseward-data/journal")),
            max_bytes: reader.or("journal", "max_bytes", Self::MAX_BYTES_DEFAULT),
            checkpoint_bytes: reader.or(
                "journal",
                "checkpoint_bytes",
                Self::CHECKPOINT_BYTES_DEFAULT,
            ),
        }
    }

    fn check(&self, reader: &mut Reader<'_>) {
        if self.dir.as_os_str().is_empty() {
            reader.refuse("journal", "dir", "the journal needs a directory");
        }
        if self.max_bytes < Self::MAX_BYTES_MIN {
            let least = Self::MAX_BYTES_MIN;
            reader.refuse("journal", "max_bytes", format!("must be {least} or more"));
        }
        let least = Self::CHECKPOINT_BYTES_MIN;
        let most = ByteSize(self.max_bytes.max(Self::MAX_BYTES_MIN).0 / Self::CHECKPOINTS_MIN);
        if !(least..=most).contains(&self.checkpoint_bytes) {
            let range = format!("must be {least} to a quarter of max_bytes, {most}");
            reader.refuse("journal", "checkpoint_bytes", range);
        }
    }
}

#[cfg(test)]
mod tests;
