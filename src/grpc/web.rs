//! gRPC-Web, for pages in browsers, and which of them may call.
//!
//! On the port of gRPC it is off where no origin is listed: a request of a web page that is not
//! listed is refused at the gate (`auth`), whatever it asks for. Browsers ask before they call
//! (CORS), and are answered here.
//!
//! On the port of the ward page the same services answer, behind the same gate, by [`Web`]. Only
//! pages that this very port served may call there (`origin`); no list, and no CORS, lets another in.

mod origin;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CACHE_CONTROL};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;
use tonic::codegen::Service as _;
use tonic::codegen::http::header::{AUTHORIZATION, CONTENT_TYPE};
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower_http::cors::CorsLayer;

pub(super) use self::origin::OwnPage;
pub use self::origin::Reached;
use super::status;
use crate::incoming::Peer;

/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// What gRPC-Web clients send beside what every page may.
const SENT: [HeaderName; 5] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];
/// How a call ended: pages must see it, also where there was no answer to end.
const EXPOSED: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// The same services, for pages of these origins too.
pub(super) fn for_pages(routes: Routes, origins: &[HeaderValue]) -> Routes {
    if origins.is_empty() {
        return routes;
    }
    let cors = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::POST])
        .allow_headers(SENT)
        .expose_headers(EXPOSED)
        .max_age(MAX_AGE);
    routes.into_axum_router().layer(GrpcWebLayer::new()).layer(cors).into()
}

/// The services as the ward page calls them. Clones are the same.
#[derive(Clone, Debug)]
pub struct Web {
    router: axum::Router,
    under_way: TaskTracker,
    reached: Reached,
    are_all_let_in: bool,
}

/// What bounds the calls of the ward page.
#[derive(Clone)]
struct Bounds {
    /// Once it is cancelled no new call is taken.
    stopping: CancellationToken,
    /// As on the port of gRPC.
    call_timeout: Duration,
}

/// The services for the ward page, before it is known how its port is reached.
pub(super) struct Unplaced {
    pub(super) routes: Routes,
    /// What waits for these calls when the door closes.
    pub(super) under_way: TaskTracker,
    /// Whether who brings nothing is let in.
    pub(super) are_all_let_in: bool,
    pub(super) stopping: CancellationToken,
    pub(super) call_timeout: Duration,
}

impl Unplaced {
    /// The services at a port that is reached like this.
    pub(super) fn at(&self, reached: Reached) -> Web {
        let Self { stopping, call_timeout, .. } = self;
        let bounds = Bounds { stopping: stopping.clone(), call_timeout: *call_timeout };
        let router = self.routes.clone().prepare().into_axum_router();
        let router = router.layer(from_fn_with_state(bounds, bounded)).layer(GrpcWebLayer::new());
        let (under_way, are_all_let_in) = (self.under_way.clone(), self.are_all_let_in);
        Web { router, under_way, reached, are_all_let_in }
    }
}

impl Web {
    /// Answers a call of `peer`. The call is under way until what comes with its answer is dropped:
    /// keep it with the answer's body. Cancel safe in that nobody is answered what is not on record.
    pub(crate) async fn call(
        &self,
        mut request: Request,
        peer: &Peer,
    ) -> (Response, TaskTrackerToken) {
        // Before it is asked whether the door closes, so that no call slips in between.
        let under_way = self.under_way.token();
        if let Some(refused) = refuse_form(&request) {
            return (refused, under_way);
        }
        let own = self.own_page(&request);
        let extensions = request.extensions_mut();
        extensions.insert(own);
        extensions.insert(peer.info());
        let answered = self.router.clone().call(request).await;
        let mut answer = answered.unwrap_or_else(|never| match never {});
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        (answer, under_way)
    }

    fn own_page(&self, request: &Request) -> OwnPage {
        let is_for_us = !self.are_all_let_in || origin::names_this_machine(request);
        OwnPage(is_for_us && origin::is_own(request, self.reached))
    }
}

/// Why a request is no call by gRPC-Web, if it is none. Plain gRPC has a port of its own.
fn refuse_form(request: &Request) -> Option<Response> {
    if request.method() != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response());
    }
    let kind = request.headers().get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let is_web = kind.starts_with(b"application/grpc-web");
    (!is_web).then(|| StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response())
}

/// Refuses calls once the door closes, and ends those that are not answered in time, when as on the
/// port of gRPC. For a stream it is the time to its beginning. A page must not take it for a refusal:
/// what was asked for may have been done.
async fn bounded(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    if bounds.stopping.is_cancelled() {
        return status::stopping().into_http();
    }
    let most = bounds.call_timeout;
    let span = asked(request.headers()).map_or(most, |asked| asked.min(most));
    let answered = timeout(span, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        Status::deadline_exceeded("not answered in time; what was asked for may still happen")
            .into_http()
    })
}

/// How long the caller waits, if it says so: `grpc-timeout`, up to eight digits and a unit.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    let count = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::any;

    use super::*;

    /// How a call ends that nobody answers.
    async fn ending(bounds: Bounds, waits: &'static str) -> HeaderValue {
        let never = any(std::future::pending::<Response>);
        let router = axum::Router::new().fallback_service(never);
        let mut router = router.layer(from_fn_with_state(bounds, bounded));
        let request = Request::post("/a").header("grpc-timeout", waits).body(Body::empty());
        let answered = router.call(request.expect("a request")).await;
        answered.unwrap_or_else(|never| match never {}).headers()["grpc-status"].clone()
    }

    #[tokio::test]
    async fn a_call_that_is_not_answered_ends_when_the_caller_says_or_when_we_do() {
        let (stopping, call_timeout) = (CancellationToken::new(), Duration::from_secs(3600));
        let patient = Bounds { stopping: stopping.clone(), call_timeout };
        assert_eq!(ending(patient.clone(), "5m").await, "4");
        let hasty = Bounds { call_timeout: Duration::from_millis(5), ..patient.clone() };
        assert_eq!(ending(hasty, "1H").await, "4");
        stopping.cancel();
        assert_eq!(ending(patient, "1H").await, "14");
    }

    #[test]
    fn a_caller_says_how_long_it_waits_or_nothing() {
        let read = |text: &'static str| {
            let headers = [(HeaderName::from_static("grpc-timeout"), text)];
            let value = |(name, text)| (name, HeaderValue::from_static(text));
            asked(&headers.into_iter().map(value).collect())
        };
        assert_eq!(read("30S"), Some(Duration::from_secs(30)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "30", "-1S", "+1S", "123456789S", "1 S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
