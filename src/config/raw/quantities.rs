//! Numbers and their units: counts, durations, sizes, ratios, weights.

use std::time::Duration;

use schemars::{Schema, json_schema};

use crate::config::shape::{Mistake, Textual};
use crate::model::{HedgeDelay, Weight};

/// A year: longer is a slip, and sums of durations stay far from overflow.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) const DURATION_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$|^0$";

/// A whole number in a range.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Count<const MIN: u32, const MAX: u32>(pub(in crate::config) u32);

/// A TCP port.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Port(pub(in crate::config) u16);

/// A duration above zero.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Period(pub(in crate::config) Duration);

/// A duration that may be zero.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Delay(pub(in crate::config) Duration);

/// A duration in a range, both ends in milliseconds and included.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Span<const MIN_MS: u64, const MAX_MS: u64>(pub(in crate::config) Duration);

/// A number of bytes in a range.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Size<const MIN: u64, const MAX: u64>(pub(in crate::config) u64);

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Ratio(pub(in crate::config) f64);

/// A factor from 1 to 100.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Factor(pub(in crate::config) f64);

/// A number of standard deviations from 0.1 to 10.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Deviations(pub(in crate::config) f64);

/// A priority from -100 to 100.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Rank(pub(in crate::config) i8);

impl<const MIN: u32, const MAX: u32> Textual for Count<MIN, MAX> {
    const EXPECTED: &'static str = "a whole number";

    fn read(text: &str) -> Result<Self, Mistake> {
        digits(text)
            .and_then(|digits| digits.parse().ok())
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| format!("expected a whole number from {MIN} to {MAX}, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl Textual for Port {
    const EXPECTED: &'static str = "a port";

    fn read(text: &str) -> Result<Self, Mistake> {
        digits(text)
            .and_then(|digits| digits.parse().ok())
            .filter(|port| *port > 0)
            .map(Self)
            .ok_or_else(|| format!("expected a port from 1 to 65535, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535 })
    }
}

impl Textual for Period {
    const EXPECTED: &'static str = "a duration such as `250ms`, `30s`, `5m` or `1h`";

    fn read(text: &str) -> Result<Self, Mistake> {
        match duration(text, Self::EXPECTED)? {
            Duration::ZERO => Err("the duration must be longer than 0".to_owned().into()),
            duration => Ok(Self(duration)),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION_PATTERN })
    }
}

impl Textual for Delay {
    const EXPECTED: &'static str = "a duration such as `0s`, `250ms`, `30s`, `5m` or `1h`";

    fn read(text: &str) -> Result<Self, Mistake> {
        duration(text, Self::EXPECTED).map(Self)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "pattern": DURATION_PATTERN }, { "const": 0 }] })
    }
}

impl<const MIN_MS: u64, const MAX_MS: u64> Textual for Span<MIN_MS, MAX_MS> {
    const EXPECTED: &'static str = Period::EXPECTED;

    fn read(text: &str) -> Result<Self, Mistake> {
        let duration = duration(text, Self::EXPECTED)?;
        if (Duration::from_millis(MIN_MS)..=Duration::from_millis(MAX_MS)).contains(&duration) {
            return Ok(Self(duration));
        }
        Err(format!("expected a duration from {} to {}, found {text:?}", shown_span(MIN_MS), shown_span(MAX_MS)).into())
    }

    fn schema() -> Schema {
        Period::schema()
    }
}

impl<const MIN: u64, const MAX: u64> Textual for Size<MIN, MAX> {
    const EXPECTED: &'static str = "a size such as `64KiB`, `16MiB` or a number of bytes";

    fn read(text: &str) -> Result<Self, Mistake> {
        let bytes = size(text)?;
        if (MIN..=MAX).contains(&bytes) {
            return Ok(Self(bytes));
        }
        Err(format!("expected a size from {} to {}, found {text:?}", shown_size(MIN), shown_size(MAX)).into())
    }

    fn schema() -> Schema {
        let pattern = r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)$|^[0-9]+$";
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": MIN }, { "type": "string", "pattern": pattern }] })
    }
}

impl Textual for Ratio {
    const EXPECTED: &'static str = "a ratio such as `0.2` or `20%`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let ratio = match text.strip_suffix('%') {
            Some(percent) => decimal(percent.trim_end()).map(|percent| percent / 100.0),
            None => decimal(text),
        };
        ratio
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .map(Self)
            .ok_or_else(|| format!("expected {} from 0 to 1, found {text:?}", Self::EXPECTED).into())
    }

    fn schema() -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 1 },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$" },
            ]
        })
    }
}

