//! Who may come in: every call gets its [`Principal`] here, before a service sees it.
//!
//! In mode [`Mode::None`] whoever reaches the port is the administrator of all sites, which is why
//! that mode serves the loopback interface only. In mode [`Mode::Jwt`] a caller is known by the
//! bearer token of each call (`tokens`). In every mode who shows a certificate, and no token, is
//! known by that or refused ([`certificate`]). A caller is known until token or certificate end, and
//! a stream ends with them (`expiry`).
//!
//! Promises: a call that is not let in is answered with a status that says what to do and tells
//! nothing else, is counted, and goes on record as far as a flood allows (`attempts`). Who calls too
//! often is refused (`limits`). Which calls a role may make is asked next (`roles`); what a
//! principal may see is decided where that is known, not here.

mod attempts;
mod bucket;
pub mod certificate;
mod claims;
mod expiry;
mod fetch;
mod gated;
mod keeper;
mod keys;
mod limits;
mod refusal;
pub(super) mod roles;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tonic::codegen::http::header::{AUTHORIZATION, ORIGIN};
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::{Request, Status};

pub(super) use self::attempts::Attempts;
use self::certificate::Callers;
pub use self::claims::Expected;
pub(super) use self::expiry::Expiry;
pub use self::fetch::{Source, SourceError};
pub(super) use self::gated::Gated;
pub(super) use self::keeper::Keeper;
use self::limits::Calls;
pub use self::limits::Limits;
pub(super) use self::limits::{OpenStream, Streams};
use self::refusal::Refused;
use self::tokens::Tokens;
use super::commands::Desk;
use super::web::OwnPage;
use crate::clock::{Clock, Timestamp};
use crate::config::Secret;
use crate::engine::input::{Principal, Role, Sites};
use crate::tls::peer::Certificate;

/// How callers are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are not: everyone on this machine is the administrator.
    #[default]
    None,
    /// By the token that they bring, or by their certificate.
    Jwt(Box<Jwt>),
    /// By their certificate alone.
    Certificates,
}

/// What tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// What they must say.
    pub expected: Expected,
    /// Where the keys are of who signs them, if by keys.
    pub keys: Option<Source>,
    /// How often those are read again.
    pub refresh: Duration,
    /// With what they are signed by HS256, if they are.
    pub secret: Option<Secret>,
}

impl Mode {
    /// Whether the door may be opened at this address.
    #[must_use]
    pub fn may_listen_at(&self, listen: SocketAddr) -> bool {
        match self {
            Self::None => listen.ip().to_canonical().is_loopback(),
            Self::Jwt(_) | Self::Certificates => true,
        }
    }

    /// Whether what is configured can be read; changes nothing, and asks nobody.
    ///
    /// # Errors
    /// Why keys could not be read from there.
    pub fn check(&self) -> Result<(), SourceError> {
        match self {
            Self::None | Self::Certificates => Ok(()),
            Self::Jwt(jwt) => jwt.keys.as_ref().map_or(Ok(()), fetch::check),
        }
    }
}

/// A caller who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Caller {
    principal: Principal,
    /// Until when they are known; `None` for ever.
    until: Option<Timestamp>,
}

/// Stands before every service of ours and lets in known callers only. Clones are the same gate.
#[derive(Clone)]
pub(super) struct Gate {
    known: Arc<Known>,
    attempts: Attempts,
}

/// How callers are known, and what they may do.
struct Known {
    /// Whether who shows nothing is let in.
    are_all_let_in: bool,
    /// `None` where nobody is known by a token.
    tokens: Option<Tokens>,
    certificates: Callers,
    calls: Calls,
    origins: Vec<HeaderValue>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// A gate, and who keeps its keys, which has to run.
    pub(super) fn new(
        settings: &super::Settings,
        desk: Desk,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, Option<Keeper>), SourceError> {
        let (tokens, keeper) = match &settings.auth {
            Mode::None | Mode::Certificates => (None, None),
            Mode::Jwt(jwt) => {
                let (tokens, keeper) = tokens(jwt, clock)?;
                (Some(tokens), keeper)
            }
        };
        let per_minute = settings.refusals_recorded_per_minute;
        let attempts = Attempts::new(desk, Arc::clone(clock), per_minute);
        let known = Known {
            are_all_let_in: settings.auth == Mode::None,
            tokens,
            certificates: settings.certificates.clone(),
            calls: Calls::new(settings.limits),
            origins: settings.web_origins.clone(),
            clock: Arc::clone(clock),
        };
        Ok((Self { known: Arc::new(known), attempts }, keeper))
    }

