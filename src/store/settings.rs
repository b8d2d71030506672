//! What the store must be told: which database, and the bounds of everything it does.
//!
//! Promises: a [`Url`] that exists names a database this service can speak to, and shows its
//! password to nobody.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{Config, Host, SslMode, SslNegotiation};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls;

/// The settings of the follower, of the maintenance and of the queries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database.
    pub url: Url,
    /// The file that holds the password of the Postgres user in `url`, if it is not in there. Read
    /// for each connection, so that a password may change while the service runs. Default none.
    pub password_file: Option<PathBuf>,
    /// Whom to trust and what to show where `url` demands TLS, which then needs it. Default none.
    pub tls: Option<tls::Current<ClientConfig>>,
    /// A transaction takes no further entry once it has this many rows. Default 20,000: enough to
    /// spread the cost of a commit thin, few enough to be done in well under a second.
    pub batch_rows_max: usize,
    /// Nor once it has this many bytes, for refused payloads are kept whole. Default 16 MiB.
    pub batch_bytes_max: usize,
    /// A transaction that is not full begins no sooner than this after the one before. Rows that
    /// come out of a quiet are written at once; under load this bounds the commits per second and
    /// how late a reading can be found. Default 50 ms.
    pub flush_interval: Duration,
    /// The same where entries brought no rows, and only the cursor moves. Default 1 s.
    pub cursor_interval: Duration,
    /// How long a connection may take to be made. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a transaction may take before its connection is given up. Default 60 s: a full
    /// batch on a database in trouble, not one that will never answer.
    pub write_timeout: Duration,
    /// The first wait after a failure; each further one doubles. Default 100 ms.
    pub retry_first: Duration,
    /// The longest wait. Default 10 s: how long a database that is back may go unnoticed.
    pub retry_max: Duration,
    /// How long a database that is away is waited for after the journal has closed. Default 10 s.
    pub drain_timeout: Duration,
    /// What to do where journal and database do not belong together.
    pub on_gap: OnGap,
    /// How long readings are kept, by their measured time; for ever if not set, the default.
    pub readings_retention: Option<Duration>,
    /// How long buckets are kept, by the time that they begin; for ever if not set, the default.
    pub buckets_retention: Option<Duration>,
    /// How long refused messages are kept, by their receipt. Default 90 days: long enough for
    /// somebody to have found out why, and to have sent them through again.
    pub rejected_retention: Duration,
    /// When a day's readings go to TimescaleDB's columnstore. Default 7 days: late readings, which
    /// are dearer there, have mostly come by then.
    pub columnstore_after: Duration,
    /// How often what was stored goes into the buckets of a minute. Default 60 s: a bucket is then
    /// written about twice.
    pub minute_pass_interval: Duration,
    /// The same of those of an hour. Default 10 min: the views make the newest buckets from the
    /// readings, so nobody waits for a pass, and each costs an update per patient and vital.
    pub hour_pass_interval: Duration,
    /// How often partitions are made ahead and what is expired is deleted. Default 1 h.
    pub maintenance_interval: Duration,
    /// A pass takes no further batch once it has this many readings. Default 200,000: about a
    /// second's work, which is repeated if it is lost.
    pub pass_rows_max: usize,
    /// Queries that may run at once, each on its own connection. Further ones wait. Default 4.
    pub query_connections_max: usize,
    /// How long a query may take, waiting included. Default 5 s.
    pub query_timeout: Duration,
}

/// What to do where the database belongs to another journal, or to entries that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// Stop with an error that says what does not fit.
    #[default]
    Refuse,
    /// Whoever starts the service has said that what is missing may be missing: see
    /// [`accept_gap`](super::accept_gap). What does not fit later on is refused all the same.
    Accept,
}

