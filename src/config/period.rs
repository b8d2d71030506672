//! Durations as people write them: `"30s"`, `"5m"`, `"24h"`, `"1h 30m"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use serde::{Deserialize, Serialize};

/// A duration of the configuration or of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Period(pub Duration);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration, such as \"30s\", \"5m\" or \"24h\"")]
pub struct InvalidPeriod(String);

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        SpanParser::new()
            .parse_unsigned_duration(text)
            .map(Self)
            .map_err(|_| InvalidPeriod(text.to_owned()))
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidPeriod;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&SpanPrinter::new().unsigned_duration_to_string(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_people_write_it() {
        for (text, seconds, written) in [
            ("30s", 30, "30s"),
            ("5m", 300, "5m"),
            ("24h", 86_400, "24h"),
            ("1h 30m", 5_400, "1h 30m"),
            ("90 minutes", 5_400, "90m"),
        ] {
            let period: Period = text.parse().expect("valid");
            assert_eq!(period.0, Duration::from_secs(seconds), "{text}");
            assert_eq!(period.to_string().parse(), Ok(period));
            if text.len() <= 3 || text == "1h 30m" {
                assert_eq!(period.to_string(), written);
            }
        }
    }

    #[test]
    fn a_number_without_a_unit_is_no_duration() {
        for text in ["30", "", "soon", "-5s", "1 fortnight"] {
            assert_eq!(text.parse::<Period>(), Err(InvalidPeriod(text.to_owned())));
        }
    }
}
