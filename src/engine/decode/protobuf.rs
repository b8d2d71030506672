//! `ReadingBatch` and `DeviceStatus` in protobuf.
//!
//! A batch is cut into its readings before any is decoded, by a walk over the tags of its fields.
//! So a reading that is no `Reading` refuses itself and not its batch; readings beyond the limit
//! are counted and never become anything; and fields that the contract does not know, which the
//! decoder drops in silence, are seen and counted. The walk looks at batches and readings, not into
//! the messages inside them.

use prost::Message;

use super::Parsed;
use crate::proto::v1 as proto;

/// The number of `ReadingBatch.readings`.
const READINGS: u64 = 8;
/// The highest field numbers of the contract; there are no gaps below them.
const BATCH_FIELD_MAX: u64 = 9;
const READING_FIELD_MAX: u64 = 11;
/// What a reading usually takes, with its tag: so much of a batch's room is made at once.
const READING_BYTES_USUAL: usize = 16;
/// What surrounds the readings usually takes less.
const HEADER_BYTES_USUAL: usize = 128;

/// Takes a batch apart, decoding the readings as they are asked for.
pub(super) fn batch(
    bytes: &[u8],
    readings_max: usize,
) -> Result<Parsed<impl ExactSizeIterator<Item = Result<proto::Reading, String>>>, String> {
    let cut =
        cut(bytes, readings_max).ok_or("not a ReadingBatch in protobuf: it ends within a field")?;
    let header = proto::ReadingBatch::decode(&*cut.header)
        .map_err(|error| format!("not a ReadingBatch in protobuf: {error}"))?;
    let decode = |reading: &[u8]| {
        proto::Reading::decode(reading)
            .map_err(|error| format!("not a Reading in protobuf: {error}"))
    };
    Ok(Parsed {
        header,
        readings: cut.readings.into_iter().map(decode),
        readings_count: cut.readings_count,
        unknown_fields: cut.unknown_fields,
    })
}

/// Reads a device's status.
pub(super) fn status(bytes: &[u8]) -> Result<proto::DeviceStatus, String> {
    proto::DeviceStatus::decode(bytes)
        .map_err(|error| format!("not a DeviceStatus in protobuf: {error}"))
}

/// A batch, cut into what surrounds its readings and the bytes of each.
#[derive(Default)]
struct Cut<'a> {
    header: Vec<u8>,
    readings: Vec<&'a [u8]>,
    readings_count: usize,
    unknown_fields: u32,
}

/// `None` if the bytes are no fields of protobuf.
fn cut(bytes: &[u8], readings_max: usize) -> Option<Cut<'_>> {
    // A batch that is otherwise makes the lists grow; nothing is refused for it.
    let readings_usual = (bytes.len() / READING_BYTES_USUAL).min(readings_max);
    let mut cut = Cut {
        header: Vec::with_capacity(HEADER_BYTES_USUAL.min(bytes.len())),
        readings: Vec::with_capacity(readings_usual),
        ..Cut::default()
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = Field::next(&mut rest)?;
        match field.content {
            Some(reading) if field.number == READINGS => {
                cut.readings_count += 1;
                if cut.readings_count <= readings_max {
                    cut.unknown_fields = cut.unknown_fields.saturating_add(unknown_fields(reading));
                    cut.readings.push(reading);
                }
            }
            _ => {
                let is_unknown = field.number > BATCH_FIELD_MAX;
                cut.unknown_fields = cut.unknown_fields.saturating_add(u32::from(is_unknown));
                cut.header.extend_from_slice(field.whole);
            }
        }
    }
    Some(cut)
}

/// How many fields of a reading the contract does not know, as far as the bytes are fields.
fn unknown_fields(mut reading: &[u8]) -> u32 {
    let fields = std::iter::from_fn(|| Field::next(&mut reading));
    let unknown = fields.filter(|field| field.number > READING_FIELD_MAX).count();
    u32::try_from(unknown).unwrap_or(u32::MAX)
}

/// One field of a message.
struct Field<'a> {
    number: u64,
    /// The field with its tag.
    whole: &'a [u8],
    /// Its bytes, if it is a string or a message.
    content: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    /// Takes the next field; `None` at the end, or where there is none.
    fn next(rest: &mut &'a [u8]) -> Option<Self> {
        let begin = *rest;
        let mut depth = 0_usize;
        let mut content = None;
        let tag = varint(rest)?;
        let mut kind = tag & 7;
        loop {
            match kind {
                0 => drop(varint(rest)?),
                1 => drop(take(rest, 8)?),
                2 => {
                    let length = usize::try_from(varint(rest)?).ok()?;
                    content = Some(take(rest, length)?);
                }
                3 => depth += 1,
                // The decoder will see whether it is the right group that ends.
                4 => depth = depth.checked_sub(1)?,
                5 => drop(take(rest, 4)?),
                _ => return None,
            }
            if depth == 0 {
                break;
            }
            kind = varint(rest)? & 7;
        }
        let whole = &begin[..begin.len() - rest.len()];
        let content = content.filter(|_| tag & 7 == 2);
        Some(Self { number: tag >> 3, whole, content })
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// A number of at most ten bytes, seven bits each, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_at_its_readings_whatever_surrounds_them() {
        // boot_id = 5; a group of number 20 around a string; readings "ab" and ""; first_seq = 1.
        let bytes = b"\x08\x05\xa3\x01\x0a\x01x\xa4\x01\x42\x02ab\x42\x00\x10\x01";
        let cut = cut(bytes, 10).expect("fields");
        assert_eq!(cut.readings, [&b"ab"[..], b""]);
        assert_eq!(cut.header, b"\x08\x05\xa3\x01\x0a\x01x\xa4\x01\x10\x01");
        assert_eq!((cut.readings_count, cut.unknown_fields), (2, 1));
    }

    #[test]
    fn readings_beyond_the_limit_are_counted_and_not_kept() {
        let bytes = b"\x42\x00".repeat(1000);
        let cut = cut(&bytes, 10).expect("fields");
        assert_eq!((cut.readings.len(), cut.readings_count), (10, 1000));
    }

    #[test]
    fn a_field_that_is_cut_short_is_none() {
        for broken in [
            &b"\x42\x05ab"[..],
            b"\x08",
            b"\x08\x80",
            b"\x09\x01",
            b"\x0d\x01",
            b"\xa3\x01\x08\x01",
            b"\x0c",
            b"\x0f",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert!(cut(broken, 10).is_none(), "{broken:x?}");
        }
    }
}
