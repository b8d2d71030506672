//! `ProfileService`: whose limits are in force.
//!
//! The engine tells what is in force, and who may see it; earlier versions of a profile are the
//! store's to tell, and UNAVAILABLE while the database is away.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::calls::Call;
use super::commands::{Commands, Desk, unexpected};
use super::convert::{Change, profiles as convert};
use super::status;
use crate::engine::output::{Done, RegistryChange};
use crate::engine::query::{FoundProfile, ProfileQuestion, Question, no_profile};
use crate::proto::v1::profile_service_server::ProfileService;
use crate::proto::v1::{
    EffectiveProfile, GetEffectiveProfileRequest, GetProfileRequest, ProfileVersion,
    PutProfileRequest,
};
use crate::store::{History, HistoryError};

/// Answers calls about profiles.
pub(super) struct Service {
    desk: Desk,
    history: Arc<dyn History>,
}

impl Service {
    pub(super) fn new(commands: Arc<dyn Commands>, history: Arc<dyn History>) -> Self {
        Self { desk: Desk::new(commands), history }
    }

    async fn find(&self, call: &Call, question: ProfileQuestion) -> Result<FoundProfile, Status> {
        match self.desk.look_up(call, Question::Profile(question)).await? {
            Done::Profile(found) => Ok(*found),
            _ => Err(unexpected("profile")),
        }
    }
}

#[tonic::async_trait]
impl ProfileService for Service {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<ProfileVersion>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let (owner, version) = convert::get_profile(&request).map_err(status::invalid)?;
                let question = ProfileQuestion::Own { owner: owner.clone(), version };
                let row = match self.find(call, question).await? {
                    FoundProfile::Newest(row) => row,
                    FoundProfile::Earlier(scope) => {
                        let earlier = self.history.profile(scope, request.version).await;
                        earlier.map_err(|error| match error {
                            HistoryError::UnknownProfile => {
                                status::refused(no_profile(&owner, version))
                            }
                            other => status::no_history(other, ""),
                        })?
                    }
                    FoundProfile::Effective(_) => return Err(unexpected("profile")),
                };
                Ok(convert::profile_version(&row, request.owner))
            })
            .await
    }

    async fn get_effective_profile(
        &self,
        request: Request<GetEffectiveProfileRequest>,
    ) -> Result<Response<EffectiveProfile>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let question = convert::get_effective_profile(&request).map_err(status::invalid)?;
                match self.find(call, question).await? {
                    FoundProfile::Effective(effective) => {
                        Ok(convert::effective_profile(effective, request.patient_id))
                    }
                    _ => Err(unexpected("rules in force")),
                }
            })
            .await
    }

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
