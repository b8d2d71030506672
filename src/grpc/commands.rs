//! The way of a change: from a call, as a command, to the engine, and back once it is durable. And
//! that of a question about what the engine knows now, and of what goes on record.

use std::sync::Arc;

use tonic::Status;
use tracing::error;

use super::status;
use crate::engine::audit::Access;
use crate::engine::input::Command;
use crate::engine::output::Reply;
use crate::engine::query::Query;

/// Takes commands and answers each once it is durable and applied.
#[tonic::async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Submits a command and waits for its answer. Waits for room when the engine is behind.
    ///
    /// Cancel safe in that nothing is left half done; but a command whose answer was not awaited
    /// may still be carried out.
    async fn submit(&self, command: Command) -> Result<Reply, Closed>;

    /// Puts a call on record that is no command, and waits until that is durable. Waits for room
    /// when the engine is behind.
    ///
    /// Cancel safe in that nothing is left half done; but the call may be on record all the same.
    async fn record(&self, access: Access) -> Result<Reply, Closed>;

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

/// Where the services hand in their commands, and what goes on record.
#[derive(Clone)]
pub(super) struct Desk {
    commands: Arc<dyn Commands>,
}

impl Desk {
    pub(super) fn new(commands: Arc<dyn Commands>) -> Self {
        Self { commands }
    }

    /// The engine's answer to a command.
    pub(super) async fn submit(&self, command: Command) -> Result<Reply, Status> {
        self.commands.submit(command).await.map_err(|Closed| status::stopping())
    }

    /// The way to the engine.
    pub(super) fn commands(&self) -> &dyn Commands {
        &*self.commands
    }
}

/// The engine answered with something of another kind: our own bug, which a caller only hears of.
pub(super) fn unexpected(asked_for: &'static str) -> Status {
    error!(asked_for, "the engine answered with something of another kind");
    Status::internal("the answer was lost; what was to be changed was changed")
}
