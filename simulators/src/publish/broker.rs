//! Where the broker is: `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`.
//!
//! TLS is not spoken here; an `mqtts://` address is refused rather than answered in clear text.

use std::fmt;
use std::str::FromStr;

const PORT: u16 = 1883;

/// A broker's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address, an IPv6 one in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password, if it asks for them.
    pub credentials: Option<(String, String)>,
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let refuse = |what: &str| format!("{what}; a broker is like mqtt://127.0.0.1:1883");
        if url.starts_with("mqtts://") {
            return Err(refuse("TLS is not supported"));
        }
        let rest = url.strip_prefix("mqtt://").ok_or_else(|| refuse("no mqtt:// at the front"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(split_credentials(credentials)), address),
            None => (None, rest),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (address, Some(PORT)),
        };
        let port = port.filter(|port| *port != 0).ok_or_else(|| refuse("the port is no port"))?;
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(refuse("the host is no host"));
        }
        Ok(Self { host: host.to_owned(), port, credentials })
    }
}

fn split_credentials(credentials: &str) -> (String, String) {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    (user.to_owned(), password.to_owned())
}

impl fmt::Display for Broker {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_all_its_forms() {
        for (url, host, port, credentials) in [
            ("mqtt://127.0.0.1:18830", "127.0.0.1", 18830, None),
            ("mqtt://broker.example", "broker.example", 1883, None),
            ("mqtt://[::1]:1884/", "[::1]", 1884, None),
            ("mqtt://[::1]", "[::1]", 1883, None),
            ("mqtt://ward:a:b@host", "host", 1883, Some(("ward", "a:b"))),
            ("mqtt://ward@host:1", "host", 1, Some(("ward", ""))),
        ] {
            let credentials = credentials.map(|(user, word)| (user.to_owned(), word.to_owned()));
            let expected = Broker { host: host.to_owned(), port, credentials };
            assert_eq!(url.parse(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["127.0.0.1:1883", "mqtts://host", "mqtt://", "mqtt://host:0", "mqtt://host:x"] {
            assert!(url.parse::<Broker>().is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let broker: Broker = "mqtt://ward:secret@host".parse().expect("valid");
        assert_eq!(format!("{broker} {broker:?}"), "mqtt://host:1883 mqtt://host:1883");
    }
}
