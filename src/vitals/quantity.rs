//! Quantities: exact decimals, so that a limit is compared as it was written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An exact decimal with four fractional digits, at most ±10¹² in magnitude.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Quantity(i64);

impl Quantity {
    const SCALE: i64 = 10_000;
    const MAGNITUDE_MAX: f64 = 1e12;

    /// A whole number.
    #[must_use]
    pub const fn whole(number: i64) -> Self {
        Self(number * Self::SCALE)
    }

    /// The quantity of this many ten-thousandths.
    #[must_use]
    pub const fn from_ten_thousandths(count: i64) -> Self {
        Self(count)
    }

    /// How many ten-thousandths it is.
    #[must_use]
    pub const fn ten_thousandths(self) -> i64 {
        self.0
    }

    /// The nearest quantity to a float, halves away from zero; `None` if it is not a number or
    /// its magnitude exceeds 10¹².
    #[must_use]
    pub fn from_f64(number: f64) -> Option<Self> {
        if !number.is_finite() || number.abs() > Self::MAGNITUDE_MAX {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded by MAGNITUDE_MAX above")]
        Some(Self((number * 10_000.0).round() as i64))
    }

    /// The nearest float, for wires and databases that speak floats.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ten-thousandths")]
        let count = self.0 as f64;
        count / 10_000.0
    }

    /// The sum, stopping at the ends of the representable range.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, stopping at the ends of the representable range.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Multiplied by `numerator / denominator`, rounded to four digits, halves away from zero.
    #[must_use]
    pub fn scaled(self, numerator: i64, denominator: i64) -> Self {
        let product = i128::from(self.0) * i128::from(numerator);
        let denominator = i128::from(denominator);
        let half = if product < 0 { -denominator / 2 } else { denominator / 2 };
        Self(i64::try_from((product + half) / denominator).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Quantity {
    /// The shortest decimal: `97`, `36.05`, `-0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let count = self.0.unsigned_abs();
        let (whole, mut fraction) = (count / 10_000, count % 10_000);
        write!(f, "{sign}{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = 4;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        write!(f, ".{fraction:0digits$}")
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(number: f64) -> Quantity {
        Quantity::from_f64(number).expect("finite")
    }

    #[test]
    fn a_quantity_is_the_decimal_that_was_written() {
        for (float, text) in
            [(36.05, "36.05"), (97.0, "97"), (-0.5, "-0.5"), (f64::from(38.1_f32), "38.1")]
        {
            assert_eq!(quantity(float).to_string(), text);
        }
        assert_eq!(Quantity::from_f64(f64::NAN), None);
        assert_eq!(Quantity::from_f64(1e300), None);
    }
}
