//! Reads the keys of who makes tokens: from a file, or over HTTPS.
//!
//! One request, one answer, within [`FETCH_TIMEOUT`]; no redirect is followed, because where the
//! keys are is for the configuration to say. Nothing is kept between two readings.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};

use super::keys::{InvalidKeys, KeySet};
use crate::tls::{self, Load as _};

/// A call that waits for keys must still be answered in its own time.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A set of keys with their certificates takes some 10 KiB.
const KEY_SET_BYTES_MAX: u64 = 256 << 10;

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// At an address, vouched for by the authorities of a PEM file or of the system.
    Url {
        /// `https://…` or `http://…`
        url: String,
        /// The authorities.
        authorities: Option<PathBuf>,
    },
}

/// Why keys can't be fetched from where they are said to be.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file can't be read.
    #[error("can't read the key set {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} can't be used", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: InvalidKeys,
    },
    /// Whom to trust can't be known.
    #[error("no authority can be asked to vouch for {url}; see auth.jwks_ca_file")]
    Authorities {
        /// The address.
        url: String,
        /// Why not.
        #[source]
        source: tls::Error,
    },
    /// The address names no server.
    #[error("{url} names no server")]
    Address {
        /// The address.
        url: String,
    },
    /// Its name can't be vouched for.
    #[error("{url} names a server that no certificate can name")]
    Name {
        /// The address.
        url: String,
        /// Why not.
        #[source]
        source: InvalidDnsNameError,
    },
}

/// Whether keys can be read from there, as far as that shows without asking anybody.
pub(super) fn check(source: &Source) -> Result<(), SourceError> {
    Fetch::new(source)?;
    let Source::File(path) = source else { return Ok(()) };
    let failed = |source| SourceError::File { path: path.clone(), source };
    let text = read_file(path).map_err(failed)?;
    match KeySet::parse(&text) {
        Ok(_) => Ok(()),
        Err(source) => Err(SourceError::Keys { path: path.clone(), source }),
    }
}

/// Why keys could not be read this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("reading the keys from {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("connecting to where the keys are")]
    Connect(#[source] std::io::Error),
    #[error("agreeing on TLS with where the keys are")]
    Tls(#[source] std::io::Error),
    #[error("asking for the keys")]
    Exchange(#[source] hyper::Error),
    #[error("reading the keys")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("asking for the keys was answered {0}")]
    Status(StatusCode),
    #[error("the keys did not come within {FETCH_TIMEOUT:?}")]
    Timeout,
}

/// Reads keys.
#[derive(Clone)]
pub(super) enum Fetch {
    File(PathBuf),
    Http(Server),
}

/// A server that has keys.
#[derive(Clone)]
pub(super) struct Server {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Fetch {
    /// Gets ready to read from there.
    pub(super) fn new(source: &Source) -> Result<Self, SourceError> {
        match source {
            Source::File(path) => Ok(Self::File(path.clone())),
            Source::Url { url, authorities } => {
                Server::new(url, authorities.as_ref()).map(Self::Http)
            }
        }
    }

    /// Reads them. Cancel safe: nothing is kept.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let fetched = async {
            match self {
                Self::File(path) => read(path).await,
                Self::Http(server) => server.ask().await,
            }
        };
        tokio::time::timeout(FETCH_TIMEOUT, fetched).await.unwrap_or(Err(FetchError::Timeout))
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        read_file(&path).map_err(|source| FetchError::File { path, source })
    });
    // It is given up only where the runtime ends.
    reading.await.unwrap_or(Err(FetchError::Timeout))
}

fn read_file(path: &Path) -> Result<Vec<u8>, std::io::Error> {
    let mut text = Vec::new();
    File::open(path)?.take(KEY_SET_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

impl Server {
    fn new(url: &str, authorities: Option<&PathBuf>) -> Result<Self, SourceError> {
        let address = || SourceError::Address { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| address())?;
        let host = uri.host().ok_or_else(address)?.trim_matches(['[', ']']).to_owned();
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tls = is_https.then(|| {
            let name = ServerName::try_from(host.clone())
                .map_err(|source| SourceError::Name { url: url.to_owned(), source })?;
            Ok((trusting(url, authorities)?, name))
        });
        Ok(Self { uri, host, port, tls: tls.transpose()? })
    }

    async fn ask(&self) -> Result<Vec<u8>, FetchError> {
        let address = (self.host.as_str(), self.port);
        let stream = TcpStream::connect(address).await.map_err(FetchError::Connect)?;
        match &self.tls {
            None => self.ask_over(stream).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(FetchError::Tls)?;
                self.ask_over(stream).await
            }
        }
    }

    async fn ask_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<Vec<u8>, FetchError> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Exchange)?;
        let request = self.request();
        // The connection ends once its sender is dropped; how it ends is told by the answer.
        let exchange = async move {
            let answer = sender.send_request(request).await.map_err(FetchError::Exchange)?;
            if answer.status() != StatusCode::OK {
                return Err(FetchError::Status(answer.status()));
            }
            let bytes_max = usize::try_from(KEY_SET_BYTES_MAX).unwrap_or(usize::MAX);
            let body = Limited::new(answer.into_body(), bytes_max).collect().await;
            Ok(body.map_err(FetchError::Body)?.to_bytes().to_vec())
        };
        tokio::join!(exchange, connection).0
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        Request::get(path)
            .header(HOST, host)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(CONNECTION, "close")
            .body(Empty::new())
            .expect("path and host were parts of an address")
    }
}

