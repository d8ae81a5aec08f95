//! Durations in the JSON that operators write: `250ms`, `30s`, `1h`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de};

pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(&String::deserialize(deserializer)?)
}

pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<String>::deserialize(deserializer)?.map(|text| parsed(&text)).transpose()
}

fn parsed<E: de::Error>(text: &str) -> Result<Duration, E> {
    let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| E::custom(format!("{text:?} is no duration such as \"250ms\", \"30s\", \"5m\" or \"1h\"")))
}
