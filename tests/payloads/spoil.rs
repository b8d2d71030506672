//! How payloads are spoiled: as memory, networks and careless firmware spoil them.

use crate::random::Random;

/// What must never be repeated in an answer.
pub(crate) const NAME: &str = "Jane-Doe";

/// Values of JSON that stand where others should.
const TOKENS: [&str; 16] = [
    "null",
    "true",
    "\"Jane-Doe\"",
    "-1",
    "1e999",
    "-0.0",
    "1.5",
    "18446744073709551616",
    "\"NaN\"",
    "{}",
    "[]",
    "[[[{\"a\":[]}]]]",
    "{\"seconds\":1}",
    "\"\\ud800\"",
    "\"2026-01-31T08:15:00\"",
    "\"\"",
];
/// Numbers beyond what they stand for.
const NUMBERS: [&str; 6] =
    ["99999999999999999999999999", "-9223372036854775809", "1e308", "0.00001", "4294967296", "00"];
/// Fields that nobody knows.
const FIELDS: [&str; 4] =
    ["\"future\":{\"a\":[1,2]},", "\"\":0,", "\"vital\":\"Jane-Doe\",", "\"readings\":[{}],"];
/// What begins a level of nesting: lists, objects, groups of protobuf.
const LEVELS: [&[u8]; 3] = [b"[", b"{\"a\":", b"\xa3\x01"];
/// Levels of nesting at most.
const DEPTH_MAX: usize = 3_000;

/// Spoils a payload in one to three ways; `other` is another one to mix it with.
pub(crate) fn spoil(random: &mut Random, payload: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.index(3) {
        if payload.is_empty() {
            payload.extend_from_slice(other);
        }
        let at = random.index(payload.len().max(1));
        match random.index(13) {
            0 => flip(random, payload, at),
            1 => payload[at..].iter_mut().take(1).for_each(|byte| *byte = low_byte(random)),
            2 => payload.truncate(at),
            3 => drop(payload.drain(at..end(random, payload, at))),
            4 => {
                let copy = payload[at..end(random, payload, at)].to_vec();
                payload.splice(at..at, copy);
            }
            5 => {
                let bytes: Vec<_> = (0..random.index(16)).map(|_| low_byte(random)).collect();
                payload.splice(at..at, bytes);
            }
            6 => {
                let from = random.index(other.len().max(1));
                payload.truncate(at);
                payload.extend_from_slice(&other[from.min(other.len())..]);
            }
            // A length that promises more than there is.
            7 => {
                let lie: [&[u8]; 4] = [b"\x7f", b"\xff\x01", b"\xff\xff\xff\xff\x0f", &[0xff; 10]];
                payload.splice(at..at + 1, random.pick(&lie).iter().copied());
            }
            8 => {
                let depth = random.index(DEPTH_MAX);
                let levels = random.pick(&LEVELS).repeat(depth);
                payload.splice(at..at, levels);
            }
            9 => replace(payload, at, u8::is_ascii_digit, random.pick(&NUMBERS)),
            10 => replace(payload, at, is_of_a_value, random.pick(&TOKENS)),
            11 => insert_field(payload, at, random.pick(&FIELDS).as_bytes()),
            _ => repeat_field(payload, at),
        }
    }
}

fn low_byte(random: &mut Random) -> u8 {
    random.next().to_le_bytes()[0]
}

fn flip(random: &mut Random, payload: &mut [u8], at: usize) {
    if let Some(byte) = payload.get_mut(at) {
        *byte ^= 1 << random.index(8);
    }
}

/// Where a part that begins at `at` ends.
fn end(random: &mut Random, payload: &[u8], at: usize) -> usize {
    (at + random.index(40)).min(payload.len())
}

const fn is_of_a_value(byte: &u8) -> bool {
    !matches!(byte, b',' | b'{' | b'}' | b'[' | b']' | b':')
}

/// Puts a text in the place of the first run of such bytes behind `at`.
fn replace(payload: &mut Vec<u8>, at: usize, is_part: fn(&u8) -> bool, text: &str) {
    let Some(begin) = payload[at..].iter().position(is_part) else { return };
    let begin = at + begin;
    let length = payload[begin..].iter().take_while(|byte| is_part(byte)).count();
    payload.splice(begin..begin + length, text.bytes());
}

/// Puts a field first into the first object behind `at`.
fn insert_field(payload: &mut Vec<u8>, at: usize, field: &[u8]) {
    let Some(begin) = payload[at..].iter().position(|byte| *byte == b'{') else { return };
    let begin = at + begin + 1;
    payload.splice(begin..begin, field.iter().copied());
}

/// Writes the field that ends at the first comma behind `at` once more.
fn repeat_field(payload: &mut Vec<u8>, at: usize) {
    let Some(comma) = payload[at..].iter().position(|byte| *byte == b',') else { return };
    let end = at + comma + 1;
    let begin = payload[..end - 1].iter().rposition(|byte| matches!(byte, b',' | b'{'));
    let begin = begin.map_or(0, |begin| begin + 1);
    let field = payload[begin..end].to_vec();
    payload.splice(end..end, field);
}
