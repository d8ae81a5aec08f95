//! How a line looks: JSON with escapes (RFC 8259 section 7), or text for people.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use http::Version;
use jiff::Timestamp;

use crate::model::{LogFormat, Outcome};

/// What is told of a request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The listener it came over.
    pub listener: &'a str,
    /// The route that took it.
    pub route: Option<&'a str>,
    /// The pool it went to.
    pub pool: Option<&'a str>,
    /// The endpoint that was tried last.
    pub endpoint: Option<&'a str>,
    /// Who sent it; `None` over a Unix socket.
    pub client: Option<SocketAddr>,
    /// Its method.
    pub method: &'a str,
    /// Its `Host`.
    pub host: Option<&'a [u8]>,
    /// Its path as the client sent it, without the query, which often holds secrets.
    pub path: &'a str,
    /// The client's version of HTTP.
    pub protocol: Version,
    /// The status that was sent; 499 when the client left before.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Its id.
    pub request_id: Option<&'a [u8]>,
    /// The client's name for itself.
    pub user_agent: Option<&'a [u8]>,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// From its head to its last byte.
    pub duration: Duration,
    /// From its head to the response's, when an endpoint answered.
    pub first_byte: Option<Duration>,
    /// Endpoints tried.
    pub attempts: u32,
    /// Why it was not tried again, when its route wanted that.
    pub retry_skipped: Option<&'static str>,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes one line of `record`, with its end.
pub(super) fn line(record: &Record<'_>, format: LogFormat, now: Timestamp, out: &mut String) {
    match format {
        LogFormat::Json => json(record, now, out),
        LogFormat::Text => text(record, now, out),
    }
    out.push('\n');
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn json(record: &Record<'_>, now: Timestamp, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{{\"time\":\"{now:.3}\"");
    string("listener", Some(record.listener.as_bytes()), out);
    string("route", record.route.map(str::as_bytes), out);
    string("pool", record.pool.map(str::as_bytes), out);
    string("endpoint", record.endpoint.map(str::as_bytes), out);
    if let Some(client) = record.client {
        let _ = write!(out, ",\"client\":\"{client}\"");
    }
    string("method", Some(record.method.as_bytes()), out);
    string("host", record.host, out);
    string("path", Some(record.path.as_bytes()), out);
    let _ = write!(out, ",\"protocol\":\"{}\",\"status\":{}", protocol(record.protocol), record.status);
    let _ = write!(out, ",\"outcome\":\"{}\"", record.outcome.as_str());
    string("reason", record.outcome.reason().map(|reason| reason.as_str().as_bytes()), out);
    string("request_id", record.request_id, out);
    string("user_agent", record.user_agent, out);
    let _ = write!(out, ",\"bytes_in\":{},\"bytes_out\":{}", record.bytes_in, record.bytes_out);
    let _ = write!(out, ",\"duration_ms\":{:.3}", milliseconds(record.duration));
    if let Some(first_byte) = record.first_byte {
        let _ = write!(out, ",\"first_byte_ms\":{:.3}", milliseconds(first_byte));
    }
    let _ = write!(out, ",\"attempts\":{}", record.attempts);
    string("retry_skipped", record.retry_skipped.map(str::as_bytes), out);
    out.push('}');
}

fn text(record: &Record<'_>, now: Timestamp, out: &mut String) {
    let dash = |text: Option<&[u8]>| text.map_or_else(|| "-".to_owned(), escaped);
    let client = record.client.map_or_else(|| "-".to_owned(), |client| client.to_string());
    let _ = write!(
        out,
        "{now:.3} {client} {} {} {} \"{} {} {}\" {} {} {} {} {:.3}ms {} {}",
        record.listener,
        record.route.unwrap_or("-"),
        record.endpoint.unwrap_or("-"),
        record.method,
        escaped(record.path.as_bytes()),
        protocol(record.protocol),
        record.status,
        record.outcome.reason().map_or(record.outcome.as_str(), |reason| reason.as_str()),
        record.bytes_in,
        record.bytes_out,
        milliseconds(record.duration),
        dash(record.host),
        dash(record.request_id),
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn string(name: &str, value: Option<&[u8]>, out: &mut String) {
    let Some(value) = value else { return };
    let _ = write!(out, ",\"{name}\":\"");
    escape(value, out);
    out.push('"');
}

fn escaped(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    escape(value, &mut out);
    out
}

/// Header values may hold any byte but controls; what is not UTF-8 is shown with the replacement character.
fn escape(value: &[u8], out: &mut String) {
    for c in String::from_utf8_lossy(value).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                out.push_str("\\u00");
                out.push(HEX[(c as usize) >> 4] as char);
                out.push(HEX[(c as usize) & 15] as char);
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reason;

    fn record() -> Record<'static> {
        Record {
            listener: "public",
            route: Some("all"),
            pool: Some("agents"),
            endpoint: Some("a"),
            client: Some("127.0.0.1:4000".parse().unwrap()),
            method: "GET",
            host: Some(b"x\"\\\x01\xff"),
            path: "/a",
            protocol: Version::HTTP_11,
            status: 502,
            outcome: Outcome::Failed(Reason::EndpointReset),
            request_id: Some(b"id"),
            user_agent: None,
            bytes_in: 1,
            bytes_out: 2,
            duration: Duration::from_micros(1500),
            first_byte: None,
            attempts: 1,
            retry_skipped: None,
        }
    }

    #[test]
    fn a_json_line_is_json_whatever_the_client_sent() {
        let mut out = String::new();
        line(&record(), LogFormat::Json, Timestamp::UNIX_EPOCH, &mut out);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["host"], "x\"\\\u{1}\u{fffd}");
        assert_eq!(value["reason"], "reset");
        assert_eq!(value["duration_ms"], 1.5);
        assert_eq!(value.get("first_byte_ms"), None);
        assert!(out.ends_with("}\n"));
    }

    #[test]
    fn a_text_line_is_one_line() {
        let mut out = String::new();
        line(&record(), LogFormat::Text, Timestamp::UNIX_EPOCH, &mut out);
        assert_eq!(out.matches('\n').count(), 1);
        assert!(out.contains("\"GET /a HTTP/1.1\" 502 reset 1 2 1.500ms"), "{out}");
    }
}
