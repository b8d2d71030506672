//! Handshakes that are slow, many, or never end; and connections without TLS.

use std::pin::pin;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::grpc::PROTOCOLS;
use crate::readiness::Readiness;
use crate::telemetry::names;
use crate::tls::trial::{Authority, Files, Issue};
use crate::tls::{Keeper, Load as _, client, server};

const DOOR: Door = Door { of: "gRPC", failed_total: names::GRPC_HANDSHAKES_FAILED_TOTAL };
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A listener with a certificate, and a client that trusts it.
struct Trial {
    files: Files,
    incoming: Incoming,
    address: SocketAddr,
}

impl Trial {
    fn start(most: usize) -> Self {
        let authority = Authority::new("trial");
        let files = Files::of(&authority, &authority.issue(&Issue::named("door")));
        let of = server::Files { pair: files.pair(), client_ca: None, protocols: PROTOCOLS };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let part = Readiness::new().register("grpc certificates");
        let (_, current) = Keeper::open("grpc", of, clock, part).expect("good files");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut incoming = Incoming::bind(DOOR, listen, Some(current)).expect("a free port");
        incoming.handshakes.most = most;
        let address = incoming.local_addr().expect("bound");
        Self { files, incoming, address }
    }
}

/// A whole handshake, and a word over it.
async fn say(address: SocketAddr, files: client::Files, word: &[u8]) {
    let config = files.load().expect("good files").config;
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(config).connect(name, stream).await.expect("a handshake");
    stream.write_all(word).await.expect("written");
    stream.flush().await.expect("flushed");
}

fn trusting(files: &Files) -> client::Files {
    client::Files { ca: Some(files.ca()), pair: None, protocols: PROTOCOLS }
}

#[tokio::test]
async fn silent_handshakes_hold_nobody_up_and_the_oldest_makes_room() {
    let Trial { files, incoming, address } = Trial::start(3);
    let mut connections = pin!(incoming.connections());
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(address).await.expect("it listens"));
    }
    let client = tokio::spawn(say(address, trusting(&files), b"hello"));
    let made = soon("the fourth", connections.next()).await.expect("never ends");
    let mut heard = [0; 5];
    soon("its word", made.expect("made").read_exact(&mut heard)).await.expect("read");
    assert_eq!(&heard, b"hello");
    client.await.expect("no panic");
    // Whoever came first was dropped for it; the others still have their time.
    let ended = soon("the end of the oldest", silent[0].read(&mut [0])).await;
    assert!(ended.map_or(true, |count| count == 0), "it was dropped");
    silent[2].write_all(b"\x16").await.expect("still open");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended() {
    let Trial { mut incoming, address, .. } = Trial::start(3);
    incoming.handshakes.timeout = Duration::from_millis(50);
    let serving = tokio::spawn(async move {
        let mut connections = pin!(incoming.connections());
        connections.next().await.map(drop)
    });
    let mut silent = TcpStream::connect(address).await.expect("it listens");
    let ended = soon("its end", silent.read(&mut [0])).await;
    assert!(ended.map_or(true, |count| count == 0), "it was dropped");
    assert!(!serving.is_finished(), "and made no connection");
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_makes_no_connection() {
    let Trial { files, incoming, address } = Trial::start(3);
    let mut connections = pin!(incoming.connections());
    let mut garbage = TcpStream::connect(address).await.expect("it listens");
    garbage.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
    let client = tokio::spawn(say(address, trusting(&files), b"x"));
    let made = soon("the good one", connections.next()).await.expect("never ends").expect("made");
    client.await.expect("no panic");
    let local = made.connect_info().address;
    assert_ne!(local, garbage.local_addr().expect("bound"));
}

#[tokio::test]
async fn without_tls_a_connection_is_handed_on_as_it_is() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let incoming = Incoming::bind(DOOR, listen, None).expect("a free port");
    let address = incoming.local_addr().expect("bound");
    let mut connections = pin!(incoming.connections());
    let client = TcpStream::connect(address).await.expect("it listens");
    let made = soon("it", connections.next()).await.expect("never ends").expect("made");
    let peer = made.connect_info();
    assert_eq!(peer.address, client.local_addr().expect("bound"));
    assert!(peer.certificate.is_none());
}
