//! A network between clients and a server of a test that can fail: be cut, be slow, or swallow
//! whatever is sent into it and say nothing.
//!
//! It carries TCP to a port on loopback, from a port of its own that stays the same. What is on its
//! way when it is cut is lost, on both sides, as it is with a switch that loses its power.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What one direction of a connection holds at most while the network stands still.
const HELD_BYTES_MAX: usize = 64 << 10;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Up,
    /// Connections stand, new ones too, and nothing passes.
    Stalled,
    /// Whatever is sent arrives so much later, and no faster than what one direction holds in that
    /// time.
    Slow(Duration),
    /// Connections are reset, new ones too.
    Cut,
}

/// The network. Dropping it resets its connections.
#[derive(Debug)]
pub(crate) struct Network {
    port: u16,
    condition: watch::Sender<Condition>,
    /// How many connections there are.
    connections: watch::Receiver<usize>,
}

impl Network {
    /// One that leads to this port, and works.
    pub(crate) async fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (condition, told) = watch::channel(Condition::Up);
        let (count, connections) = watch::channel(0);
        tokio::spawn(listen(listener, server_port, told, count));
        Self { port, condition, connections }
    }

    /// The port that leads through it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of a broker at its other end.
    pub(crate) fn mqtt_url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Resets every connection, and every new one, until [`Network::heal`]. Returns once no
    /// connection is left.
    pub(crate) async fn cut(&self) {
        self.condition.send_replace(Condition::Cut);
        let mut connections = self.connections.clone();
        connections.wait_for(|count| *count == 0).await.expect("it listens as long as we live");
    }

    /// Lets nothing pass until [`Network::heal`]. Nobody is told.
    pub(crate) fn stall(&self) {
        self.condition.send_replace(Condition::Stalled);
    }

    /// Carries on, but slowly: each part of what is sent, of at most [`HELD_BYTES_MAX`], takes `delay`.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.condition.send_replace(Condition::Slow(delay));
    }

    /// Works again: what a stall has held goes on its way.
    pub(crate) fn heal(&self) {
        self.condition.send_replace(Condition::Up);
    }
}

async fn listen(
    listener: TcpListener,
    server_port: u16,
    mut condition: watch::Receiver<Condition>,
    count: watch::Sender<usize>,
) {
    loop {
        tokio::select! {
            () = ended(&mut condition) => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                count.send_modify(|count| *count += 1);
                let (condition, count) = (condition.clone(), count.clone());
                tokio::spawn(async move {
                    connect(client, server_port, condition).await;
                    count.send_modify(|count| *count -= 1);
                });
            }
        }
    }
}

async fn connect(
    mut client: TcpStream,
    server_port: u16,
    mut condition: watch::Receiver<Condition>,
) {
    let mut up = condition.clone();
    let way = async {
        until_up(&mut up).await;
        TcpStream::connect(("127.0.0.1", server_port)).await
    };
    let server = tokio::select! {
        () = until_cut(&mut condition) => return reset(client),
        connected = way => connected,
    };
    // Who does not listen is told apart from who is not reached by no client of ours.
    let Ok(mut server) = server else { return reset(client) };
    let is_cut = carry(&mut client, &mut server, &mut condition).await;
    if is_cut {
        reset(client);
        reset(server);
    }
}

/// Carries bytes until one side ends the connection, or it is cut; says whether it was cut.
async fn carry(
    client: &mut TcpStream,
    server: &mut TcpStream,
    condition: &mut watch::Receiver<Condition>,
) -> bool {
    let (up, down) = (condition.clone(), condition.clone());
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::select! {
        biased;
        () = until_cut(condition) => true,
        () = pass(client_reads, server_writes, up) => false,
        () = pass(server_reads, client_writes, down) => false,
    }
}

/// One direction, until it ends.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut condition: watch::Receiver<Condition>,
) {
    let mut held = vec![0; HELD_BYTES_MAX];
    loop {
        until_up(&mut condition).await;
        let read = from.read(&mut held).await;
        // It may have stalled while there was nothing to read; an end does not pass then, either.
        until_up(&mut condition).await;
        let Ok(bytes @ 1..) = read else { return };
        let condition = *condition.borrow();
        if let Condition::Slow(delay) = condition {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&held[..bytes]).await.is_err() {
            return;
        }
    }
}

async fn until_up(condition: &mut watch::Receiver<Condition>) {
    let passes = |condition: &Condition| matches!(condition, Condition::Up | Condition::Slow(_));
    let up = condition.wait_for(passes).await.map(|_| ());
    if up.is_err() {
        // The network is gone, which is for `until_cut` to tell.
        std::future::pending().await
    }
}

/// Waits until it is cut, or gone.
async fn until_cut(condition: &mut watch::Receiver<Condition>) {
    let cut = condition.wait_for(|condition| *condition == Condition::Cut).await;
    drop(cut);
}

/// Waits until the network is gone.
async fn ended(condition: &mut watch::Receiver<Condition>) {
    while condition.changed().await.is_ok() {}
}

/// Ends a connection without a goodbye.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().expect("a socket takes the option");
}
