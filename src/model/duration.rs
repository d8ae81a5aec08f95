//! How a duration is shown: as a config file writes it.

use std::time::Duration;

use serde::{Serialize, Serializer};

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

#[cfg(test)]
mod tests {
    use super::*;

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
