//! `ProfileService`: whose limits are in force. Served so far: `PutProfile`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::commands::{Commands, Desk, unexpected};
use super::convert::{Change, profiles as convert};
use super::status;
use crate::engine::output::{Done, RegistryChange};
use crate::proto::v1::profile_service_server::ProfileService;
use crate::proto::v1::{ProfileVersion, PutProfileRequest};

/// Answers calls about profiles.
pub(super) struct Service {
    desk: Desk,
}

impl Service {
    pub(super) fn new(commands: Arc<dyn Commands>) -> Self {
        Self { desk: Desk::new(commands) }
    }
}

#[tonic::async_trait]
impl ProfileService for Service {
    async fn put_profile(
        &self,
        request: Request<PutProfileRequest>,
    ) -> Result<Response<ProfileVersion>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(convert::put_profile(&request), &request.request_id)
                    .map_err(status::invalid)?;
                let reply = self.desk.ask(call, change).await?;
                let done = reply.map_err(|refusal| {
                    status::refused(convert::in_paths_of_the_request(refusal, &request))
                })?;
                match done {
                    Done::Registry { change: RegistryChange::Profile(row), .. } => {
                        Ok(convert::profile_version(&row, request.owner))
                    }
                    _ => Err(unexpected("profile")),
                }
            })
            .await
    }
}