impl Textual for Factor {
    const EXPECTED: &'static str = "a number";

    fn read(text: &str) -> Result<Self, Mistake> {
        decimal(text)
            .filter(|factor| (1.0..=100.0).contains(factor))
            .map(Self)
            .ok_or_else(|| format!("expected a number from 1 to 100, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "number", "minimum": 1, "maximum": 100 })
    }
}

impl Textual for Deviations {
    const EXPECTED: &'static str = "a number";

    fn read(text: &str) -> Result<Self, Mistake> {
        decimal(text)
            .filter(|deviations| (0.1..=10.0).contains(deviations))
            .map(Self)
            .ok_or_else(|| format!("expected a number from 0.1 to 10, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "number", "minimum": 0.1, "maximum": 10 })
    }
}

impl Textual for Rank {
    const EXPECTED: &'static str = "a whole number";

    fn read(text: &str) -> Result<Self, Mistake> {
        digits(text.strip_prefix('-').unwrap_or(text))
            .and_then(|_| text.parse().ok())
            .filter(|rank| (-100..=100).contains(rank))
            .map(Self)
            .ok_or_else(|| format!("expected a whole number from -100 to 100, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": -100, "maximum": 100 })
    }
}

impl Textual for HedgeDelay {
    const EXPECTED: &'static str = "a quantile such as `p95` or a duration such as `200ms`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let Some(percent) = text.strip_prefix('p') else {
            return duration(text, Self::EXPECTED).and_then(|_| Period::read(text)).map(|period| Self::Fixed(period.0));
        };
        decimal(percent)
            .filter(|percent| (50.0..=99.9).contains(percent))
            // The division may end a hair above the highest quantile.
            .map(|percent| Self::Quantile((percent / 100.0).min(0.999)))
            .ok_or_else(|| format!("expected a quantile from `p50` to `p99.9`, found {text:?}").into())
    }

    fn schema() -> Schema {
        let pattern = r"^p[5-9][0-9](\.[0-9]+)?$|^[0-9]+(\.[0-9]+)?(ms|s|m|h)$";
        json_schema!({ "type": "string", "pattern": pattern })
    }
}

impl Textual for Weight {
    const EXPECTED: &'static str = "a weight from 0 to 1000";

    fn read(text: &str) -> Result<Self, Mistake> {
        let number = decimal(text).ok_or_else(|| format!("expected a weight from 0 to 1000, found {text:?}"))?;
        Self::new(number).map_err(|error| error.to_string().into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1000 })
    }
}

/// Returns the text when it is digits and nothing else.
pub(super) fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// Reads digits with at most one point between them; what else `f64` would take (`inf`, `1e9`, signs) is not for people.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole).and(digits(fraction))?;
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Splits a number from the unit behind it.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((decimal(number)?, unit))
}

pub(super) fn duration(text: &str, expected: &str) -> Result<Duration, Mistake> {
    let refuse = |suggestion: Option<String>| Mistake { message: format!("expected {expected}, found {text:?}"), suggestion };
    let (number, unit) = number_and_unit(text).ok_or_else(|| refuse(None))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "" if number == 0.0 => 0.0,
        "" => return Err(refuse(Some(format!("a unit is missing; did you mean \"{text}s\"?")))),
        _ => return Err(refuse(Some("units are ms, s, m and h".to_owned()))),
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| format!("a duration is at most a year, found {text:?}").into())
}

fn size(text: &str) -> Result<u64, Mistake> {
    let refuse = |suggestion: Option<&str>| Mistake {
        message: format!("expected a size such as `64KiB`, `16MiB` or a number of bytes, found {text:?}"),
        suggestion: suggestion.map(str::to_owned),
    };
    if let Some(digits) = digits(text) {
        return digits.parse().map_err(|_| refuse(None));
    }
    let (number, unit) = number_and_unit(text).ok_or_else(|| refuse(None))?;
    let scale = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(refuse(Some("units are B, KiB, MiB and GiB"))),
    };
    let bytes = number * scale;
    // 2^53: up to here every whole number of bytes is exact.
    if bytes <= 9_007_199_254_740_992.0 && bytes.fract() == 0.0 { Ok(bytes as u64) } else { Err(refuse(None)) }
}

