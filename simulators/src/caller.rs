//! Who calls the service: nobody in particular, or the bearer of a token.

use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A channel whose calls say who calls.
pub type Authorised = InterceptedService<Channel, Caller>;

/// Who calls. Without a token, nobody: enough for a service that asks nobody.
#[derive(Clone, Debug, Default)]
pub struct Caller(Option<MetadataValue<Ascii>>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("reading the token in {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds what can't be sent.
    #[error("{path} holds no token: it is one line of printable ASCII")]
    NoToken {
        /// Which.
        path: PathBuf,
    },
}

impl Caller {
    /// The bearer of the token that is the only line of a file.
    ///
    /// # Errors
    /// If it can't be read, or is no token.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.into(), source })?;
        let token = text.trim();
        let value: Option<MetadataValue<Ascii>> = format!("Bearer {token}").parse().ok();
        let value = value.filter(|_| !token.is_empty());
        let mut value = value.ok_or_else(|| Error::NoToken { path: path.into() })?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// Lets the calls over a channel say who calls.
    #[must_use]
    pub fn over(&self, channel: Channel) -> Authorised {
        InterceptedService::new(channel, self.clone())
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_only_line_of_its_file_and_is_never_printed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        std::fs::write(&path, "a.b.c\n").expect("room");
        let mut caller = Caller::read(&path).expect("a token");
        let request = caller.call(Request::new(())).expect("allowed");
        assert_eq!(request.metadata().get("authorization").expect("said"), "Bearer a.b.c");
        assert!(!format!("{caller:?}").contains("a.b.c"));
        std::fs::write(&path, "\n").expect("room");
        assert!(matches!(Caller::read(&path), Err(Error::NoToken { .. })));
        assert!(matches!(Caller::read(&dir.path().join("none")), Err(Error::Read { .. })));
    }
}
