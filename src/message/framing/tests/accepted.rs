//! What must pass, untouched.

use super::*;

/// Whole streams of good requests, with how many there are.
pub(super) const STREAMS: &[(&str, u64)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
    ("GET /a/b?c=d&e=%20{}|[]\\^`'? HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nX-Empty:\r\nX-Tab: a\tb\t\r\n\r\n", 1),
    ("GET /{\"a\"}|[]^'();,!$&*+=@ HTTP/1.1\r\nHOST: a\r\n\r\n", 1),
    ("GET http://Example.com/a?b HTTP/1.1\r\nHost: example.COM\r\n\r\n", 1),
    ("GET HTTPS://[::1]:8443?b HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", 1),
    ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1),
    ("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 1),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 005 \r\n\r\nhello", 1),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 1),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nGET / HTTP/9.9\n\n\r\n\r\n", 1),
    ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", 1),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00A;ext=\"a b\"\r\n0123456789\r\n0\r\n\r\n", 1),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2;a\r\n\r\n\r\n0;b\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n",
        1,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
        3,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        2,
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
];

#[test]
fn good_requests_pass_as_they_are() {
    for (stream, heads) in STREAMS {
        let outcome = whole(stream.as_bytes());
        let expected = Outcome { passed: stream.as_bytes().to_vec(), verdict: Verdict::AllPassed, heads: *heads, tunnel: false };
        assert_eq!(outcome, expected, "{stream:?}");
    }
}

#[test]
fn http_1_0_needs_no_host_and_may_have_one() {
    for head in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET http://a/ HTTP/1.0\r\n\r\n"] {
        assert_eq!(whole(head.as_bytes()).verdict, Verdict::AllPassed, "{head:?}");
    }
}

#[test]
fn values_may_have_bytes_above_127() {
    assert_eq!(whole(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xe9\r\n\r\n").verdict, Verdict::AllPassed);
}

#[test]
fn body_bytes_pass_as_they_come() {
    let mut guard = Guard::new(LIMITS);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(guard.scan(&[&head[..], b"a"].concat()), Scanned { pass: head.len() + 1, verdict: Verdict::AllPassed });
    assert!(guard.in_request());
    assert_eq!(guard.scan(b"bc"), Scanned { pass: 2, verdict: Verdict::AllPassed });
    assert_eq!(guard.scan(b"dGET"), Scanned { pass: 1, verdict: Verdict::NeedMore });
    assert!(guard.in_request());
    assert_eq!(guard.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").verdict, Verdict::AllPassed);
    assert!(!guard.in_request());
}

#[test]
fn behind_an_upgrade_and_its_body_everything_passes() {
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    for stream in [format!("{head}\r\n\0\n\n\x01 any"), format!("{head}Content-Length: 2\r\n\r\nhi\0\n\nany")] {
        let outcome = whole(stream.as_bytes());
        let expected = Outcome { passed: stream.clone().into_bytes(), verdict: Verdict::AllPassed, heads: 1, tunnel: true };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn http_1_0_has_no_upgrade() {
    let outcome = whole(b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\0\n");
    assert!(matches!(outcome.verdict, Verdict::RefuseHead(_)));
    assert!(!outcome.tunnel);
}

#[test]
fn an_offer_of_fewer_bytes_than_before_does_no_harm() {
    let mut guard = Guard::new(LIMITS);
    guard.scan(b"GET / HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(guard.scan(b"GET"), Scanned { pass: 0, verdict: Verdict::NeedMore });
}
