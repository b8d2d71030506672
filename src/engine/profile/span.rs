//! Spans of time as a ward writes them: `15 s`, `1.5 s`, `2 min`, `24 h`.

use std::fmt;
use std::time::Duration;

const HOUR: u64 = 60 * 60;
const MINUTE: u64 = 60;

/// Shows a span in the largest unit in which it is a whole number, else in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if nanos > 0 {
            let fraction = format!("{nanos:09}");
            return write!(f, "{seconds}.{} s", fraction.trim_end_matches('0'));
        }
        match seconds {
            0 => f.write_str("0 s"),
            _ if seconds % HOUR == 0 => write!(f, "{} h", seconds / HOUR),
            _ if seconds % MINUTE == 0 => write!(f, "{} min", seconds / MINUTE),
            _ => write!(f, "{seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_in_the_largest_unit_that_fits() {
        for (millis, text) in [
            (0, "0 s"),
            (1_500, "1.5 s"),
            (90_000, "90 s"),
            (120_000, "2 min"),
            (5_400_000, "90 min"),
            (86_400_000, "24 h"),
        ] {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
        assert_eq!(Span(Duration::from_micros(1_000_001)).to_string(), "1.000001 s");
    }
}
