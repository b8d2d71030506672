//! The way of a change: from a call, as a command, to the engine, and back once it is durable. And
//! that of a question about what the engine knows now.

use std::sync::Arc;

use tonic::Status;
use tracing::error;

use super::status;
use crate::engine::input::{Action, Command, Principal};
use crate::engine::output::{Done, Reply};
use crate::engine::query::{Query, Question};

/// Takes commands and answers each once it is durable and applied.
#[tonic::async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Submits a command and waits for its answer. Waits for room when the engine is behind.
    ///
    /// Cancel safe in that nothing is left half done; but a command whose answer was not awaited
    /// may still be carried out.
    async fn submit(&self, command: Command) -> Result<Reply, Closed>;

    /// Asks a query and waits for its answer, which is given once everything that it is based on
    /// is durable. Waits for room when the engine is behind.
    ///
    /// Cancel safe: a query changes nothing.
    async fn query(&self, query: Query) -> Result<Reply, Closed>;
}

/// The service is stopping and takes no more commands. One that was under way may have been
/// carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service is stopping")]
pub struct Closed;

/// Where the services hand in their commands.
#[derive(Clone)]
pub(super) struct Desk {
    commands: Arc<dyn Commands>,
}

impl Desk {
    pub(super) fn new(commands: Arc<dyn Commands>) -> Self {
        Self { commands }
    }

    /// The engine's answer to `action`, asked for by `principal`.
    pub(super) async fn ask(&self, principal: Principal, action: Action) -> Result<Reply, Status> {
        let command = Command { principal, action };
        self.commands.submit(command).await.map_err(|Closed| status::stopping())
    }

    /// What `action` did.
    pub(super) async fn carry_out(
        &self,
        principal: Principal,
        action: Action,
    ) -> Result<Done, Status> {
        self.ask(principal, action).await?.map_err(status::refused)
    }

    /// The engine's answer to `question`, asked by `principal`.
    pub(super) async fn look_up(
        &self,
        principal: Principal,
        question: Question,
    ) -> Result<Done, Status> {
        let query = Query { principal, question };
        let reply = self.commands.query(query).await.map_err(|Closed| status::stopping())?;
        reply.map_err(status::refused)
    }
}

/// The engine answered with something of another kind: our own bug, which a caller only hears of.
pub(super) fn unexpected(asked_for: &'static str) -> Status {
    error!(asked_for, "the engine answered with something of another kind");
    Status::internal("the answer was lost; what was to be changed was changed")
}
