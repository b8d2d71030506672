//! Silence, and what is not silence: outages of our own, and of gateways.

use super::*;

fn ward() -> Ward {
    let hr = rule("hr", vec![level(Priority::High, 100, 0)]);
    let mut ward = Ward::with(vec![hr, silence(Vital::HeartRate, 3)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 60)]);
    ward
}

#[test]
fn a_vital_that_stops_is_silent_after_its_intervals_and_no_longer_when_it_comes_back() {
    let mut ward = ward();
    ward.measure_all(Vital::HeartRate, 60, &[70.0, 70.0]);
    ward.wait(1000);
    ward.measure(Vital::HeartRate, 70.0);
    assert_eq!(
        ward.told(),
        ["300 start silence medium active/on", "1120 end silence medium inactive/off"]
    );
    assert_eq!(
        ward.monitored(),
        [
            (0, "no_device"),
            (0, "no_data"),
            (60, "monitored"),
            (300, "no_data"),
            (1120, "monitored")
        ]
    );
}

#[test]
fn a_device_that_never_reports_is_silent_too() {
    let mut ward = ward();
    ward.wait(500);
    assert_eq!(ward.told(), ["180 start silence medium active/on"]);
}

#[test]
fn who_uploads_in_batches_is_given_the_time_to() {
    let mut ward = ward();
    let schedule = Schedule {
        upload_interval: Duration::from_secs(600),
        expected_intervals: vec![(Vital::HeartRate, Duration::from_secs(60))],
    };
    ward.enroll_with(2, schedule);
    ward.wait(2000);
    assert_eq!(
        ward.told(),
        ["180 start silence medium active/on", "780 start silence medium active/on"]
    );
}

#[test]
fn data_that_stops_makes_a_physiological_alert_indeterminate_and_never_ends_it() {
    let mut ward = ward();
    ward.measure_all(Vital::HeartRate, 60, &[110.0]);
    ward.wait(1000);
    ward.measure(Vital::HeartRate, 110.0);
    assert_eq!(
        ward.told(),
        [
            "60 start hr high active/on",
            "240 start silence medium active/on",
            "240 indeterminate hr high indeterminate/on",
            "1060 end silence medium inactive/off",
            "1060 update hr high active/on",
        ]
    );
}

#[test]
fn an_alert_that_starts_on_data_that_is_back_is_active_from_the_first() {
    let spot = Some(Spot { n: 2, of: 2, within: Duration::from_secs(7200) });
    let levels = vec![Level { sustained: None, spot, ..level(Priority::High, 100, 0) }];
    let mut ward = Ward::with(vec![rule("hr", levels)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 60)]);
    ward.measure_all(Vital::HeartRate, 3600, &[110.0, 110.0]);
    assert_eq!(ward.told(), ["7200 start hr high active/on"]);
}

#[test]
fn how_often_time_is_looked_at_changes_nothing() {
    let story = |every: i64| {
        let mut ward = ward();
        ward.measure_all(Vital::HeartRate, 60, &[110.0]);
        for _ in 0..1200 / every {
            ward.wait(every);
        }
        ward.outputs
    };
    let once = story(1200);
    for every in [1, 7, 60, 100] {
        let end = story(every);
        assert_eq!(end[..], once[..end.len()], "every {every} s");
        assert!(end.len() >= once.len() - 1);
    }
}

#[test]
fn v10_an_outage_of_the_broker_is_one_alert_and_no_wave_of_silence() {
    let mut ward = ward();
    for number in 2..10 {
        ward.enroll_measuring(number, &[(Vital::HeartRate, 60)]);
    }
    ward.apply(Event::Link(Link::Up { session_present: false }));
    ward.wait(60);
    ward.apply(Event::Link(Link::Down));
    ward.wait(3600);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.wait(30);
    ward.apply(Event::Link(Link::CaughtUp));
    assert_eq!(
        ward.told(),
        [
            "70 start pulseward.ingest medium active/on",
            "3690 end pulseward.ingest medium inactive/off",
        ]
    );
    let covered = events(&ward.outputs).next().expect("two").alert.covered;
    assert_eq!(covered, 9);
    ward.wait(119);
    assert_eq!(ward.told(), [""; 0]);
    ward.wait(1);
    assert_eq!(ward.told().len(), 9, "120 of the 180 s were left when the clock stood still");
}

