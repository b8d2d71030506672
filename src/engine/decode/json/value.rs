//! How values may be written in JSON: the scalars of the proto3 JSON mapping.
//!
//! Integers stand bare or in quotes, also as `1.0` and `1e3`; quantities too, and as `"NaN"`,
//! `"Infinity"` and `"-Infinity"`; enums by their name, by its end in lower case (`spo2`), or by
//! their number; times as RFC 3339 with an offset; durations as `"60s"`. `null` is as good as
//! nothing. An enum name that nobody knows becomes a number that no enum has.
//!
//! An error says which field is not what it should be, never what it is.

use std::borrow::Cow;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::Raw;
use crate::clock::Timestamp;

/// The number of an enum name that nobody knows.
const NOBODY: i32 = -1;
/// No enum of the contract has a longer name, prefix included.
const ENUM_NAME_MAX: usize = 64;
/// Up to here every whole number is exactly one float.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A field, by its name, and its value as it is written.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    name: &'static str,
    /// `None` where nothing is, or `null`.
    text: Option<&'a str>,
}

/// The field of this name.
pub(super) fn field<'a>(name: &'static str, raw: Raw<'a>) -> Field<'a> {
    Field { name, text: raw.map(RawValue::get).filter(|text| *text != "null") }
}

type Read<T> = Result<Option<T>, String>;

impl<'a> Field<'a> {
    fn read<T>(self, what: &str, read: impl FnOnce(&'a str) -> Option<T>) -> Read<T> {
        let Some(text) = self.text else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| format!("{} is not {what}", self.name))
    }

    /// `true` or `false`.
    pub(super) fn flag(self) -> Read<bool> {
        self.read("true or false", |text| text.parse().ok())
    }

    /// A string.
    pub(super) fn text(self) -> Read<Cow<'a, str>> {
        self.read("a string", string)
    }

    /// A whole number that fits.
    pub(super) fn integer<T: FromStr + TryFrom<i64>>(self) -> Read<T> {
        self.read("a whole number in its range", |text| whole(&bare(text)?))
    }

    /// A number, or the name of one that is none.
    pub(super) fn number(self) -> Read<f64> {
        self.read("a number", |text| bare(text)?.parse().ok())
    }

    /// A time.
    pub(super) fn time(self) -> Read<prost_types::Timestamp> {
        self.read("an RFC 3339 time with an offset", |text| {
            string(text)?.parse().ok().map(wire_time)
        })
    }

    /// A duration.
    pub(super) fn span(self) -> Read<prost_types::Duration> {
        self.read("a duration such as \"60s\"", |text| string(text)?.parse().ok())
    }

    /// The number of an enum's value.
    pub(super) fn number_of<E: Into<i32>>(
        self,
        prefix: &str,
        from_name: fn(&str) -> Option<E>,
    ) -> Read<i32> {
        self.read("a name or a number", |text| enum_number(text, prefix, from_name))
    }

    /// The numbers of a list of an enum's values.
    pub(super) fn numbers_of<E: Into<i32>>(
        self,
        prefix: &str,
        from_name: fn(&str) -> Option<E>,
    ) -> Result<Vec<i32>, String> {
        let numbers = self.read("a list of names or numbers", |text| {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            items.iter().map(|item| enum_number(item.get(), prefix, from_name)).collect()
        });
        numbers.map(Option::unwrap_or_default)
    }
}

/// What a JSON string says.
fn string(text: &str) -> Option<Cow<'_, str>> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// A number's text, with or without quotes around it.
fn bare(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first()? {
        b'"' => string(text),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

fn whole<T: FromStr + TryFrom<i64>>(text: &str) -> Option<T> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        if number.fract() != 0.0 || number.abs() > EXACT_MAX {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and bounded by EXACT_MAX")]
        T::try_from(number as i64).ok()
    })
}

fn enum_number<E: Into<i32>>(
    text: &str,
    prefix: &str,
    from_name: fn(&str) -> Option<E>,
) -> Option<i32> {
    if !text.starts_with('"') {
        let number: i64 = whole(&bare(text)?)?;
        return Some(i32::try_from(number).unwrap_or(NOBODY));
    }
    let name = string(text)?;
    let value = from_name(&name).or_else(|| from_end(&name, prefix, from_name));
    Some(value.map_or(NOBODY, Into::into))
}

/// The value whose name ends in `end`, in any case, after the prefix of its enum.
fn from_end<E>(end: &str, prefix: &str, from_name: fn(&str) -> Option<E>) -> Option<E> {
    let mut name = [0; ENUM_NAME_MAX];
    let name = name.get_mut(..prefix.len() + end.len())?;
    let (front, back) = name.split_at_mut(prefix.len());
    front.copy_from_slice(prefix.as_bytes());
    back.copy_from_slice(end.as_bytes());
    back.make_ascii_uppercase();
    from_name(std::str::from_utf8(name).ok()?)
}

fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("below 10^9"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_whole_number_may_be_written_in_many_ways() {
        for (text, expected) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("7.0", Some(7)),
            ("\"0.7e1\"", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("\"18446744073709551615\"", Some(u64::MAX)),
            ("\"\\u0037\"", Some(7)),
        ] {
            assert_eq!(field("n", Some(raw(text))).integer::<u64>(), Ok(expected), "{text}");
        }
        assert_eq!(field("n", Some(raw("null"))).integer::<u64>(), Ok(None));
        for text in ["-1", "7.5", "1e300", "18446744073709551616", "\"\"", "true", "[7]", "\" 7\""]
        {
            let wrong = Err("n is not a whole number in its range".to_owned());
            assert_eq!(field("n", Some(raw(text))).integer::<u64>(), wrong, "{text}");
        }
    }

    #[test]
    fn a_quantity_may_be_none_or_beyond_all_bounds() {
        let number = |text| field("quantity", Some(raw(text))).number().expect("a number");
        assert!(number("\"NaN\"").is_some_and(f64::is_nan));
        for text in ["\"Infinity\"", "1e999"] {
            assert_eq!(number(text), Some(f64::INFINITY), "{text}");
        }
        assert_eq!(number("\"-Infinity\""), Some(f64::NEG_INFINITY));
        assert_eq!(number("36.6"), Some(36.6));
    }
}
