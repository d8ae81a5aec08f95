//! A trace from a CSV file: each request with its time, or with its tokens, or counts of requests for each step of time. Pure.
//!
//! The first line names the columns; their order does not matter, further columns are skipped. Quoted cells with commas are not read: no
//! trace of numbers has them.

use fastrand::Rng;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::trace::{MOST_REQUESTS, Request, Service, Trace, micros_of};

/// Seconds from which on a time is one since 1970, and not since the beginning of the trace: three years.
const ABSOLUTE_FROM: f64 = 1e8;

/// How what a file does not say is filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Manner {
    /// How long requests run of which only the count is known.
    pub service: Service,
    /// Tokens of the prompt that are read in a second.
    pub prefill_per_second: f64,
    /// Tokens that are generated in a second, of one request.
    pub decode_per_second: f64,
    /// When a trace began whose times are relative, milliseconds since 1970.
    pub start_unix_ms: i64,
    /// Where counted requests come within their step, and how long they run.
    pub seed: u64,
}

/// Why a file is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TraceError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// What the columns are.
#[derive(Clone, Copy)]
enum Kind {
    Timed { service: usize },
    Tokens { context: usize, generated: usize },
    Counts { count: usize },
}

/// A row, its time in seconds since 1970 or since the beginning.
struct Row {
    line: usize,
    at: f64,
    first: f64,
    second: f64,
}

/// Reads a trace.
///
/// # Errors
/// When the columns are not those of a trace, or a cell is not what it should be; the first one is told.
pub fn read(text: &str, manner: &Manner) -> Result<Trace, TraceError> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    let Some((line, head)) = lines.next() else { return Err(fault(1, "the file is empty")) };
    let (time, kind) = columns(head).map_err(|what| fault(line, what))?;
    let rows = lines.map(|(line, text)| row(line, text, time, kind)).collect::<Result<Vec<_>, _>>()?;
    let Some(origin) = rows.iter().map(|row| row.at).min_by(f64::total_cmp) else {
        return Err(fault(line, "there is no row below the names of the columns"));
    };
    let start_unix_ms = if origin >= ABSOLUTE_FROM { (origin * 1e3).round() as i64 } else { manner.start_unix_ms };
    // A relative trace may begin with silence, which is part of it.
    let origin = if origin >= ABSOLUTE_FROM { origin } else { 0.0 };
    match kind {
        Kind::Timed { .. } => Ok(each(&rows, origin, start_unix_ms, |row| row.first)),
        Kind::Tokens { .. } => {
            let service = |row: &Row| row.first / manner.prefill_per_second + row.second / manner.decode_per_second;
            Ok(each(&rows, origin, start_unix_ms, service))
        }
        Kind::Counts { .. } => spread(&rows, origin, start_unix_ms, manner),
    }
}

fn fault(line: usize, what: impl Into<String>) -> TraceError {
    TraceError { line, what: what.into() }
}

fn columns(head: &str) -> Result<(usize, Kind), String> {
    let names: Vec<_> = head.trim_start_matches('\u{feff}').split(',').map(|name| bare(name).to_ascii_lowercase()).collect();
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let time = find(&["time", "timestamp"]).ok_or("no column is named time or timestamp")?;
    let kind = if let Some(service) = find(&["service_time"]) {
        Kind::Timed { service }
    } else if let (Some(context), Some(generated)) = (find(&["contexttokens"]), find(&["generatedtokens"])) {
        Kind::Tokens { context, generated }
    } else if let Some(count) = find(&["value", "count"]) {
        Kind::Counts { count }
    } else {
        return Err("beside the time there is neither service_time, nor ContextTokens and GeneratedTokens, nor value".to_owned());
    };
    Ok((time, kind))
}

fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('"')
}

fn row(line: usize, text: &str, time: usize, kind: Kind) -> Result<Row, TraceError> {
    let cells: Vec<_> = text.split(',').map(bare).collect();
    let cell = |index: usize| cells.get(index).copied().ok_or_else(|| fault(line, format!("has {} cells only", cells.len())));
    let number = |index: usize| -> Result<f64, TraceError> {
        let cell = cell(index)?;
        let number = cell.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| fault(line, format!("{cell:?} is not a number from 0")))
    };
    let text = cell(time)?;
    let at =
        instant(text).ok_or_else(|| fault(line, format!("{text:?} is neither seconds nor a time such as 2026-01-05T08:00:00Z")))?;
    let (first, second) = match kind {
        Kind::Timed { service } => (number(service)?, 0.0),
        Kind::Tokens { context, generated } => (number(context)?, number(generated)?),
        Kind::Counts { count } => (number(count)?, 0.0),
    };
    Ok(Row { line, at, first, second })
}

/// Reads seconds, RFC 3339, or a date and time without zone, which is taken for UTC.
fn instant(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some(seconds);
    }
    let stamp = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(stamp.as_microsecond() as f64 / 1e6).filter(|seconds| *seconds >= ABSOLUTE_FROM)
}

fn each(rows: &[Row], origin: f64, start_unix_ms: i64, service: impl Fn(&Row) -> f64) -> Trace {
    let request = |row: &Row| Request { at_us: micros_of(row.at - origin), service_us: micros_of(service(row)) };
    Trace::new(rows.iter().map(request).collect(), 0, start_unix_ms)
}

/// Spreads counts over their steps: given how many came, the arrivals of a Poisson process are uniform in the step (Ross, "Stochastic Processes", 2nd
/// edition, theorem 2.3.1).
fn spread(rows: &[Row], origin: f64, start_unix_ms: i64, manner: &Manner) -> Result<Trace, TraceError> {
    let mut random = Rng::with_seed(manner.seed);
    let mut requests = Vec::new();
    let mut end = origin;
    for (index, row) in rows.iter().enumerate() {
        let step = step(rows, index)?;
        // `as` clamps; the bound below keeps what is too much out of memory.
        let count = row.first.round() as usize;
        if count.saturating_add(requests.len()) > MOST_REQUESTS {
            return Err(fault(row.line, format!("there are more than {MOST_REQUESTS} requests up to here")));
        }
        let draw = |_| {
            let at_us = micros_of(row.at - origin + random.f64() * step);
            Request { at_us, service_us: manner.service.draw(&mut random) }
        };
        requests.extend((0..count).map(draw));
        end = row.at + step;
    }
    Ok(Trace::new(requests, micros_of(end - origin), start_unix_ms))
}

/// The time to the next row; the last one's is that of the row before.
fn step(rows: &[Row], index: usize) -> Result<f64, TraceError> {
    let at = |index: usize| rows.get(index).map(|row| row.at);
    let line = rows.get(index).map_or(0, |row| row.line);
    let step = match (index.checked_sub(1).and_then(at), at(index), at(index + 1)) {
        (_, Some(this), Some(next)) => next - this,
        (Some(last), Some(this), None) => this - last,
        _ => return Err(fault(line, "counts need two rows, so that it can be seen how long a step is")),
    };
    if step > 0.0 { Ok(step) } else { Err(fault(line, "counts must be in the order of time, each step once")) }
}

#[cfg(test)]
#[path = "read/tests.rs"]
mod tests;
