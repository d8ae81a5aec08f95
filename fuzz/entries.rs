//! What each fuzz target does with its bytes, and what must hold. Also run over the seeds by `tests/seeds.rs`, so that a plain `cargo test`
//! keeps the targets and what they found alive.

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tidegate::message::forwarded::{Client, Peer, Scheme};
use tidegate::message::framing::{Guard, Limits, Scanned, Verdict};
use tidegate::message::present::Present;
use tidegate::message::proxy_protocol::Parsed;
use tidegate::message::{hop, host as host_name, normalise as normal, proxy_protocol as proxy};
use tidegate::model::Forwarding;

/// A header lies inside the bytes, and every shorter prefix of it is incomplete.
pub fn proxy_protocol(bytes: &[u8]) {
    match proxy::parse(bytes) {
        Parsed::Header { len, .. } => {
            assert!(len <= bytes.len());
            assert_eq!(proxy::parse(&bytes[..len]), proxy::parse(bytes));
            for cut in [0, len / 2, len - 1] {
                assert_eq!(proxy::parse(&bytes[..cut]), Parsed::Incomplete);
            }
        }
        Parsed::Incomplete => assert!(bytes.len() < 16 + 4096),
        Parsed::Invalid(detail) => assert!(!detail.is_empty()),
    }
}

/// A normal path has no dot segments and double slashes, is no longer, is a path for the URI type, and is its own normal form.
pub fn normalise(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    let Ok(once) = normal::path(&Method::GET, raw) else { return };
    assert!(once.starts_with('/') && once.len() <= raw.len() && !once.contains("//"));
    assert!(once.split('/').all(|segment| segment != "." && segment != ".."));
    assert_eq!(normal::path(&Method::GET, &once).as_deref(), Ok(&*once));
}

/// A host's name is a host in normal form, and checking agrees with parsing.
pub fn host(bytes: &[u8]) {
    let parsed = host_name::parse(bytes);
    assert_eq!(parsed.is_ok(), host_name::check(bytes).is_ok());
    if let Ok(host) = parsed {
        assert!(http::uri::Authority::try_from(bytes).is_ok());
        let again = host_name::parse(host.name.as_bytes()).expect("the name of a host is a host");
        assert_eq!((&*again.name, again.port), (&*host.name, None));
    }
}

/// Each line is `name-digit value`: hop-by-hop fields go, and what is forwarded ends with our own entry.
pub fn forwarded(bytes: &[u8]) {
    let names = [
        http::header::CONNECTION,
        FORWARDED,
        HOST,
        http::header::TE,
        http::header::UPGRADE,
        HeaderName::from_static("x-forwarded-for"),
        HeaderName::from_static("x-forwarded-host"),
        HeaderName::from_static("x-forwarded-port"),
    ];
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some((which, value)) = line.split_first()
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.append(names[usize::from(which % 8)].clone(), value);
        }
    }
    for ranges in [&[][..], &["10.0.0.0/8"]] {
        let trusted = ranges.iter().map(|range| range.parse().expect("a range")).collect();
        let forwarding = Forwarding { trusted, ..Forwarding::default() };
        let client = Client::new(Peer::Ip([10, 0, 0, 1].into()), Scheme::Https, &forwarding);
        let mut headers = headers.clone();
        assert!(client.address(&headers, &forwarding.trusted).is_some());
        let upgrade = hop::upgrade_wanted(&headers);
        let present = Present::of(&headers);
        hop::strip(&mut headers, present);
        assert!(!headers.contains_key("connection") && !headers.contains_key("upgrade"));
        if let Some(protocol) = upgrade {
            hop::restore_upgrade(&mut headers, protocol);
            assert!(hop::upgrade_wanted(&headers).is_some());
        }
        client.apply(&mut headers, present);
        let own = headers["x-forwarded-for"].as_bytes();
        assert!(if client.is_trusted() { own.ends_with(b"10.0.0.1") } else { own == b"10.0.0.1" });
        assert_eq!(headers.get_all(FORWARDED).iter().count(), 1);
    }
}

/// The first byte says how the rest is cut: verdict and passed bytes must be those of the uncut stream.
pub fn framing(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let small = Limits { headers: 3, header_bytes: 100, request_line: 40 };
    for limits in [small, Limits { headers: 100, header_bytes: 32 * 1024, request_line: 8 * 1024 }] {
        let uncut = feed(limits, stream, usize::MAX);
        assert_eq!(feed(limits, stream, usize::from(cut).max(1)), uncut);
        assert_eq!(feed(limits, stream, 1), uncut);
    }
}

/// How many bytes passed, what stopped the rest, how many heads there were, whether a tunnel follows.
type Fed = (usize, Verdict, u64, bool);

fn feed(limits: Limits, stream: &[u8], size: usize) -> Fed {
    let mut guard = Guard::new(limits);
    let (mut passed, mut offered, mut verdict) = (0, 0, Verdict::AllPassed);
    while offered < stream.len() {
        offered = offered.saturating_add(size).min(stream.len());
        let scanned: Scanned = guard.scan(&stream[passed..offered]);
        assert!(scanned.pass <= offered - passed);
        passed += scanned.pass;
        verdict = scanned.verdict;
        match verdict {
            Verdict::AllPassed => assert_eq!(passed, offered),
            Verdict::NeedMore => assert!(passed < offered),
            Verdict::RefuseHead(_) | Verdict::RefuseBody(_) => break,
        }
    }
    (passed, verdict, guard.heads_passed(), guard.tunnel_asked())
}
