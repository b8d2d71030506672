//! Whether a call is of our own page: one that this very port served.
//!
//! A browser says with every call of a page where that page came from (`Origin`), and by which name
//! it reached us (`Host`). Our own page's are the same. A page of elsewhere can change neither.
//!
//! Names that lead to this machine can be anybody's: a page of `evil.example`, which resolves to
//! 127.0.0.1 once it is loaded, comes from where it calls. Where callers bring a token that gains
//! it nothing, for it has none. Where everybody on this machine is let in, only calls by the
//! machine's own names are taken.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, Uri};

/// Whether a call is of our own page, or of none at all. It stands in the extensions of each call
/// that comes in at the ward page's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) struct OwnPage(pub(in crate::grpc) bool);

/// How the ward page's port is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// By TLS only, which we or a proxy before us speak: a page that came without is not our own.
    ByTls,
    /// From this machine, with TLS by a proxy on it or without.
    FromThisMachine,
}

/// Whether the page that calls is our own, or no page calls.
pub(super) fn is_own(request: &Request, reached: Reached) -> bool {
    let mut origins = request.headers().get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => {
            let origin = origin.to_str().ok().and_then(|text| text.parse().ok());
            let called = called(request.uri(), request.headers());
            origin.zip(called).is_some_and(|(origin, called)| is_same(&origin, &called, reached))
        }
        // Which of them counts is not for us to choose.
        (Some(_), Some(_)) => false,
    }
}

/// Whether we are called by a name that is this machine's whoever resolves it.
pub(super) fn names_this_machine(request: &Request) -> bool {
    let called = called(request.uri(), request.headers());
    called.is_some_and(|called| is_this_machine(called.host()))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical().is_loopback());
    address.unwrap_or_else(|_| host == "localhost")
}

/// By which name and port we are called: HTTP/2 says it in the address, HTTP/1.1 beside it.
fn called(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let called = match (uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), ..) => authority.clone(),
        (None, Some(host), None) => host.to_str().ok()?.parse().ok()?,
        (None, ..) => return None,
    };
    (!called.as_str().contains('@')).then_some(called)
}

fn is_same(origin: &Uri, called: &Authority, reached: Reached) -> bool {
    let Some((scheme, authority)) = origin.scheme().zip(origin.authority()) else { return false };
    let port = match reached {
        _ if *scheme == Scheme::HTTPS => 443,
        Reached::FromThisMachine if *scheme == Scheme::HTTP => 80,
        _ => return false,
    };
    // What is left out is the port of the page's scheme: a proxy passes on what it was called by.
    authority.port_u16().unwrap_or(port) == called.port_u16().unwrap_or(port)
        && authority.host().eq_ignore_ascii_case(called.host())
        && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).expect("a request")
    }

    fn check(host: &str, origin: &str, reached: Reached, expected: bool) {
        let by_header = request("/a", &[("host", host), ("origin", origin)]);
        assert_eq!(is_own(&by_header, reached), expected, "{host:?} {origin:?} {reached:?}");
        if !host.is_empty() {
            let by_address = request(&format!("https://{host}/a"), &[("origin", origin)]);
            assert_eq!(is_own(&by_address, reached), expected, "{host:?} {origin:?} {reached:?}");
        }
    }

    #[test]
    fn the_page_that_was_served_here_may_call_also_behind_a_proxy() {
        use Reached::{ByTls, FromThisMachine};
        for (host, origin) in [
            ("ward.example", "https://ward.example"),
            ("Ward.Example:443", "https://ward.example"),
            ("ward.example:8443", "https://ward.example:8443"),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            check(host, origin, ByTls, true);
            check(host, origin, FromThisMachine, true);
        }
        check("127.0.0.1:8080", "http://127.0.0.1:8080", FromThisMachine, true);
        check("localhost", "http://localhost", FromThisMachine, true);
    }

    #[test]
    fn a_page_of_elsewhere_may_not() {
        use Reached::{ByTls, FromThisMachine};
        for (host, origin) in [
            ("ward.example", "https://evil.example"),
            ("ward.example", "https://ward.example.evil.example"),
            ("ward.example", "https://ward.example:8443"),
            ("ward.example:8443", "https://ward.example"),
            ("ward.example", "https://ward.example@evil.example"),
            ("ward.example", "ftp://ward.example"),
            ("ward.example", "null"),
            ("ward.example", ""),
            ("ward.example", "ward.example"),
            ("127.0.0.1:8080", "http://localhost:8080"),
        ] {
            check(host, origin, ByTls, false);
            check(host, origin, FromThisMachine, false);
        }
        check("ward.example", "http://ward.example", ByTls, false);
    }

    #[test]
    fn who_says_two_things_is_not_believed_and_who_is_no_page_may_call() {
        let own = "https://ward.example";
        let twice = request("/a", &[("host", "ward.example"), ("origin", own), ("origin", own)]);
        assert!(!is_own(&twice, Reached::ByTls));
        let hosts = [("host", "ward.example"), ("host", "other.example"), ("origin", own)];
        assert!(!is_own(&request("/a", &hosts), Reached::ByTls));
        assert!(!is_own(&request("/a", &[("origin", own)]), Reached::ByTls));
        assert!(is_own(&request("/a", &[("host", "ward.example")]), Reached::ByTls));
    }

    #[test]
    fn this_machine_has_names_that_nobody_else_can_have() {
        for own in ["127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:8080"] {
            assert!(names_this_machine(&request("/a", &[("host", own)])), "{own}");
        }
        for other in [
            "a.localhost:80",
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1",
            "x@localhost",
        ] {
            assert!(!names_this_machine(&request("/a", &[("host", other)])), "{other}");
        }
        assert!(!names_this_machine(&request("/a", &[])));
    }
}
