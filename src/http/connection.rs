//! One connection, from its first request to its end: HTTP/1.1 or HTTP/2, as the client speaks.
//!
//! How long it may wait, and when it has to make room, is decided where the places are (`places`).

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected as _;

use super::Site;
use super::places::{Guest, HEALTH_TIMEOUT};
use crate::incoming::Io;

/// What is spoken over TLS, the most wanted first: with HTTP/2 a page's streams and calls share one
/// connection.
pub const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The head of a request: a token is the longest of it, and takes a few KiB.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// More requests at once on one connection of HTTP/2 wait. A page has two streams and a few calls.
const REQUESTS_PER_CONNECTION_MAX: u32 = 64;
/// As on the port of gRPC: a screen that went without a word is found out within 25 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that does not answer that within this time is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection whose time is over has nothing under way; this is for its farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves it to its end. At `stop` it takes no request more, and what is under way has
/// [`HEALTH_TIMEOUT`]. Not cancel safe: dropping it breaks the connection off.
pub(super) async fn serve(io: Io, site: Arc<Site>, guest: Arc<Guest>, stop: CancellationToken) {
    let peer = io.connect_info();
    let answering = service_fn(|request| {
        let (site, guest, peer) = (Arc::clone(&site), Arc::clone(&guest), peer.clone());
        async move { Ok::<_, Infallible>(site.answer(request, &guest, &peer).await) }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), answering));
    // Whatever breaks a connection concerns whoever is at its other end, who is gone.
    let rest = tokio::select! {
        _ = connection.as_mut() => return,
        () = guest.crowded_out() => return,
        () = guest.over() => FAREWELL,
        () = stop.cancelled() => if guest.waits() { FAREWELL } else { HEALTH_TIMEOUT },
    };
    connection.as_mut().graceful_shutdown();
    drop(timeout(rest, connection).await);
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let head_bytes_max = usize::try_from(HEAD_BYTES_MAX).unwrap_or(usize::MAX);
    // A head that does not come is a connection that waits.
    builder.http1().header_read_timeout(None).max_buf_size(head_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(REQUESTS_PER_CONNECTION_MAX)
        .max_header_list_size(HEAD_BYTES_MAX);
    builder
}
