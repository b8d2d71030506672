//! What a journal begins with that was rebuilt: a chunk of every kind.

use pulseward::engine::restore::{
    AlertStanding, Chunk, DeviceStanding, NewestReading, PatientStanding, ReceivedReading, Totals,
};

use super::*;

/// What a journal that was rebuilt begins with.
pub(super) fn restored() -> Vec<(&'static str, Entry)> {
    let chunk = |chunk| entry(Event::Restored(Box::new(chunk)), vec![]);
    let reading =
        |vital, value, is_judged| NewestReading { vital, measured_at: at(-5), value, is_judged };
    let spo2 = Value::Quantity(Quantity::whole(97));
    let received = ReceivedReading {
        vital: Vital::Spo2,
        measured_at: at(-5),
        value: spo2,
        received_at: at(-4),
    };
    let patient = PatientStanding {
        row: patient_row(),
        monitoring: Some((MonitoringState::Partial, at(-7))),
        occurrences: 300,
        by_hand: vec![(at(-9), Vital::Consciousness, Value::Consciousness(Acvpu::Voice))],
    };
    let device = DeviceStanding {
        row: device_row(),
        bindings: vec![binding_row(Some(at(3)))],
        numbers: "\u{1}\u{7}\u{5}".into(),
        newest_measured_at: Some(at(-5)),
        account: Some((IntakeCounts { accepted: 86_340, ..IntakeCounts::default() }, at(-4))),
        newest: vec![
            reading(Vital::Spo2, spo2, true),
            reading(Vital::Steps, Value::Absent(AbsentReason::SensorOff), false),
        ],
        unnumbered: vec![received],
    };
    let highest = Priority::High;
    let alerts = [tachycardia(), deteriorating(), outage()];
    let alerts = alerts.map(|alert| AlertStanding { alert, highest });
    vec![
        ("restored-sites", chunk(Chunk::Sites(vec![site_row()]))),
        ("restored-profiles", chunk(Chunk::Profiles(vec![profile_row(Scope::Default)]))),
        ("restored-patients", chunk(Chunk::Patients(vec![patient]))),
        ("restored-devices", chunk(Chunk::Devices(vec![device]))),
        ("restored-alerts", chunk(Chunk::Alerts(alerts.into()))),
        ("restored-settle", chunk(Chunk::Settle { first: PatientKey(512), count: 300 })),
        ("restored-erased", chunk(Chunk::Erased(vec![Erased { patient: None, ..erased() }]))),
        ("restored-end", chunk(Chunk::End(Totals { redrives: 300, own_alerts: 7, audit: head() }))),
    ]
}
