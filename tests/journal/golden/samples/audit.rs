//! Calls on record: one of a known caller, one of a stranger, and what the engine makes of one.

use pulseward::engine::audit::{About, Access, AuditEvent, Details, Digest, Head, Method, Outcome};
use pulseward::engine::input::{Principal, Role, Sites};

use super::{at, device, origin, patient, site};

pub(super) fn access() -> Access {
    let (subject, sites) = ("nurse@example.org".to_owned(), Sites::Only(vec![site()]));
    Access {
        principal: Some(Principal { subject, role: Role::Clinician, sites }),
        origin: origin(),
        method: Method::ListReadings,
        about: About {
            patients: vec![patient()],
            patient_count: 300,
            device: Some(device()),
            site: Some(site()),
            text: "2 vitals".to_owned(),
        },
        outcome: Outcome::Done,
        reason: String::new(),
    }
}

pub(super) fn stranger() -> Access {
    Access {
        principal: None,
        about: About::default(),
        method: Method::WatchAlerts,
        outcome: Outcome::Denied,
        reason: "UNAUTHENTICATED".to_owned(),
        ..access()
    }
}

pub(super) fn head() -> Head {
    Head { number: 300, digest: Digest([0xab; 32]) }
}

pub(super) fn audit_event() -> AuditEvent {
    AuditEvent {
        number: 301,
        at: at(0),
        subject: "nurse@example.org".to_owned(),
        role: Some(Role::Clinician),
        peer: origin().peer,
        method: Method::WatchAlerts,
        outcome: Outcome::Closed,
        reason: "WATCHER_TOO_SLOW".to_owned(),
        site: Some(site()),
        details: Details {
            salt: origin().salt,
            patients: vec![patient()],
            patient_count: 1,
            text: "opened by event 300".to_owned(),
        },
        commitment: Digest([0xcd; 32]),
        digest: Digest([0xef; 32]),
    }
}
