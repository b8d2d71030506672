//! gRPC-Web for dashboards in browsers, and which web pages may call.
//!
//! Off where no origin is listed: a request of a web page that is not listed is refused at the gate
//! (`auth`), whatever it asks for. Browsers ask before they call (CORS), and are answered here.

use std::time::Duration;

use tonic::codegen::http::header::{AUTHORIZATION, CONTENT_TYPE};
use tonic::codegen::http::{HeaderName, HeaderValue, Method};
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower_http::cors::CorsLayer;

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
