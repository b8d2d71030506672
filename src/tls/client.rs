//! The side that verifies a server, and may show a certificate of its own.
//!
//! Without a file of authorities it trusts those of the operating system: that is where a hospital
//! puts its own authority, and a list compiled into the program would know only the public ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Contents, Error, Load, Loaded, Pair, provider};

/// The files of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The authorities one of which must have issued the server's certificate.
    pub ca: Option<PathBuf>,
    /// Who we are, for servers that want to know.
    pub pair: Option<Pair>,
    /// What is spoken over it, the most wanted first.
    pub protocols: &'static [&'static [u8]],
}

impl Files {
    fn authorities(&self, contents: &Contents) -> Result<RootCertStore, Error> {
        match &self.ca {
            Some(path) => contents.authorities(path),
            None => of_system(),
        }
    }
}

/// One that can't be read is passed over: a system has hundreds, and nobody put them there for us.
fn of_system() -> Result<RootCertStore, Error> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if authorities.is_empty() { Err(Error::NoSystemAuthority) } else { Ok(authorities) }
}

impl Load for Files {
    type Config = ClientConfig;

    fn paths(&self) -> Vec<&Path> {
        let pair = self.pair.as_ref().map(Pair::paths);
        self.ca.as_deref().into_iter().chain(pair.into_iter().flatten()).collect()
    }

    fn build(&self, contents: &Contents) -> Result<Loaded<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites of TLS 1.2 and 1.3")
            .with_root_certificates(self.authorities(contents)?);
        let (mut config, own) = match &self.pair {
            None => (builder.with_no_client_auth(), None),
            Some(pair) => {
                let own = pair.parse(contents)?;
                let config = builder
                    .with_client_auth_cert(own.chain, own.key)
                    .map_err(|source| Error::UnusableKey { path: pair.key.clone(), source })?;
                (config, Some((pair.certificate.clone(), own.not_after)))
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Loaded { config: Arc::new(config), own })
    }

    fn warn(&self) {
        if let Some(pair) = &self.pair {
            pair.warn_of_permissions();
        }
    }
}
