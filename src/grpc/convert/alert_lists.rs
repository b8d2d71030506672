//! Which alerts: filters and requests for lists to the engine's words; alerts with their stories to
//! the wire.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::profiles::wire_rule;
use super::readings::{PAGE_TOKEN_BYTES_MAX, stored_reading};
use super::{Violations, alerts};
use crate::engine::alerts::{Alert, AlertEvent, AlertId};
use crate::engine::input::Sites;
use crate::engine::profile::Violation;
use crate::hub::{Filter, Story};
use crate::proto::v1;
use crate::store::AlertsQuery;
use crate::store::alerts::{AlertStory, Provenance};
use crate::vitals::{InvalidId, Priority};

/// Sites that a filter may name.
pub(super) const SITES_MAX: usize = 100;
/// Patients that a filter may name.
const PATIENTS_MAX: usize = 1000;
/// Rules that a request may name: more than a profile has.
const RULES_MAX: usize = 100;
/// A page, if the caller names no size.
const PAGE_SIZE_DEFAULT: u32 = 100;

/// What a watcher wants, who may see `scope`.
pub(in crate::grpc) fn filter(
    filter: &v1::AlertFilter,
    scope: Sites,
) -> Result<Filter, Vec<Violation>> {
    let mut wrong = Violations::default();
    let filter = wanted(&mut wrong, filter, scope);
    wrong.finish(|| filter)
}

fn wanted(wrong: &mut Violations, filter: &v1::AlertFilter, scope: Sites) -> Option<Filter> {
    let sites = ids(wrong, "filter.site_ids", &filter.site_ids, SITES_MAX);
    let patients = ids(wrong, "filter.patient_ids", &filter.patient_ids, PATIENTS_MAX);
    let priority_min = priority_min(wrong, filter.priority_min);
    Some(Filter { scope, sites: sites?, patients: patients?, priority_min: priority_min? })
}

/// The query of `request`, by a caller who may see `scope`.
pub(in crate::grpc) fn query(
    request: &v1::ListAlertsRequest,
    scope: Sites,
) -> Result<AlertsQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let filter = wanted(&mut wrong, &request.filter.clone().unwrap_or_default(), scope);
    let rules: Option<BTreeSet<_>> = ids(&mut wrong, "rule_ids", &request.rule_ids, RULES_MAX);
    let is_over = match (request.open_only, request.over_only) {
        (true, true) => wrong.refuse("over_only", "not together with open_only"),
        (true, false) => Some(Some(false)),
        (false, true) => Some(Some(true)),
        (false, false) => Some(None),
    };
    let times = wrong.range(request.from.as_ref(), request.until.as_ref());
    let page_size = wrong.page_size(request.page_size, PAGE_SIZE_DEFAULT);
    let page_token = wrong.optional_text("page_token", &request.page_token, PAGE_TOKEN_BYTES_MAX);
    wrong.finish(|| {
        let (filter, times) = (filter?, times?);
        Some(AlertsQuery {
            scope: filter.scope,
            sites: filter.sites.into_iter().collect(),
            patients: filter.patients.into_iter().collect(),
            rules: rules?.into_iter().collect(),
            priority_min: filter.priority_min,
            is_over: is_over?,
            from: times.start,
            until: times.end,
            page_size: page_size?,
            page_token: page_token?,
        })
    })
}

/// The ids of a list, each once.
pub(super) fn ids<Id: Ord + FromStr<Err = InvalidId>>(
    wrong: &mut Violations,
    field: &str,
    texts: &[String],
    most: usize,
) -> Option<BTreeSet<Id>> {
    if texts.len() > most {
        return wrong.refuse(field, format!("{} ids; at most {most}", texts.len()));
    }
    let id = |(index, text): (usize, &String)| wrong.id(&format!("{field}[{index}]"), text);
    // Each that is wrong is named.
    let ids: Vec<Option<Id>> = texts.iter().enumerate().map(id).collect();
    ids.into_iter().collect()
}

fn priority_min(wrong: &mut Violations, number: i32) -> Option<Priority> {
    match number {
        0 => Some(Priority::Low),
        _ => match Priority::ALL.into_iter().find(|priority| *priority as i32 == number) {
            Some(priority) => Some(priority),
            None => {
                wrong.refuse("filter.priority_min", format!("{number} is none of the priorities"))
            }
        },
    }
}

