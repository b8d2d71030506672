//! TLS and mutual TLS: certificates in PEM files become rustls configurations, and stay current.
//!
//! [`server::Files`] and [`client::Files`] name the files of one use; [`Keeper`] reads them, looks
//! at them again every [`keeper::LOOK_EVERY`], and hands the configuration of the moment to
//! whoever shakes hands next. What a peer's certificate says stands in [`peer`].
//!
//! Promises: every mistake in a file is told with its path, what is wrong and what to do; a file
//! that was replaced is used for the next handshake without a restart, and connections that stand
//! are not touched; a replacement that can't be used changes nothing, and is told of. TLS 1.2 and
//! 1.3 only, and one provider of cryptography, named here, so that nothing depends on what another
//! crate has installed for the whole process.
//!
//! Deliberately absent: no switch turns verification off, and no revocation lists are read. An
//! authority that issues for a few days, or a list of callers, does what they would.

pub mod client;
mod explain;
pub mod keeper;
pub mod peer;
mod pem;
pub mod server;
#[cfg(test)]
pub(crate) mod trial;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::Timestamp;

pub(crate) use explain::explain;
pub use keeper::{Current, Keeper};
use pem::Contents;

/// AWS-LC: maintained, with a formally verified core, and the one that verifies tokens, too.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// Why files make no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{} is larger than 1 MiB, and so no file of certificates", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{} is damaged: {problem}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// In what way.
        problem: String,
    },
    /// It is of another kind.
    #[error(
        "{} holds no certificate: it needs blocks that begin with -----BEGIN CERTIFICATE-----",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// It is of another kind.
    #[error(
        "{} holds no private key: it needs a block that begins with -----BEGIN PRIVATE KEY-----, \
         not encrypted by a passphrase",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it is none.
    #[error("a certificate in {} can't be read", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: peer::Unreadable,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the key in {} is not that of the first certificate in {}: the file begins with our own \
         certificate, and those of the authorities between follow",
        key.display(), certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The key is of a kind that nobody takes.
    #[error(
        "the key in {} can't be used: make it RSA of 2048 bits or more, ECDSA on P-256 or P-384, \
         or Ed25519",
        path.display()
    )]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Nobody can be verified by it.
    #[error("no certificate in {} is that of an authority", path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The system trusts nobody.
    #[error("no authority is named, and the system knows none: name a file of authorities")]
    NoSystemAuthority,
    /// A replacement is worse than what it replaces.
    #[error("the certificate in {} expired at {at}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        at: Timestamp,
    },
}

/// Our own certificate, and what proves that it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain: our own certificate first, then those of the authorities between.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A pair as rustls wants it, and until when it is valid.
struct OwnCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    not_after: Timestamp,
}

impl Pair {
    fn paths(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    /// Reads the pair, and whether it is one.
    fn parse(&self, contents: &Contents) -> Result<OwnCertificate, Error> {
        let chain = contents.certificates(&self.certificate)?;
        let key = contents.key(&self.key)?;
        let source = |source| Error::BadCertificate { path: self.certificate.clone(), source };
        let leaf = peer::Certificate::parse(&chain[0]).map_err(source)?;
        self.check(&chain, &key)?;
        Ok(OwnCertificate { chain, key, not_after: leaf.not_after })
    }

    fn check(
        &self,
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
    ) -> Result<(), Error> {
        let made =
            rustls::sign::CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider());
        match made {
            Ok(_) => Ok(()),
            Err(rustls::Error::InconsistentKeys(_)) => Err(Error::KeyMismatch {
                key: self.key.clone(),
                certificate: self.certificate.clone(),
            }),
            Err(source) => Err(Error::UnusableKey { path: self.key.clone(), source }),
        }
    }

    /// Tells of a key that others may read. It is used all the same: whoever may read it has done
    /// so by now, and a service that does not start helps nobody.
    fn warn_of_permissions(&self) {
        if let Some(mode) = pem::mode_for_others(&self.key) {
            tracing::warn!(
                key = %self.key.display(),
                mode = format!("{mode:o}"),
                "the private key can be read by every user of this machine: chmod o-rwx"
            );
        }
    }
}

/// What files have become.
pub struct Loaded<C> {
    /// For the next handshake.
    pub config: Arc<C>,
    /// Until when our own certificate is valid, if we have one, and its file.
    pub own: Option<(PathBuf, Timestamp)>,
}

/// Files of which a configuration can be made, again and again.
pub trait Load: Send + Sync + 'static {
    /// What is made of them.
    type Config: Send + Sync + 'static;

    /// The files.
    fn paths(&self) -> Vec<&Path>;

    /// Makes it of what the files hold.
    ///
    /// # Errors
    /// What is wrong with them.
    fn build(&self, contents: &Contents) -> Result<Loaded<Self::Config>, Error>;

    /// Tells of what is unwise and works.
    fn warn(&self);

    /// Reads the files and makes it. Blocks on the disk.
    ///
    /// # Errors
    /// What is wrong with them.
    fn load(&self) -> Result<Loaded<Self::Config>, Error> {
        self.build(&Contents::read(&self.paths())?)
    }
}
