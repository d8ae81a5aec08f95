//! Gateways of which one leads.

use std::time::Duration;

use tidegate::autoscale::Leadership;
use tidegate::kit::clock;
use tidegate::model::Lease;
use tokio::time::{Instant, sleep};

use super::fake::{Fake, Fault};

fn lease() -> Lease {
    Lease { name: "tidegate".to_owned(), namespace: None, duration: Duration::from_secs(10), renew: Duration::from_secs(2) }
}

fn stand(fake: &Fake, name: &str) -> Leadership {
    Leadership::stand(&lease(), name, fake.cluster())
}

fn acts(leadership: &Leadership) -> bool {
    leadership.may_act(clock::now()).is_some()
}

/// Waits until one may act; says how long it took.
async fn until_acts(leadership: &Leadership) -> Duration {
    let begin = Instant::now();
    while !acts(leadership) {
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody takes over");
        sleep(Duration::from_millis(10)).await;
    }
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_of_three_leads_and_goes_on() {
    let fake = Fake::new();
    let gateways = ["a", "b", "c"].map(|name| stand(&fake, name));
    sleep(Duration::from_secs(1)).await;
    let leader = gateways.iter().position(acts).expect("somebody leads");
    for _ in 0..600 {
        sleep(Duration::from_millis(500)).await;
        let leaders: Vec<_> = (0..3).filter(|&name| acts(&gateways[name])).collect();
        assert_eq!(leaders, [leader]);
    }
    let standing = gateways[leader].standing().unwrap();
    assert!(standing.leads && standing.holder.as_deref() == Some(&standing.identity) && standing.transitions == 0);
    assert_eq!(gateways[(leader + 1) % 3].standing().unwrap().holder, Some(standing.identity));
}

#[tokio::test(start_paused = true)]
async fn another_leads_within_fifteen_seconds_of_a_crash_and_not_before_the_lease_is_over() {
    let fake = Fake::new();
    let first = stand(&fake, "a");
    until_acts(&first).await;
    let second = stand(&fake, "b");
    sleep(Duration::from_secs(7)).await;
    drop(first);
    let took = until_acts(&second).await;
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_within_a_turn() {
    let fake = Fake::new();
    let first = stand(&fake, "a");
    until_acts(&first).await;
    let second = stand(&fake, "b");
    sleep(Duration::from_secs(5)).await;
    first.release().await;
    let took = until_acts(&second).await;
    assert!(took <= Duration::from_millis(2100), "{took:?}");
    assert_eq!(second.standing().unwrap().transitions, 2 - 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_lead_gives_nothing_back() {
    let fake = Fake::new();
    let first = stand(&fake, "a");
    until_acts(&first).await;
    let second = stand(&fake, "b");
    sleep(Duration::from_secs(5)).await;
    second.release().await;
    assert!(acts(&first));
    sleep(Duration::from_secs(5)).await;
    assert!(acts(&first));
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_server_stops_before_its_lease_is_over_and_leads_again_after_it() {
    let fake = Fake::new();
    let leader = stand(&fake, "a");
    until_acts(&leader).await;
    sleep(Duration::from_secs(11)).await;
    fake.kill();
    let begin = Instant::now();
    while acts(&leader) {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(begin.elapsed() > Duration::from_secs(5) && begin.elapsed() <= Duration::from_secs(8), "{:?}", begin.elapsed());
    sleep(Duration::from_secs(60)).await;
    assert!(!acts(&leader));
    fake.restart();
    assert!(until_acts(&leader).await < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_says_which_calls_are_over_in_time() {
    let fake = Fake::new();
    let leader = stand(&fake, "a");
    until_acts(&leader).await;
    let deadline = leader.may_act(clock::now()).unwrap();
    assert!(deadline.outlasts(clock::now(), Duration::from_secs(7)));
    assert!(!deadline.outlasts(clock::now(), Duration::from_millis(8001)));
    let always = Leadership::always();
    assert!(always.may_act(clock::now()).unwrap().outlasts(clock::now(), Duration::MAX));
    assert_eq!(always.standing(), None);
    always.release().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_fits_into_the_lease_at_any_time_between_two_renewals() {
    for (secs, renew_ms) in [(10, 2000), (3, 1000), (3, 100), (300, 100_000)] {
        let fake = Fake::new();
        let lease = Lease { duration: Duration::from_secs(secs), renew: Duration::from_millis(renew_ms), ..lease() };
        let leader = Leadership::stand(&lease, "a", fake.cluster());
        until_acts(&leader).await;
        assert!(leader.call_limit() >= lease.duration / 4, "{:?}", leader.call_limit());
        for _ in 0..300 {
            sleep(lease.duration / 97).await;
            let deadline = leader.may_act(clock::now()).expect("it leads");
            assert!(deadline.outlasts(clock::now(), leader.call_limit()), "{lease:?}");
        }
    }
    assert_eq!(Leadership::always().call_limit(), Duration::MAX);
}

#[tokio::test(start_paused = true)]
async fn one_renewal_that_hangs_or_is_lost_costs_nothing() {
    let fake = Fake::new();
    let leader = stand(&fake, "a");
    until_acts(&leader).await;
    for fault in [Fault::Hang, Fault::CutAfter, Fault::Cut, Fault::Answer(409, None, "{}"), Fault::Answer(500, None, "{}")] {
        fake.fault("update", "leases", fault, 1);
        for _ in 0..100 {
            sleep(Duration::from_millis(100)).await;
            assert!(acts(&leader));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn news_of_leading_come_to_whoever_waits() {
    let fake = Fake::new();
    let mut leader = stand(&fake, "a");
    leader.changed().await;
    assert!(acts(&leader));
    fake.kill();
    leader.changed().await;
    assert!(!acts(&leader));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_started_again_is_another_one() {
    let fake = Fake::new();
    let first = stand(&fake, "a");
    until_acts(&first).await;
    let identity = first.standing().unwrap().identity;
    drop(first);
    let again = stand(&fake, "a");
    assert_ne!(again.standing().unwrap().identity, identity);
    let took = until_acts(&again).await;
    assert!(took > Duration::from_secs(8), "its earlier life may not have ended: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn these_permissions_are_enough() {
    let fake = Fake::new();
    fake.allow(&["get", "create", "update"].map(|verb| (verb, "leases")));
    let leader = stand(&fake, "a");
    until_acts(&leader).await;
    sleep(Duration::from_secs(5)).await;
    assert!(acts(&leader));
    leader.release().await;
    assert!(until_acts(&stand(&fake, "b")).await < Duration::from_secs(1));
}
