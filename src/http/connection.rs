//! Connections with a bound: on how many there are, and on how long each may take.
//!
//! A client that sends nothing, or reads nothing, would otherwise hold its connection for ever, and
//! enough of them would keep a supervisor from asking how we are.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// A listener that accepts only while fewer than its limit are open.
pub(super) struct Limited {
    listener: TcpListener,
    free: Arc<Semaphore>,
    deadline: Duration,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, connections_max: usize, deadline: Duration) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(connections_max)), deadline }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    /// Cancel safe.
    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("is never closed");
        // The listener's own `accept` hides from us, because this one waits out of file
        // descriptors instead of ending the server.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let deadline = Box::pin(tokio::time::sleep(self.deadline));
        (Connection { stream, deadline, _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails once its deadline has passed.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// The stream, unless the deadline has passed. Also asks to be woken at the deadline.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?.poll_shutdown(context)
    }
}
