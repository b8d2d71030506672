//! The ward page's files: what lies in `page/dist` when the program is built, and nothing else.
//!
//! Promises: a path names a file of that directory exactly, or nothing; each is served with its
//! kind, a digest by which a browser knows that it has it already, and headers by which a browser
//! runs no script, asks no address and is shown in no frame but our own.
//!
//! Deliberately absent: no path reaches a file system, nothing is listed, nothing is made up at run
//! time, and no file holds anything about a patient.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Where the page is.
pub(super) const PATH: &str = "/ward/";

/// What a browser may do for the page: run, show and call what comes from here. Nothing of it is
/// written into markup, and no text becomes markup.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// What of the machine a browser lets the page use: nothing.
const PERMISSIONS: &str = "accelerometer=(), ambient-light-sensor=(), autoplay=(), bluetooth=(), \
    camera=(), clipboard-read=(), clipboard-write=(), display-capture=(), encrypted-media=(), \
    fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), \
    local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), \
    publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), \
    storage-access=(), usb=(), web-share=(), window-management=(), xr-spatial-tracking=()";

/// On every answer about the page, also that there is nothing.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
];

/// Under this name there will never be anything else.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A browser keeps it, and asks each time whether it still is what there is.
const ASK_EACH_TIME: &str = "no-cache";

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// A file.
struct File {
    content: &'static [u8],
    kind: &'static str,
    caching: &'static str,
    /// Of its content, so that a restart with the same program changes nothing.
    etag: HeaderValue,
}

/// By their path below [`PATH`].
static BY_NAME: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    FILES.iter().map(|(name, content)| (*name, File::new(name, content))).collect()
});

impl File {
    fn new(name: &str, content: &'static [u8]) -> Self {
        let digest = Sha256::digest(content);
        let digits = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let etag = HeaderValue::try_from(format!("\"{digits}\"")).expect("digits in quotes");
        let caching = if is_named_by_content(name) { FOR_EVER } else { ASK_EACH_TIME };
        Self { content, kind: kind(name), caching, etag }
    }
}

/// Whether its name has the digest of its content in it, as the page's builder names what the
/// page's first file refers to: `assets/name-DIGEST.kind`.
fn is_named_by_content(name: &str) -> bool {
    let stem = name.strip_prefix("assets/").and_then(|name| name.split_once('.'));
    let digest = stem.and_then(|(stem, _)| stem.get(stem.len().checked_sub(9)?..));
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    digest.is_some_and(|it| it.starts_with('-') && it.bytes().skip(1).all(is_digit))
}

/// What a browser is to take it for. What is not known here it shall not guess.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => PLAIN_TEXT,
        _ => "application/octet-stream",
    }
}

/// Answers about the page: a file, the way to it, or that there is nothing.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return protected((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response());
    }
    let name = match path.strip_prefix(PATH) {
        Some("") => "index.html",
        Some(name) => name,
        None if matches!(path, "/" | "/ward") => return to_the_page(),
        None => return nothing(),
    };
    match BY_NAME.get(name) {
        Some(file) => protected(tell(file, method, headers)),
        None => nothing(),
    }
}

fn tell(file: &File, method: &Method, headers: &HeaderMap) -> Response {
    let mut answer = if is_known(file, headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = if method == Method::HEAD { Body::empty() } else { file.content.into() };
        let length = [(CONTENT_LENGTH, HeaderValue::from(file.content.len()))];
        ([(CONTENT_TYPE, file.kind)], length, body).into_response()
    };
    answer.headers_mut().insert(ETAG, file.etag.clone());
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(file.caching));
    answer
}

/// Whether the browser has it already.
fn is_known(file: &File, headers: &HeaderMap) -> bool {
    let named = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = named.flat_map(|tags| tags.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == file.etag)
}

fn to_the_page() -> Response {
    protected((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, PATH)]).into_response())
}

/// There is nothing here.
pub(super) fn nothing() -> Response {
    text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

/// A text for whoever came for the page.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response {
    let head = [(CONTENT_TYPE, PLAIN_TEXT), (CACHE_CONTROL, "no-store")];
    protected((status, head, text).into_response())
}

