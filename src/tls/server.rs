//! The side that shows its certificate first, and may ask for the caller's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{ServerConfig, server};

use super::{Contents, Error, Load, Loaded, Pair, provider};

/// The files of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Who it is.
    pub pair: Pair,
    /// The authorities of callers' certificates. With them a certificate is asked for, and refused
    /// unless one of these issued it; who shows none comes in all the same, and is known by
    /// something else, or not at all.
    pub client_ca: Option<PathBuf>,
    /// What is spoken over it, the most wanted first.
    pub protocols: &'static [&'static [u8]],
}

impl Files {
    fn verifier(&self, contents: &Contents) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let Some(path) = &self.client_ca else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let authorities = Arc::new(contents.authorities(path)?);
        WebPkiClientVerifier::builder_with_provider(authorities, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|_| Error::NoAuthority { path: path.clone() })
    }
}

impl Load for Files {
    type Config = ServerConfig;

    fn paths(&self) -> Vec<&Path> {
        self.pair.paths().into_iter().chain(self.client_ca.as_deref()).collect()
    }

    fn build(&self, contents: &Contents) -> Result<Loaded<ServerConfig>, Error> {
        let own = self.pair.parse(contents)?;
        let unusable = |source| Error::UnusableKey { path: self.pair.key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(self.verifier(contents)?)
            .with_single_cert(own.chain, own.key)
            .map_err(unusable)?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        // A session that is taken up again was verified when it began, perhaps days ago, and its
        // caller's certificate is not shown anew. A handshake more costs a millisecond.
        config.session_storage = Arc::new(server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Loaded {
            config: Arc::new(config),
            own: Some((self.pair.certificate.clone(), own.not_after)),
        })
    }

    fn warn(&self) {
        self.pair.warn_of_permissions();
    }
}
