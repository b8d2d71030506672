//! How much alarms ask of a ward: counted by the store, once it has come as far as the journal was
//! when the call came. Whom the answer names goes on record by id, all others by their number.

use tonic::Status;

use super::Service;
use crate::clock::{Clock, SystemClock};
use crate::grpc::calls::Call;
use crate::grpc::convert::burden as convert;
use crate::grpc::status;
use crate::proto::v1;

impl Service {
    /// The burden of the caller's wards.
    pub(super) async fn burden(
        &self,
        call: &mut Call,
        request: &v1::GetAlarmBurdenRequest,
    ) -> Result<v1::GetAlarmBurdenResponse, Status> {
        let scope = call.principal.sites.clone();
        let as_of = SystemClock.now();
        let query = convert::query(request, scope, as_of).map_err(status::invalid)?;
        let behind = self.store_is_there().await;
        let burden = self.history.alarm_burden(query).await;
        // What the database says is why it is behind, if it says anything.
        let burden = burden.map_err(|error| status::no_history(error, ""))?;
        behind?;
        call.told_of(burden.most_alarmed.listed.iter().map(|it| &it.patient));
        call.about.patient_count = burden.most_alarmed.of_patients;
        Ok(convert::answer(&burden, as_of))
    }
}
