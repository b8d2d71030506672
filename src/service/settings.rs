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
