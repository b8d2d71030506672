//! Alerts listed and told in full: which of hub and store is asked, and what the caller hears.

use super::fakes::{Door, open_before, settings};
use super::*;
use crate::engine::alerts::{Alert, AlertEvent, Condition, Phase, Signal};
use crate::engine::audit::{Access, Outcome};
use crate::hub::tests::House;
use crate::hub::tests::house::{end, event_of, now, start, tell};
use crate::store::alerts::{AlertStory, Provenance};
use crate::store::{AlertsPage, AlertsQuery};
use crate::vitals::Priority;

/// A door before a hub that knows of three open alerts: of p1 and p2 in the north, p101 in the
/// south.
async fn door() -> (House, Door) {
    let mut house = House::new();
    house.journal(&[start(1), start(2), start(101), start(3)]);
    house.journal(&[end(3)]);
    let door = open_before(house.handle(), settings()).await;
    (house, door)
}

fn last_access(door: &Door) -> Access {
    door.commands.recorded().pop().expect("every call is on record")
}

fn open_only() -> v1::ListAlertsRequest {
    v1::ListAlertsRequest { open_only: true, ..v1::ListAlertsRequest::default() }
}

fn patients(page: &v1::ListAlertsResponse) -> Vec<&str> {
    page.alerts.iter().map(|alert| alert.patient_id.as_str()).collect()
}

fn away() -> HistoryError {
    HistoryError::Unavailable { reason: "connecting".to_owned() }
}

#[tokio::test]
async fn open_alerts_are_listed_without_the_store_page_by_page() {
    let (_house, door) = door().await;
    let mut request = v1::ListAlertsRequest { page_size: 2, ..open_only() };
    let first = door.alerts().list_alerts(request.clone()).await.expect("listed").into_inner();
    // Of one onset, by descending id.
    assert_eq!(patients(&first), ["p101", "p2"]);
    request.page_token.clone_from(&first.next_page_token);
    let second = door.alerts().list_alerts(request.clone()).await.expect("listed").into_inner();
    assert_eq!((patients(&second), &*second.next_page_token), (vec!["p1"], ""));
    let access = last_access(&door);
    assert_eq!((access.outcome, access.about.patients), (Outcome::Done, vec![id("p1")]));
    assert_eq!(access.about.text, "open");

    let other = v1::ListAlertsRequest { rule_ids: vec!["hr".into()], ..request };
    let status = door.alerts().list_alerts(other).await.expect_err("of another query");
    assert_eq!(fields(&status), ["page_token"]);
    assert!(door.listed.seen().is_empty());
    door.close().await;
}

#[tokio::test]
async fn open_alerts_are_filtered_as_the_stream_is_and_beyond() {
    let (_house, door) = door().await;
    let filter = |site: &str, patient: &str, priority: v1::Priority| {
        let some = |id: &str| if id.is_empty() { vec![] } else { vec![id.to_owned()] };
        Some(v1::AlertFilter {
            site_ids: some(site),
            patient_ids: some(patient),
            priority_min: priority.into(),
        })
    };
    let any = v1::Priority::Unspecified;
    let at = |seconds: i64| wire(now().micros() / 1_000_000 + seconds);
    for (request, expected) in [
        (v1::ListAlertsRequest { filter: filter("south", "", any), ..open_only() }, &["p101"][..]),
        (v1::ListAlertsRequest { filter: filter("", "p2", any), ..open_only() }, &["p2"]),
        (v1::ListAlertsRequest { filter: filter("south", "p2", any), ..open_only() }, &[]),
        (v1::ListAlertsRequest { filter: filter("", "", v1::Priority::High), ..open_only() }, &[]),
        (v1::ListAlertsRequest { rule_ids: vec!["rr".into()], ..open_only() }, &[]),
        (v1::ListAlertsRequest { until: at(0), ..open_only() }, &[]),
        (v1::ListAlertsRequest { from: at(0), until: at(1), ..open_only() }, &["p101", "p2", "p1"]),
    ] {
        let page = door.alerts().list_alerts(request.clone()).await.expect("listed").into_inner();
        assert_eq!(patients(&page), expected, "{request:?}");
    }
    door.close().await;
}

#[tokio::test]
async fn what_may_lie_in_the_past_is_asked_of_the_store_within_the_callers_sites() {
    let (_house, door) = door().await;
    let alert = event_of(end(1)).alert;
    let next_page_token = Some("page-2".to_owned());
    door.listed.answer(Ok(AlertsPage { alerts: vec![alert.clone(), alert], next_page_token }));
    let request = v1::ListAlertsRequest {
        over_only: true,
        rule_ids: vec!["hr".into()],
        ..v1::ListAlertsRequest::default()
    };
    let page = door.alerts().list_alerts(request).await.expect("listed").into_inner();
    assert_eq!((patients(&page), &*page.next_page_token), (vec!["p1", "p1"], "page-2"));
    let expected = AlertsQuery {
        scope: Sites::All,
        sites: vec![],
        patients: vec![],
        rules: vec![id("hr")],
        priority_min: Priority::Low,
        is_over: Some(true),
        from: Timestamp::MIN,
        until: Timestamp::MAX,
        page_size: 100,
        page_token: None,
    };
    assert_eq!(door.listed.seen(), [expected]);
    assert_eq!(last_access(&door).about.patients, [id("p1")]);

    door.listed.answer(Err(away()));
    let request = v1::ListAlertsRequest::default();
    let status = door.alerts().list_alerts(request).await.expect_err("away");
    check(&status, Code::Unavailable, "HISTORY_UNAVAILABLE");
    door.close().await;
}

