//! `[http]`: where health is asked and the ward page is looked at, and over what.

use std::net::SocketAddr;

use serde::Serialize;

use super::reader::Reader;
use super::{HttpTls, loopback};

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http {
    /// Where to listen. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Whether the ward page is served there. Default yes.
    pub ward_page: bool,
    /// Whether the ward page is served to other machines without TLS, because a proxy before us
    /// speaks it. Default no.
    pub allow_plaintext: bool,
    /// The certificate. Default none: no TLS.
    #[serde(skip_serializing_if = "HttpTls::is_default")]
    pub tls: HttpTls,
}

impl Http {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            listen: reader.or("http", "listen", loopback(8080)),
            ward_page: reader.or("http", "ward_page", true),
            allow_plaintext: reader.or("http", "allow_plaintext", false),
            tls: HttpTls::read(reader),
        }
    }

    /// Health may be told to whoever asks, in plain text too, so that a page that must not be served
    /// is no mistake here: the log says it, and so does the page's address.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        self.tls.check(reader);
        if self.tls.certificate.is_some() && self.allow_plaintext {
            reader.refuse("http", "allow_plaintext", "contradicts [http.tls]: this is TLS only");
        }
    }
}
