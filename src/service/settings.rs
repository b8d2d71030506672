//! From the configuration's sections to the settings of the stages.

use super::Error;
use crate::config::{Config, Journal, Mqtt, Store};
use crate::{journal, mqtt, store};

pub(super) fn mqtt(section: &Mqtt) -> Result<mqtt::Settings, Error> {
    let mut settings = mqtt::Settings::new(section.url.as_str().parse()?);
    settings.client_id.clone_from(&section.client_id);
    settings.receive_maximum = section.receive_maximum;
    settings.session_expiry = section.session_expiry.0;
    if let (Some(username), Some(password)) = (&section.username, section.password()?) {
        let password = mqtt::Password::new(password.expose());
        settings.credentials = Some(mqtt::Credentials { username: username.clone(), password });
    }
    Ok(settings)
}

pub(super) fn store(section: &Store) -> Result<store::Settings, Error> {
    let url = section.url_with_password()?.expose().parse()?;
    Ok(store::Settings::new(url))
}

pub(super) fn journal(section: &Journal) -> journal::Settings {
    let mut settings = journal::Settings::new(&section.dir);
    settings.max_bytes = section.max_bytes.0;
    settings
}

/// Whether the stages will take what the configuration says; opens and changes nothing.
///
/// # Errors
/// What a stage would refuse.
pub fn check(config: &Config) -> Result<(), Error> {
    mqtt(&config.mqtt)?;
    store(&config.store)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