#[tokio::test]
async fn a_store_that_is_behind_is_not_taken_for_the_truth() {
    let (_house, door) = door().await;
    door.stored.send_replace(crate::position::Position(1));
    let page = || AlertsPage { alerts: vec![], next_page_token: None };
    door.listed.answer(Ok(page()));
    let request = v1::ListAlertsRequest::default();
    let status = door.alerts().list_alerts(request.clone()).await.expect_err("behind");
    check(&status, Code::Unavailable, "HISTORY_BEHIND");
    assert_eq!(
        patients(&door.alerts().list_alerts(open_only()).await.expect("listed").into_inner()).len(),
        3
    );
    // It comes as far while the call waits.
    door.listed.answer(Ok(page()));
    let mut alerts = door.alerts();
    let (answer, _) = tokio::join!(alerts.list_alerts(request), async {
        tokio::task::yield_now().await;
        door.stored.send_replace(crate::position::Position(2));
    });
    answer.expect("listed");
    door.close().await;
}

fn get(number: u128) -> v1::GetAlertRequest {
    v1::GetAlertRequest { alert_id: uuid::Uuid::from_u128(number).to_string() }
}

fn missing(answer: &v1::GetAlertResponse) -> Vec<v1::AlertPart> {
    answer.missing().collect()
}

#[tokio::test]
async fn an_alert_is_told_with_its_events_readings_and_the_rule_of_then() {
    let (_house, door) = door().await;
    let reading = stored(Vital::HeartRate, Value::Quantity(Quantity::whole(150)));
    let deciding = crate::engine::alerts::DecidingReading {
        measured_at: reading.measured_at,
        vital: reading.vital,
        value: reading.value,
    };
    let trigger = crate::engine::alerts::Trigger::Readings(vec![deciding]);
    let event = AlertEvent { trigger, ..event_of(start(1)) };
    let rule = Rule::new(id("hr"), RuleKind::Off);
    let story = |events: Vec<AlertEvent>, readings, rule: Option<Rule>| AlertStory {
        alert: event_of(start(1)).alert,
        events,
        readings,
        rule: rule.map(|rule| Provenance { rule, scope: Scope::Default, version: 1 }),
    };
    let whole = story(vec![event.clone()], vec![reading], Some(rule));
    door.stories.answer(Ok(Some(whole)));
    let answer = door.alerts().get_alert(get(1)).await.expect("told").into_inner();
    let rule = answer.rule.clone().expect("a rule");
    assert_eq!((rule.rule.expect("a rule").rule_id, rule.version), ("hr".to_owned(), 1));
    assert_eq!((answer.events.len(), answer.readings.len()), (1, 1));
    assert_eq!(missing(&answer), []);
    assert_eq!(last_access(&door).about.patients, [id("p1")]);

    // Readings that were given up, and a profile that nobody knows any more, are said to be missing.
    door.stories.answer(Ok(Some(story(vec![event], vec![], None))));
    let answer = door.alerts().get_alert(get(1)).await.expect("told").into_inner();
    assert_eq!(missing(&answer), [v1::AlertPart::Readings, v1::AlertPart::Rule]);
    door.close().await;
}

#[tokio::test]
async fn an_open_alert_is_told_without_the_store_as_far_as_it_is_known() {
    let (mut house, door) = door().await;
    let acknowledged = event_of((1, Phase::Acknowledge, Priority::Medium, None));
    let alert = Alert { signal: Signal::Acknowledged, revision: 2, ..acknowledged.alert };
    house.say(vec![tell(AlertEvent { alert, ..acknowledged })]);
    door.stories.answer(Err(away()));
    let answer = door.alerts().get_alert(get(1)).await.expect("told").into_inner();
    assert_eq!(answer.alert.as_ref().expect("the alert").signal(), v1::SignalState::Acknowledged);
    assert_eq!(answer.events.len(), 2);
    assert_eq!(missing(&answer), [v1::AlertPart::Readings, v1::AlertPart::Rule]);

    // One that is over is for the store to tell.
    door.stories.answer(Err(away()));
    let status = door.alerts().get_alert(get(3)).await.expect_err("away");
    check(&status, Code::Unavailable, "HISTORY_UNAVAILABLE");
    door.close().await;
}

#[tokio::test]
async fn an_alert_that_does_not_exist_reads_as_one_of_another_site() {
    let (_house, door) = door().await;
    let refusal = Refusal::NotFound { kind: "alert", id: get(99).alert_id };
    let engine = crate::grpc::status::refused(refusal);
    door.stories.answer(Ok(None));
    let status = door.alerts().get_alert(get(99)).await.expect_err("unknown");
    check(&status, Code::NotFound, "ALERT_NOT_FOUND");
    assert_eq!((status.message(), status.details()), (engine.message(), engine.details()));
    let access = last_access(&door);
    assert_eq!((access.outcome, &*access.reason), (Outcome::Failed, "ALERT_NOT_FOUND"));
    let request = v1::GetAlertRequest { alert_id: "x".into() };
    let status = door.alerts().get_alert(request).await.expect_err("no id");
    assert_eq!(fields(&status), ["alert_id"]);
    door.close().await;
}

#[tokio::test]
async fn a_retrospective_alert_was_never_open() {
    let (mut house, door) = door().await;
    let late = event_of(start(7));
    let alert = Alert {
        retrospective: true,
        condition: Condition::Inactive,
        signal: Signal::Off,
        ..late.alert
    };
    house.say(vec![tell(AlertEvent { alert, ..late })]);
    let page = door.alerts().list_alerts(open_only()).await.expect("listed").into_inner();
    assert_eq!(patients(&page), ["p101", "p2", "p1"]);
    door.close().await;
}
