//! Server-sent events, as far as a proxy has to do with them: who takes them, what is a stream of them, and how one is written. Pure.
//!
//! Deliberately not here: reading the events of an endpoint. They are its client's business.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::hop::split_unquoted;

/// The media type (HTML, section 9.2).
pub const EVENT_STREAM: HeaderValue = HeaderValue::from_static(TYPE);

const TYPE: &str = "text/event-stream";

/// A comment that says only that somebody is there; clients skip it.
pub const WAITING: Bytes = Bytes::from_static(b": waiting\n\n");

/// Tells whether `Accept` names streams of events; `*/*` and `text/*` are of clients that take anything and expect something else.
pub fn are_accepted(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().flat_map(|line| split_unquoted(line.as_bytes(), b',')).any(names_events)
}

/// Tells whether one range of `Accept` (RFC 9110 section 12.5.1) is of events, and not excluded by its weight.
fn names_events(range: &[u8]) -> bool {
    let mut parts = split_unquoted(range, b';').map(<[u8]>::trim_ascii);
    let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(TYPE.as_bytes()));
    is_named && parts.all(|part| weight(part).is_none_or(is_above_zero))
}

/// Returns the weight that a parameter is, if it is one.
fn weight(parameter: &[u8]) -> Option<&[u8]> {
    match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
        _ => None,
    }
}

/// A weight that cannot be read counts as none: whoever sent it does not get what it may not want.
fn is_above_zero(weight: &[u8]) -> bool {
    // RFC 9110 section 12.4.2: `0` or `1`, then up to three decimals.
    let (whole, decimals) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return false,
    };
    let is_digits = decimals.iter().all(u8::is_ascii_digit);
    let is_zero = decimals.iter().all(|digit| *digit == b'0');
    is_digits && if *whole == b'1' { is_zero } else { *whole == b'0' && !is_zero }
}

/// Tells whether these are the fields of a stream of events that further events can be written before: not one that is compressed as a whole.
pub fn are_plain(headers: &HeaderMap) -> bool {
    is_stream(headers) && coding(headers).is_none()
}

/// Tells whether the media type is that of events, whatever its parameters are.
pub fn is_stream(headers: &HeaderMap) -> bool {
    let name = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(TYPE.as_bytes()))
}

/// Returns the coding of a body, if it has one.
pub fn coding(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get_all(CONTENT_ENCODING).iter().find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Writes an event of type `error`; `document` is one line, as JSON is when it is not made pretty.
pub fn error(document: &[u8]) -> Bytes {
    [&b"event: error\ndata: "[..], document, b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_str(line).unwrap());
        }
        are_accepted(&headers)
    }

    #[test]
    fn who_names_events_takes_them() {
        for line in [
            "text/event-stream",
            "Text/Event-Stream",
            "application/json, text/event-stream",
            "text/event-stream;q=0.001",
            "text/event-stream ; charset=utf-8 ; Q=1.000",
            "application/json;profile=\"a;q=0,b\", text/event-stream; q=0.5",
        ] {
            assert!(accepted(&[line]), "{line}");
        }
        assert!(accepted(&["application/json", "text/event-stream"]), "two lines are one list");
    }

    #[test]
    fn who_does_not_name_events_or_excludes_them_gets_none() {
        for line in [
            "",
            "*/*",
            "text/*",
            "text/event-streams",
            "application/json",
            "text/event-stream;q=0",
            "text/event-stream; Q=0.000",
            "text/event-stream;q=",
            "text/event-stream;q=0.0000",
            "text/event-stream;q=2",
            "text/event-stream;q=1.001",
            "text/event-stream;q=0.x",
            "application/json;profile=\"a, text/event-stream\"",
        ] {
            assert!(!accepted(&[line]), "{line}");
        }
        assert!(!accepted(&[]));
    }

    #[test]
    fn only_a_plain_stream_can_follow_other_events() {
        let fields = |fields: &[(&'static str, &'static str)]| {
            fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for (headers, expected) in [
            (fields(&[("content-type", "text/event-stream")]), true),
            (fields(&[("content-type", "TEXT/event-stream ; charset=utf-8"), ("content-encoding", "Identity")]), true),
            (fields(&[("content-type", "text/event-stream"), ("content-encoding", "gzip")]), false),
            (fields(&[("content-type", "text/event-stream2")]), false),
            (fields(&[("content-type", "application/json")]), false),
            (fields(&[]), false),
        ] {
            assert_eq!(are_plain(&headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_error_is_one_event() {
        assert_eq!(error(b"{\"status\":503}"), "event: error\ndata: {\"status\":503}\n\n");
    }

    proptest! {
        #[test]
        fn what_stands_beside_events_does_not_matter(before in "[a-z]{1,5}/[a-z]{1,5}(;q=0)?", after in "[ -~]{0,20}", thousandths in 0..=1000u32) {
            let weight = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
            prop_assert_eq!(accepted(&[&format!("{before}, text/event-stream;q={weight}"), &after.replace("text", "")]), thousandths > 0);
        }
    }
}
