//! Values as they are written in the file.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

/// Shows a value by its word in the file.
pub(in crate::cli::explain) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Shows a share with as many decimals as it needs, at most two.
pub(in crate::cli::explain) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Shows a share, of which 0 switches off what it belongs to.
pub(super) fn percent_or_off(share: &f64) -> String {
    if *share == 0.0 { off() } else { percent(*share) }
}

/// Shows a number, of which 0 switches off what it belongs to.
pub(super) fn number_or_off(value: &u32) -> String {
    if *value == 0 { off() } else { value.to_string() }
}

pub(super) fn number(value: &impl Display) -> String {
    value.to_string()
}

pub(super) fn none() -> String {
    "none".to_owned()
}

pub(super) fn off() -> String {
    "off".to_owned()
}

pub(super) fn optional(value: &Option<Duration>) -> String {
    value.as_ref().map_or_else(none, duration)
}

/// Shows a list by its items.
pub(super) fn list<T>(items: &[T], shown: impl Fn(&T) -> String) -> String {
    if items.is_empty() { none() } else { items.iter().map(shown).collect::<Vec<_>>().join(", ") }
}

/// Shows a duration as it is written in the file: in its largest whole unit.
pub(super) fn duration(value: &Duration) -> String {
    let ms = value.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Shows a size as it is written in the file: in its largest whole unit.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}