/// TLS to a server whom these authorities vouch for.
fn trusting(url: &str, authorities: Option<&PathBuf>) -> Result<TlsConnector, SourceError> {
    let files = tls::client::Files { ca: authorities.cloned(), pair: None, protocols: &[] };
    let failed = |source| SourceError::Authorities { url: url.to_owned(), source };
    files.load().map(|loaded| TlsConnector::from(loaded.config)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::NamedTempFile;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{self, ServerConfig};

    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkeys";

    /// A server that answers one request so; its port, and the request once it was answered.
    async fn answering(
        answer: String,
        tls: Option<TlsAcceptor>,
    ) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            match tls {
                None => serve(stream, &answer).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &answer).await,
                    Err(_) => String::new(),
                },
            }
        });
        (port, serving)
    }

    async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        // A client that has seen enough may be gone.
        drop(stream.write_all(answer.as_bytes()).await);
        drop(stream.shutdown().await);
        String::from_utf8(request).expect("text")
    }

    fn at(url: String, authorities: Option<PathBuf>) -> Result<Fetch, SourceError> {
        Fetch::new(&Source::Url { url, authorities })
    }

    async fn check_failed(answer: String, expected: &str) {
        let (port, serving) = answering(answer, None).await;
        let fetch = at(format!("http://127.0.0.1:{port}/keys"), None).expect("an address");
        let error = fetch.fetch().await.expect_err("no keys");
        assert_eq!(error.to_string(), expected);
        serving.await.expect("does not panic");
    }

    #[tokio::test]
    async fn keys_are_asked_for_where_the_address_says() {
        let (port, serving) = answering(OK.to_owned(), None).await;
        let url = format!("http://127.0.0.1:{port}/realms/a?b=c");
        let fetch = at(url, None).expect("an address");
        assert_eq!(fetch.fetch().await.expect("keys"), b"keys");
        let request = serving.await.expect("does not panic");
        assert!(request.starts_with("GET /realms/a?b=c HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{request}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_and_no_redirect_is_followed() {
        let redirect = "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned();
        check_failed(redirect, "asking for the keys was answered 302 Found").await;
        check_failed("SSH-2.0\r\n".to_owned(), "asking for the keys").await;
        let long = usize::try_from(KEY_SET_BYTES_MAX).expect("small") + 1;
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {long}\r\n\r\n{}", "x".repeat(long));
        check_failed(long, "reading the keys").await;
    }

    #[tokio::test]
    async fn keys_come_by_tls_only_from_whom_the_authorities_vouch_for() {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a certificate and its key");
        let tls = TlsAcceptor::from(Arc::new(config));
        let authorities = NamedTempFile::new().expect("a file");
        std::fs::write(authorities.path(), cert.pem()).expect("written");
        let other = generate_simple_self_signed(["localhost".to_owned()]).expect("another");
        let others = NamedTempFile::new().expect("a file");
        std::fs::write(others.path(), other.cert.pem()).expect("written");
        for (trusted, host, is_trusted) in [
            (&authorities, "localhost", true),
            (&authorities, "127.0.0.1", false),
            (&others, "localhost", false),
        ] {
            let (port, serving) = answering(OK.to_owned(), Some(tls.clone())).await;
            let url = format!("https://{host}:{port}/keys");
            let fetch = at(url, Some(trusted.path().to_owned())).expect("authorities");
            let fetched = fetch.fetch().await;
            assert_eq!(fetched.is_ok(), is_trusted, "{host}: {fetched:?}");
            assert!(is_trusted || matches!(fetched, Err(FetchError::Tls(_))));
            serving.await.expect("does not panic");
        }
    }

    #[test]
    fn authorities_that_are_none_are_found_out_at_once() {
        let url = || "https://id.example/keys".to_owned();
        let nowhere = at(url(), Some("/nowhere/ca.pem".into())).err().expect("no file");
        let told = format!("{:#}", anyhow::Error::new(nowhere));
        assert!(told.contains("/nowhere/ca.pem"), "{told}");
        let empty = NamedTempFile::new().expect("a file");
        let nobody = at(url(), Some(empty.path().to_owned())).err().expect("nobody in it");
        assert!(matches!(nobody, SourceError::Authorities { .. }), "{nobody}");
    }

    #[test]
    fn a_file_without_keys_is_found_out_at_once() {
        let file = NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "{}").expect("written");
        let source = Source::File(file.path().to_owned());
        assert!(matches!(check(&source), Err(SourceError::Keys { .. })));
        let nowhere = Source::File("/nowhere/jwks.json".into());
        let error = check(&nowhere).expect_err("no file");
        assert_eq!(error.to_string(), "can't read the key set /nowhere/jwks.json");
    }
}
