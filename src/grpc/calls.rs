//! A call under way: who asks, from where, for what; and that it goes on record.
//!
//! Every call of ours goes through [`Desk::serve`], a stream through
//! [`Streams::open`](super::streams::Streams::open). Promises: whatever becomes of a call, its audit
//! event is durable before the caller hears of it; where it can't be, the caller gets an error in
//! place of the answer. A call that became a command is told by the engine, in the entry of the
//! command itself, and not a second time here.
//!
//! Not on record are what the transport refuses before it is one of our calls (a message too large,
//! or none of ours), and a caller who was gone before the answer: nobody has read anything then.

use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::auth::{self, Expiry, roles};
use super::commands::Desk;
use super::convert::Change;
use super::status;
use crate::engine::audit::{About, Access, Method, Origin, Outcome};
use crate::engine::input::{Action, Command, Principal, Repeatable};
use crate::engine::output::{Done, Reply};
use crate::engine::query::{Query, Question};
use crate::vitals::PatientId;

/// A request that goes on record.
pub(super) trait Audited {
    /// The call that it is of.
    const METHOD: Method;

    /// What it is about, as far as it says so itself; also if it is wrong.
    fn about(&self) -> About;
}

/// A call under way.
pub(super) struct Call {
    /// Who asks.
    pub(super) principal: Principal,
    /// What it is about. What its answer tells of is added to it.
    pub(super) about: About,
    method: Method,
    peer: String,
    /// Whether it became a command, which the engine tells of.
    is_told: bool,
    /// Until when the caller is known, if not for ever.
    expiry: Option<Expiry>,
    /// What is to be said of it beside that it was done.
    pub(super) remark: &'static str,
}

impl Call {
    /// Takes a call in.
    pub(super) fn receive<Q: Audited>(mut request: Request<Q>) -> Result<(Self, Q), Status> {
        let expiry = request.extensions_mut().remove();
        let peer = request.remote_addr().map(|peer| peer.to_string()).unwrap_or_default();
        let (principal, request) = auth::caller(request)?;
        let (about, method) = (request.about(), Q::METHOD);
        Ok((Self { principal, about, method, peer, is_told: false, expiry, remark: "" }, request))
    }

    /// Whether the caller's role may make it.
    pub(super) fn check_role(&self) -> Result<(), Status> {
        roles::check(self.principal.role, self.method).map_err(status::refused)
    }

    /// Until when the caller is known, if not for ever.
    pub(super) fn expiry(&self) -> Option<Expiry> {
        self.expiry.clone()
    }

    /// The command that carries out `action` for the caller.
    pub(super) fn command(&self, action: Action, request: Option<Repeatable>) -> Command {
        Command { principal: self.principal.clone(), action, origin: self.origin(), request }
    }

    /// The answer tells of these patients.
    pub(super) fn told_of<'a>(&mut self, patients: impl Iterator<Item = &'a PatientId>) {
        self.about.patients.extend(patients.cloned());
    }

    /// What is told of it that no command tells.
    pub(super) fn access(&self, outcome: Outcome, reason: String) -> Access {
        Access {
            principal: Some(self.principal.clone()),
            origin: self.origin(),
            method: self.method,
            about: self.about.clone(),
            outcome,
            reason,
        }
    }

    /// The 122 random bits of a version 4 UUID are salt enough, and different for each event.
    fn origin(&self) -> Origin {
        Origin { peer: self.peer.clone(), salt: Uuid::new_v4().into_bytes() }
    }
}

impl Desk {
    /// Serves a call: does the work, and puts the call on record before its answer leaves.
    ///
    /// Cancel safe in that nobody is answered what is not on record; but what was asked for may
    /// happen all the same.
    pub(super) async fn serve<Q: Audited, A>(
        &self,
        request: Request<Q>,
        work: impl AsyncFnOnce(&mut Call, Q) -> Result<A, Status>,
    ) -> Result<Response<A>, Status> {
        let (mut call, request) = Call::receive(request)?;
        let answer = match call.check_role() {
            Ok(()) => work(&mut call, request).await,
            Err(refused) => Err(refused),
        };
        if !call.is_told {
            let (outcome, reason) = match &answer {
                Ok(_) => (Outcome::Done, call.remark.to_owned()),
                Err(status) => outcome_of(status),
            };
            self.record(call.access(outcome, reason)).await?;
        }
        answer.map(Response::new)
    }

    /// Puts a call on record; gives the number of its event.
    pub(super) async fn record(&self, access: Access) -> Result<u64, Status> {
        match self.commands().record(access).await.map_err(|_| status::stopping())? {
            Ok(Done::Audited { number }) => Ok(number),
            Ok(_) => Err(super::commands::unexpected("audit event")),
            Err(refusal) => Err(status::refused(refusal)),
        }
    }

    /// The engine's answer to `change`.
    pub(super) async fn ask(&self, call: &mut Call, change: Change) -> Result<Reply, Status> {
        call.is_told = true;
        let request = change.request_id.map(|id| Repeatable { id, call: None });
        self.submit(call.command(change.action, request)).await
    }

    /// What `change` did.
    pub(super) async fn carry_out(&self, call: &mut Call, change: Change) -> Result<Done, Status> {
        self.ask(call, change).await?.map_err(status::refused)
    }

    /// The engine's answer to `question`.
    pub(super) async fn look_up(&self, call: &Call, question: Question) -> Result<Done, Status> {
        self.query(Query { principal: call.principal.clone(), question }).await
    }

    /// The engine's answer to a query.
    pub(super) async fn query(&self, query: Query) -> Result<Done, Status> {
        let reply = self.commands().query(query).await.map_err(|_| status::stopping())?;
        reply.map_err(status::refused)
    }
}

/// How a call ended that was not carried out, and why.
pub(super) fn outcome_of(status: &Status) -> (Outcome, String) {
    let outcome = match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Outcome::Denied,
        _ => Outcome::Failed,
    };
    (outcome, status::reason_of(status))
}
