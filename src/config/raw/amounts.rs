//! Numbers of sizing: what a policy compares with, steps, surges, fallbacks, costs.

use std::time::Duration;

use schemars::{Schema, json_schema};

use super::quantities::{Count, DURATION_PATTERN, decimal, digits, duration};
use crate::config::shape::{Mistake, Textual};
use crate::model::{Fallback, Step};

/// What a signal is compared with; which form it must have is the signal's say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::config) enum Amount {
    Number(f64),
    /// With its sign: `75%` is 75.
    Percent(f64),
    Time(Duration),
}

/// A quantile of what may come, a ratio.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Quantile(pub(in crate::config) f64);

/// How much more is a surge, a ratio.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Surge(pub(in crate::config) f64);

/// A share of a processor, or several.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Cpus(pub(in crate::config) f64);

/// What multiplies a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Gain(pub(in crate::config) f64);

/// A price.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Price(pub(in crate::config) f64);

/// How long a lease is good.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct LeaseTime(pub(in crate::config) Duration);

impl Textual for Amount {
    const EXPECTED: &'static str = "a number such as `8`, a share such as `75%` or a duration such as `500ms`";

    fn read(text: &str) -> Result<Self, Mistake> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent = decimal(percent.trim_end()).map(Self::Percent);
            return percent.ok_or_else(|| format!("expected {}, found {text:?}", Self::EXPECTED).into());
        }
        match decimal(text) {
            Some(number) => Ok(Self::Number(number)),
            None => duration(text, Self::EXPECTED).map(Self::Time),
        }
    }

    fn schema() -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": format!(r"{DURATION_PATTERN}|^[0-9]+(\.[0-9]+)? ?%$") },
            ]
        })
    }
}

impl Textual for Quantile {
    const EXPECTED: &'static str = "a quantile such as `p90`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let percent = text.strip_prefix('p').and_then(decimal).filter(|percent| (50.0..=99.9).contains(percent));
        // The division may end a hair above the highest quantile.
        percent
            .map(|percent| Self((percent / 100.0).min(0.999)))
            .ok_or_else(|| format!("expected a quantile from `p50` to `p99.9`, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": r"^p[5-9][0-9](\.[0-9]+)?$" })
    }
}

impl Textual for Surge {
    const EXPECTED: &'static str = "a ratio such as `200%` or `2`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let ratio = match text.strip_suffix('%') {
            Some(percent) => decimal(percent.trim_end()).map(|percent| percent / 100.0),
            None => decimal(text),
        };
        ratio
            .filter(|ratio| (1.1..=10.0).contains(ratio))
            .map(Self)
            .ok_or_else(|| format!("expected {} from 110% to 1000%, found {text:?}", Self::EXPECTED).into())
    }

    fn schema() -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 1.1, "maximum": 10 },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$" },
            ]
        })
    }
}

impl Textual for Step {
    const EXPECTED: &'static str = "a number of replicas such as `4`, or a share of those there are such as `100%`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let Some(percent) = text.strip_suffix('%') else {
            return Count::<1, 1000>::read(text).map(|count| Self::Replicas(count.0)).map_err(|mistake| match digits(text) {
                Some(_) => mistake,
                None => format!("expected {}, found {text:?}", Self::EXPECTED).into(),
            });
        };
        decimal(percent.trim_end())
            .filter(|percent| (1.0..=1000.0).contains(percent))
            .map(|percent| Self::Share(percent / 100.0))
            .ok_or_else(|| format!("expected a share from 1% to 1000%, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 1000 },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$" },
            ]
        })
    }
}

impl Textual for Fallback {
    const EXPECTED: &'static str = "`hold`, `min` or a number of replicas";