    /// Where refused calls go on record.
    pub(super) fn attempts(&self) -> Attempts {
        self.attempts.clone()
    }
}

fn tokens(jwt: &Jwt, clock: &Arc<dyn Clock>) -> Result<(Tokens, Option<Keeper>), SourceError> {
    let kept = jwt.keys.as_ref().map(|source| {
        let fetch = fetch::Fetch::new(source)?;
        Ok(keeper::channel(fetch, keeper::Pauses::new(jwt.refresh), Arc::clone(clock)))
    });
    let (keys, keeper) = kept.transpose()?.unzip();
    let secret = jwt.secret.as_ref().map(|secret| secret.expose().as_bytes());
    Ok((Tokens::new(jwt.expected.clone(), keys, secret, Arc::clone(clock)), keeper))
}

impl Known {
    /// Who calls, by the headers of the call and the certificate of the connection; or why they are
    /// not let in, and who they are if that is known. `own` stands at calls that came in at the
    /// ward page's port. Cancel safe.
    async fn caller(
        &self,
        headers: &HeaderMap,
        own: Option<OwnPage>,
        certificate: Option<&Certificate>,
    ) -> Result<Caller, (Option<Principal>, Refused)> {
        let may = match own {
            Some(OwnPage(is_own)) => is_own,
            None => headers.get(ORIGIN).is_none_or(|origin| self.origins.contains(origin)),
        };
        if !may {
            return Err((None, Refused::OriginNotAllowed));
        }
        let known = self.known(headers, certificate).await.map_err(|refused| (None, refused))?;
        let Some((principal, until)) = known else { return Ok(everybody()) };
        match self.calls.count(&principal.subject, self.clock.now()) {
            Ok(()) => Ok(Caller { principal, until: Some(until) }),
            Err(refused) => Err((Some(principal), refused)),
        }
    }

    /// Who it is and until when; `None` for anybody who is let in without being known.
    async fn known(
        &self,
        headers: &HeaderMap,
        certificate: Option<&Certificate>,
    ) -> Result<Option<(Principal, Timestamp)>, Refused> {
        if let Some(tokens) = &self.tokens
            && let Some(token) = bearer(headers)?
        {
            return tokens.check(token).await.map(Some);
        }
        if let Some(shown) = certificate {
            let known = self.certificates.know(shown, self.clock.now())?;
            return Ok(Some((known.principal, known.until)));
        }
        match (self.are_all_let_in, &self.tokens) {
            (true, _) => Ok(None),
            (false, Some(_)) => Err(Refused::TokenMissing),
            (false, None) => Err(Refused::CertificateMissing),
        }
    }
}

/// The administrator that everybody on this machine is.
fn everybody() -> Caller {
    let (subject, role, sites) = ("anonymous".to_owned(), Role::Admin, Sites::All);
    Caller { principal: Principal { subject, role, sites }, until: None }
}

/// The token that a call brings, if it brings one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(only), None) => only.to_str().map_err(|_| Refused::TokenInvalid)?,
        // Which of them would count is not for us to choose.
        (Some(_), Some(_)) => return Err(Refused::TokenInvalid),
    };
    // RFC 7235: the scheme is the same in small letters.
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refused::TokenInvalid),
    }
}

/// The caller and what they ask.
pub(super) fn caller<T>(mut request: Request<T>) -> Result<(Principal, T), Status> {
    // Answered rather than trusted to be impossible: a service mounted without its gate must refuse.
    let principal = request
        .extensions_mut()
        .remove::<Principal>()
        .ok_or_else(|| Status::unauthenticated("the caller is not known"))?;
    Ok((principal, request.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_authentication_only_loopback_is_served() {
        for (listen, may) in [
            ("127.0.0.1:50051", true),
            ("127.8.8.8:0", true),
            ("[::1]:50051", true),
            ("[::ffff:127.0.0.1]:50051", true),
            ("0.0.0.0:50051", false),
            ("[::]:50051", false),
            ("192.0.2.7:50051", false),
        ] {
            let listen = listen.parse().expect("an address");
            assert_eq!(Mode::None.may_listen_at(listen), may, "{listen}");
        }
    }

    #[test]
    fn a_request_that_passed_no_gate_is_refused() {
        let status = caller(Request::new(())).expect_err("no principal");
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn a_call_brings_one_token_or_none() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a value"));
            }
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(read(&["bearer  abc "]), Ok(Some("abc".to_owned())));
        for wrong in [&["Basic abc"][..], &["abc"], &["Bearerabc"], &["Bearer a", "Bearer b"]] {
            assert_eq!(read(wrong), Err(Refused::TokenInvalid), "{wrong:?}");
        }
    }
}
