//! How the commands of this program reach the service over gRPC: where it is, whom they trust, and
//! as whom they ask.
//!
//! `http://` is plain text, `https://` is TLS with the same verification as everywhere here. A token
//! stands in a file, never on the command line, where every user of the machine could read it; it
//! is read for each call, so that one that is renewed while a long command runs is used. It is
//! never sent in plain text to another machine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::codegen::InterceptedService;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::config::{Secret, SecretError};
use crate::telemetry::with_causes;
use crate::tls::{self, Load as _, Pair};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The port of gRPC, where the URL names none.
const PORT: u16 = 50051;
const PROTOCOLS: &[&[u8]] = &[b"h2"];

/// A connection on which every call says who asks. Clones share it.
pub type Connection = InterceptedService<Channel, Bearer>;

/// The service, and who asks it.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Service {
    /// The service: http://HOST:PORT, or https://HOST:PORT for TLS.
    #[arg(long = "grpc", value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub url: String,
    /// The authorities of the service's certificate, a PEM file; else those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, a PEM file, for a service that knows us by it.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Its key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// The file whose only line is the token to show.
    #[arg(long, value_name = "FILE", env = "PULSEWARD_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// There is no connection to the service.
#[derive(Debug, thiserror::Error)]
#[error("can't connect to the service at {url}")]
pub struct NotConnected {
    /// Where it was looked for.
    pub url: String,
    /// Why.
    #[source]
    pub reason: Error,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none.
    #[error("{url:?} is no address of the service, such as https://pulseward.example:50051")]
    Url {
        /// What was given.
        url: String,
    },
    /// TLS options without TLS.
    #[error("{option} is of no use with an address that begins with http://")]
    NoTls {
        /// The first of them.
        option: &'static str,
    },
    /// Whoever is between would have the token.
    #[error("the token is not sent in plain text to another machine; use https://")]
    PlainToken,
    /// The token can't be read.
    #[error("the token")]
    Token(#[source] SecretError),
    /// It holds what no token holds.
    #[error("the token holds characters that can't be sent")]
    TokenCharacters,
    /// A certificate can't be used.
    #[error("the certificates")]
    Certificates(#[source] tls::Error),
    /// TLS failed.
    #[error("TLS with {host}: {reason}")]
    Handshake {
        /// Whom we talked to.
        host: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Nobody answers.
    #[error("no connection")]
    Connect(#[source] tonic::transport::Error),
    /// Nobody listens there.
    #[error("no connection")]
    Dial(#[source] std::io::Error),
}

impl Service {
    /// The service at `url`, asked by nobody in particular.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Connects. A call that is not answered within `call_timeout` is given up. Cancel safe.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub async fn connect(&self, call_timeout: Duration) -> Result<Connection, NotConnected> {
        let connected = self.try_connect(call_timeout).await;
        connected.map_err(|reason| NotConnected { url: self.url.clone(), reason })
    }

    async fn try_connect(&self, call_timeout: Duration) -> Result<Connection, Error> {
        let target = Target::parse(&self.url)?;
        self.check(&target)?;
        let bearer = Bearer { file: self.token_file.clone() };
        bearer.header()?;
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(Error::Connect)?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(call_timeout);
        let channel = if target.is_encrypted {
            self.connect_encrypted(&endpoint, target).await?
        } else {
            endpoint.connect().await.map_err(Error::Connect)?
        };
        Ok(InterceptedService::new(channel, bearer))
    }

    fn check(&self, target: &Target) -> Result<(), Error> {
        if target.is_encrypted {
            return Ok(());
        }
        if self.token_file.is_some() && !target.is_loopback() {
            return Err(Error::PlainToken);
        }
        let options = [("--ca", &self.ca), ("--certificate", &self.certificate)];
        match options.into_iter().find(|(_, file)| file.is_some()) {
            Some((option, _)) => Err(Error::NoTls { option }),
            None => Ok(()),
        }
    }

    fn files(&self) -> tls::client::Files {
        let pair = self.certificate.clone().zip(self.key.clone());
        let pair = pair.map(|(certificate, key)| Pair { certificate, key });
        tls::client::Files { ca: self.ca.clone(), pair, protocols: PROTOCOLS }
    }

    async fn connect_encrypted(
        &self,
        endpoint: &Endpoint,
        target: Target,
    ) -> Result<Channel, Error> {
        let files = self.files();
        files.warn();
        let config = files.load().map_err(Error::Certificates)?.config;
        let dialer = Dialer { connector: TlsConnector::from(config), target };
        endpoint.connect_with_connector(dialer).await.map_err(Error::Connect)
    }
}

/// Where a URL leads.
#[derive(Clone, Debug)]
struct Target {
    is_encrypted: bool,
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Error> {
        let refused = || Error::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let is_encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refused)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { is_encrypted, host, port: uri.port_u16().unwrap_or(PORT) })
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|it| it.to_canonical().is_loopback())
    }
}

/// Makes TLS connections for a channel: the first, and one after each that was lost.
#[derive(Clone)]
struct Dialer {
    connector: TlsConnector,
    target: Target,
}

impl Dialer {
    async fn dial(self) -> Result<TlsStream<TcpStream>, Error> {
        let Target { host, port, .. } = self.target;
        let name = ServerName::try_from(host.clone());
        let name = name.map_err(|_| Error::Url { url: host.clone() })?;
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(Error::Dial)?;
        stream.set_nodelay(true).map_err(Error::Dial)?;
        self.connector.connect(name, stream).await.map_err(|error| match tls::explain(&error) {
            Some(why) => Error::Handshake { host, reason: why.reason },
            None => Error::Dial(error),
        })
    }
}

impl tonic::codegen::Service<Uri> for Dialer {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}

/// Shows the token with each call, if there is one.
#[derive(Clone, Debug)]
pub struct Bearer {
    file: Option<PathBuf>,
}

impl Bearer {
    fn header(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        let Some(file) = &self.file else { return Ok(None) };
        let token = Secret::read(file).map_err(Error::Token)?;
        let header = format!("Bearer {}", token.expose()).parse::<MetadataValue<Ascii>>();
        let mut header = header.map_err(|_| Error::TokenCharacters)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = self.header();
        let header = header.map_err(|error| Status::unauthenticated(with_causes(&error)))?;
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_perhaps_a_port() {
        for (url, expected) in [
            ("http://127.0.0.1:50051", Some((false, "127.0.0.1", 50051, true))),
            ("https://ward.example", Some((true, "ward.example", 50051, false))),
            ("https://[::1]:7", Some((true, "::1", 7, true))),
            ("http://localhost", Some((false, "localhost", 50051, true))),
            ("grpc://ward.example", None),
            ("ward.example:50051", None),
            ("https://", None),
        ] {
            let target = Target::parse(url).ok();
            let found = target.as_ref().map(|target| {
                (target.is_encrypted, target.host.as_str(), target.port, target.is_loopback())
            });
            assert_eq!(found, expected, "{url}");
        }
    }

    #[tokio::test]
    async fn a_token_never_leaves_this_machine_in_plain_text() {
        let service = Service {
            token_file: Some("/nowhere".into()),
            ..Service::at("http://ward.example:50051")
        };
        let refused = service.connect(CONNECT_TIMEOUT).await.map(drop).expect_err("plain");
        assert!(matches!(refused.reason, Error::PlainToken), "{refused}");
    }

    #[tokio::test]
    async fn certificates_without_tls_are_a_mistake() {
        let service = Service { ca: Some("ca.pem".into()), ..Service::at("http://127.0.0.1:1") };
        let refused = service.connect(CONNECT_TIMEOUT).await.map(drop).expect_err("no TLS");
        assert!(matches!(refused.reason, Error::NoTls { option: "--ca" }), "{refused}");
    }

    #[test]
    fn the_token_is_read_anew_for_each_call_and_not_printed() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut bearer = Bearer { file: Some(file.path().to_owned()) };
        for token in ["first", "second"] {
            std::fs::write(file.path(), format!("{token}\n")).expect("written");
            let request = bearer.call(Request::new(())).expect("a token");
            let shown = request.metadata().get("authorization").expect("shown");
            assert_eq!(shown.to_str().expect("text"), format!("Bearer {token}"));
            assert!(!format!("{bearer:?} {request:?}").contains(token));
        }
        std::fs::remove_file(file.path()).expect("removed");
        let status = bearer.call(Request::new(())).expect_err("no token");
        assert!(status.message().contains("can't read the password file"), "{status}");
    }
}