#[test]
fn v10_a_full_journal_is_one_alert_and_no_wave_of_silence() {
    let mut ward = ward();
    for number in 2..10 {
        ward.enroll_measuring(number, &[(Vital::HeartRate, 60)]);
    }
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.wait(60);
    ward.apply(Event::Intake(Intake::Held));
    ward.wait(1800);
    // Whatever the link does meanwhile.
    ward.apply(Event::Link(Link::Down));
    ward.wait(600);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.wait(1200);
    ward.apply(Event::Link(Link::CaughtUp));
    assert!(!ward.state.is_catching_up(), "nothing is coming yet");
    ward.apply(Event::Intake(Intake::Resumed));
    assert!(ward.state.is_catching_up());
    ward.wait(30);
    ward.apply(Event::Link(Link::CaughtUp));
    assert_eq!(
        ward.told(),
        [
            "70 start pulseward.ingest medium active/on",
            "3690 end pulseward.ingest medium inactive/off",
        ]
    );
    ward.wait(119);
    assert_eq!(ward.told(), [""; 0]);
    ward.wait(1);
    assert_eq!(ward.told().len(), 9, "120 of the 180 s were left when the clock stood still");
}

#[test]
fn room_in_the_journal_does_not_make_up_for_a_link_that_is_down() {
    let mut ward = ward();
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.apply(Event::Intake(Intake::Held));
    ward.apply(Event::Link(Link::Down));
    ward.apply(Event::Intake(Intake::Resumed));
    ward.wait(3600);
    assert_eq!(ward.told(), ["10 start pulseward.ingest medium active/on"]);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.apply(Event::Link(Link::CaughtUp));
    assert_eq!(ward.told(), ["3600 end pulseward.ingest medium inactive/off"]);
}

#[test]
fn a_link_that_is_back_in_a_moment_is_no_news() {
    let mut ward = ward();
    ward.apply(Event::Link(Link::Down));
    ward.wait(9);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.apply(Event::Link(Link::CaughtUp));
    ward.wait(100);
    assert_eq!(ward.told(), [""; 0]);
}

#[test]
fn a_broker_that_never_runs_dry_holds_the_clock_for_a_minute_only() {
    let mut ward = ward();
    ward.apply(Event::Link(Link::Down));
    ward.wait(20);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.wait(1000);
    assert_eq!(
        ward.told(),
        [
            "10 start pulseward.ingest medium active/on",
            "80 end pulseward.ingest medium inactive/off",
            "260 start silence medium active/on",
        ]
    );
}

#[test]
fn v10_an_outage_of_the_service_is_one_alert() {
    let mut ward = ward();
    ward.measure(Vital::HeartRate, 70.0);
    ward.now += 3600;
    let last_alive = Some(Timestamp::from_seconds(BEGIN));
    ward.apply(Event::Started { last_alive });
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.wait(5);
    ward.apply(Event::Link(Link::CaughtUp));
    assert_eq!(
        ward.told(),
        [
            "3600 start pulseward.ingest medium active/on",
            "3605 end pulseward.ingest medium inactive/off",
        ]
    );
}

#[test]
fn a_session_that_was_lost_waits_for_somebody_to_take_note() {
    let mut ward = ward();
    ward.apply(Event::Link(Link::Up { session_present: false }));
    ward.apply(Event::Link(Link::Down));
    ward.apply(Event::Link(Link::Up { session_present: false }));
    assert_eq!(
        ward.told(),
        [
            "0 start pulseward.ingest-gap medium active/on",
            "0 end pulseward.ingest-gap medium inactive/latched",
        ]
    );
    ward.work(AlertAction::Reset { revision: 2 }).expect("accepted");
    assert_eq!(ward.state.open_alerts().count(), 0);
}

