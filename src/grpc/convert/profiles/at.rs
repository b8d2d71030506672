//! A place in a request: converts the fields of the message there and notes what is wrong by its
//! whole path.

use std::time::Duration;

use super::super::Violations;
use crate::engine::profile::{Side, SpO2Scale};
use crate::proto::v1;
use crate::vitals::{Priority, Quantity, RuleId, Vital};

/// The message at `path`. Each method returns the converted field, or `None` after having noted
/// what is wrong with it.
pub(super) struct At<'a> {
    path: String,
    wrong: &'a mut Violations,
}

impl<'a> At<'a> {
    pub(super) fn new(path: String, wrong: &'a mut Violations) -> Self {
        Self { path, wrong }
    }

    /// The message in `field`.
    pub(super) fn within(&mut self, field: &str) -> At<'_> {
        At { path: self.field(field), wrong: self.wrong }
    }

    fn field(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    pub(super) fn refuse<T>(&mut self, field: &str, description: impl Into<String>) -> Option<T> {
        self.wrong.refuse(&self.field(field), description)
    }

    /// All messages of `field`, if each can be converted. Every one is tried.
    pub(super) fn each<W, T>(
        &mut self,
        field: &str,
        messages: &[W],
        convert: impl Fn(&mut At<'_>, &W) -> Option<T>,
    ) -> Option<Vec<T>> {
        let converted: Vec<_> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                convert(&mut self.within(&format!("{field}[{index}]")), message)
            })
            .collect();
        converted.into_iter().collect()
    }

    pub(super) fn id(&mut self, field: &str, text: &str) -> Option<RuleId> {
        self.wrong.id(&self.field(field), text)
    }

    pub(super) fn vital(&mut self, field: &str, number: i32) -> Option<Vital> {
        self.wrong.vital(&self.field(field), number)
    }

    pub(super) fn quantity(&mut self, field: &str, number: f64) -> Option<Quantity> {
        self.wrong.quantity(&self.field(field), number)
    }

    pub(super) fn required_span(
        &mut self,
        field: &str,
        span: Option<&prost_types::Duration>,
    ) -> Option<Duration> {
        self.wrong.required_span(&self.field(field), span)
    }

    pub(super) fn priority(&mut self, field: &str, number: i32) -> Option<Priority> {
        match self.optional_priority(field, number)? {
            Some(priority) => Some(priority),
            None => self.refuse(field, "required: low, medium or high"),
        }
    }

    /// The outer `None`: wrong; the inner one: none.
    pub(super) fn optional_priority(
        &mut self,
        field: &str,
        number: i32,
    ) -> Option<Option<Priority>> {
        match v1::Priority::try_from(number) {
            Ok(v1::Priority::Unspecified) => Some(None),
            Ok(v1::Priority::Low) => Some(Some(Priority::Low)),
            Ok(v1::Priority::Medium) => Some(Some(Priority::Medium)),
            Ok(v1::Priority::High) => Some(Some(Priority::High)),
            Err(_) => self.refuse(field, format!("{number} is no priority of this version")),
        }
    }

    pub(super) fn side(&mut self, field: &str, number: i32) -> Option<Side> {
        match v1::Side::try_from(number) {
            Ok(v1::Side::Above) => Some(Side::Above),
            Ok(v1::Side::Below) => Some(Side::Below),
            _ => self.refuse(field, "required: above or below"),
        }
    }

    pub(super) fn spo2_scale(&mut self, number: i32) -> Option<SpO2Scale> {
        match v1::NewsScale::try_from(number) {
            Ok(v1::NewsScale::Unspecified | v1::NewsScale::One) => Some(SpO2Scale::One),
            Ok(v1::NewsScale::Two) => Some(SpO2Scale::Two),
            Err(_) => self.refuse("spo2_scale", format!("{number} is no scale; one or two")),
        }
    }

    pub(super) fn quantity_or(
        &mut self,
        field: &str,
        number: Option<f64>,
        otherwise: Option<Quantity>,
    ) -> Option<Quantity> {
        number.map_or(otherwise, |number| self.quantity(field, number))
    }

    /// A count that never needs to be large.
    pub(super) fn small(&mut self, field: &str, number: u32) -> Option<u8> {
        match u8::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => self.refuse(field, format!("{number} is far too large")),
        }
    }

    /// A span that is zero if it was not given.
    pub(super) fn span(
        &mut self,
        field: &str,
        span: Option<&prost_types::Duration>,
    ) -> Option<Duration> {
        self.wrong.optional_span(&self.field(field), span)
    }
}
