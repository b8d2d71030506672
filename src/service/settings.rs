//! From the configuration's sections to the settings of the stages.

use tokio_rustls::rustls::pki_types::ServerName;

use super::Error;
use crate::config::{
    Auth, AuthMode, Config, Grpc, Http, Ingest, Journal, Jwks, Mqtt, MqttTls, Store,
};
use crate::engine::input;
use crate::grpc::{Reached, auth};
use crate::http::Shut;
use crate::tls::Load as _;
use crate::{grpc, http, journal, mqtt, store, tls};

pub(super) fn mqtt(section: &Mqtt, ingest: &Ingest) -> Result<mqtt::Settings, Error> {
    let mut settings = mqtt::Settings::new(section.url.as_str().parse()?);
    settings.client_id.clone_from(&section.client_id);
    settings.receive_maximum = section.receive_maximum;
    settings.session_expiry = section.session_expiry.0;
    // Twice what is accepted, so that a message somewhat too large is refused with a reason.
    settings.payload_bytes_max = bytes(ingest).saturating_mul(2);
    if let (Some(username), Some(password)) = (&section.username, section.password()?) {
        let password = mqtt::Password::new(password.expose());
        settings.credentials = Some(mqtt::Credentials { username: username.clone(), password });
    }
    Ok(settings)
}

/// The files of TLS to the broker, and the name that it must have; `None` without TLS.
pub(super) fn mqtt_tls(
    section: &Mqtt,
) -> Result<Option<(tls::client::Files, ServerName<'static>)>, Error> {
    if !section.url.is_encrypted() {
        return Ok(None);
    }
    let MqttTls { ca, server_name, .. } = &section.tls;
    let name = match server_name {
        Some(name) => ServerName::try_from(name.clone()).ok(),
        None => section.url.as_str().parse::<mqtt::Address>()?.server_name(),
    };
    let files = tls::client::Files { ca: ca.clone(), pair: section.tls.pair(), protocols: &[] };
    Ok(Some((files, name.ok_or(Error::MqttServerName)?)))
}

/// The files of TLS at the gRPC server; `None` without TLS.
pub(super) fn grpc_tls(section: &Grpc) -> Option<tls::server::Files> {
    let client_ca = section.tls.client_ca.clone();
    let pair = section.tls.pair()?;
    Some(tls::server::Files { pair, client_ca, protocols: grpc::PROTOCOLS })
}

/// The files of TLS at the HTTP server; `None` without TLS.
pub(super) fn http_tls(section: &Http) -> Option<tls::server::Files> {
    let pair = section.tls.pair()?;
    Some(tls::server::Files { pair, client_ca: None, protocols: http::PROTOCOLS })
}

/// How the ward page is served, and reached; `None` where it is switched off.
pub(super) fn ward_page(config: &Config) -> Option<Result<Reached, Shut>> {
    let Config { http: section, auth, .. } = config;
    let is_local = section.listen.ip().to_canonical().is_loopback();
    section.ward_page.then_some(match auth.mode {
        AuthMode::Certificates => Err(Shut::CertificatesOnly),
        AuthMode::None if !is_local => Err(Shut::NoAuthentication),
        _ if section.tls.certificate.is_some() => Ok(Reached::ByTls),
        _ if is_local => Ok(Reached::FromThisMachine),
        _ if section.allow_plaintext => Ok(Reached::ByTls),
        _ => Err(Shut::Plaintext),
    })
}

/// The bounds of what the engine accepts.
pub(super) fn ingest(section: &Ingest) -> input::Settings {
    input::Settings {
        payload_bytes_max: bytes(section),
        batch_readings_max: section.batch_readings_max,
        retention: section.reading_age_max.0,
    }
}

fn bytes(section: &Ingest) -> u32 {
    u32::try_from(section.payload_bytes_max.0).unwrap_or(u32::MAX)
}

pub(super) fn store(section: &Store) -> Result<store::Settings, Error> {
    let mut settings = store::Settings::new(section.url.reveal().expose().parse()?);
    // It is read for each connection; one that is missing from the start is found out here.
    section.password()?;
    settings.password_file.clone_from(&section.password_file);
    if let Some(files) = store_tls(section, &settings.url) {
        let loaded = files.load().map_err(Error::StoreTls)?;
        settings.tls = Some(tls::Current::fixed(loaded.config));
    }
    settings.readings_retention = section.readings_retention.map(|period| period.0);
    settings.buckets_retention = section.buckets_retention.map(|period| period.0);
    settings.rejected_retention = section.rejected_retention.0;
    settings.columnstore_after = section.columnstore_after.0;
    Ok(settings)
}

/// The files of TLS to Postgres; `None` without TLS.
pub(super) fn store_tls(section: &Store, url: &store::Url) -> Option<tls::client::Files> {
    let (ca, pair) = (section.tls.ca.clone(), section.tls.pair());
    url.is_encrypted().then_some(tls::client::Files { ca, pair, protocols: &[b"postgresql"] })
}

