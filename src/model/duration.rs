//! How a duration is shown: as a config file writes it; and read back from there.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, or the lack of one, for `serialize_with`: `30s`, `1500ms`, or null for none.
pub(super) trait Written {
    /// Returns the text; `None` is for ever.
    fn written(&self) -> Option<String>;
}

impl Written for Duration {
    fn written(&self) -> Option<String> {
        Some(if self.subsec_nanos() == 0 { format!("{}s", self.as_secs()) } else { format!("{}ms", self.as_nanos() as f64 / 1e6) })
    }
}

impl Written for Option<Duration> {
    fn written(&self) -> Option<String> {
        self.as_ref().and_then(Written::written)
    }
}

/// Serialises a duration as a config file writes it.
pub(super) fn written<S: Serializer, T: Written>(duration: &T, serializer: S) -> Result<S::Ok, S::Error> {
    duration.written().serialize(serializer)
}

/// Reads a duration back that [`written`] wrote: the same to the nanosecond up to 50 days, to the second beyond.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok().map(Duration::from_secs));
    let fine = || {
        let millis: f64 = text.strip_suffix("ms")?.parse().ok()?;
        let nanos = (millis * 1e6).round();
        (0.0..1.8e19).contains(&nanos).then(|| Duration::from_nanos(nanos as u64))
    };
    seconds.or_else(fine).ok_or_else(|| de::Error::custom(format_args!("{text:?} is not a duration such as 30s or 1500ms")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[derive(Deserialize)]
    struct Back {
        #[serde(deserialize_with = "read")]
        one: Duration,
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(secs in 0..4_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let one = Duration::new(secs, nanos);
            let back: Back = serde_json::from_str(&shown(one, None)).unwrap();
            prop_assert_eq!(back.one, one);
        }
    }

    #[derive(Serialize)]
    struct Times {
        #[serde(serialize_with = "written")]
        one: Duration,
        #[serde(serialize_with = "written")]
        other: Option<Duration>,
    }

    fn shown(one: Duration, other: Option<Duration>) -> String {
        serde_json::to_string(&Times { one, other }).unwrap()
    }

    #[test]
    fn durations_are_shown_as_a_config_writes_them() {
        assert_eq!(shown(Duration::from_secs(30), None), r#"{"one":"30s","other":null}"#);
        let [half, odd] = [Duration::from_millis(1500), Duration::from_micros(100)];
        assert_eq!(shown(half, Some(odd)), r#"{"one":"1500ms","other":"0.1ms"}"#);
        assert_eq!(shown(Duration::ZERO, Some(Duration::ZERO)), r#"{"one":"0s","other":"0s"}"#);
    }
}
