//! Adapters: what one stage puts out, in the shape in which the next takes it.

use crate::engine::audit::Access;
use crate::engine::input::Command;
use crate::engine::output::{Output, Reply};
use crate::engine::query::Query;
use crate::journal::{self, Follower, Progress};
use crate::mqtt::publisher::Verdicts;
use crate::{grpc, partition};

/// The partition, as gRPC hands commands and queries in.
pub(super) struct Desk {
    partition: partition::Handle,
}

impl Desk {
    pub(super) const fn new(partition: partition::Handle) -> Self {
        Self { partition }
    }
}

#[tonic::async_trait]
impl grpc::Commands for Desk {
    async fn submit(&self, command: Command) -> Result<Reply, grpc::Closed> {
        self.partition.submit(command).await.map_err(|partition::Closed| grpc::Closed)
    }

    async fn record(&self, access: Access) -> Result<Reply, grpc::Closed> {
        self.partition.record(access).await.map_err(|partition::Closed| grpc::Closed)
    }

    async fn query(&self, query: Query) -> Result<Reply, grpc::Closed> {
        self.partition.query(query).await.map_err(|partition::Closed| grpc::Closed)
    }
}

/// Takes verdicts out of the journal and gives them to the publisher.
pub(super) struct VerdictFeed {
    follower: Follower,
    given: Verdicts,
}

impl VerdictFeed {
    pub(super) const fn new(follower: Follower, given: Verdicts) -> Self {
        Self { follower, given }
    }

    /// How far it has come, now and later.
    pub(super) fn done(&self) -> Progress {
        self.follower.done()
    }

    /// Runs until the journal ends.
    pub(super) async fn run(mut self) -> Result<(), journal::Error> {
        while let Some(entries) = self.follower.next().await? {
            for output in entries.iter().flat_map(|entry| &entry.outputs) {
                if let Output::Verdict(verdict) = output {
                    self.given.publish((**verdict).clone());
                }
            }
        }
        Ok(())
    }
}
