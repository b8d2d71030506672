//! From the configuration's sections to the settings of the stages.

use super::Error;
use crate::config::{Auth, AuthMode, Config, Grpc, Ingest, Journal, Jwks, Mqtt, Store};
use crate::engine::input;
use crate::grpc::auth;
use crate::{grpc, journal, mqtt, store};

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
    settings.readings_retention = section.readings_retention.map(|period| period.0);
    settings.buckets_retention = section.buckets_retention.map(|period| period.0);
    settings.rejected_retention = section.rejected_retention.0;
    settings.columnstore_after = section.columnstore_after.0;
    Ok(settings)
}

/// The settings of the store, for whoever reads the database beside the service.
///
/// # Errors
/// What the store would refuse.
pub fn store_settings(config: &Config) -> Result<store::Settings, Error> {
    store(&config.store)
}

pub(super) fn grpc(section: &Grpc, auth: &Auth) -> Result<grpc::Settings, Error> {
    let mut settings = grpc::Settings::new(section.listen);
    settings.auth = callers(auth)?;
    settings.auth.check().map_err(grpc::Error::Keys)?;
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
    if section.mode == AuthMode::None {
        return Ok(auth::Mode::None);
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
    let (refresh, secret) = (section.jwks_refresh.0, section.secret()?);
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
    grpc(&config.grpc, &config.auth)?;
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
