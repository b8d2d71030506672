//! V8: loss of data never ends a physiological alert; late data never ends, retracts or re-raises a
//! live one. And the other side of it: what is critical and in time is never missed.

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{Alert, AlertEvent, AlertKind, Condition, Phase, Trigger};
use pulseward::vitals::{PatientKey, Priority, Vital};

use super::registry::{Expected, Registry, Timing};
use super::stories::{FLOOD, Stories};
use super::{Violation, hold};
use crate::profiles::{CRITICAL, CRITICAL_CLEAR, CRITICAL_LIMIT};
use crate::ward::device::Said;
use crate::ward::{MINUTE, Micros, patient_id};

/// How late a reading may be and still raise, by every rule of the ward.
const ACTIONABLE_FOR: Micros = 10 * MINUTE;

/// Whether an event of a physiological alert rests on what may decide it.
pub(super) fn check(
    event: &AlertEvent,
    now: Timestamp,
    expected: &[Expected],
) -> Result<(), Violation> {
    let alert = &event.alert;
    let Some(patient) = alert.patient_key.filter(|_| alert.kind == AlertKind::Physiological) else {
        return Ok(());
    };
    let by_readings = matches!(event.trigger, Trigger::Readings(_));
    let of_now = |it: &&Expected| it.patient == index(patient) && event.determined_at == now;
    let mut readings = expected.iter().filter(of_now).filter(|it| is_of(alert, it.sent.vital));
    let holds = match event.phase {
        Phase::End => by_readings && readings.any(Expected::is_live),
        Phase::Start if alert.retrospective => {
            by_readings && readings.any(|it| it.timing != Timing::Live)
        }
        Phase::Start | Phase::Escalate if by_readings => {
            let is_new_enough =
                |it: &&Expected| it.timing != Timing::Delayed || it.age <= ACTIONABLE_FOR;
            let mut raising = readings.filter(|it| it.may_raise()).filter(is_new_enough);
            let may_raise = raising.clone().next().is_some();
            may_raise && (alert.delayed || raising.any(|it| it.timing != Timing::Delayed))
        }
        // Its patient's others had taken the room that it needed, or its rule has changed.
        Phase::Start => event.trigger == Trigger::Grouping,
        Phase::Escalate => {
            matches!(event.trigger, Trigger::RuleChanged | Trigger::Unbound | Trigger::Transfer)
        }
        Phase::Deescalate if by_readings => readings.any(Expected::is_live),
        Phase::Close => !by_readings && (event.trigger != Trigger::Timer || is_flood(alert)),
        Phase::Update if by_readings => readings.any(Expected::may_raise),
        _ => true,
    };
    hold(holds, "V8", || format!("{event:?} at {now} rests on {expected:?}"))
}

fn index(patient: PatientKey) -> usize {
    patient.index()
}

fn is_flood(alert: &Alert) -> bool {
    alert.rule.as_str() == FLOOD
}

/// Whether an alert may rest on this vital. Heart rate and pulse rate count as one; a score rests
/// on several.
fn is_of(alert: &Alert, vital: Vital) -> bool {
    let is_pulse = |it| matches!(it, Vital::HeartRate | Vital::PulseRate);
    match alert.vital {
        Some(of) => of == vital || (is_pulse(of) && is_pulse(vital)),
        None => true,
    }
}

/// What is critical and in time has an alert of high priority; what is well again has none.
pub(super) fn critical(
    expected: &[Expected],
    registry: &Registry,
    stories: &Stories,
) -> Result<(), Violation> {
    let is_judged = |it: &&Expected| {
        let is_in_time = match it.timing {
            Timing::Live => true,
            Timing::Delayed => it.age <= ACTIONABLE_FOR,
            Timing::Late | Timing::Unsaid => false,
        };
        let is_value = matches!(it.sent.said, Said::Plausible | Said::Implausible);
        it.sent.vital == Vital::Spo2 && is_value && is_in_time && !it.sent.is_test
    };
    // What is implausible may raise together with others like it, and decides nothing alone.
    let last = expected.iter().rfind(is_judged);
    let Some(last) = last.filter(|it| it.sent.said == Said::Plausible) else { return Ok(()) };
    let open = stories.of(Some(patient_id(last.patient)), None, CRITICAL);
    let holds = open.is_some_and(|open| open.condition != Condition::Inactive);
    if last.sent.tenths < CRITICAL_LIMIT * 10 {
        let is_told = holds && open.is_some_and(|open| open.priority == Priority::High);
        return hold(is_told, "what is critical is told", || format!("{last:?} and {open:?}"));
    }
    let is_well = last.timing == Timing::Live && last.sent.tenths >= CRITICAL_CLEAR * 10;
    let others = registry.patients[last.patient].devices.iter().filter(|it| **it != last.device);
    let alone = !others.into_iter().any(|it| registry.measures(*it, Vital::Spo2));
    hold(!(is_well && alone && holds), "what is well again is over", || {
        format!("{last:?} and {open:?}")
    })
}
