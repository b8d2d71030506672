//! Reads PEM files: certificates, a key, authorities. What they are for is decided elsewhere.
//!
//! Files are read whole and at once, so that all that is made of them is of one moment, and no
//! further than [`BYTES_MAX`].

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Error, peer};

/// A system's whole bundle of authorities takes a quarter of it.
const BYTES_MAX: u64 = 1 << 20;

/// What tells one state of the files from another.
pub(super) type Digest = [u8; 32];

/// Files as they were at one moment.
pub struct Contents {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Contents {
    /// Reads files.
    pub(super) fn read(paths: &[&Path]) -> Result<Self, Error> {
        let files = paths.iter().map(|path| Ok((path.to_path_buf(), read(path)?)));
        Ok(Self { files: files.collect::<Result<_, _>>()? })
    }

    /// Differs once any of the files does.
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Sha256::new();
        for (_, content) in &self.files {
            digest.update(u64::try_from(content.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(content);
        }
        digest.finalize().into()
    }

    fn of(&self, path: &Path) -> &[u8] {
        let file = self.files.iter().find(|(read, _)| read == path);
        &file.expect("every file that is parsed was read").1
    }

    /// The certificates of a file, one at least.
    pub(super) fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found: Vec<_> = CertificateDer::pem_slice_iter(self.of(path))
            .collect::<Result<_, _>>()
            .map_err(|problem| damaged(path, &problem))?;
        if found.is_empty() {
            return Err(Error::NoCertificate { path: path.to_owned() });
        }
        Ok(found)
    }

    /// The first key of a file.
    pub(super) fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(self.of(path)).map_err(|problem| match problem {
            pem::Error::NoItemsFound => Error::NoKey { path: path.to_owned() },
            problem => damaged(path, &problem),
        })
    }

    /// The authorities of a file. A certificate that is none is refused rather than passed over: it
    /// was put there to be trusted.
    pub(super) fn authorities(&self, path: &Path) -> Result<RootCertStore, Error> {
        let mut authorities = RootCertStore::empty();
        for certificate in self.certificates(path)? {
            let source = |source| Error::BadCertificate { path: path.to_owned(), source };
            peer::Certificate::parse(&certificate).map_err(source)?;
            authorities
                .add(certificate)
                .map_err(|_| Error::NoAuthority { path: path.to_owned() })?;
        }
        Ok(authorities)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut content = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > BYTES_MAX {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    Ok(content)
}

/// The library's own words repeat a damaged line, which may be one of a key.
fn damaged(path: &Path, problem: &pem::Error) -> Error {
    let problem = match problem {
        pem::Error::MissingSectionEnd { .. } => "a block has no end",
        pem::Error::IllegalSectionStart { .. } => "a block begins with a line that is none",
        pem::Error::Base64Decode(_) => "a block is not base64",
        _ => "it is no PEM file",
    };
    Error::NotPem { path: path.to_owned(), problem: problem.to_owned() }
}

/// The permissions of a file that users outside of its group may read or write.
pub(super) fn mode_for_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then_some(mode)
}