/// A ward of five patients behind a gateway, which is device 9.
fn behind_a_gateway() -> Ward {
    let gateway = rule_of(
        "gateway",
        RuleKind::Technical(TechnicalRule {
            condition: TechnicalCondition::GatewayOffline,
            priority: Priority::Low,
            delay: Duration::from_secs(30),
        }),
    );
    let mut ward = Ward::with(vec![gateway, silence(Vital::HeartRate, 3)]);
    ward.done(Action::CreateDevice { device: device(9), site: id(SITE) });
    for number in 1..=5 {
        ward.enroll_measuring(number, &[(Vital::HeartRate, 60)]);
        let gateway = device(9).to_string();
        ward.status(
            number,
            &proto::DeviceStatus { online: true, gateway, ..proto::DeviceStatus::default() },
        );
    }
    ward
}

fn gateway(online: bool) -> proto::DeviceStatus {
    proto::DeviceStatus { online, ..proto::DeviceStatus::default() }
}

#[test]
fn a_gateways_outage_is_one_alert_for_all_behind_it() {
    let mut ward = behind_a_gateway();
    ward.status(9, &gateway(true));
    ward.wait(10);
    ward.status(9, &gateway(false));
    ward.wait(1000);
    assert_eq!(ward.told(), ["40 start gateway medium active/on"], "medium as the silences");
    let alert = ward.open();
    assert_eq!((alert.covered, alert.device, alert.patient), (5, Some(device(9)), None));
    ward.status(9, &gateway(true));
    assert_eq!(ward.told(), ["1010 end gateway medium inactive/off"]);
    ward.wait(179);
    assert_eq!(ward.told(), [""; 0], "the devices behind it are given their intervals anew");
    ward.wait(1);
    assert_eq!(ward.told().len(), 5);
}

#[test]
fn a_device_that_goes_offline_just_before_its_gateway_is_left_to_it() {
    let mut ward = behind_a_gateway();
    let offline = technical(TechnicalCondition::DeviceOffline, 60);
    let mut rules = vec![offline, silence(Vital::HeartRate, 100)];
    rules.push(Rule {
        id: RuleId::new("gateway").expect("valid"),
        ..technical(TechnicalCondition::GatewayOffline, 30)
    });
    ward.put_default(rules);
    ward.status(9, &gateway(true));
    ward.status(2, &gateway(false));
    ward.now += 10;
    ward.status(9, &gateway(false));
    ward.wait(1000);
    assert_eq!(ward.told(), ["40 start gateway medium active/on"]);
    ward.status(9, &gateway(true));
    ward.wait(100);
    assert_eq!(
        ward.told(),
        ["1010 end gateway medium inactive/off", "1070 start technical low active/on"],
        "it is still offline by itself"
    );
}

#[test]
fn a_gateway_without_a_rule_hides_nobodys_silence() {
    let mut ward = behind_a_gateway();
    ward.put_default(vec![silence(Vital::HeartRate, 3)]);
    ward.status(9, &gateway(false));
    ward.wait(1000);
    assert_eq!(ward.told().len(), 5);
}

#[test]
fn a_changed_engine_tells_what_it_sees_otherwise() {
    let mut ward = ward();
    ward.measure_all(Vital::HeartRate, 60, &[110.0]);
    let open = ward.open();
    let mut gone = open.clone();
    gone.id = super::super::alerts::AlertId(uuid::Uuid::from_u128(7));
    ward.told();
    ward.apply(Event::Reconcile(vec![gone]));
    assert_eq!(ward.told(), ["60 close hr high inactive/off", "60 start hr high active/on"]);
    ward.apply(Event::Reconcile(vec![open]));
    assert_eq!(ward.told(), [""; 0]);
}

#[test]
fn stricter_rules_call_nobody_silent_while_nobody_listens() {
    let mut ward = ward();
    ward.measure_all(Vital::HeartRate, 60, &[70.0]);
    ward.now += 100;
    ward.apply(Event::Link(Link::Down));
    ward.now += 1;
    let owner = ProfileOwner::Patient(patient(1));
    let profile = Profile { rules: vec![silence(Vital::HeartRate, 1)] };
    ward.done(Action::PutProfile { owner, profile, expected_version: None });
    let until = Some(Timestamp::from_seconds(ward.now + 60));
    ward.done(Action::PausePatient { patient: patient(1), until, reason: None });
    ward.wait(100);
    assert_eq!(ward.told(), ["170 start pulseward.ingest medium active/on"]);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.wait(100);
    assert_eq!(
        ward.told(),
        ["321 end pulseward.ingest medium inactive/off", "321 start silence medium active/on",]
    );
}

