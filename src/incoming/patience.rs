//! How long a peer may keep us waiting that takes nothing, or is not there any more.
//!
//! A stream sends a little every few seconds. To a peer that stopped reading, and to one whose
//! machine went without a word, that would go on until the kernel's buffers are full, which are
//! hours, and its place would be taken as long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// The kernel's buffers are full and not a byte of them went for this long: a tablet that slept is
/// back by then, or reconnects. With HTTP/2 its pings say so sooner.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What was sent and not confirmed for this long was sent to nobody. It is the time after which a
/// client itself shows NOT LIVE.
#[cfg(target_os = "linux")]
const SILENCE_MAX: Duration = Duration::from_secs(25);

/// Has the kernel break off a connection whose peer confirms nothing. Elsewhere than on Linux the
/// kernel's own patience counts.
pub(super) fn miss_the_silent(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    {
        let span = u32::try_from(SILENCE_MAX.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, span) {
            tracing::debug!(%error, "a new connection is gone already");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// A connection that fails once its peer has taken nothing for too long.
pub(super) struct Patient<S> {
    stream: S,
    /// [`STALL_MAX`], or what a test says.
    stall_max: Duration,
    /// While it takes nothing: until when that is borne.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, stall_max: STALL_MAX, stalled: None }
    }

    /// What writing came to, or that it took too long. Also asks to be woken then.
    fn bear<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let span = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(span)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bear(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bear(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bear(context, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.bear(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A connection whose buffers hold one byte.
    fn pair() -> (Patient<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1);
        (Patient::new(ours), theirs)
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_let_go() {
        let (mut ours, _theirs) = pair();
        ours.stall_max = Duration::from_millis(20);
        let written = ours.write_all(b"more than it holds").await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_is_slow_is_borne_with_as_long_as_it_takes_something() {
        let (mut ours, mut theirs) = pair();
        let mut write = || ours.write(b"x").now_or_never().map(|it| it.expect("in time"));
        assert_eq!([write(), write(), write()], [Some(1), None, None]);
        theirs.read_u8().await.expect("a byte");
        assert_eq!(write(), Some(1));
        assert!(ours.stalled.is_none(), "its time begins anew with the next stall");
    }
}
