//! Between the wire's words and the domain's, both ways.
//!
//! Requests are converted all at once: every wrong field is found and named by its path, as
//! `google.rpc.BadRequest` wants it. What goes out needs no check, because the domain cannot say
//! what the wire can't. One file a subject stands in the folder; here is what they share.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::input::{Action, InvalidRequestId, RequestId};
use crate::engine::profile::Violation;
use crate::vitals::{InvalidId, Quantity, Vital};

pub(super) mod about;
pub(super) mod alert_lists;
pub(super) mod alert_work;
pub(super) mod alerts;
pub(super) mod audit;
pub(super) mod buckets;
pub(super) mod burden;
pub(super) mod erasures;
pub(super) mod lists;
pub(super) mod live;
pub(super) mod lookups;
pub(super) mod page_token;
pub(super) mod profiles;
pub(super) mod readings;
pub(super) mod registry;
pub(super) mod rejected;
pub(super) mod reports;

/// A change, as a caller asks for it.
#[derive(Debug)]
pub(super) struct Change {
    /// What.
    pub(super) action: Action,
    /// What tells it again should it be repeated, if the caller gave it an id.
    pub(super) request_id: Option<RequestId>,
}

impl Change {
    /// A change under the id that came with it; or what is wrong with it, the id included.
    pub(super) fn of(
        action: Result<Action, Vec<Violation>>,
        request_id: &str,
    ) -> Result<Self, Vec<Violation>> {
        let (action, request_id) = with_request_id(action, request_id)?;
        Ok(Self { action, request_id })
    }
}

/// What was converted, with the id of its request; or all that is wrong.
pub(super) fn with_request_id<T>(
    converted: Result<T, Vec<Violation>>,
    request_id: &str,
) -> Result<(T, Option<RequestId>), Vec<Violation>> {
    let mut wrong = Violations::default();
    let request_id = wrong.request_id(request_id);
    match converted {
        Ok(converted) => wrong.finish(|| Some((converted, request_id?))),
        Err(mut violations) => {
            violations.append(&mut wrong.0);
            Err(violations)
        }
    }
}

