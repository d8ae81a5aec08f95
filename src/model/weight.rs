//! How much of a pool's traffic an endpoint should get, relative to its peers.

use std::fmt;

use serde::Serialize;

/// A finite weight from 0 to 1000 in steps of 0.01; 0 takes no new requests.
///
/// Kept in hundredths, so that two equal weights are equal and sums are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u32);

/// Why a number is not a [`Weight`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("a weight is a number from 0 to 1000, found {0}")]
pub struct ParseWeightError(f64);

impl Weight {
    /// The weight of an endpoint that names none.
    pub const ONE: Self = Self(100);

    /// Rounds `value` to hundredths; a positive value never becomes 0.
    ///
    /// # Errors
    /// When `value` is not a number from 0 to 1000.
    pub fn new(value: f64) -> Result<Self, ParseWeightError> {
        if !(0.0..=1000.0).contains(&value) {
            return Err(ParseWeightError(value));
        }
        let hundredths = (value * 100.0).round() as u32;
        Ok(Self(if value > 0.0 { hundredths.max(1) } else { 0 }))
    }

    /// Takes hundredths as they are, at most 100,000.
    pub const fn from_hundredths(hundredths: u32) -> Self {
        Self(if hundredths > 100_000 { 100_000 } else { hundredths })
    }

    /// Returns the weight in hundredths.
    pub const fn hundredths(self) -> u32 {
        self.0
    }

    /// Returns the weight as a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Tells whether the weight takes no new requests.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

impl Serialize for Weight {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_rounded_to_hundredths_and_checked() {
        assert_eq!(Weight::new(2.0).map(Weight::hundredths), Ok(200));
        assert_eq!(Weight::new(0.001).map(Weight::hundredths), Ok(1));
        assert_eq!(Weight::new(0.0).map(Weight::is_zero), Ok(true));
        assert!(Weight::new(-1.0).is_err());
        assert!(Weight::new(f64::NAN).is_err());
        assert!(Weight::new(1000.1).is_err());
    }
}