    fn read(text: &str) -> Result<Self, Mistake> {
        match text {
            "hold" => Ok(Self::Hold),
            "min" => Ok(Self::Min),
            _ => Count::<1, 1000>::read(text)
                .map(|count| Self::Replicas(count.0))
                .map_err(|_| format!("expected {} from 1 to 1000, found {text:?}", Self::EXPECTED).into()),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["hold", "min"] }, { "type": "integer", "minimum": 1, "maximum": 1000 }] })
    }
}

impl Textual for LeaseTime {
    const EXPECTED: &'static str = "a duration in whole seconds such as `10s`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let time = duration(text, Self::EXPECTED)?;
        // `leaseDurationSeconds` is a whole number.
        if (3..=300).contains(&time.as_secs()) && time.subsec_nanos() == 0 {
            return Ok(Self(time));
        }
        Err(format!("expected whole seconds from 3s to 5m, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION_PATTERN })
    }
}

/// Makes a plain number readable that is held to a range.
macro_rules! ranged {
    ($($type:ty, $min:literal, $max:literal;)*) => {
        $(impl Textual for $type {
            const EXPECTED: &'static str = "a number";

            fn read(text: &str) -> Result<Self, Mistake> {
                decimal(text)
                    .filter(|number| ($min..=$max).contains(number))
                    .map(Self)
                    .ok_or_else(|| format!("expected a number from {} to {}, found {text:?}", $min, $max).into())
            }

            fn schema() -> Schema {
                json_schema!({ "type": "number", "minimum": $min, "maximum": $max })
            }
        })*
    };
}

ranged! {
    Cpus, 0.01, 1024.0;
    Gain, 0.1, 100.0;
    Price, 0.0, 1_000_000.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_shares_or_durations() {
        for (text, amount) in [
            ("8", Amount::Number(8.0)),
            ("0.5", Amount::Number(0.5)),
            ("75%", Amount::Percent(75.0)),
            ("7.5 %", Amount::Percent(7.5)),
            ("500ms", Amount::Time(Duration::from_millis(500))),
            ("0", Amount::Number(0.0)),
        ] {
            assert_eq!(Amount::read(text), Ok(amount), "{text}");
        }
        for text in ["", "%", "-1", "1e3", "8 requests", "nan", "1d"] {
            assert!(Amount::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn steps_are_numbers_or_shares() {
        for (text, step) in [("1", Step::Replicas(1)), ("1000", Step::Replicas(1000)), ("150%", Step::Share(1.5))] {
            assert_eq!(Step::read(text), Ok(step), "{text}");
        }
        for text in ["0", "1001", "0%", "0.5%", "1001%", "1.5", "all", "-1", ""] {
            assert!(Step::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_sizing_are_held_to_their_range() {
        assert_eq!(Quantile::read("p90").map(|quantile| quantile.0), Ok(0.9));
        assert_eq!(["200%", "2"].map(|text| Surge::read(text).map(|surge| surge.0)), [Ok(2.0), Ok(2.0)]);
        assert_eq!(Fallback::read("min"), Ok(Fallback::Min));
        assert_eq!(Fallback::read("7"), Ok(Fallback::Replicas(7)));
        assert_eq!(LeaseTime::read("5m").map(|time| time.0), Ok(Duration::from_secs(300)));
        for text in ["p49", "p100", "90", "p"] {
            assert!(Quantile::read(text).is_err(), "{text}");
        }
        for text in ["100%", "1", "1001%", "11", ""] {
            assert!(Surge::read(text).is_err(), "{text}");
        }
        for text in ["0", "1001", "max", "-1"] {
            assert!(Fallback::read(text).is_err(), "{text}");
        }
        for text in ["2s", "301s", "3500ms", "10"] {
            assert!(LeaseTime::read(text).is_err(), "{text}");
        }
        assert!(Cpus::read("0").is_err() && Cpus::read("0.5").is_ok());
        assert!(Gain::read("0").is_err() && Gain::read("1").is_ok());
        assert!(Price::read("0").is_ok() && Price::read("1000001").is_err());
    }
}
