//! The addresses of broker, database, keys and web pages, checked as far as their kind goes.
//!
//! A database's address may hold a password, as such addresses do; it is hidden wherever the
//! address is printed. Whether anybody answers there shows later.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Why a text is not an address that fits its key. Never repeats the text, which may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(pub(super) &'static str);

/// The address of a broker: `mqtt://host:port`, port 1883 by default, or over TLS
/// `mqtts://host:port`, port 8883 by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MqttUrl(String);

impl MqttUrl {
    pub(super) fn local() -> Self {
        Self("mqtt://127.0.0.1:1883".to_owned())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("mqtts://")
    }
}

impl TryFrom<String> for MqttUrl {
    type Error = InvalidUrl;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        match url.strip_prefix("mqtt://").or_else(|| url.strip_prefix("mqtts://")) {
            None | Some("") => Err(InvalidUrl("is not mqtt://host:port or mqtts://host:port")),
            Some(address) if address.contains('@') => {
                Err(InvalidUrl("holds a user; set username and password_file instead"))
            }
            Some(_) => Ok(Self(url)),
        }
    }
}

impl From<MqttUrl> for String {
    fn from(url: MqttUrl) -> Self {
        url.0
    }
}

/// The address of a database: `postgres://user@host:port/database` or `sqlite:PATH`. It prints
/// without its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StoreUrl(String);

impl StoreUrl {
    pub(super) fn local() -> Self {
        Self("sqlite:pulseward-data/readings.sqlite".to_owned())
    }

    /// Its text as it was configured, with its password if it holds one.
    #[must_use]
    pub fn reveal(&self) -> Secret {
        Secret::new(self.0.clone())
    }

    /// Whether a password from a file has a place in it.
    pub(super) fn can_take_password(&self) -> Result<(), &'static str> {
        match self.user() {
            None if self.0.starts_with("sqlite:") => Err("an SQLite file has no password"),
            None | Some("") => Err("needs a user in store.url, as in postgres://USER@host/db"),
            Some(user) if user.contains(':') => Err("store.url holds a password already"),
            Some(_) => Ok(()),
        }
    }

    /// Whether TLS is demanded there.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        let (address, options) = self.0.split_once('?').unwrap_or_default();
        let demands = |option| matches!(option, "sslmode=require" | "sslmode=verify-full");
        address.starts_with("postgres") && options.split('&').any(demands)
    }

    fn authority_from(&self) -> usize {
        self.0.find("://").map_or(self.0.len(), |scheme| scheme + 3)
    }

    /// What stands before the last `@`: `user` or `user:password`. A `/` before it is taken for a
    /// part of the password: better hide too much than too little.
    fn user(&self) -> Option<&str> {
        let rest = &self.0[self.authority_from()..];
        rest.split('?').next()?.rsplit_once('@').map(|(user, _)| user)
    }

    fn without_password(&self) -> String {
        match self.user().and_then(|user| user.split_once(':')) {
            None => self.0.clone(),
            Some((user, password)) => {
                let (from, to) = (self.authority_from(), user.len() + 1 + password.len());
                format!("{}{user}:[hidden]{}", &self.0[..from], &self.0[from + to..])
            }
        }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = InvalidUrl;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        let rest = ["postgres://", "postgresql://", "sqlite:"]
            .into_iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        // Both could hide a password from us, and so show it.
        let options = url.split_once('?').map_or("", |(_, options)| options);
        if options.contains('@') || options.contains("password") {
            return Err(InvalidUrl("holds a user or a password behind its ?; use password_file"));
        }
        match rest {
            None => {
                Err(InvalidUrl("is neither postgres://user@host:port/database nor sqlite:PATH"))
            }
            Some("") => Err(InvalidUrl("names no database")),
            Some(_) => Ok(Self(url)),
        }
    }
}

impl From<StoreUrl> for String {
    /// Without its password: a configuration is written to be read.
    fn from(url: StoreUrl) -> Self {
        url.without_password()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_password())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the keys of callers' tokens are: `https://…`, `http://…` on this machine, or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Jwks {
    /// An address, without a user.
    Url(String),
    /// The path of a file.
    File(PathBuf),
}

impl Jwks {
    /// Whether they are fetched by TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Url(url) if url.starts_with("https://"))
    }
}