impl Settings {
    /// The defaults, for this database.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            password_file: None,
            tls: None,
            batch_rows_max: 20_000,
            batch_bytes_max: 16 << 20,
            flush_interval: Duration::from_millis(50),
            cursor_interval: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(60),
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            on_gap: OnGap::Refuse,
            readings_retention: None,
            buckets_retention: None,
            rejected_retention: Duration::from_secs(90 * 24 * 60 * 60),
            columnstore_after: Duration::from_secs(7 * 24 * 60 * 60),
            minute_pass_interval: Duration::from_secs(60),
            hour_pass_interval: Duration::from_secs(10 * 60),
            maintenance_interval: Duration::from_secs(60 * 60),
            pass_rows_max: 200_000,
            query_connections_max: 4,
            query_timeout: Duration::from_secs(5),
        }
    }
}

/// Which database: `postgres://user:password@host:port/database` or `sqlite:PATH`.
#[derive(Clone)]
pub struct Url(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    Postgres(Box<Config>),
    Sqlite(PathBuf),
}

/// Why a text names no database.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Neither of the two kinds.
    #[error("a store url begins with postgres:// or sqlite:")]
    Scheme,
    /// `sqlite:` without a file. A database in memory could not be read beside its writer.
    #[error("sqlite: needs the path of a file")]
    NoPath,
    /// Not a Postgres connection string.
    #[error("reading the postgres url")]
    Postgres(#[source] tokio_postgres::Error),
    /// No host to connect to.
    #[error("the postgres url names no host")]
    NoHost,
    /// Half a demand for TLS, or two.
    #[error(
        "sslmode can be disable, which is the default, or verify-full, with which the server's \
         certificate and name are verified (require is the same here); it stands there once, and \
         sslnegotiation=direct only beside verify-full"
    )]
    SslMode,
    /// TLS with a server that has no name to be verified.
    #[error(
        "sslmode: TLS needs a server with a name, as in postgres://db.example/…: a socket has \
         none, and hostaddr needs host beside it"
    )]
    TlsWithoutName,
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite(path);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return postgres(text);
        }
        Err(UrlError::Scheme)
    }
}

fn sqlite(path: &str) -> Result<Url, UrlError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') {
        return Err(UrlError::NoPath);
    }
    Ok(Url(Kind::Sqlite(PathBuf::from(path))))
}

fn postgres(text: &str) -> Result<Url, UrlError> {
    let (text, mode) = without_sslmode(text)?;
    let mut config: Config = text.parse().map_err(UrlError::Postgres)?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(UrlError::NoHost);
    }
    // Another would be one that was written so that only the driver knew it again.
    if config.get_ssl_mode() != SslMode::Prefer {
        return Err(UrlError::SslMode);
    }
    config.ssl_mode(mode);
    match mode {
        SslMode::Require => check_names(&config)?,
        _ if config.get_ssl_negotiation() == SslNegotiation::Direct => {
            return Err(UrlError::SslMode);
        }
        _ => {}
    }
    Ok(Url(Kind::Postgres(Box::new(config))))
}

/// The text without its `sslmode`, and what that demands. The driver knows no `verify-full`; what it
/// calls `require` we never speak without verifying, so that the two are one. What would do without
/// TLS where it fails to come about is none.
fn without_sslmode(text: &str) -> Result<(String, SslMode), UrlError> {
    let Some((address, options)) = text.split_once('?') else {
        return Ok((text.to_owned(), SslMode::Disable));
    };
    let (modes, others): (Vec<_>, Vec<_>) =
        options.split('&').partition(|option| option.starts_with("sslmode="));
    let mode = match modes[..] {
        [] | ["sslmode=disable"] => SslMode::Disable,
        ["sslmode=require" | "sslmode=verify-full"] => SslMode::Require,
        _ => return Err(UrlError::SslMode),
    };
    Ok((format!("{address}?{}", others.join("&")), mode))
}

/// Each server must have a name that a certificate can stand for.
fn check_names(config: &Config) -> Result<(), UrlError> {
    let hosts = config.get_hosts();
    let is_name = |host: &Host| match host {
        Host::Tcp(name) => ServerName::try_from(name.as_str()).is_ok(),
        #[cfg(unix)]
        Host::Unix(_) => false,
    };
    let all = hosts.len() >= config.get_hostaddrs().len() && hosts.iter().all(is_name);
    if all { Ok(()) } else { Err(UrlError::TlsWithoutName) }
}