/// Which alert is asked for.
pub(in crate::grpc) fn alert_id(request: &v1::GetAlertRequest) -> Result<AlertId, Vec<Violation>> {
    let mut wrong = Violations::default();
    let id = super::alert_work::alert_id(&mut wrong, &request.alert_id);
    wrong.finish(|| id)
}

/// An alert as the store tells it.
pub(in crate::grpc) fn stored_story(story: &AlertStory) -> v1::GetAlertResponse {
    let rule = story.rule.as_ref().map(|rule| effective_rule(rule, &story.alert));
    let mut missing = Vec::new();
    if !story.is_whole() {
        missing.push(v1::AlertPart::Events.into());
    }
    if has_unstored(&story.events, &story.readings) {
        missing.push(v1::AlertPart::Readings.into());
    }
    if rule.is_none() && alerts::rests_on_a_profile(&story.alert) {
        missing.push(v1::AlertPart::Rule.into());
    }
    v1::GetAlertResponse {
        alert: Some(alerts::alert(&story.alert)),
        events: story.events.iter().map(alerts::alert_event).collect(),
        readings: story.readings.iter().map(stored_reading).collect(),
        rule,
        missing,
    }
}

/// Whether an event names a reading that is not among these: its time of keeping is over, or there
/// were too many.
fn has_unstored(events: &[AlertEvent], readings: &[crate::store::StoredReading]) -> bool {
    let stored: BTreeSet<_> = readings.iter().map(|it| (it.measured_at, it.vital)).collect();
    let mut decided = events.iter().flat_map(|event| event.trigger.readings());
    decided.any(|reading| !stored.contains(&(reading.measured_at, reading.vital)))
}

/// An open alert, as far as the hub knows it: its latest events.
pub(in crate::grpc) fn open_story(story: &Story) -> v1::GetAlertResponse {
    let mut missing = vec![v1::AlertPart::Readings.into()];
    if !story.is_whole() {
        missing.insert(0, v1::AlertPart::Events.into());
    }
    if alerts::rests_on_a_profile(&story.alert) {
        missing.push(v1::AlertPart::Rule.into());
    }
    v1::GetAlertResponse {
        alert: Some(alerts::alert(&story.alert)),
        events: story.events.iter().map(|event| alerts::alert_event(event)).collect(),
        readings: Vec::new(),
        rule: None,
        missing,
    }
}

fn effective_rule(provenance: &Provenance, alert: &Alert) -> v1::EffectiveRule {
    let Provenance { rule, scope, version } = provenance;
    v1::EffectiveRule {
        rule: Some(wire_rule(rule)),
        owner: Some(alerts::owner(*scope, alert)),
        version: *version,
        not_monitored_because: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_nothing_in_particular_is_for_all_of_them() {
        let query = query(&v1::ListAlertsRequest::default(), Sites::All).expect("valid");
        let AlertsQuery { sites, patients, rules, priority_min, is_over, page_size, .. } = query;
        assert_eq!((sites, patients, rules), (vec![], vec![], vec![]));
        assert_eq!((priority_min, is_over, page_size), (Priority::Low, None, PAGE_SIZE_DEFAULT));
    }

    #[test]
    fn every_wrong_field_is_named_by_its_path() {
        let filter = v1::AlertFilter {
            site_ids: vec!["north".into(), "no rth".into()],
            patient_ids: vec![String::new(); 2],
            priority_min: 9,
        };
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let request = v1::ListAlertsRequest {
            filter: Some(filter),
            rule_ids: vec!["x".into(); RULES_MAX + 1],
            open_only: true,
            over_only: true,
            from: at(5),
            until: at(5),
            page_size: -1,
            page_token: "x".repeat(PAGE_TOKEN_BYTES_MAX + 1),
        };
        let violations = query(&request, Sites::All).expect_err("wrong");
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        let expected = [
            "filter.site_ids[1]",
            "filter.patient_ids[0]",
            "filter.patient_ids[1]",
            "filter.priority_min",
            "rule_ids",
            "over_only",
            "until",
            "page_size",
            "page_token",
        ];
        assert_eq!(fields, expected);
    }
}
