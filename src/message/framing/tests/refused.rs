//! The table of what is refused, each with its reason.

use super::super::super::Refusal;
use super::*;
use crate::model::Reason::{
    self, AmbiguousFraming, ConnectRefused, HeaderTooLarge, InvalidHost, InvalidTarget, MalformedRequest, RequestBodyBroken,
    TargetTooLong, TooManyHeaders, UnknownTransferCoding,
};

/// Heads of one request, without the empty line at the end unless the fault is there.
const HEADS: &[(&str, Reason)] = &[
    // Request line.
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n", AmbiguousFraming),
    (" GET / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET  / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET /  HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET / HTTP/1.1 \r\nHost: a\r\n", MalformedRequest),
    ("GET\t/\tHTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET /a\tb HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET /\r\n", MalformedRequest),
    ("GET\r\n", MalformedRequest),
    ("GET / HTTP/0.9\r\n", MalformedRequest),
    ("GET / HTTP/1.2\r\nHost: a\r\n", MalformedRequest),
    ("GET / HTTP/2.0\r\nHost: a\r\n", MalformedRequest),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n", MalformedRequest),
    ("GET / http/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET / HTTP/1.10\r\nHost: a\r\n", MalformedRequest),
    ("GET HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET  HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("G@T / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("G\0T / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("\x16\x03\x01\x02 / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n", MalformedRequest),
    ("GET /\r HTTP/1.1\r\nHost: a\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\nHost: a\r\n", AmbiguousFraming),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n", ConnectRefused),
    // Target.
    ("GET a HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET a:80 HTTP/1.1\r\nHost: a:80\r\n", InvalidTarget),
    ("GET ?a HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET * HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /a?b#c HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /a\0b HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /a\x7fb HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /é HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /?é HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /<a> HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /a` HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET /?\"a HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET http:/a HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET http://a/#b HTTP/1.1\r\nHost: a\r\n", InvalidTarget),
    ("GET http:/// HTTP/1.1\r\nHost: a\r\n", InvalidHost),
    ("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n", InvalidHost),
    ("GET http://a:x/ HTTP/1.1\r\nHost: a\r\n", InvalidHost),
    ("GET http://a/ HTTP/1.1\r\nHost: b\r\n", InvalidHost),
    // Host.
    ("GET / HTTP/1.1\r\n\r\n", InvalidHost),
    ("GET / HTTP/1.1\r\nHost:\r\n", InvalidHost),
    ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", InvalidHost),
    ("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n", InvalidHost),
    ("GET / HTTP/1.1\r\nHost: a b\r\n", InvalidHost),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n", InvalidHost),
    ("GET / HTTP/1.1\r\nHost: user@a\r\n", InvalidHost),
    ("GET / HTTP/1.1\r\nHost: a:99999\r\n", InvalidHost),
    // Fields.
    ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\n Host: a\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\n \r\n", AmbiguousFraming),
    ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nXé: b\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n", MalformedRequest),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n", MalformedRequest),
    // Framing.
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n", AmbiguousFraming),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n", UnknownTransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n", UnknownTransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n", UnknownTransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n", UnknownTransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n", UnknownTransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n", UnknownTransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n", MalformedRequest),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n", AmbiguousFraming),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length : 5\r\n", AmbiguousFraming),
];

/// Chunked bodies: what passes, and what is refused behind it.
const BODIES: &[(&str, &str)] = &[
    ("", "\r\n"),
    ("", ";a\r\n"),
    ("", " 5\r\n"),
    ("", "+5\r\n"),
    ("", "g\r\n"),
    ("", "\n"),
    ("0", "x5\r\n"),
    ("5", "\nhello\r\n"),
    ("5", " \r\nhello\r\n"),
    ("5\r", "hello"),
    ("5\r\nhello", "0\r\n\r\n"),
    ("5\r\nhello", "\n0\r\n\r\n"),
    ("5\r\nhello\r", "0\r\n\r\n"),
    ("5\r\nhello\r\n", "\r\n0\r\n\r\n"),
    ("0000000000000000", "5\r\n"),
    ("ffffffffffffffff", "f\r\n"),
    ("5;a", "\nhello\r\n"),
    ("5;a=\"", "\0\"\r\n"),
    ("5;a\r", "\r\n"),
    ("0\r\n", "\n"),
    ("0\r\n", "X : a\r\n\r\n"),
    ("0\r\n", " X: a\r\n\r\n"),
    ("0\r\n", "X: a\r\n b\r\n\r\n"),
    ("0\r\n", "X: a\n\r\n"),
    ("0\r\n", "X\r\n\r\n"),
    ("0\r\n", "X: \0\r\n\r\n"),
    ("0\r\n", "Content-Length: 5\r\n\r\n"),
    ("0\r\n", "X: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("0\r\n", "Host: b\r\n\r\n"),
];

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn reason(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::RefuseHead(Refusal { reason, .. }) | Verdict::RefuseBody(Refusal { reason, .. }) => Some(reason),
        Verdict::AllPassed | Verdict::NeedMore => None,
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (head, expected) in HEADS {
        let outcome = whole(format!("{head}\r\n").as_bytes());
        assert!(matches!(outcome.verdict, Verdict::RefuseHead(_)), "{head:?} {outcome:?}");
        assert_eq!(reason(outcome.verdict), Some(*expected), "{head:?} {outcome:?}");
        assert!(outcome.passed.is_empty() && outcome.heads == 0, "{head:?}");
    }
}

#[test]
fn a_refused_head_behind_a_good_request_does_not_take_it_along() {
    let good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for (head, expected) in HEADS {
        let outcome = whole(&[good, head.as_bytes(), b"\r\n"].concat());
        assert_eq!((outcome.passed.as_slice(), outcome.heads), (&good[..], 1), "{head:?}");
        assert_eq!(reason(outcome.verdict), Some(*expected), "{head:?}");
    }
}

#[test]
fn broken_chunks_are_refused_where_they_break() {
    for (good, bad) in BODIES {
        let outcome = whole(format!("{CHUNKED}{good}{bad}").as_bytes());
        assert!(matches!(outcome.verdict, Verdict::RefuseBody(_)), "{good:?} {bad:?} {outcome:?}");
        assert_eq!(reason(outcome.verdict), Some(RequestBodyBroken), "{good:?} {bad:?}");
        assert_eq!(outcome.passed, format!("{CHUNKED}{good}").as_bytes(), "{good:?} {bad:?}");
    }
}

#[test]
fn a_refusal_is_for_ever() {
    let mut guard = Guard::new(LIMITS);
    let refused = guard.scan(b"GET / HTTP/3\r\n");
    assert_eq!(reason(refused.verdict), Some(MalformedRequest));
    assert_eq!(guard.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), refused);
    assert!(!guard.in_request());
}

