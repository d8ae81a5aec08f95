use std::collections::BTreeSet;

use http::HeaderValue;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use crate::model::Side;

use super::*;

const EVERY: [Condition; 7] = [
    Condition::ConnectFailure,
    Condition::Refused,
    Condition::Reset,
    Condition::Timeout,
    Condition::GatewayError,
    Condition::ServerError,
    Condition::Retriable4xx,
];

fn failed(reason: Reason, sent: bool) -> Event {
    Event::Failed { reason, sent }
}

fn answered(status: u16) -> Event {
    Event::Answered(StatusCode::from_u16(status).unwrap())
}

#[test]
fn every_failure_of_an_endpoint_has_its_condition_or_is_named_here() {
    for &reason in Reason::ALL {
        let conditions = [false, true].map(|sent| matches(&EVERY, failed(reason, sent)));
        let expected = match reason {
            Reason::NameUnresolved
            | Reason::ConnectRefusedByEndpoint
            | Reason::ConnectFailed
            | Reason::ConnectTimeout
            | Reason::TlsFailed
            | Reason::TlsCertificate => [Some(Condition::ConnectFailure); 2],
            Reason::EndpointReset | Reason::EndpointProtocol => [Some(Condition::Refused), Some(Condition::Reset)],
            Reason::FirstByteTimeout | Reason::AttemptTimeout => [Some(Condition::Timeout); 2],
            // Something has been sent to the client by then.
            Reason::NotEvents | Reason::UpgradeFailed | Reason::TotalTimeout | Reason::IdleTimeout | Reason::EndpointTruncated => {
                [None; 2]
            }
            _ => {
                assert_ne!(reason.side(), Side::Endpoint, "{reason:?} is new: is it tried again?");
                [None; 2]
            }
        };
        assert_eq!(conditions, expected, "{reason:?}");
    }
}

#[test]
fn an_answer_meets_what_its_status_says() {
    for (status, gateway, server, client) in [
        (200, false, false, false),
        (408, false, false, true),
        (425, false, false, true),
        (429, false, false, true),
        (404, false, false, false),
        (500, false, true, false),
        (501, false, true, false),
        (502, true, true, false),
        (503, true, true, false),
        (504, true, true, false),
        (505, false, true, false),
        (600, false, false, false),
    ] {
        let met: Vec<_> = EVERY.into_iter().filter(|&condition| matches(&[condition], answered(status)).is_some()).collect();
        let expected = [(gateway, Condition::GatewayError), (server, Condition::ServerError), (client, Condition::Retriable4xx)];
        assert_eq!(
            met,
            expected.iter().filter(|(meets, _)| *meets).map(|(_, condition)| *condition).collect::<Vec<_>>(),
            "{status}"
        );
    }
}

#[test]
fn the_first_condition_that_is_met_is_named() {
    let on = [Condition::Timeout, Condition::ServerError, Condition::GatewayError];
    assert_eq!(matches(&on, answered(503)), Some(Condition::ServerError));
    assert_eq!(matches(&on[2..], answered(503)), Some(Condition::GatewayError));
    assert_eq!(matches(&[], answered(503)), None);
}

#[test]
fn another_attempt_is_safe_when_it_cannot_do_harm() {
    let (bare, mut keyed) = (HeaderMap::new(), HeaderMap::new());
    keyed.insert("Idempotency-Key", HeaderValue::from_static("a"));
    let careless = Retry { non_idempotent: true, ..Retry::default() };
    let strict = Retry::default();
    let reset = |sent| failed(Reason::EndpointReset, sent);
    for (event, method, headers, settings, safe) in [
        (reset(true), Method::POST, &bare, &strict, false),
        (answered(503), Method::POST, &bare, &strict, false),
        (answered(503), Method::PATCH, &bare, &strict, false),
        (reset(false), Method::POST, &bare, &strict, true),
        (reset(true), Method::GET, &bare, &strict, true),
        (answered(503), Method::PUT, &bare, &strict, true),
        (answered(503), Method::POST, &keyed, &strict, true),
        (reset(true), Method::POST, &bare, &careless, true),
    ] {
        assert_eq!(is_safe(event, &method, headers, settings), safe, "{event:?} {method} {headers:?}");
    }
}

#[test]
fn methods_that_the_standard_calls_idempotent_are() {
    for (method, idempotent) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("TRACE", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
        ("CONNECT", false),
        ("get", false),
        ("QUERY", false),
    ] {
        assert_eq!(is_idempotent(&method.parse().unwrap()), idempotent, "{method}");
    }
}

#[test]
fn every_skip_has_its_own_word() {
    let words: BTreeSet<_> = Skip::ALL.iter().map(|skip| skip.as_str()).collect();
    let expected = ["attempts_used", "body_too_large", "budget_exhausted", "deadline", "not_idempotent", "replay_memory"];
    assert!(words.into_iter().eq(expected));
    assert_eq!(serde_json::to_string(&Skip::Memory).unwrap(), r#""replay_memory""#);
}

proptest! {
    #[test]
    fn only_the_endpoints_doing_is_tried_again_and_only_as_the_route_asks(
        reason in prop::sample::select(Reason::ALL),
        sent: bool,
        on in prop::sample::subsequence(EVERY.to_vec(), 0..=7),
        status in 100_u16..=999,
        answer in any::<bool>(),
    ) {
        let event = if answer { answered(status) } else { failed(reason, sent) };
        if let Some(condition) = matches(&on, event) {
            prop_assert!(on.contains(&condition));
            prop_assert!(answer || reason.side() == Side::Endpoint);
        } else {
            prop_assert_eq!(on.iter().filter(|&&condition| matches(&[condition], event).is_some()).count(), 0);
        }
    }
}