fn protected(mut answer: Response) -> Response {
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn get(path: &str, headers: &[(HeaderName, &'static str)]) -> (StatusCode, Vec<u8>) {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let answer = answer(&Method::GET, path, &headers.collect());
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("a body").to_bytes().to_vec())
    }

    #[tokio::test]
    async fn every_file_of_the_directory_is_served_as_it_is_and_as_what_it_is() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page/dist");
        assert!(FILES.iter().any(|(name, _)| *name == "index.html"));
        for (name, content) in FILES {
            assert_eq!(std::fs::read(root.join(name)).expect("there"), *content, "{name}");
            assert_ne!(kind(name), "application/octet-stream", "{name} is of no kind known here");
            assert!(!name.starts_with("assets/") || is_named_by_content(name), "{name}");
            let answered = get(&format!("{PATH}{name}"), &[]).await;
            assert_eq!(answered, (StatusCode::OK, content.to_vec()), "{name}");
        }
    }

    #[tokio::test]
    async fn nothing_but_those_files_is_reached() {
        for path in [
            "/ward/../Cargo.toml",
            "/ward/..%2f..%2fCargo.toml",
            "/ward/%2e%2e/Cargo.toml",
            "/ward//etc/passwd",
            "/ward/./index.html",
            "/ward/index.html/",
            "/ward/index%2ehtml",
            "/ward/assets/",
            "/ward/INDEX.HTML",
            "/wards/",
            "/ward/\\index.html",
            "/favicon.ico",
            "//ward/",
        ] {
            assert_eq!(get(path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let tag = BY_NAME["index.html"].etag.to_str().expect("text").to_owned();
        for (sent, expected) in [
            (tag.clone(), StatusCode::NOT_MODIFIED),
            (format!("W/{tag}"), StatusCode::NOT_MODIFIED),
            (format!("\"other\", {tag}"), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
            (tag.trim_matches('"').to_owned(), StatusCode::OK),
        ] {
            let headers = [(IF_NONE_MATCH, HeaderValue::try_from(&sent).expect("a value"))];
            let answer = answer(&Method::GET, PATH, &headers.into_iter().collect());
            assert_eq!(answer.status(), expected, "{sent}");
            assert_eq!(answer.headers()[ETAG], tag);
            assert_eq!(answer.headers()[CACHE_CONTROL], ASK_EACH_TIME);
        }
    }

    #[tokio::test]
    async fn what_is_asked_about_a_file_is_told_without_it() {
        let answer = answer(&Method::HEAD, PATH, &HeaderMap::new());
        let length = BY_NAME["index.html"].content.len().to_string();
        assert_eq!(answer.headers()[CONTENT_LENGTH], length);
        assert!(answer.into_body().collect().await.expect("a body").to_bytes().is_empty());
    }

    #[test]
    fn only_what_is_named_by_its_content_is_kept_for_ever() {
        for (name, expected) in [
            ("assets/index-BqYx_-9a.js", FOR_EVER),
            ("assets/uplot-12345678.css", FOR_EVER),
            ("assets/index-BqYx_-9a.js.map", FOR_EVER),
            ("assets/index.js", ASK_EACH_TIME),
            ("assets/logo-big.svg", ASK_EACH_TIME),
            ("index-BqYx_-9a.js", ASK_EACH_TIME),
            ("index.html", ASK_EACH_TIME),
            ("assets/é", ASK_EACH_TIME),
        ] {
            assert_eq!(File::new(name, b"").caching, expected, "{name}");
        }
    }

    #[test]
    fn every_answer_is_protected_and_only_reading_is_answered() {
        for (method, path, status) in [
            (Method::GET, "/", StatusCode::TEMPORARY_REDIRECT),
            (Method::GET, "/ward", StatusCode::TEMPORARY_REDIRECT),
            (Method::GET, PATH, StatusCode::OK),
            (Method::GET, "/ward/none", StatusCode::NOT_FOUND),
            (Method::POST, PATH, StatusCode::METHOD_NOT_ALLOWED),
            (Method::OPTIONS, PATH, StatusCode::METHOD_NOT_ALLOWED),
        ] {
            let answer = answer(&method, path, &HeaderMap::new());
            assert_eq!(answer.status(), status, "{method} {path}");
            for (name, value) in HEADERS {
                assert_eq!(answer.headers()[&name], value, "{method} {path} {name}");
            }
        }
    }
}
