//! Sizes in bytes as people write them: `"64MiB"`, `"10GiB"`.
//!
//! Binary units only: a disk limit that is 7 % off because of a missing `i` helps nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ByteSize(pub u64);

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size, such as \"64MiB\" or \"10GiB\" (units: B, KiB, MiB, GiB, TiB)")]
pub struct InvalidByteSize(String);

/// From large to small, so that the first that divides a size writes it shortest.
const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = || {
            let digits = text.find(|character: char| !character.is_ascii_digit())?;
            let (number, unit) = text.split_at(digits);
            let (_, bytes) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start())?;
            number.parse::<u64>().ok()?.checked_mul(bytes)
        };
        size().map(Self).ok_or_else(|| InvalidByteSize(text.to_owned()))
    }
}

impl TryFrom<String> for ByteSize {
    type Error = InvalidByteSize;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, bytes): &(&str, u64)| self.0.is_multiple_of(*bytes) && self.0 >= *bytes;
        let (unit, bytes) = UNITS.into_iter().find(fits).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_and_written_with_its_unit() {
        for (text, bytes) in
            [("10GiB", 10 << 30), ("64MiB", 64 << 20), ("1KiB", 1024), ("7B", 7), ("0B", 0)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        assert_eq!("10 GiB".parse(), Ok(ByteSize(10 << 30)));
        assert_eq!(ByteSize(1536).to_string(), "1536B");
    }

    #[test]
    fn what_is_ambiguous_or_too_large_is_no_size() {
        for text in ["10", "10GB", "10g", "GiB", "", "-1B", "1.5GiB", "16777216TiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize(text.to_owned())));
        }
    }
}
