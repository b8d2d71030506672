//! Which roles may ask for which change, wherever it is.

use super::allow;
use crate::engine::input::{Action, Principal, ProfileOwner, Role};
use crate::engine::output::Refusal;

const ADMINS: &[Role] = &[Role::Admin];
const DEVICE_ADMINS: &[Role] = &[Role::Admin, Role::DeviceAdmin];
const CLINICIANS: &[Role] = &[Role::Admin, Role::Clinician];
const ALL_WHO_WORK: &[Role] = &[Role::Admin, Role::DeviceAdmin, Role::Clinician];

/// Refuses what the caller's role does not allow.
pub(in crate::engine) fn permit(caller: &Principal, action: &Action) -> Result<(), Refusal> {
    let (what, roles) = match action {
        Action::CreateSite { .. } => ("create sites", ADMINS),
        Action::CreatePatient { .. } => ("create patients", DEVICE_ADMINS),
        Action::CreateDevice { .. } => ("create devices", DEVICE_ADMINS),
        Action::BindDevice(_) => ("bind devices", DEVICE_ADMINS),
        Action::UnbindDevice { .. } => ("unbind devices", DEVICE_ADMINS),
        Action::ReplaceDevice(_) => ("replace devices", DEVICE_ADMINS),
        Action::TransferPatient { .. } => ("transfer patients", DEVICE_ADMINS),
        Action::UpdatePatient { .. } => ("update patients", ALL_WHO_WORK),
        Action::PausePatient { .. } => ("pause patients", CLINICIANS),
        Action::WorkOnAlert { .. } => ("work on alerts", CLINICIANS),
        Action::PutProfile { owner, .. } => match owner {
            ProfileOwner::Default => ("put the default profile", ADMINS),
            ProfileOwner::Site(_) => ("put site profiles", ADMINS),
            ProfileOwner::Patient(_) => ("put patient profiles", CLINICIANS),
        },
        Action::Redrive(_) => ("send refused messages again", DEVICE_ADMINS),
        Action::RecordReadings { .. } => ("record readings", CLINICIANS),
        Action::ErasePatient { .. } => ("erase patients", ADMINS),
    };
    allow(caller, what, roles)
}