impl TryFrom<String> for Jwks {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Err(InvalidUrl("is neither https://host/path nor the path of a file"));
        }
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let uri: hyper::Uri = text.parse().map_err(|_| InvalidUrl("is no address"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(InvalidUrl("holds a user; keys are for everybody to read"));
        }
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_))
            | (Some("http"), Some("127.0.0.1" | "[::1]" | "localhost")) => Ok(Self::Url(text)),
            (Some("http"), Some(_)) => Err(InvalidUrl(
                "must begin with https://: whoever could change the keys on their way could let \
                 anybody in",
            )),
            _ => Err(InvalidUrl("is neither https://host/path nor the path of a file")),
        }
    }
}

impl From<Jwks> for String {
    fn from(jwks: Jwks) -> Self {
        match jwks {
            Jwks::Url(url) => url,
            // It came from a text.
            Jwks::File(path) => path.display().to_string(),
        }
    }
}

/// Where a web page comes from, as browsers say it: `https://host` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidUrl;

    fn try_from(origin: String) -> Result<Self, Self::Error> {
        if origin == "*" {
            return Err(InvalidUrl("lets every web page call; list those that may"));
        }
        let rest =
            ["https://", "http://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
        let is_host = |rest: &str| {
            let may = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte)
            };
            !rest.is_empty() && rest.bytes().all(may)
        };
        match rest {
            Some(rest) if is_host(rest) => Ok(Self(origin)),
            _ => Err(InvalidUrl(
                "is not as browsers say it: https://host or https://host:port, in small letters, \
                 without a / at the end",
            )),
        }
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_by_tls_or_from_this_machine_or_a_file() {
        let parse = |text: &str| Jwks::try_from(text.to_owned());
        for url in ["https://id.example/keys?x=1", "http://127.0.0.1:8080/k", "http://[::1]/k"] {
            assert_eq!(parse(url), Ok(Jwks::Url(url.to_owned())));
        }
        assert_eq!(parse("/etc/keys.json"), Ok(Jwks::File("/etc/keys.json".into())));
        for wrong in
            ["http://id.example/k", "https://u:p@id.example/k", "ftp://x/k", "https://", ""]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_listed_as_browsers_say_it() {
        let parse = |origin: &str| Origin::try_from(origin.to_owned());
        for origin in ["https://ward.example", "http://127.0.0.1:5173", "https://[::1]:8443"] {
            assert!(parse(origin).is_ok(), "{origin}");
        }
        for origin in ["*", "null", "https://Ward.example", "https://ward.example/", "ward.example"]
        {
            assert!(parse(origin).is_err(), "{origin}");
        }
    }

    fn store(url: &str) -> StoreUrl {
        StoreUrl::try_from(url.to_owned()).expect("valid")
    }

    #[test]
    fn a_password_in_an_address_is_never_printed() {
        for (url, shown) in [
            ("postgres://u:s3cret@db:5432/p", "postgres://u:[hidden]@db:5432/p"),
            ("postgres://u:s3@c/r:et@db/p?a=b", "postgres://u:[hidden]@db/p?a=b"),
            ("postgres://u@db/p", "postgres://u@db/p"),
            ("postgresql://db/p", "postgresql://db/p"),
            ("sqlite:/var/lib/a:b@c.sqlite", "sqlite:/var/lib/a:b@c.sqlite"),
        ] {
            assert_eq!(store(url).to_string(), shown);
            assert_eq!(format!("{:?}", store(url)), shown);
            assert_eq!(store(url).reveal().expose(), url);
        }
    }

    #[test]
    fn a_password_from_a_file_needs_a_user_without_one() {
        assert!(store("postgres://u@db:5432/p?connect_timeout=3").can_take_password().is_ok());
        for url in ["postgres://db/p", "postgres://u:x@db/p", "sqlite:a@b"] {
            assert!(store(url).can_take_password().is_err(), "{url}");
        }
    }

    #[test]
    fn a_database_is_addressed_by_a_url_that_hides_nothing_behind_its_options() {
        for url in ["postgres://u:p?w@db/p", "postgres://db/p?password=x", "sqlite:", "mysql://db"]
        {
            assert!(StoreUrl::try_from(url.to_owned()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_broker_is_addressed_without_a_user() {
        for url in ["mqtts://", "ssl://h:8883", "h:1883", "mqtt://", "mqtts://u:p@h", "http://h"] {
            assert!(MqttUrl::try_from(url.to_owned()).is_err(), "{url}");
        }
        for (url, is_encrypted) in [("mqtt://broker.example:1883", false), ("mqtts://b", true)] {
            let url = MqttUrl::try_from(url.to_owned()).expect("valid");
            assert_eq!(url.is_encrypted(), is_encrypted);
        }
    }
}
