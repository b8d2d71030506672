//! The least of a browser: requests by HTTP/1.1 or HTTP/2 with the headers that browsers send, and
//! calls by gRPC-Web.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;

/// Longer than between two heartbeats.
const PATIENCE: Duration = Duration::from_secs(25);

/// A connection of a browser. It is kept between requests, as browsers keep theirs.
pub(super) struct Browser {
    sender: Sender,
    /// As its pages say where they come from.
    pub(super) origin: String,
    authority: String,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl Browser {
    /// Without TLS.
    pub(super) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("listens");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        let authority = address.to_string();
        let origin = format!("http://{authority}");
        Self { sender: Sender::One(sender), origin, authority }
    }

    /// Over TLS, trusting this authority; by HTTP/2, which it must be offered.
    pub(super) async fn open_tls(port: u16, ca: &Path) -> Self {
        let stream = shake_hands(port, ca).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        let authority = format!("localhost:{port}");
        let origin = format!("https://{authority}");
        Self { sender: Sender::Two(sender), origin, authority }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Response<Incoming> {
        let uri = match &self.sender {
            Sender::One(_) => path.to_owned(),
            Sender::Two(_) => format!("{}{path}", self.origin),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self.sender, Sender::One(_)) {
            request = request.header("host", &self.authority);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let answered = async {
            match &mut self.sender {
                Sender::One(sender) => {
                    sender.ready().await.expect("the connection is kept");
                    sender.send_request(request).await
                }
                Sender::Two(sender) => sender.send_request(request).await,
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("in time").expect("an answer")
    }

    /// What `GET path` answers, with these headers.
    pub(super) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let (parts, body) = self.send(Method::GET, path, headers, Bytes::new()).await.into_parts();
        let body = body.collect().await.expect("whole").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Calls as a page of `origin` does, with this token if there is one.
    pub(super) async fn call(
        &mut self,
        call: &str,
        request: &impl Message,
        origin: &str,
        token: Option<&str>,
    ) -> Called {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![
            ("content-type", "application/grpc-web+proto"),
            ("x-grpc-web", "1"),
            ("origin", origin),
        ];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        let body = [&[0][..], &length, &message].concat().into();
        let path = format!("/pulseward.v1.{call}");
        let (parts, body) = self.send(Method::POST, &path, &headers, body).await.into_parts();
        Called { status: parts.status, headers: parts.headers, body, received: BytesMut::new() }
    }

    /// The same, of its own page.
    pub(super) async fn call_own(
        &mut self,
        call: &str,
        request: &impl Message,
        token: Option<&str>,
    ) -> Called {
        let origin = self.origin.clone();
        self.call(call, request, &origin, token).await
    }
}

/// A handshake as a browser makes it, with whatever it offers chosen.
pub(super) async fn shake_hands(port: u16, ca: &Path) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(ca).expect("the authority's file");
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("an authority");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("listens");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}

/// An answer by gRPC-Web, as it comes in.
pub(super) struct Called {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Incoming,
    received: BytesMut,
}

/// A part of it: a message, or how it ended.
enum Part {
    Message(Bytes),
    Trailers(String),
}

impl Called {
    /// The next message; how the call ended, if there is none.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<M, Code> {
        match self.part().await {
            Some(Part::Message(message)) => Ok(M::decode(message).expect("a message")),
            Some(Part::Trailers(trailers)) => {
                let line = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"));
                Err(code(line.expect("a status")))
            }
            None => Err(code(self.headers["grpc-status"].to_str().expect("text"))),
        }
    }

    /// How it ended, when it is over.
    pub(super) async fn ended(&mut self) -> Code {
        loop {
            if let Err(code) = self.next::<()>().await {
                return code;
            }
        }
    }

    async fn part(&mut self) -> Option<Part> {
        loop {
            if let Some(part) = self.whole() {
                return Some(part);
            }
            let frame =
                tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("in time")?;
            if let Ok(data) = frame.expect("not broken off").into_data() {
                self.received.extend_from_slice(&data);
            }
        }
    }

    fn whole(&mut self) -> Option<Part> {
        let length = u32::from_be_bytes(self.received.get(1..5)?.try_into().expect("four bytes"));
        let length = usize::try_from(length).expect("it fits");
        if self.received.len() < 5 + length {
            return None;
        }
        let is_end = self.received[0] & 0x80 != 0;
        self.received.advance(5);
        let part = self.received.split_to(length).freeze();
        Some(match is_end {
            true => Part::Trailers(String::from_utf8(part.to_vec()).expect("text")),
            false => Part::Message(part),
        })
    }
}

fn code(status: &str) -> Code {
    Code::from_i32(status.trim().parse().expect("a number"))
}