fn shown_span(ms: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

fn shown_size(bytes: u64) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_are_not_zero() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("1.5s", 1_500)] {
            assert_eq!(Period::read(text).map(|period| period.0.as_millis()), Ok(millis), "{text}");
        }
        for text in ["", "30", "0s", "-1s", "1d", "s", "1e3s", "99999999h", "1 s", "none", "1..5s"] {
            assert!(Period::read(text).is_err(), "{text}");
        }
        assert!(Period::read("30").unwrap_err().suggestion.unwrap().contains("\"30s\""));
        assert_eq!(Delay::read("0").map(|delay| delay.0), Ok(Duration::ZERO));
    }

    #[test]
    fn spans_have_two_ends_that_are_shown() {
        type Interval = Span<100, 60_000>;
        for (text, millis) in [("100ms", 100), ("1m", 60_000), ("2s", 2_000)] {
            assert_eq!(Interval::read(text).map(|span| span.0.as_millis()), Ok(millis), "{text}");
        }
        for text in ["99ms", "61s", "0s", "5"] {
            assert!(Interval::read(text).is_err(), "{text}");
        }
        assert!(Interval::read("0s").unwrap_err().message.contains("from 100ms to 1m"));
        assert_eq!([1_000, 1_500, 86_400_000, 172_800_000, 5_400_000].map(shown_span), ["1s", "1500ms", "24h", "48h", "90m"]);
    }

    #[test]
    fn sizes_are_bytes_or_have_a_binary_unit() {
        type Any = Size<0, { u64::MAX }>;
        for (text, bytes) in [("0", 0), ("1024", 1024), ("64KiB", 65_536), ("16MiB", 16 << 20), ("0.5KiB", 512), ("2GiB", 2 << 30)]
        {
            assert_eq!(Any::read(text).map(|size| size.0), Ok(bytes), "{text}");
        }
        for text in ["", "1KB", "KiB", "-1", "0.3B", "99999999999999999999", "1e3", "99999999999GiB"] {
            assert!(Any::read(text).is_err(), "{text}");
        }
        assert!(Size::<1024, 4096>::read("8KiB").unwrap_err().message.contains("from 1KiB to 4KiB"));
    }

    #[test]
    fn ratios_are_shares_or_percentages() {
        assert_eq!(Ratio::read("0.2").map(|ratio| ratio.0), Ok(0.2));
        assert_eq!(Ratio::read("20%").map(|ratio| ratio.0), Ok(0.2));
        for text in ["1.1", "101%", "-1", "nan", "%", "20 percent"] {
            assert!(Ratio::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_held_to_their_range() {
        assert_eq!(Count::<1, 10>::read("10").map(|count| count.0), Ok(10));
        for text in ["0", "11", "1.0", "+1", "", "99999999999999"] {
            assert!(Count::<1, 10>::read(text).is_err(), "{text}");
        }
        assert!(Factor::read("0.9").is_err());
        assert!(Factor::read("inf").is_err());
        assert!(Weight::read("1000.5").is_err());
        assert!(Port::read("0").is_err());
        assert!(Port::read("65536").is_err());
        assert_eq!(["-100", "0", "100"].map(|text| Rank::read(text).map(|rank| rank.0)), [Ok(-100), Ok(0), Ok(100)]);
        for text in ["-101", "101", "--1", "+1", "-", "", "1.0", "999"] {
            assert!(Rank::read(text).is_err(), "{text}");
        }
        for text in ["0", "0.05", "10.1", "-1"] {
            assert!(Deviations::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hedges_wait_for_a_quantile_or_a_duration() {
        for (text, delay) in [
            ("p50", HedgeDelay::Quantile(0.5)),
            ("p95", HedgeDelay::Quantile(0.95)),
            ("p99.9", HedgeDelay::Quantile(0.999)),
            ("200ms", HedgeDelay::Fixed(Duration::from_millis(200))),
        ] {
            assert_eq!(HedgeDelay::read(text), Ok(delay), "{text}");
        }
        for text in ["p49", "p99.91", "p100", "p", "p-95", "95", "0s", "P95", "p9e1"] {
            assert!(HedgeDelay::read(text).is_err(), "{text}");
        }
    }
}
