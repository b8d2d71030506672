//! Who calls: every request gets its [`Principal`] here, before a service sees it.
//!
//! So far the only mode is [`Mode::None`]: whoever reaches the port is an administrator of all
//! sites, which is why that mode serves the loopback interface only. What a principal may do is
//! decided where the command is applied, not here.

use std::net::SocketAddr;

use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::engine::input::{Principal, Role, Sites};

/// How callers are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are not: everyone on this machine is the administrator.
    #[default]
    None,
}

impl Mode {
    /// Whether the door may be opened at this address.
    #[must_use]
    pub fn may_listen_at(self, listen: SocketAddr) -> bool {
        match self {
            Self::None => listen.ip().to_canonical().is_loopback(),
        }
    }

    fn principal(self) -> Principal {
        match self {
            Self::None => {
                Principal { subject: "anonymous".to_owned(), role: Role::Admin, sites: Sites::All }
            }
        }
    }
}

/// Stands before every service of ours and lets in known callers only.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    mode: Mode,
}

impl Gate {
    pub(super) const fn new(mode: Mode) -> Self {
        Self { mode }
    }
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.extensions_mut().insert(self.mode.principal());
        Ok(request)
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
}
