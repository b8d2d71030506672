//! A ward's alarm burden: what the store is asked, what the caller is answered, and what goes on
//! record.

use super::fakes::{Door, open, open_before, settings};
use super::*;
use crate::engine::alerts::AlertKind;
use crate::engine::audit::{Access, Outcome};
use crate::hub::tests::House;
use crate::hub::tests::house::start;
use crate::position::Position;
use crate::store::alerts::burden::{HourTally, MostAlarmed, PatientTally, RuleTally, Tally, Waits};
use crate::store::{Burden, BurdenQuery};

fn request(site_ids: &[&str]) -> v1::GetAlarmBurdenRequest {
    v1::GetAlarmBurdenRequest {
        site_ids: site_ids.iter().map(|&site| site.to_owned()).collect(),
        from: wire(0),
        until: wire(86_400),
        hour_offset_minutes: 30,
    }
}

fn last_access(door: &Door) -> Access {
    door.commands.recorded().pop().expect("every call is on record")
}

/// Eight alerts on four patient-days, two of them about the equipment.
fn burden() -> Burden {
    let physiological = Tally {
        alerts: 6,
        by_priority: [1, 2, 3],
        acknowledged: 3,
        ended_unacknowledged: 2,
        open_unacknowledged: 1,
        self_ended: 1,
        paused: 1,
        raised_paused: 1,
    };
    let technical = Tally {
        alerts: 2,
        by_priority: [0, 2, 0],
        ended_unacknowledged: 2,
        self_ended: 1,
        ..Tally::default()
    };
    let (median, p90) = (Duration::from_secs(40), Duration::from_millis(90_500));
    let waits = Some(Waits { median, p90 });
    let (rule, vital) = (id("hr"), Some(Vital::HeartRate));
    let from = Timestamp::from_seconds(1_800);
    let worst = PatientTally {
        patient: id("p1"),
        site: id("north"),
        technical: 1,
        tally: Tally { alerts: 5, by_priority: [1, 2, 2], ..Tally::default() },
    };
    Burden {
        monitored_patients: 11,
        monitored: Duration::from_secs(4 * 86_400),
        physiological,
        technical,
        waits,
        physiological_waits: waits,
        technical_waits: None,
        rules: vec![RuleTally {
            rule,
            vital,
            kind: AlertKind::Physiological,
            tally: physiological,
        }],
        hours: vec![HourTally { from, physiological, technical }],
        most_alarmed: MostAlarmed {
            of_patients: 12,
            patients: 2,
            alerts: 5,
            of_alerts: 8,
            listed: vec![worst],
        },
        retrospective: 7,
        of_service: 1,
        held_back: 9,
    }
}

#[tokio::test]
async fn the_store_counts_within_the_callers_sites_and_the_answer_says_it_all() {
    let door = open().await;
    door.burdens.answer(Ok(burden()));
    let answer = door.alerts().get_alarm_burden(request(&["north"])).await;
    let answer = answer.expect("counted").into_inner();

    let [BurdenQuery { scope, sites, span, hour_offset, .. }] = &door.burdens.seen()[..] else {
        panic!("asked once")
    };
    assert_eq!((scope, &sites[..]), (&Sites::All, &[id("north")][..]));
    assert_eq!(*span, Timestamp::EPOCH..Timestamp::from_seconds(86_400));
    assert_eq!(*hour_offset, Duration::from_secs(1_800));

    let all = answer.all.expect("counts");
    assert_eq!((answer.patient_days, answer.monitored_patient_count), (4.0, 11));
    assert_eq!((all.alert_count, all.alerts_per_patient_day), (8, Some(2.0)));
    assert_eq!(all.by_priority, Some(v1::PriorityCounts { high: 1, medium: 4, low: 3 }));
    let answered = (all.acknowledged_count, all.ended_unacknowledged_count);
    assert_eq!((answered, all.open_unacknowledged_count), ((3, 4), 1));
    assert_eq!((all.self_ended_count, all.self_ended_share), (2, Some(0.25)));
    assert_eq!((all.paused_count, all.raised_paused_count), (1, 1));
    let p90 = Some(prost_types::Duration { seconds: 90, nanos: 500_000_000 });
    assert_eq!(all.time_to_acknowledge_p90, p90);
    let technical = answer.technical.expect("counts");
    assert_eq!((technical.alert_count, technical.time_to_acknowledge_median), (2, None));

    assert_eq!(
        (answer.rules[0].rule_id.as_str(), answer.rules[0].vital()),
        ("hr", v1::Vital::HeartRate)
    );
    assert_eq!(
        (answer.rules[0].kind(), answer.rules[0].acknowledged_count),
        (v1::AlertKind::Physiological, 3)
    );
    assert_eq!(
        (answer.hours[0].from, answer.hours[0].technical.expect("counts").medium),
        (wire(1_800), 2)
    );
    let most = answer.most_alarmed.expect("somebody");
    assert_eq!((most.of_patient_count, most.patient_count, most.share), (12, 2, Some(0.625)));
    let worst = &most.patients[0];
    assert_eq!((worst.patient_id.as_str(), worst.site_id.as_str()), ("p1", "north"));
    assert_eq!((worst.alert_count, worst.technical_count), (5, 1));
    let apart = (answer.retrospective_count, answer.service_count, answer.held_back_count);
    assert_eq!(apart, (7, 1, 9));
    door.close().await;
}

#[tokio::test]
async fn whom_the_answer_names_goes_on_record_with_how_many_it_is_about() {
    let door = open().await;
    door.burdens.answer(Ok(burden()));
    door.alerts().get_alarm_burden(request(&["north"])).await.expect("counted");
    let about = last_access(&door).about;
    assert_eq!((about.patients, about.patient_count), (vec![id("p1")], 12));
    assert_eq!(about.site, Some(id("north")));
    assert_eq!(about.text, "from 1970-01-01T00:00:00Z, until 1970-01-02T00:00:00Z");

    door.burdens.answer(Ok(Burden::default()));
    door.alerts().get_alarm_burden(request(&["north", "south"])).await.expect("counted");
    let about = last_access(&door).about;
    assert_eq!((about.site, about.patients), (None, vec![]));
    assert!(about.text.starts_with("2 sites, from "), "{}", about.text);
    door.close().await;
}

#[tokio::test]
async fn a_wrong_span_is_refused_before_the_store_is_asked() {
    let door = open().await;
    let until = wire(92 * 86_400 + 1);
    let wrong = v1::GetAlarmBurdenRequest { until, ..request(&[]) };
    let status = door.alerts().get_alarm_burden(wrong).await.expect_err("too long");
    check(&status, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(door.burdens.seen(), []);
    assert_eq!(last_access(&door).outcome, Outcome::Failed);
    door.close().await;
}

#[tokio::test]
async fn without_the_store_or_with_one_that_is_behind_nothing_is_counted() {
    let door = open().await;
    let away = HistoryError::Unavailable { reason: "no connection".to_owned() };
    door.burdens.answer(Err(away));
    let status = door.alerts().get_alarm_burden(request(&[])).await.expect_err("away");
    check(&status, Code::Unavailable, "HISTORY_UNAVAILABLE");
    door.close().await;

    let mut house = House::new();
    house.journal(&[start(1)]);
    let door = open_before(house.handle(), settings()).await;
    door.stored.send_replace(Position(0));
    door.burdens.answer(Ok(burden()));
    let status = door.alerts().get_alarm_burden(request(&[])).await.expect_err("behind");
    check(&status, Code::Unavailable, "HISTORY_BEHIND");
    assert_eq!(last_access(&door).about.patients, []);
    door.close().await;
}