/// What is wrong with a request, collected field by field. Each method returns the converted field,
/// or `None` after having noted what is wrong with it.
#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation { field: field.to_owned(), description: description.into() });
    }

    fn refuse<T>(&mut self, field: &str, description: impl Into<String>) -> Option<T> {
        self.add(field, description);
        None
    }

    /// The request, if nothing was wrong; `build` may rely on every noted field.
    fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Vec<Violation>> {
        if self.0.is_empty() {
            Ok(build().expect("a field that could not be converted was noted"))
        } else {
            Err(self.0)
        }
    }

    fn id<Id: FromStr<Err = InvalidId>>(&mut self, field: &str, text: &str) -> Option<Id> {
        if text.is_empty() {
            return self.refuse(field, "required");
        }
        text.parse().map_err(|invalid: InvalidId| self.add(field, invalid.to_string())).ok()
    }

    /// The outer `None`: wrong; the inner one: empty, which means none.
    fn request_id(&mut self, text: &str) -> Option<Option<RequestId>> {
        if text.is_empty() {
            return Some(None);
        }
        match text.parse() {
            Ok(id) => Some(Some(id)),
            Err(invalid) => self.refuse("request_id", InvalidRequestId::to_string(&invalid)),
        }
    }

    fn text(&mut self, field: &str, text: &str, bytes_max: usize) -> Option<String> {
        if text.len() > bytes_max {
            return self.refuse(field, format!("{} bytes; at most {bytes_max}", text.len()));
        }
        if text.chars().any(char::is_control) {
            return self.refuse(field, "holds control characters");
        }
        Some(text.to_owned())
    }

    /// The outer `None`: wrong; the inner one: empty, which means none.
    fn optional_text(
        &mut self,
        field: &str,
        text: &str,
        bytes_max: usize,
    ) -> Option<Option<String>> {
        Some(self.text(field, text, bytes_max)?).map(|text| Some(text).filter(|it| !it.is_empty()))
    }

    /// The same of what a person wrote, which may have several lines.
    fn remark(&mut self, field: &str, text: &str, bytes_max: usize) -> Option<Option<String>> {
        let on_one_line = text.replace(['\n', '\t'], " ");
        self.optional_text(field, &on_one_line, bytes_max)?;
        Some(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn vital(&mut self, field: &str, number: i32) -> Option<Vital> {
        match number {
            0 => self.refuse(field, "required"),
            _ => match Vital::from_number(number) {
                Some(vital) => Some(vital),
                None => self.refuse(field, format!("{number} is no vital of this version")),
            },
        }
    }

    fn quantity(&mut self, field: &str, number: f64) -> Option<Quantity> {
        match Quantity::from_f64(number) {
            Some(quantity) => Some(quantity),
            None => self.refuse(field, format!("{number} is not a quantity")),
        }
    }

    fn required_time(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        match time {
            Some(time) => self.time(field, *time),
            None => self.refuse(field, "required"),
        }
    }

    /// The outer `None`: wrong; the inner one: not given.
    /// The fields `from` and `until` of a span of time.
    fn required_times(
        &mut self,
        from: Option<&prost_types::Timestamp>,
        until: Option<&prost_types::Timestamp>,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let from = self.required_time("from", from);
        let until = self.required_time("until", until);
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            self.add("until", "not after from");
        }
        (from, until)
    }

    /// `from` and `until` of a list; without them, it reaches over all times.
    fn range(
        &mut self,
        from: Option<&prost_types::Timestamp>,
        until: Option<&prost_types::Timestamp>,
    ) -> Option<Range<Timestamp>> {
        let from = self.optional_time("from", from);
        let until = self.optional_time("until", until);
        let from = from.map(|from| from.unwrap_or(Timestamp::MIN));
        let until = until.map(|until| until.unwrap_or(Timestamp::MAX));
        match (from?, until?) {
            (from, until) if from < until => Some(from..until),
            _ => self.refuse("until", "not after from"),
        }
    }

    /// Of a list of which a page has `default` entries, if the caller names no size.
    fn page_size(&mut self, asked: i32, default: u32) -> Option<u32> {
        match u32::try_from(asked) {
            Ok(0) => Some(default),
            Ok(size) => Some(size),
            Err(_) => self.refuse("page_size", "negative"),
        }
    }

    fn optional_time(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
    ) -> Option<Option<Timestamp>> {
        match time {
            Some(time) => self.time(field, *time).map(Some),
            None => Some(None),
        }
    }

    fn time(&mut self, field: &str, time: prost_types::Timestamp) -> Option<Timestamp> {
        match timestamp(time) {
            Some(time) => Some(time),
            None => self.refuse(field, "not a time of the years 1 to 9999"),
        }
    }

    fn required_span(
        &mut self,
        field: &str,
        span: Option<&prost_types::Duration>,
    ) -> Option<Duration> {
        match span {
            Some(span) => self.optional_span(field, Some(span)),
            None => self.refuse(field, "required"),
        }
    }

    /// A span that is zero if it was not given.
    fn optional_span(
        &mut self,
        field: &str,
        span: Option<&prost_types::Duration>,
    ) -> Option<Duration> {
        match duration(span.copied().unwrap_or_default()) {
            Some(span) => Some(span),
            None => self.refuse(field, "negative, or not a duration"),
        }
    }
}

/// The instant, cut to microseconds; `None` if its parts are out of their ranges.
pub(crate) fn timestamp(wire: prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let micros = wire.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1000))?;
    Timestamp::from_micros(micros)
}

pub(crate) fn wire_timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000)
        .expect("a second's microseconds, in nanoseconds, are below 2^31");
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// The span, cut to microseconds; `None` if it is negative or its parts are out of their ranges.
fn duration(wire: prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(wire.seconds).ok()?;
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos / 1000 * 1000))
}

