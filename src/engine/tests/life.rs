//! The signal of an alert: acknowledged, paused, passed on, latched, and never what ends it.

use super::*;

/// Heart rate over 100 at once is medium and over 130 high, latching from high, and passed on
/// after a minute.
fn hr() -> Rule {
    let levels = vec![level(Priority::Medium, 100, 0), level(Priority::High, 130, 0)];
    let after = Duration::from_secs(60);
    Rule {
        latching_from: Some(Priority::High),
        escalations: vec![Escalation { priority: Priority::Medium, after }],
        ..rule("hr", levels)
    }
}

/// A ward in which the alert of a patient at 110 has just started.
pub(super) fn alarming() -> Ward {
    let mut ward = Ward::with(vec![hr()]);
    ward.enroll(1);
    ward.measure(Vital::HeartRate, 110.0);
    assert_eq!(ward.told(), ["0 start hr medium active/on"]);
    ward
}

fn acknowledge(revision: u32) -> AlertAction {
    AlertAction::Acknowledge { revision, note: Some("seen".to_owned()) }
}

fn pause(revision: u32, seconds: u64) -> AlertAction {
    AlertAction::Pause { revision, duration: Duration::from_secs(seconds), note: None }
}

fn reason(reply: Reply) -> &'static str {
    match reply {
        Err(Refusal::FailedPrecondition { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn acknowledging_ends_the_signal_and_not_the_condition() {
    let mut ward = alarming();
    let done = ward.work(acknowledge(1)).expect("accepted");
    let Done::Alert(event) = done else { panic!("{done:?}") };
    assert_eq!((event.actor.as_deref(), event.note.as_deref()), (Some("anna"), Some("seen")));
    assert_eq!(ward.told(), ["0 acknowledge hr medium active/acknowledged"]);
    ward.measure_all(Vital::HeartRate, 1, &[110.0, 90.0]);
    assert_eq!(ward.told(), ["2 end hr medium inactive/off"]);
}

#[test]
fn acknowledging_twice_is_harmless() {
    let mut ward = alarming();
    for _ in 0..2 {
        ward.work(acknowledge(1)).expect("accepted");
    }
    assert_eq!(ward.told(), ["0 acknowledge hr medium active/acknowledged"]);
}

#[test]
fn an_escalation_signals_again_and_refuses_who_has_not_seen_it() {
    let mut ward = alarming();
    ward.work(acknowledge(1)).expect("accepted");
    ward.measure_all(Vital::HeartRate, 1, &[140.0]);
    assert_eq!(reason(ward.work(acknowledge(2))), "ALERT_ESCALATED");
    ward.work(acknowledge(3)).expect("this is what was seen");
    assert_eq!(
        ward.told(),
        [
            "0 acknowledge hr medium active/acknowledged",
            "1 escalate hr high active/on",
            "1 acknowledge hr high active/acknowledged",
        ]
    );
}

#[test]
fn an_etag_that_never_was_is_refused() {
    let mut ward = alarming();
    assert_eq!(reason(ward.work(acknowledge(9))), "ETAG_UNKNOWN");
}

#[test]
fn a_pause_expires_by_itself_at_its_time() {
    let mut ward = alarming();
    ward.work(pause(1, 50)).expect("accepted");
    ward.wait(1000);
    assert_eq!(
        ward.told(),
        [
            "0 pause hr medium active/paused until 50",
            "50 resume hr medium active/on",
            "110 remind hr medium active/on",
            "170 remind hr medium active/on",
            "230 remind hr medium active/on",
            "600 indeterminate hr medium indeterminate/on",
        ]
    );
}

#[test]
fn a_pause_of_no_time_or_of_days_is_refused() {
    let mut ward = alarming();
    for seconds in [0, 24 * 60 * 60 + 1] {
        let refused = ward.work(pause(1, seconds));
        assert!(matches!(refused, Err(Refusal::InvalidArgument(_))), "{refused:?}");
    }
}

#[test]
fn nobody_answers_and_the_alert_is_passed_on_three_times() {
    let mut ward = alarming();
    ward.wait(500);
    let levels: Vec<_> =
        events(&ward.outputs).skip(1).map(|event| event.alert.escalation_level).collect();
    assert_eq!(levels, [1, 2, 3]);
    assert_eq!(ward.told()[0], "60 remind hr medium active/on");
}

#[test]
fn who_has_acknowledged_is_not_reminded() {
    let mut ward = alarming();
    ward.wait(59);
    ward.work(acknowledge(1)).expect("accepted");
    ward.wait(400);
    assert_eq!(ward.told(), ["59 acknowledge hr medium active/acknowledged"]);
}

#[test]
fn a_latched_signal_waits_until_somebody_resets_it() {
    let mut ward = alarming();
    assert_eq!(reason(ward.work(AlertAction::Reset { revision: 1 })), "ALERT_ACTIVE");
    ward.measure_all(Vital::HeartRate, 1, &[140.0, 90.0]);
    assert_eq!(ward.told(), ["1 escalate hr high active/on", "2 end hr high inactive/latched"]);
    assert_eq!(reason(ward.work(acknowledge(3))), "ALERT_ENDED");
    let id = ward.open().id;
    ward.work(AlertAction::Reset { revision: 3 }).expect("accepted");
    assert_eq!(ward.told(), ["2 reset hr high inactive/off"]);
    let again = Action::WorkOnAlert { alert: id, action: AlertAction::Reset { revision: 4 } };
    assert_eq!(reason(ward.command(again)), "ALERT_ENDED");
}

#[test]
fn an_answered_alert_does_not_latch() {
    let mut ward = alarming();
    ward.measure_all(Vital::HeartRate, 1, &[140.0]);
    ward.work(acknowledge(2)).expect("accepted");
    ward.measure_all(Vital::HeartRate, 1, &[90.0]);
    assert_eq!(ward.told().last().map(String::as_str), Some("2 end hr high inactive/off"));
}

#[test]
fn a_new_breach_takes_the_place_of_a_latched_alert() {
    let mut ward = alarming();
    ward.measure_all(Vital::HeartRate, 1, &[140.0, 90.0, 110.0]);
    assert_eq!(
        ward.told()[1..],
        [
            "2 end hr high inactive/latched",
            "3 close hr high inactive/off",
            "3 start hr medium active/on",
        ]
    );
    let ids: std::collections::BTreeSet<_> =
        events(&ward.outputs).map(|event| event.alert.id).collect();
    assert_eq!(ids.len(), 2, "every start has at most one end");
}

#[test]
fn work_is_for_clinicians_of_the_site() {
    let mut ward = alarming();
    let alert = ward.open().id;
    let mut ask = |role, sites| -> Reply {
        let principal = Principal { subject: "eve".to_owned(), role, sites };
        let action = Action::WorkOnAlert { alert, action: acknowledge(1) };
        ward.apply(Event::Command(Box::new(Command {
            principal,
            action,
            origin: origin(),
            request: None,
        })))
        .0
        .expect("answered")
    };
    let viewer = ask(Role::Viewer, Sites::All);
    assert!(matches!(viewer, Err(Refusal::PermissionDenied { .. })), "{viewer:?}");
    let stranger = ask(Role::Clinician, Sites::Only(vec![id("south")]));
    assert!(matches!(stranger, Err(Refusal::NotFound { .. })), "{stranger:?}");
    ask(Role::Clinician, Sites::Only(vec![id(SITE)])).expect("accepted");
}

#[test]
fn of_two_who_acknowledge_at_once_the_second_is_told_who_was_first() {
    let mut ward = alarming();
    let alert = ward.open().id;
    let mut ask = |subject: &str, revision| -> Reply {
        let (role, sites) = (Role::Clinician, Sites::All);
        let principal = Principal { subject: subject.to_owned(), role, sites };
        let action = Action::WorkOnAlert { alert, action: acknowledge(revision) };
        let command = Command { principal, action, origin: origin(), request: None };
        ward.apply(Event::Command(Box::new(command))).0.expect("answered")
    };
    let first = ask("anna", 1);
    assert!(first.is_ok(), "{first:?}");
    let at = Timestamp::from_seconds(BEGIN);
    let by_anna = Refusal::AlertAcknowledged { by: "anna".to_owned(), at, revision: 2 };
    assert_eq!(ask("ben", 1), Err(by_anna.clone()));
    assert_eq!(ask("ben", 2), Err(by_anna), "also who has seen it");
    let again = ask("anna", 1);
    assert!(matches!(&again, Ok(Done::Alert(event)) if event.alert.revision == 2), "{again:?}");
    assert_eq!(ward.told(), ["0 acknowledge hr medium active/acknowledged"]);
    // What has escalated since can be acknowledged by anybody.
    ward.measure_all(Vital::HeartRate, 1, &[140.0]);
    let mut ask = |subject: &str, revision| -> Reply {
        let (role, sites) = (Role::Clinician, Sites::All);
        let principal = Principal { subject: subject.to_owned(), role, sites };
        let action = Action::WorkOnAlert { alert, action: acknowledge(revision) };
        let command = Command { principal, action, origin: origin(), request: None };
        ward.apply(Event::Command(Box::new(command))).0.expect("answered")
    };
    assert_eq!(reason(ask("anna", 2)), "ALERT_ESCALATED");
    ask("ben", 3).expect("accepted");
    assert!(matches!(ask("anna", 4), Err(Refusal::AlertAcknowledged { by, .. }) if by == "ben"));
}

#[test]
fn an_alert_is_not_taken_from_whom_it_was_given_to_since_it_was_seen() {
    let mut ward = alarming();
    let mut give = |to: &str, revision| {
        ward.work(AlertAction::Assign { assignee: Some(to.to_owned()), revision })
    };
    give("ben", Some(1)).expect("nobody has it");
    let refused = give("eve", Some(1)).map_err(|refusal| refusal.reason());
    assert_eq!(refused, Err("ALERT_REASSIGNED".to_owned()));
    assert_eq!(reason(give("eve", Some(3))), "ETAG_UNKNOWN");
    give("ben", Some(1)).expect("has it already");
    give("eve", Some(2)).expect("seen");
    give("joe", None).expect("whoever has it");
}

#[test]
fn assignee_and_notes_are_events_of_their_own() {
    let mut ward = alarming();
    ward.work(AlertAction::Assign { assignee: Some("ben".to_owned()), revision: None })
        .expect("accepted");
    ward.work(AlertAction::Assign { assignee: Some("ben".to_owned()), revision: None })
        .expect("harmless");
    ward.work(AlertAction::AddNote { note: "turned on the side".to_owned() }).expect("accepted");
    assert_eq!(ward.told(), ["0 update hr medium active/on"; 2]);
    assert_eq!(ward.open().assignee.as_deref(), Some("ben"));
}

#[test]
fn a_patient_at_a_procedure_is_paused_as_a_whole_and_comes_back() {
    let mut ward = alarming();
    let until = Some(Timestamp::from_seconds(BEGIN + 30));
    let pause =
        Action::PausePatient { patient: patient(1), until, reason: Some("bath".to_owned()) };
    ward.done(pause);
    ward.measure_all(Vital::HeartRate, 1, &[90.0, 120.0]);
    ward.wait(40);
    assert_eq!(
        ward.told(),
        [
            "0 pause hr medium active/paused until 30",
            "1 end hr medium inactive/off",
            "2 start hr medium active/paused until 30",
            "30 resume hr medium active/on",
        ]
    );
    assert_eq!(ward.monitored()[3..], [(0, "paused"), (30, "monitored")]);
}

#[test]
fn a_patients_pause_can_be_ended_and_has_bounds() {
    let mut ward = alarming();
    let pause = |seconds: Option<i64>| Action::PausePatient {
        patient: patient(1),
        until: seconds.map(|seconds| Timestamp::from_seconds(BEGIN + seconds)),
        reason: None,
    };
    for seconds in [0, 24 * 60 * 60 + 1] {
        let refused = ward.command(pause(Some(seconds)));
        assert!(matches!(refused, Err(Refusal::InvalidArgument(_))), "{refused:?}");
    }
    ward.done(pause(Some(600)));
    ward.done(pause(None));
    assert_eq!(
        ward.told(),
        ["0 pause hr medium active/paused until 600", "0 resume hr medium active/on"]
    );
}

#[test]
fn a_flood_is_one_alert_and_high_priority_passes() {
    let mut ward = alarming();
    for _ in 0..12 {
        ward.measure_all(Vital::HeartRate, 1, &[90.0, 110.0]);
    }
    let told = ward.told();
    let starts = told.iter().filter(|line| line.contains("start hr medium")).count();
    assert_eq!(starts, 9, "the first was told before, and ten make a flood: {told:#?}");
    assert_eq!(ward.open().rule.as_str(), "pulseward.flood");
    ward.measure_all(Vital::HeartRate, 1, &[140.0]);
    assert_eq!(ward.told(), ["25 start hr high active/on"]);
}

#[test]
fn what_still_holds_when_the_flood_recedes_raises_its_own_alert() {
    let mut ward = alarming();
    for _ in 0..10 {
        ward.measure_all(Vital::HeartRate, 1, &[90.0, 110.0]);
    }
    ward.told();
    assert_eq!(ward.open().covered, 1);
    ward.wait(3600);
    let told = ward.told();
    assert_eq!(
        told,
        ["3600 start hr medium indeterminate/on", "3600 close pulseward.flood medium inactive/off",]
    );
}

#[test]
fn an_alert_that_was_high_latches_also_if_it_fell_before_it_ended() {
    let mut ward = alarming();
    ward.measure_all(Vital::HeartRate, 1, &[140.0, 110.0, 90.0]);
    assert_eq!(
        ward.told(),
        [
            "1 escalate hr high active/on",
            "2 deescalate hr medium active/on",
            "3 end hr medium inactive/latched",
        ]
    );
}

#[test]
fn a_patients_pause_made_longer_or_shorter_takes_its_alerts_along() {
    let mut ward = alarming();
    let pause = |seconds: i64| Action::PausePatient {
        patient: patient(1),
        until: Some(Timestamp::from_seconds(BEGIN + seconds)),
        reason: None,
    };
    for seconds in [30, 60, 50] {
        ward.done(pause(seconds));
    }
    ward.wait(55);
    assert_eq!(
        ward.told(),
        [
            "0 pause hr medium active/paused until 30",
            "0 pause hr medium active/paused until 60",
            "0 pause hr medium active/paused until 50",
            "50 resume hr medium active/on",
        ]
    );
}

#[test]
fn an_alert_paused_for_less_does_not_come_back_in_the_midst_of_its_patients_pause() {
    let mut ward = alarming();
    ward.work(pause(1, 20)).expect("accepted");
    let until = Some(Timestamp::from_seconds(BEGIN + 50));
    ward.done(Action::PausePatient { patient: patient(1), until, reason: None });
    ward.wait(55);
    assert_eq!(
        ward.told(),
        [
            "0 pause hr medium active/paused until 20",
            "0 pause hr medium active/paused until 50",
            "50 resume hr medium active/on",
        ]
    );
}

#[test]
fn what_nobody_has_answered_is_answered_for_by_the_alert_in_its_place() {
    let mut ward = alarming();
    ward.measure_all(Vital::HeartRate, 1, &[140.0, 90.0, 110.0, 90.0]);
    assert_eq!(
        ward.told()[3..],
        ["3 start hr medium active/on", "4 end hr medium inactive/latched"],
        "it was high, and nobody has seen it"
    );
}

#[test]
fn a_fall_in_priority_begins_its_reminders_anew() {
    let mut ward = alarming();
    let after = Duration::from_secs(60);
    let rule = Rule {
        escalations: vec![
            Escalation { priority: Priority::Medium, after: after * 5 },
            Escalation { priority: Priority::High, after },
        ],
        ..hr()
    };
    ward.put_default(vec![rule]);
    ward.measure_all(Vital::HeartRate, 1, &[140.0, 120.0]);
    ward.told();
    ward.wait(298);
    assert_eq!(ward.told(), [""; 0]);
}

#[test]
fn acknowledging_a_flood_does_not_cover_the_rules_that_join_it() {
    let other = LimitRule {
        vital: Vital::RespiratoryRate,
        covers_pulse_rate: false,
        side: Side::Above,
        levels: vec![level(Priority::Medium, 30, 0)],
        clear_delay: Duration::ZERO,
    };
    let mut ward = Ward::with(vec![hr(), rule_of("rr", RuleKind::Limit(other))]);
    ward.enroll(1);
    ward.measure(Vital::HeartRate, 110.0);
    for _ in 0..10 {
        ward.measure_all(Vital::HeartRate, 1, &[90.0, 110.0]);
    }
    ward.work(acknowledge(1)).expect("accepted");
    ward.told();
    ward.measure_all(Vital::RespiratoryRate, 1, &[40.0]);
    assert_eq!(ward.told(), ["21 update pulseward.flood medium active/on"]);
    assert_eq!(reason(ward.work(acknowledge(2))), "ALERT_ESCALATED");
}