#[test]
fn a_stricter_silence_rule_counts_from_when_it_was_put() {
    let mut ward = ward();
    ward.measure_all(Vital::HeartRate, 60, &[70.0]);
    ward.now += 70;
    ward.put_default(vec![silence(Vital::HeartRate, 1)]);
    ward.wait(100);
    assert_eq!(ward.told(), ["130 start silence medium active/on"]);
}

#[test]
fn a_gateways_alert_is_passed_on_as_its_rule_says() {
    let mut ward = behind_a_gateway();
    let rule = TechnicalRule {
        condition: TechnicalCondition::GatewayOffline,
        priority: Priority::Medium,
        delay: Duration::ZERO,
    };
    let after = Duration::from_secs(600);
    let escalations = vec![Escalation { priority: Priority::Medium, after }];
    ward.put_default(vec![Rule { escalations, ..rule_of("gateway", RuleKind::Technical(rule)) }]);
    ward.status(9, &gateway(true));
    ward.status(9, &gateway(false));
    ward.wait(700);
    assert_eq!(
        ward.told(),
        ["0 start gateway medium active/on", "600 remind gateway medium active/on"]
    );
    assert!(ward.open().rule_version > 0, "it says whose limit it is");
}

#[test]
fn a_fault_that_was_put_right_during_our_own_outage_is_not_told_first() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::SensorOff, 60)]);
    ward.enroll_measuring(1, &[(Vital::Spo2, 10)]);
    ward.send_readings(1, vec![absent(Vital::Spo2, BEGIN, proto::AbsentReason::SensorOff)]);
    ward.apply(Event::Link(Link::Down));
    ward.wait(300);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.measure(Vital::Spo2, 97.0);
    ward.apply(Event::Link(Link::CaughtUp));
    ward.wait(20);
    let told = ward.told();
    assert!(told.iter().all(|line| line.contains("pulseward.ingest")), "{told:#?}");
}

#[test]
fn a_look_at_the_time_just_before_a_restart_changes_nothing() {
    let story = |looks: bool| {
        let mut ward = ward();
        ward.measure_all(Vital::HeartRate, 60, &[70.0]);
        ward.now += 200;
        let last_alive = Some(Timestamp::from_seconds(ward.now));
        if looks {
            ward.apply(Event::Tick);
        }
        ward.now += 100;
        ward.apply(Event::Started { last_alive });
        ward.told()
    };
    assert_eq!(story(true), story(false));
    assert!(story(false)[0].starts_with("240 start silence"), "it was due before the restart");
}

#[test]
fn a_device_that_names_an_offline_gateway_is_left_to_it() {
    let mut ward = behind_a_gateway();
    let mut rules = vec![technical(TechnicalCondition::DeviceOffline, 60)];
    rules.push(Rule {
        id: RuleId::new("gateway").expect("valid"),
        ..technical(TechnicalCondition::GatewayOffline, 0)
    });
    ward.put_default(rules);
    ward.enroll(6);
    ward.status(9, &gateway(true));
    ward.status(9, &gateway(false));
    ward.status(6, &gateway(false));
    ward.told();
    let behind = proto::ReadingBatch {
        gateway: device(9).to_string(),
        ..numbered(0, vec![heart_rate(ward.now, 70)])
    };
    ward.publish(6, &behind);
    ward.wait(100);
    assert_eq!(ward.told(), [""; 0]);
}

#[test]
fn what_is_said_of_an_alert_that_time_has_ended_does_not_hang_on_who_looked() {
    let refusal = |looks: bool| {
        let mut ward = Ward::with(vec![rule("hr", vec![level(Priority::Medium, 100, 0)])]);
        ward.apply(Event::Link(Link::Down));
        ward.wait(20);
        let alert = ward.open().id;
        ward.apply(Event::Link(Link::Up { session_present: true }));
        ward.now += 100;
        if looks {
            ward.apply(Event::Tick);
        }
        let action = AlertAction::AddNote { note: String::new() };
        ward.command(Action::WorkOnAlert { alert, action })
    };
    assert_eq!(refusal(true), refusal(false));
}
