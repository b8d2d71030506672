//! What a thousand deliveries cost by themselves: messages of an event's size, written to so many
//! connections one after the other, by one task and without gRPC. No service on this machine is
//! faster than that with a connection for each watcher.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use pulseward::clock::{Clock as _, SystemClock};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

/// Of an event with a note, with HTTP/2's frame.
pub(crate) const MESSAGE_BYTES: usize = 700;

/// The connections, from the side that writes.
pub(crate) struct Bare {
    listener: TcpListener,
    connections: Vec<TcpStream>,
    /// Messages so far, to each.
    pub(crate) told: usize,
}

impl Bare {
    pub(crate) async fn bind() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self { listener, connections: Vec::new(), told: 0 })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Takes so many connections in.
    pub(crate) async fn accept(mut self, count: usize) -> Result<Self> {
        for _ in 0..count {
            let (connection, _) = self.listener.accept().await?;
            connection.set_nodelay(true)?;
            self.connections.push(connection);
        }
        Ok(self)
    }

    /// So many messages to each, one after the other at this pace.
    pub(crate) async fn tell(&mut self, messages: usize, pace: Duration) -> Result<()> {
        let mut rhythm = tokio::time::interval(pace);
        let mut message = vec![0; MESSAGE_BYTES];
        for _ in 0..messages {
            rhythm.tick().await;
            message[..8].copy_from_slice(&SystemClock.now().micros().to_be_bytes());
            for connection in &mut self.connections {
                connection.write_all(&message).await?;
            }
            self.told += 1;
        }
        Ok(())
    }
}
