//! Which roles may make which call: the first thing that is asked, before anything is looked at.
//!
//! The engine asks again where it carries a change out, and for profiles more exactly: whose. What a
//! caller may see of what a call tells is for their sites to say, not for their role.

use crate::engine::audit::Method;
use crate::engine::input::Role::{self, Admin, Auditor, Clinician, DeviceAdmin, Viewer};
use crate::engine::output::Refusal;

/// What a call is for, as a refusal says it, and the roles that may make it.
const fn allowed(method: Method) -> (&'static str, &'static [Role]) {
    match method {
        Method::WatchAlerts | Method::ListAlerts | Method::GetAlert | Method::GetAlarmBurden => {
            ("read alerts", &[Viewer, Clinician, Admin])
        }
        Method::AcknowledgeAlert
        | Method::PauseAlert
        | Method::ResetAlert
        | Method::AssignAlert
        | Method::AddAlertNote => ("work on alerts", &[Clinician, Admin]),
        Method::WatchVitals
        | Method::GetLatestVitals
        | Method::ListReadings
        | Method::AggregateReadings => ("read vitals", &[Viewer, Clinician, Admin]),
        Method::RecordReadings => ("record readings", &[Clinician, Admin]),
        Method::CreateSite => ("create sites", &[Admin]),
        Method::CreatePatient => ("create patients", &[DeviceAdmin, Admin]),
        Method::CreateDevice => ("create devices", &[DeviceAdmin, Admin]),
        Method::BindDevice => ("bind devices", &[DeviceAdmin, Admin]),
        Method::UnbindDevice => ("unbind devices", &[DeviceAdmin, Admin]),
        Method::ReplaceDevice => ("replace devices", &[DeviceAdmin, Admin]),
        Method::TransferPatient => ("transfer patients", &[DeviceAdmin, Admin]),
        Method::UpdatePatient => ("update patients", &[Clinician, DeviceAdmin, Admin]),
        Method::PausePatient => ("pause patients", &[Clinician, Admin]),
        Method::ErasePatient => ("erase patients", &[Admin]),
        Method::GetErasure => ("look at erasures", &[Admin, Auditor]),
        Method::GetSite
        | Method::ListSites
        | Method::GetPatient
        | Method::ListPatients
        | Method::GetDevice
        | Method::ListDevices
        | Method::ListBindings => ("read the registry", &[Viewer, Clinician, DeviceAdmin, Admin]),
        Method::GetEffectiveProfile | Method::GetProfile => {
            ("read profiles", &[Viewer, Clinician, DeviceAdmin, Admin])
        }
        Method::PutProfile => ("put profiles", &[Clinician, Admin]),
        // Payloads hold vitals: they are for those only who must find out what is wrong with them.
        Method::ListRejectedMessages => ("list refused messages", &[DeviceAdmin, Admin]),
        Method::RedriveRejectedMessages => ("send refused messages again", &[DeviceAdmin, Admin]),
        Method::GetDeviceReport => {
            ("read device reports", &[Viewer, Clinician, DeviceAdmin, Admin])
        }
        Method::ListAuditEvents => ("read the audit log", &[Auditor, Admin]),
    }
}

/// Whether a role may make a call.
pub(in crate::grpc) fn check(role: Role, method: Method) -> Result<(), Refusal> {
    let (action, roles) = allowed(method);
    if roles.contains(&role) { Ok(()) } else { Err(Refusal::PermissionDenied { role, action }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_may_do_something_and_nobody_but_an_administrator_everything() {
        for role in Role::ALL {
            let may = Method::ALL.iter().filter(|method| check(role, **method).is_ok()).count();
            assert_eq!(may == Method::ALL.len(), role == Admin, "{role:?} may make {may} calls");
            assert!(may > 0, "{role:?}");
        }
    }

    fn may_call(method: Method) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| check(*role, method).is_ok()).collect()
    }

    #[test]
    fn what_was_refused_is_for_those_who_look_after_devices() {
        for method in [Method::ListRejectedMessages, Method::RedriveRejectedMessages] {
            assert_eq!(may_call(method), [DeviceAdmin, Admin], "{method:?}");
        }
    }

    #[test]
    fn the_audit_log_is_for_auditors_and_administrators() {
        assert_eq!(may_call(Method::ListAuditEvents), [Admin, Auditor]);
    }

    #[test]
    fn who_audits_reads_no_vitals_and_works_on_nothing() {
        for method in [Method::ListReadings, Method::WatchAlerts, Method::AcknowledgeAlert] {
            assert!(check(Auditor, method).is_err(), "{method:?}");
        }
    }
}