/// The settings of the store, for whoever reads the database beside the service.
///
/// # Errors
/// What the store would refuse.
pub fn store_settings(config: &Config) -> Result<store::Settings, Error> {
    store(&config.store)
}

pub(super) fn grpc(config: &Config) -> Result<grpc::Settings, Error> {
    let Config { grpc: section, auth, .. } = config;
    let mut settings = grpc::Settings::new(section.listen);
    settings.allow_plaintext = section.allow_plaintext;
    settings.auth = callers(auth)?;
    settings.auth.check().map_err(grpc::Error::Keys)?;
    // What can't be was refused with the rest of the configuration.
    let known = auth.certificates.iter().filter_map(|caller| caller.parse().ok());
    settings.certificates =
        known.map(|(name, role, sites)| auth::certificate::Caller { name, role, sites }).collect();
    settings.limits = auth::Limits {
        calls_per_second_max: section.calls_per_second_max,
        calls_burst_max: section.calls_burst_max,
        streams_max: section.streams_per_caller_max,
    };
    settings.refusals_recorded_per_minute = auth.refusals_recorded_per_minute;
    let origins = section.web_origins.iter().map(|origin| origin.as_str().parse());
    settings.web_origins =
        origins.collect::<Result<_, _>>().expect("an origin is letters of a header");
    Ok(settings)
}

fn callers(section: &Auth) -> Result<auth::Mode, Error> {
    match section.mode {
        AuthMode::None => return Ok(auth::Mode::None),
        AuthMode::Certificates => return Ok(auth::Mode::Certificates),
        AuthMode::Jwt => {}
    }
    let expected = auth::Expected {
        issuer: section.issuer.clone().unwrap_or_default(),
        audience: section.audience.clone().unwrap_or_default(),
        leeway: section.leeway.0,
        role_claim: section.role_claim.clone(),
        sites_claim: section.sites_claim.clone(),
    };
    let keys = section.jwks.as_ref().map(|jwks| match jwks {
        Jwks::File(path) => auth::Source::File(path.clone()),
        Jwks::Url(url) => {
            auth::Source::Url { url: url.clone(), authorities: section.jwks_ca_file.clone() }
        }
    });
    let (refresh, secret) = (section.jwks_refresh.0, section.secret().map_err(Error::TokenSecret)?);
    Ok(auth::Mode::Jwt(Box::new(auth::Jwt { expected, keys, refresh, secret })))
}

pub(super) fn journal(section: &Journal) -> journal::Settings {
    let mut settings = journal::Settings::new(&section.dir);
    settings.max_bytes = section.max_bytes.0;
    settings
}

/// The parts of which a restore makes one fit the other.
///
/// # Errors
/// What the store would refuse.
pub fn for_restore(config: &Config) -> Result<(journal::Settings, store::Settings), Error> {
    Ok((journal(&config.journal), store(&config.store)?))
}

