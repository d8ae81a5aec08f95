use http::{HeaderValue, Method};
use tower::ServiceExt;

use super::*;
use crate::model::{Backoff, Condition, Jitter, Policies, Reason};
use crate::pool::testing::{Failing, call, state};

fn settings() -> model::Retry {
    let (backoff, jitter) = (Backoff::Exponential, Jitter::None);
    model::Retry { max_attempts: 4, backoff, jitter, base_delay: Duration::from_millis(100), ..model::Retry::default() }
}

fn layer(settings: model::Retry) -> (RetryLayer, RouteState) {
    let state = state(Policies { retry: Some(settings.clone()), ..Policies::default() });
    (RetryLayer::new(settings, state.budget.clone().unwrap(), &state), state)
}

async fn ask(settings: model::Retry, service: &Failing, call: Box<Call>) -> (Box<Denied>, RouteState) {
    let (layer, state) = layer(settings);
    (layer.layer(service.clone()).oneshot(call).await.unwrap_err(), state)
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_after_growing_delays_until_the_attempts_are_used() {
    let service = Failing::with([(Reason::ConnectRefusedByEndpoint, false)]);
    let (denied, state) = ask(settings(), &service, call(Method::GET)).await;
    let calls = service.calls.borrow();
    let delays: Vec<_> = calls.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_millis()).collect();
    // tokio's timers are good to a millisecond.
    assert!(delays.iter().zip([100, 200, 400]).all(|(&delay, due)| (due..=due + 1).contains(&delay)), "{delays:?}");
    assert_eq!(denied.failure.reason, Reason::ConnectRefusedByEndpoint);
    assert_eq!(denied.tries, Tries { attempts: 4, skipped: Some(Skip::AttemptsUsed) });
    assert_eq!(state.tally.report().retries_total, 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_may_have_seen_is_tried_again_only_when_that_is_safe() {
    for (method, key, non_idempotent, attempts) in [
        (Method::POST, false, false, 1),
        (Method::POST, true, false, 4),
        (Method::POST, false, true, 4),
        (Method::PUT, false, false, 4),
    ] {
        let service = Failing::with([(Reason::EndpointReset, true)]);
        let mut call = call(method);
        if key {
            call.request.headers_mut().insert("idempotency-key", HeaderValue::from_static("k"));
        }
        let (denied, _) = ask(model::Retry { non_idempotent, ..settings() }, &service, call).await;
        assert_eq!(service.count(), attempts);
        let skipped = if attempts == 1 { Skip::NotIdempotent } else { Skip::AttemptsUsed };
        assert_eq!(denied.tries.skipped, Some(skipped));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_tried_again_whatever_it_is() {
    let service = Failing::with([(Reason::ConnectRefusedByEndpoint, false)]);
    ask(settings(), &service, call(Method::POST)).await;
    assert_eq!(service.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_the_route_does_not_name_is_not_tried_again() {
    for reason in
        [Reason::QueueFull, Reason::ClientAbort, Reason::RequestBodyBroken, Reason::FirstByteTimeout, Reason::TotalTimeout]
    {
        let service = Failing::with([(reason, false)]);
        let (denied, _) = ask(settings(), &service, call(Method::GET)).await;
        assert_eq!((service.count(), denied.tries.skipped), (1, None), "{reason:?}");
    }
    let service = Failing::with([(Reason::FirstByteTimeout, true)]);
    ask(model::Retry { on: vec![Condition::Timeout], ..settings() }, &service, call(Method::GET)).await;
    assert_eq!(service.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn nobody_rests_for_an_attempt_that_the_deadline_forbids() {
    let service = Failing::with([(Reason::EndpointReset, true)]);
    let mut call = call(Method::GET);
    call.end_by(Instant::now() + Duration::from_millis(250), Reason::TotalTimeout);
    let begun = Instant::now();
    let (denied, _) = ask(settings(), &service, call).await;
    assert_eq!((service.count(), denied.tries.skipped), (2, Some(Skip::Deadline)));
    assert!(begun.elapsed() < Duration::from_millis(150));
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_returns_the_last_outcome() {
    let budget = model::Budget { ratio: 0.0, min_per_second: 0 };
    let service = Failing::with([(Reason::EndpointReset, true)]);
    let (denied, _) = ask(model::Retry { budget, ..settings() }, &service, call(Method::GET)).await;
    assert_eq!((service.count(), denied.tries.skipped), (1, Some(Skip::BudgetExhausted)));
    assert_eq!(denied.failure.reason, Reason::EndpointReset);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_is_not_tried_again() {
    let service = Failing::with([(Reason::EndpointReset, true)]);
    let (layer, _) = layer(settings());
    let future = layer.layer(service.clone()).oneshot(call(Method::GET));
    assert!(tokio::time::timeout(Duration::from_millis(50), future).await.is_err());
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(service.count(), 1);
}

#[test]
fn a_wait_that_an_endpoint_asks_for_is_a_number_or_a_date() {
    let now = || SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
    for (field, expected) in [
        ("3", Some(3)),
        (" 3 ", Some(3)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(77)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(77)),
        ("Sun Nov  6 08:49:37 1994", Some(77)),
        ("Sun, 06 Nov 1994 08:48:19 GMT", Some(0)),
        ("soon", None),
        ("-3", None),
        ("", None),
    ] {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, field.parse().unwrap())]);
        assert_eq!(asked(&headers, now), expected.map(Duration::from_secs), "{field:?}");
    }
    assert_eq!(asked(&HeaderMap::new(), now), None);
}
