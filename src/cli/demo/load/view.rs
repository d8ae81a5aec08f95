//! From a picture to the text of the live view. Pure.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::record::{Picture, SECONDS};
use super::seen::{Change, Replicas};

/// The heights of a sparkline.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A queue of so many is drawn to full height; longer ones draw the others lower.
const FULL_HEIGHT: u64 = 14;

/// Where everything is, and what to try meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) proxy: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) hints: Vec<String>,
}

/// Whether the terminal is to show colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// It is not (<https://no-color.org>).
    Plain,
    /// It is.
    Coloured,
}

/// What a part of the text says, as far as colours tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Coming,
    Leaving,
    Bad,
    Faint,
    Strong,
}

impl Ink {
    fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Coming => 33,
            Tone::Leaving => 36,
            Tone::Bad => 31,
            Tone::Faint => 2,
            Tone::Strong => 1,
        };
        match self {
            Self::Coloured if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Coloured | Self::Plain => text.to_owned(),
        }
    }
}

/// Draws the whole view.
pub(super) fn screen(picture: &Picture, place: &Place, ink: Ink) -> String {
    let mut text = String::new();
    let title = ink.paint(Tone::Strong, "tidegate demo");
    let clock = format!("{}, {}", picture.phase.as_str(), clock(picture.at));
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{title}  http://{}  admin http://{}  {clock}\n", place.proxy, place.admin);
    let _ = writeln!(text, "replicas  {}  {}", bar(picture, ink), counts(picture.replicas));
    let _ = writeln!(text, "queue     {}  {} waiting", sparkline(&picture.depths), picture.waiting);
    let failures = match picture.failures {
        0 => "0 errors".to_owned(),
        failures => ink.paint(Tone::Bad, &format!("{failures} errors")),
    };
    let _ = writeln!(text, "requests  {:.1}/s, {} running, {failures}", picture.rate, picture.in_flight);
    let _ = writeln!(text, "1st byte  p50 {}, p95 {}", seconds(picture.p50), seconds(picture.p95));
    let _ = writeln!(text, "\n{}", ink.paint(Tone::Strong, "Last decisions"));
    for (age, change) in &picture.changes {
        let _ = writeln!(text, "  {:>5} ago  {}", short(*age), decision(change, ink));
    }
    let _ = writeln!(text, "\n{}", ink.paint(Tone::Strong, "Meanwhile, elsewhere"));
    for hint in &place.hints {
        let _ = writeln!(text, "  {hint}");
    }
    let _ = writeln!(text, "\n{}", ink.paint(Tone::Faint, "Ctrl-C ends everything, and tells what came of it."));
    text
}

/// Draws the view in one line, for what is no terminal, with the decisions that came after `told_unix_ms`, the latest last.
pub(super) fn line(picture: &Picture, told_unix_ms: Option<i64>) -> String {
    let Picture { replicas, waiting, rate, failures, p50, p95, .. } = picture;
    let is_news = |change: &&Change| told_unix_ms.is_none_or(|told| change.at_unix_ms > told);
    let news = picture.changes.iter().rev().map(|(_, change)| change).filter(is_news);
    let news: String = news.map(|change| format!("; {}", decision(change, Ink::Plain))).collect();
    format!(
        "{} {:<5}  replicas {}  waiting {waiting}  {rate:.1}/s  p50 {}  p95 {}  errors {failures}{news}",
        clock(picture.at),
        picture.phase.as_str(),
        counts(*replicas),
        seconds(*p50),
        seconds(*p95),
    )
}

/// Shows seconds as people say them.
pub(super) fn seconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

fn bar(picture: &Picture, ink: Ink) -> String {
    let Replicas { ready, starting, draining, .. } = picture.replicas;
    let part = |count: u32, tone, mark: &str| ink.paint(tone, &mark.repeat(usize::try_from(count).unwrap_or(0)));
    let free = picture.max_replicas.saturating_sub(ready.saturating_add(starting).saturating_add(draining));
    [
        part(ready, Tone::Good, "██ "),
        part(starting, Tone::Coming, "▒▒ "),
        part(draining, Tone::Leaving, "░░ "),
        part(free, Tone::Faint, "·· "),
    ]
    .concat()
}

fn counts(replicas: Replicas) -> String {
    let Replicas { desired, ready, starting, draining } = replicas;
    format!("{desired} wanted: {ready} ready, {starting} starting, {draining} draining")
}

/// Draws the latest numbers, the last at the right.
fn sparkline(depths: &[u64]) -> String {
    let depths = &depths[depths.len().saturating_sub(SECONDS)..];
    let most = depths.iter().copied().max().unwrap_or_default().max(FULL_HEIGHT);
    let steps = HEIGHTS.len() as u64 - 1;
    let height = |depth: &u64| {
        // Somebody who waits is seen, however long others have waited.
        let step = (depth.saturating_mul(steps) / most).clamp(u64::from(*depth > 0), steps);
        usize::try_from(step).ok().and_then(|step| HEIGHTS.get(step)).copied().unwrap_or('█')
    };
    let blank = std::iter::repeat_n(' ', SECONDS - depths.len());
    blank.chain(depths.iter().map(height)).collect()
}

fn decision(change: &Change, ink: Ink) -> String {
    let Change { from, to, reason, .. } = change;
    let tone = if to > from { Tone::Coming } else { Tone::Leaving };
    format!("{}  {}", ink.paint(tone, &format!("{from} → {to}")), reason.replace(char::is_control, "?"))
}

fn clock(at: Duration) -> String {
    format!("{:02}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

fn short(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests;