impl Url {
    /// Whether it demands TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(&self.0, Kind::Postgres(config) if config.get_ssl_mode() == SslMode::Require)
    }

    /// The SQLite file, if it is one.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Sqlite(path) => Some(path),
            Kind::Postgres(_) => None,
        }
    }
}

impl fmt::Display for Url {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(config) => {
                f.write_str("postgres://")?;
                if let Some(user) = config.get_user() {
                    write!(f, "{user}@")?;
                }
                write_hosts(config, f)?;
                write!(f, "/{}", config.get_dbname().unwrap_or_default())
            }
        }
    }
}

fn write_hosts(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, host) in config.get_hosts().iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        match host {
            Host::Tcp(name) => write!(f, "{comma}{name}")?,
            #[cfg(unix)]
            Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
        }
        // One port may stand for all hosts.
        if let Some(port) = config.get_ports().get(index).or(config.get_ports().first()) {
            write!(f, ":{port}")?;
        }
    }
    Ok(())
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url: Url = "postgres://ward:s3cret@db.example:5433/vitals".parse().unwrap();
        let settings = format!("{:?}", Settings::new(url.clone()));
        assert!(!settings.contains("s3cret"), "{settings}");
        assert_eq!(url.to_string(), "postgres://ward@db.example:5433/vitals");
        let wrong = "postgres://ward:s3cret@db.example:port/x".parse::<Url>().unwrap_err();
        assert!(!super::super::chain(&wrong).contains("s3cret"), "{wrong:?}");
    }

    #[test]
    fn a_path_is_a_path_also_with_slashes_before_it() {
        for (text, path) in [
            ("sqlite:pulseward.db", "pulseward.db"),
            ("sqlite:/var/lib/pulseward/store.db", "/var/lib/pulseward/store.db"),
            ("sqlite:///var/lib/store.db", "/var/lib/store.db"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.sqlite_path(), Some(Path::new(path)));
        }
    }

    #[test]
    fn what_names_no_database_is_refused() {
        for text in [
            "mysql://x",
            "",
            "sqlite:",
            "sqlite::memory:",
            "host=db user=x",
            "postgres://",
            "postgres://db/x?sslmode=prefer",
            "postgres://db/x?sslmode=verify-ca",
            "postgres://db/x?sslmode=verify-full&sslmode=disable",
            "postgres://db/x?ssl%6Dode=require",
            "postgres://db/x?sslnegotiation=direct",
            "postgres://%2Frun%2Fpostgresql/x?sslmode=require",
            "postgres:///x?hostaddr=10.0.0.1&sslmode=require",
            "postgres://not%20a%20name/x?sslmode=require",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn tls_is_spoken_where_it_is_asked_for_and_not_by_chance() {
        for (text, expected) in [
            ("postgres://u@db/x", SslMode::Disable),
            ("postgres://u@db/x?connect_timeout=3", SslMode::Disable),
            ("postgres://u@db/x?sslmode=disable", SslMode::Disable),
            ("postgres://u@db/x?sslmode=require", SslMode::Require),
            ("postgres://u@db/x?connect_timeout=3&sslmode=verify-full", SslMode::Require),
            ("postgres://u@db/x?sslmode=verify-full&connect_timeout=3", SslMode::Require),
            ("postgres://u@10.0.0.1/x?sslmode=verify-full&sslnegotiation=direct", SslMode::Require),
        ] {
            let url: Url = text.parse().unwrap();
            let Kind::Postgres(config) = &url.0 else { panic!("it is Postgres") };
            assert_eq!(config.get_ssl_mode(), expected, "{text}");
            assert_eq!(url.is_encrypted(), expected == SslMode::Require, "{text}");
            let configured = crate::config::StoreUrl::try_from(text.to_owned()).unwrap();
            assert_eq!(configured.is_encrypted(), url.is_encrypted(), "{text}");
        }
    }
}
