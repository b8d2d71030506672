//! How much alarms ask of a ward: a request to a query, and counts to an answer with the shares and
//! rates that are made of them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::alert_lists::{SITES_MAX, ids};
use super::{Violations, alerts, wire_duration, wire_timestamp};
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::engine::profile::Violation;
use crate::proto::v1;
use crate::store::alerts::burden::{HourTally, MostAlarmed, PatientTally, RuleTally, Tally, Waits};
use crate::store::{Burden, BurdenQuery};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest span: a quarter of a year. A ward's meeting looks at a month or a quarter, and what
/// is counted for one call stays within what the database answers in a second or two.
const SPAN_MAX: Duration = Duration::from_secs(92 * 24 * 60 * 60);
/// Minutes past the hour at which hours may begin.
const OFFSET_MINUTES_MAX: i32 = 59;

/// The query of `request`, by a caller who may see `scope`.
pub(in crate::grpc) fn query(
    request: &v1::GetAlarmBurdenRequest,
    scope: Sites,
    as_of: Timestamp,
) -> Result<BurdenQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let sites: Option<BTreeSet<_>> = ids(&mut wrong, "site_ids", &request.site_ids, SITES_MAX);
    let (from, until) = wrong.required_times(request.from.as_ref(), request.until.as_ref());
    if let (Some(from), Some(until)) = (from, until)
        && until.since(from) > SPAN_MAX
    {
        wrong.add("until", "more than 92 days after from");
    }
    let hour_offset = hour_offset(&mut wrong, request.hour_offset_minutes);
    wrong.finish(|| {
        Some(BurdenQuery {
            scope,
            sites: sites?.into_iter().collect(),
            span: from?..until?,
            as_of,
            hour_offset: hour_offset?,
        })
    })
}

fn hour_offset(wrong: &mut Violations, minutes: i32) -> Option<Duration> {
    match u64::try_from(minutes).ok().filter(|_| minutes <= OFFSET_MINUTES_MAX) {
        Some(minutes) => Some(Duration::from_secs(minutes * 60)),
        None => wrong.refuse("hour_offset_minutes", "not 0 to 59"),
    }
}

/// What was counted, as of then.
pub(in crate::grpc) fn answer(burden: &Burden, as_of: Timestamp) -> v1::GetAlarmBurdenResponse {
    let days = burden.monitored.div_duration_f64(DAY);
    let of = |tally, waits| Some(alarm_burden(tally, waits, days));
    v1::GetAlarmBurdenResponse {
        as_of: Some(wire_timestamp(as_of)),
        monitored_patient_count: burden.monitored_patients,
        patient_days: days,
        all: of(&burden.all(), burden.waits),
        physiological: of(&burden.physiological, burden.physiological_waits),
        technical: of(&burden.technical, burden.technical_waits),
        rules: burden.rules.iter().map(rule).collect(),
        hours: burden.hours.iter().map(hour).collect(),
        most_alarmed: Some(most_alarmed(&burden.most_alarmed)),
        retrospective_count: burden.retrospective,
        service_count: burden.of_service,
        held_back_count: burden.held_back,
    }
}

fn alarm_burden(tally: &Tally, waits: Option<Waits>, days: f64) -> v1::AlarmBurden {
    v1::AlarmBurden {
        alert_count: tally.alerts,
        alerts_per_patient_day: (days > 0.0).then(|| f64::from(tally.alerts) / days),
        by_priority: Some(priorities(tally)),
        acknowledged_count: tally.acknowledged,
        ended_unacknowledged_count: tally.ended_unacknowledged,
        open_unacknowledged_count: tally.open_unacknowledged,
        time_to_acknowledge_median: waits.map(|waits| wire_duration(waits.median)),
        time_to_acknowledge_p90: waits.map(|waits| wire_duration(waits.p90)),
        self_ended_count: tally.self_ended,
        self_ended_share: share(tally.self_ended, tally.alerts),
        paused_count: tally.paused,
        raised_paused_count: tally.raised_paused,
    }
}

fn priorities(tally: &Tally) -> v1::PriorityCounts {
    let [high, medium, low] = tally.by_priority;
    v1::PriorityCounts { high, medium, low }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

fn rule(rule: &RuleTally) -> v1::RuleBurden {
    v1::RuleBurden {
        rule_id: rule.rule.to_string(),
        vital: rule.vital.map_or(0, |vital| i32::from(vital.number())),
        kind: alerts::kind(rule.kind).into(),
        alert_count: rule.tally.alerts,
        by_priority: Some(priorities(&rule.tally)),
        acknowledged_count: rule.tally.acknowledged,
        self_ended_count: rule.tally.self_ended,
    }
}

fn hour(hour: &HourTally) -> v1::HourBurden {
    v1::HourBurden {
        from: Some(wire_timestamp(hour.from)),
        physiological: Some(priorities(&hour.physiological)),
        technical: Some(priorities(&hour.technical)),
    }
}

fn most_alarmed(most: &MostAlarmed) -> v1::MostAlarmedPatients {
    v1::MostAlarmedPatients {
        of_patient_count: most.of_patients,
        patient_count: most.patients,
        alert_count: most.alerts,
        share: share(most.alerts, most.of_alerts),
        patients: most.listed.iter().map(patient).collect(),
    }
}

fn patient(patient: &PatientTally) -> v1::PatientBurden {
    v1::PatientBurden {
        patient_id: patient.patient.to_string(),
        site_id: patient.site.to_string(),
        alert_count: patient.tally.alerts,
        by_priority: Some(priorities(&patient.tally)),
        technical_count: patient.technical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::GetAlarmBurdenRequest {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let (from, until) = (at(0), at(92 * 24 * 60 * 60));
        v1::GetAlarmBurdenRequest { from, until, ..v1::GetAlarmBurdenRequest::default() }
    }

    fn fields(request: &v1::GetAlarmBurdenRequest) -> Vec<String> {
        let violations = query(request, Sites::All, Timestamp::EPOCH).expect_err("wrong");
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_quarter_of_a_year_is_counted_and_no_more() {
        let longest = query(&request(), Sites::All, Timestamp::EPOCH).expect("right");
        assert_eq!(longest.span.end.since(longest.span.start), SPAN_MAX);
        let until = Some(prost_types::Timestamp { seconds: 92 * 24 * 60 * 60, nanos: 1_000 });
        assert_eq!(fields(&v1::GetAlarmBurdenRequest { until, ..request() }), ["until"]);
    }

    #[test]
    fn every_wrong_field_is_named_by_its_path() {
        let wrong = v1::GetAlarmBurdenRequest {
            site_ids: vec!["north".into(), "no rth".into()],
            from: None,
            until: None,
            hour_offset_minutes: 60,
        };
        assert_eq!(fields(&wrong), ["site_ids[1]", "from", "until", "hour_offset_minutes"]);
        let wrong = v1::GetAlarmBurdenRequest {
            site_ids: vec!["x".into(); SITES_MAX + 1],
            until: request().from,
            hour_offset_minutes: -1,
            ..request()
        };
        assert_eq!(fields(&wrong), ["site_ids", "until", "hour_offset_minutes"]);
    }

    #[test]
    fn nothing_has_no_rate_and_no_share() {
        let answer = answer(&Burden::default(), Timestamp::EPOCH);
        let all = answer.all.expect("counts");
        let rates = (all.alerts_per_patient_day, all.self_ended_share);
        assert_eq!((answer.patient_days, rates), (0.0, (None, None)));
        assert_eq!((all.time_to_acknowledge_median, all.time_to_acknowledge_p90), (None, None));
        assert_eq!(answer.most_alarmed.expect("nobody").share, None);
    }
}
