//! The gate before a service: looks at each request, and passes on those of known callers.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Request, Status};

use super::attempts::Attempt;
use super::{Expiry, Gate, OwnPage};
use crate::engine::audit::Method;
use crate::incoming::Peer;

/// A service behind the gate.
#[derive(Clone)]
pub(in crate::grpc) struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Gated<S> {
    /// Puts the gate before a service.
    pub(in crate::grpc) fn new(inner: S, gate: Gate) -> Self {
        Self { inner, gate }
    }
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The one that is ready answers; a copy takes its place.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.admit(&mut request).await {
                Ok(()) => inner.call(request).await,
                Err(refused) => Ok(refused.into_http()),
            }
        })
    }
}

impl Gate {
    /// Lets a request in with its caller, or says why not, once that is on record. Cancel safe.
    async fn admit(&self, request: &mut http::Request<Body>) -> Result<(), Status> {
        let shown = request.extensions().get::<Peer>().and_then(|peer| peer.certificate.clone());
        let own = request.extensions().get::<OwnPage>().copied();
        match self.known.caller(request.headers(), own, shown.as_deref()).await {
            Ok(caller) => {
                let extensions = request.extensions_mut();
                if let Some(until) = caller.until {
                    extensions.insert(Expiry::new(until, self.known.clock.clone()));
                }
                extensions.insert(caller.principal);
                Ok(())
            }
            Err((principal, refused)) => {
                let refused = refused.status();
                let method = Method::named(request.uri().path().trim_start_matches('/'));
                // What is no call of ours tells nothing, so that there is nothing to record.
                let Some(method) = method else { return Err(refused) };
                let address = peer(request);
                let attempt = Attempt {
                    principal,
                    peer: address.map(|peer| peer.to_string()).unwrap_or_default(),
                    address: address.map(|peer| peer.ip()),
                    method,
                };
                Err(self.attempts.record(attempt, refused).await)
            }
        }
    }
}

/// Where a request comes from.
fn peer(request: &mut http::Request<Body>) -> Option<std::net::SocketAddr> {
    let mut asked = Request::new(());
    std::mem::swap(asked.extensions_mut(), request.extensions_mut());
    let peer = asked.remote_addr();
    std::mem::swap(asked.extensions_mut(), request.extensions_mut());
    peer
}