/// Whether the stages will take what the configuration says; opens and changes nothing.
///
/// # Errors
/// What a stage would refuse.
pub fn check(config: &Config) -> Result<(), Error> {
    mqtt(&config.mqtt, &config.ingest)?;
    store(&config.store)?;
    grpc(config)?;
    if let Some((files, _)) = mqtt_tls(&config.mqtt)? {
        files.load().map_err(Error::MqttTls)?;
    }
    if let Some(files) = grpc_tls(&config.grpc) {
        files.load().map_err(Error::GrpcTls)?;
    }
    if let Some(files) = http_tls(&config.http) {
        files.load().map_err(Error::HttpTls)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_refuses_what_the_broker_still_lets_through() {
        let config = Config::default();
        assert_eq!(ingest(&config.ingest), input::Settings::default());
        let text = "[ingest]\npayload_bytes_max = \"3MiB\"\nbatch_readings_max = 7\n";
        let config = Config::parse("a test", text, []).expect("valid");
        let engine = ingest(&config.ingest);
        assert_eq!((engine.payload_bytes_max, engine.batch_readings_max), (3 << 20, 7));
        let mqtt = mqtt(&config.mqtt, &config.ingest).expect("valid");
        assert_eq!(mqtt.payload_bytes_max, 6 << 20);
    }

    #[test]
    fn callers_are_known_by_what_the_configuration_says() {
        let text = "[auth]\nmode = \"jwt\"\nissuer = \"i\"\naudience = \"a\"\nleeway = \"5s\"\n\
                    jwks = \"https://id.example/keys\"\nrole_claim = \"r\"\n\
                    [grpc]\nstreams_per_caller_max = 7\nweb_origins = [\"https://ward.example\"]\n";
        let config = Config::parse("a test", text, []).expect("valid");
        let settings = grpc(&config).expect("settings");
        let auth::Mode::Jwt(jwt) = settings.auth else { panic!("by tokens") };
        let expected = auth::Expected {
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            leeway: std::time::Duration::from_secs(5),
            role_claim: "r".to_owned(),
            sites_claim: "sites".to_owned(),
        };
        assert_eq!((jwt.expected, jwt.secret), (expected, None));
        let (url, authorities) = ("https://id.example/keys".to_owned(), None);
        assert_eq!(jwt.keys, Some(auth::Source::Url { url, authorities }));
        assert_eq!(settings.limits, auth::Limits { streams_max: 7, ..auth::Limits::default() });
        assert_eq!(settings.web_origins, ["https://ward.example"]);
        let config = Config::default();
        let settings = grpc(&config).expect("settings");
        let defaults = grpc::Settings::new(config.grpc.listen);
        assert_eq!(format!("{settings:?}"), format!("{defaults:?}"), "the defaults are the same");
    }

    #[test]
    fn the_ward_page_is_served_to_nobody_who_could_be_overheard_or_is_not_known() {
        use Reached::{ByTls, FromThisMachine};
        let tokens = "[auth]\nmode = \"jwt\"\nissuer = \"i\"\naudience = \"a\"\n\
                      jwks = \"https://id.example/keys\"\n";
        let certificates = "[auth]\nmode = \"certificates\"\n\
            certificates = [{ san = \"DNS:d\", role = \"viewer\", sites = [\"s\"] }]\n\
            [grpc.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n";
        let (all, tls) = ("listen = \"0.0.0.0:1\"", "tls = { certificate = \"c\", key = \"k\" }");
        let proxied = "allow_plaintext = true";
        for (auth, http, expected) in [
            ("", "".to_owned(), Some(Ok(FromThisMachine))),
            ("", "listen = \"[::ffff:127.0.0.1]:1\"".to_owned(), Some(Ok(FromThisMachine))),
            ("", tls.to_owned(), Some(Ok(ByTls))),
            ("", proxied.to_owned(), Some(Ok(FromThisMachine))),
            ("", all.to_owned(), Some(Err(Shut::NoAuthentication))),
            ("", format!("{all}\n{tls}"), Some(Err(Shut::NoAuthentication))),
            ("", format!("{all}\n{proxied}"), Some(Err(Shut::NoAuthentication))),
            (tokens, "".to_owned(), Some(Ok(FromThisMachine))),
            (tokens, all.to_owned(), Some(Err(Shut::Plaintext))),
            (tokens, format!("{all}\n{tls}"), Some(Ok(ByTls))),
            (tokens, format!("{all}\n{proxied}"), Some(Ok(ByTls))),
            (tokens, format!("{all}\nward_page = false"), None),
            (certificates, "".to_owned(), Some(Err(Shut::CertificatesOnly))),
        ] {
            let text = format!("[http]\n{http}\n{auth}");
            let config = Config::parse("a test", &text, []).expect("valid");
            assert_eq!(ward_page(&config), expected, "{text}");
        }
    }

    #[test]
    fn keys_and_secrets_that_can_not_be_read_are_named_before_anything_runs() {
        let short = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(short.path(), "short").expect("written");
        let refused = |key: &str, path: &std::path::Path| {
            let text = format!(
                "[auth]\nmode = \"jwt\"\nissuer = \"i\"\naudience = \"a\"\n{key} = {path:?}\n"
            );
            let config = Config::parse("a test", &text, []).expect("the form is right");
            check(&config).expect_err("refused").chain()
        };
        let told = refused("jwks", "/nowhere/jwks.json".as_ref());
        assert!(told.contains("[auth] jwks: can't read the key set /nowhere/jwks.json"), "{told}");
        let told = refused("hs256_secret_file", short.path());
        assert!(told.starts_with("[auth] hs256_secret_file: the secret file"), "{told}");
        assert!(told.ends_with("holds fewer than 32 bytes"), "{told}");
    }

    #[test]
    fn certificates_for_the_database_are_read_before_anything_runs_and_only_if_they_are_used() {
        let refused = |options: &str, ca: &str| {
            let text = format!("[store]\nurl = \"postgres://u@db/p{options}\"\n{ca}");
            let config = Config::parse("a test", &text, []).expect("the form is right");
            check(&config).err().map(|error| error.chain())
        };
        let ca = "[store.tls]\nca = \"/nowhere/ca.pem\"\n";
        for demand in ["?sslmode=verify-full", "?connect_timeout=3&sslmode=require"] {
            let told = refused(demand, ca).expect("refused");
            assert!(told.starts_with("[store.tls]: can't read /nowhere/ca.pem"), "{told}");
        }
        assert_eq!(refused("?sslmode=disable", ""), None);
        let told = refused("?sslmode=prefer", "").expect("refused");
        assert!(told.contains("sslmode can be disable"), "{told}");
    }

    #[test]
    fn what_a_stage_would_refuse_is_found_before_anything_runs() {
        let store = |url: &str| {
            let text = format!("[store]\nurl = {url:?}\n");
            check(&Config::parse("a test", &text, []).expect("the form is right"))
        };
        assert!(store("postgres://u@127.0.0.1:5432/db").is_ok());
        for wrong in ["postgres://u@127.0.0.1:99999/db", "postgres://u@127.0.0.1/db?foo=bar"] {
            assert!(matches!(store(wrong), Err(Error::StoreUrl(_))), "{wrong}");
        }
    }
}
