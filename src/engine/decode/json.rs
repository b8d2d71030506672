//! The proto3 JSON mapping of `ReadingBatch` and `DeviceStatus`.
//!
//! One pass over the text: each field's value is noted as the text that it is and read once its
//! object is complete, so that of a key given twice the last counts, and a value of the wrong kind
//! refuses its own reading, by the field's name, and not its batch. Only what is not JSON, or wrong
//! around the readings, makes the whole message malformed. Errors name the field or the place and
//! never the text that stood there, for it may be a patient's.
//!
//! Field names may be `lowerCamelCase` or as in the proto file; `null` is a field's default; fields
//! that the contract does not know are counted and ignored, whatever they hold. Two fields of one
//! `oneof` exclude each other. See [`value`] for how values may be written.

mod object;
mod value;

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::value::RawValue;

use self::object::{Header, Reading, Status};
use super::Parsed;
use crate::proto::v1 as proto;

/// Takes a batch apart; an error says where it is none.
pub(super) fn batch(
    bytes: &[u8],
    readings_max: usize,
) -> Result<Parsed<impl ExactSizeIterator<Item = Result<proto::Reading, String>>>, String> {
    let readings = Readings { kept: Vec::new(), count: 0, most: readings_max, unknown_fields: 0 };
    let mut batch = Batch { header: Header::default(), readings };
    let unknown_fields = read(bytes, &mut batch)?;
    let Batch { header, readings } = batch;
    Ok(Parsed {
        header: header.into_proto()?,
        readings: readings.kept.into_iter(),
        readings_count: readings.count,
        unknown_fields: unknown_fields.saturating_add(readings.unknown_fields),
    })
}

/// Reads a device's status; an error says where it is none.
pub(super) fn status(bytes: &[u8]) -> Result<proto::DeviceStatus, String> {
    let mut status = Status::default();
    read(bytes, &mut status)?;
    status.into_proto()
}

/// Reads the one object of a payload; returns how many of its fields are unknown.
fn read<'de, O: Object<'de>>(bytes: &'de [u8], object: &mut O) -> Result<u32, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let unknown_fields = Members(object).deserialize(&mut json).map_err(|error| place(&error))?;
    json.end().map_err(|error| place(&error))?;
    Ok(unknown_fields)
}

/// What is wrong, and where, without what stood there.
fn place(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "ends too soon",
        Category::Syntax | Category::Io => "not JSON",
        Category::Data => "a value of the wrong kind",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// A field's value as it is written; `None` where the field is not.
type Raw<'a> = Option<&'a RawValue>;

/// An object of the contract, to be filled field by field.
trait Object<'a> {
    /// Where the value of the field `key` belongs; `None` if the object has no such field.
    fn slot(&mut self, key: &str) -> Option<Slot<'_, 'a>>;
}

/// Where a value belongs.
enum Slot<'s, 'a> {
    Value(&'s mut Raw<'a>),
    Readings(&'s mut Readings),
}

/// Reads the members of an object; returns how many are unknown.
struct Members<'o, O>(&'o mut O);

impl<'de, O: Object<'de>> DeserializeSeed<'de> for Members<'_, O> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, O: Object<'de>> Visitor<'de> for Members<'_, O> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
        let mut unknown_fields = 0_u32;
        while let Some(slot) = map.next_key_seed(Key(self.0))? {
            match slot {
                Some(Slot::Value(raw)) => *raw = Some(map.next_value()?),
                Some(Slot::Readings(readings)) => map.next_value_seed(readings)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    unknown_fields = unknown_fields.saturating_add(1);
                }
            }
        }
        Ok(unknown_fields)
    }
}

/// Finds the slot of a key.
struct Key<'s, O>(&'s mut O);

impl<'s, 'de: 's, O: Object<'de>> DeserializeSeed<'de> for Key<'s, O> {
    type Value = Option<Slot<'s, 'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'s, 'de: 's, O: Object<'de>> Visitor<'de> for Key<'s, O> {
    type Value = Option<Slot<'s, 'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.slot(key))
    }
}

/// The readings of a batch, up to a limit.
struct Readings {
    kept: Vec<Result<proto::Reading, String>>,
    count: usize,
    most: usize,
    unknown_fields: u32,
}

impl<'de> DeserializeSeed<'de> for &mut Readings {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        (self.count, self.unknown_fields) = (0, 0);
        self.kept.clear();
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Readings {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of readings")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while self.count < self.most {
            let Some((reading, unknown_fields)) = seq.next_element_seed(Element)? else {
                return Ok(());
            };
            self.count += 1;
            self.unknown_fields = self.unknown_fields.saturating_add(unknown_fields);
            self.kept.push(reading);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            self.count += 1;
        }
        Ok(())
    }
}

/// One reading, or why it is none, and how many of its fields are unknown.
struct Element;

type ReadElement = (Result<proto::Reading, String>, u32);

fn no_object<E>() -> Result<ReadElement, E> {
    Ok((Err("the reading is not an object".to_owned()), 0))
}

impl<'de> DeserializeSeed<'de> for Element {
    type Value = ReadElement;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ReadElement, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = ReadElement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reading")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ReadElement, A::Error> {
        let mut reading = Reading::default();
        let unknown_fields = Members(&mut reading).visit_map(map)?;
        Ok((reading.into_proto(), unknown_fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReadElement, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        no_object()
    }

    fn visit_unit<E>(self) -> Result<ReadElement, E> {
        no_object()
    }

    fn visit_bool<E>(self, _: bool) -> Result<ReadElement, E> {
        no_object()
    }

    fn visit_u64<E>(self, _: u64) -> Result<ReadElement, E> {
        no_object()
    }

    fn visit_i64<E>(self, _: i64) -> Result<ReadElement, E> {
        no_object()
    }

    fn visit_f64<E>(self, _: f64) -> Result<ReadElement, E> {
        no_object()
    }

    fn visit_str<E>(self, _: &str) -> Result<ReadElement, E> {
        no_object()
    }
}

struct Batch<'a> {
    header: Header<'a>,
    readings: Readings,
}

impl<'a> Object<'a> for Batch<'a> {
    fn slot(&mut self, key: &str) -> Option<Slot<'_, 'a>> {
        let header = &mut self.header;
        Some(Slot::Value(match key {
            "readings" => return Some(Slot::Readings(&mut self.readings)),
            "bootId" | "boot_id" => &mut header.boot_id,
            "firstSeq" | "first_seq" => &mut header.first_seq,
            "sentAt" | "sent_at" => &mut header.sent_at,
            "baseTime" | "base_time" => &mut header.base_time,
            "clockSync" | "clock_sync" => &mut header.clock_sync,
            "mode" => &mut header.mode,
            "gateway" => &mut header.gateway,
            "wantVerdict" | "want_verdict" => &mut header.want_verdict,
            _ => return None,
        }))
    }
}
