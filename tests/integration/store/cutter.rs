//! A wire between the follower and Postgres that is cut at the worst moments: just before a
//! COMMIT arrives, just after it was obeyed, and after any number of bytes.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The COMMIT does not arrive.
    BeforeCommit,
    /// It does; its answer does not.
    AfterCommit,
    /// So many bytes to the server still arrive.
    AfterBytes(usize),
}

pub(crate) struct Cutter {
    port: u16,
    armed: Arc<Mutex<Option<Cut>>>,
}

impl Cutter {
    /// A wire to the server of `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().expect("a url");
        let server = config.get_ports().first().copied().unwrap_or(5432);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let armed = Arc::new(Mutex::new(None));
        let plan = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&plan)));
            }
        });
        Self { port, armed }
    }

    /// `url`, but through the wire.
    pub(crate) fn url(&self, url: &str) -> String {
        let config: tokio_postgres::Config = url.parse().expect("a url");
        let server = config.get_ports().first().copied().unwrap_or(5432);
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    /// The next COMMIT is cut.
    pub(crate) fn arm(&self, cut: Cut) {
        *self.armed.lock().expect("nobody panics with it") = Some(cut);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed.lock().expect("nobody panics with it").is_some()
    }
}

async fn carry(mut client: TcpStream, port: u16, armed: Arc<Mutex<Option<Cut>>>) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(bytes @ 1..) = read else { return };
                let (passes, cut) = decide(&up[..bytes], &armed);
                if server.write_all(&up[..passes]).await.is_err() {
                    return;
                }
                if cut == Some(Cut::AfterCommit) {
                    // Its answer comes after it was obeyed.
                    let _answer_or_end = server.read(&mut down).await;
                }
                if cut.is_some() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(bytes @ 1..) = read else { return };
                if client.write_all(&down[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// How many of these bytes pass, and the cut that follows them.
fn decide(bytes: &[u8], armed: &Mutex<Option<Cut>>) -> (usize, Option<Cut>) {
    let mut armed = armed.lock().expect("nobody panics with it");
    let passes = match &mut *armed {
        None => return (bytes.len(), None),
        Some(Cut::AfterBytes(left)) if *left > bytes.len() => {
            *left -= bytes.len();
            return (bytes.len(), None);
        }
        Some(Cut::AfterBytes(left)) => *left,
        Some(Cut::BeforeCommit | Cut::AfterCommit) if !is_commit(bytes) => {
            return (bytes.len(), None);
        }
        Some(Cut::BeforeCommit) => 0,
        Some(Cut::AfterCommit) => bytes.len(),
    };
    (passes, armed.take())
}

/// A simple query is `Q`, its length and its text with a NUL.
fn is_commit(bytes: &[u8]) -> bool {
    bytes.windows(12).any(|window| window == b"Q\0\0\0\x0bCOMMIT\0")
}