#[test]
fn limits_hold_to_the_byte() {
    let get = |target: usize, fields: &str| format!("GET /{} HTTP/1.1\r\nHost: a\r\n{fields}\r\n", "x".repeat(target - 1));
    // 512 with "GET ", " HTTP/1.1" and CRLF.
    assert_eq!(reason(whole(get(497, "").as_bytes()).verdict), None);
    assert_eq!(reason(whole(get(498, "").as_bytes()).verdict), Some(TargetTooLong));
    assert_eq!(reason(whole(&[b'x'; 513]).verdict), Some(TargetTooLong));
    let fields = |count: usize| "X: a\r\n".repeat(count);
    assert_eq!(reason(whole(get(1, &fields(19)).as_bytes()).verdict), None);
    assert_eq!(reason(whole(get(1, &fields(20)).as_bytes()).verdict), Some(TooManyHeaders));
    let padded = |total: usize| get(1, &format!("X: {}\r\n", "a".repeat(total - get(1, "X: \r\n").len())));
    assert_eq!((padded(2048).len(), reason(whole(padded(2048).as_bytes()).verdict)), (2048, None));
    assert_eq!(reason(whole(padded(2049).as_bytes()).verdict), Some(HeaderTooLarge));
    assert_eq!(reason(whole(get(1, &format!("{}: a\r\n", "x".repeat(257))).as_bytes()).verdict), Some(HeaderTooLarge));
}

#[test]
fn a_head_without_end_is_refused_at_the_limit() {
    let outcome = whole(&[&b"GET / HTTP/1.1\r\nX: "[..], &[b'a'; 2048]].concat());
    assert_eq!(reason(outcome.verdict), Some(HeaderTooLarge));
}

#[test]
fn chunk_extensions_and_trailers_have_limits() {
    let body = |extension: usize| format!("{CHUNKED}1;{}\r\na\r\n1;{}\r\nb\r\n0\r\n\r\n", "x".repeat(8000), "x".repeat(extension));
    assert_eq!(whole(body(192).as_bytes()).verdict, Verdict::AllPassed);
    assert_eq!(reason(whole(body(193).as_bytes()).verdict), Some(RequestBodyBroken));
    let trailers = |count: usize| format!("{CHUNKED}0\r\n{}\r\n", "X: a\r\n".repeat(count));
    assert_eq!(whole(trailers(20).as_bytes()).verdict, Verdict::AllPassed);
    assert_eq!(reason(whole(trailers(21).as_bytes()).verdict), Some(RequestBodyBroken));
    let long = format!("{CHUNKED}0\r\nX: {}", "a".repeat(2048));
    assert_eq!(reason(whole(long.as_bytes()).verdict), Some(RequestBodyBroken));
}

#[test]
fn a_request_line_may_be_as_long_as_the_uri_type_takes_and_no_longer() {
    let limits = Limits { headers: 20, header_bytes: 100_000, request_line: 100_000 };
    let get = |target: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(target - 1));
    assert_eq!(feed(limits, [get(65_534).as_bytes()]).verdict, Verdict::AllPassed);
    assert_eq!(reason(feed(limits, [get(65_535).as_bytes()]).verdict), Some(TargetTooLong));
}

#[test]
fn a_limit_on_the_request_line_above_that_of_the_head_changes_no_reason() {
    let limits = Limits { headers: 20, header_bytes: 60, request_line: 100 };
    let line = format!("GET /{} HTTP/1.1\r\n", "x".repeat(90));
    let verdict = feed(limits, [line.as_bytes()]).verdict;
    assert_eq!(reason(verdict), Some(TargetTooLong));
    assert_eq!(feed(limits, line.as_bytes().chunks(1)).verdict, verdict);
}