pub(super) fn wire_duration(span: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(span.subsec_nanos()).expect("below a second, so below 2^31");
    prost_types::Duration { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::alerts::Phase;
    use crate::engine::output::RejectReason;
    use crate::proto::v1;
    use crate::vitals::{AbsentReason, Acvpu, Mode, Priority};

    fn wire(seconds: i64, nanos: i32) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos }
    }

    #[test]
    fn times_round_trip_to_the_microsecond_on_both_sides_of_the_epoch() {
        for (time, text) in [
            (wire(1_769_847_300, 123_456_000), "2026-01-31T08:15:00.123456Z"),
            (wire(-1, 500_000_000), "1969-12-31T23:59:59.5Z"),
            (wire(-62_135_596_800, 0), "0001-01-01T00:00:00Z"),
        ] {
            let converted = timestamp(time).expect("a time");
            assert_eq!(converted.to_string(), text);
            assert_eq!(wire_timestamp(converted), time);
        }
    }

    #[test]
    fn times_and_spans_outside_their_ranges_are_refused() {
        for time in [wire(i64::MAX, 0), wire(i64::MIN, 0), wire(0, -1), wire(0, 1_000_000_000)] {
            assert_eq!(timestamp(time), None, "{time:?}");
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(duration(prost_types::Duration { seconds, nanos }), None);
        }
    }

    #[test]
    fn digits_beyond_microseconds_are_cut_off() {
        assert_eq!(timestamp(wire(-1, 999)), timestamp(wire(-1, 0)));
        let span = duration(prost_types::Duration { seconds: 1, nanos: 1_999 });
        assert_eq!(span, Some(Duration::from_micros(1_000_001)));
    }

    #[test]
    fn the_wire_numbers_vitals_and_reasons_as_the_domain_does() {
        for vital in Vital::ALL {
            let name = v1::Vital::try_from(i32::from(vital.number())).expect("known");
            assert_eq!(name.as_str_name(), format!("VITAL_{}", vital.name().to_uppercase()));
        }
        for reason in RejectReason::ALL {
            let name = v1::RejectReason::try_from(reason as i32).expect("known");
            assert_eq!(
                name.as_str_name(),
                format!("REJECT_REASON_{}", reason.name().to_uppercase())
            );
        }
        assert!(v1::Vital::try_from(16).is_err() && v1::RejectReason::try_from(15).is_err());
    }

    #[test]
    fn the_wire_numbers_the_smaller_enums_as_the_domain_does() {
        for phase in Phase::ALL {
            let name = v1::AlertPhase::try_from(phase as i32).expect("known");
            assert_eq!(name.as_str_name(), format!("ALERT_PHASE_{}", phase.name().to_uppercase()));
        }
        for priority in Priority::ALL {
            let name = v1::Priority::try_from(priority as i32).expect("known");
            assert_eq!(name.as_str_name(), format!("PRIORITY_{}", priority.name().to_uppercase()));
        }
        let same = |wire: &[i32], domain: &[i32]| assert_eq!(wire, domain);
        same(
            &[
                v1::Acvpu::Alert as i32,
                v1::Acvpu::Confusion as i32,
                v1::Acvpu::Voice as i32,
                v1::Acvpu::Pain as i32,
                v1::Acvpu::Unresponsive as i32,
            ],
            &[
                Acvpu::Alert as i32,
                Acvpu::Confusion as i32,
                Acvpu::Voice as i32,
                Acvpu::Pain as i32,
                Acvpu::Unresponsive as i32,
            ],
        );
        same(
            &[
                v1::AbsentReason::Unknown as i32,
                v1::AbsentReason::SensorOff as i32,
                v1::AbsentReason::NotANumber as i32,
                v1::AbsentReason::Error as i32,
                v1::AbsentReason::Artefact as i32,
            ],
            &[
                AbsentReason::Unknown as i32,
                AbsentReason::SensorOff as i32,
                AbsentReason::NotANumber as i32,
                AbsentReason::Error as i32,
                AbsentReason::Artefact as i32,
            ],
        );
        same(
            &[v1::Mode::Real as i32, v1::Mode::Test as i32, v1::Mode::Demo as i32],
            &[Mode::Real as i32, Mode::Test as i32, Mode::Demo as i32],
        );
    }
}
