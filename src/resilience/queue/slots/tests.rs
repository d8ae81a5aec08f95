use futures_util::FutureExt;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::endpoint::{Attempt, Cause};
use crate::model::{self, Address, EndpointSpec, Weight};
use crate::resilience::breaker::{Cause as Why, Verdict};

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn set(endpoints: &[(&str, Option<u32>, &[&str])], previous: Option<&EndpointSet>) -> Arc<EndpointSet> {
    let specs = endpoints.iter().map(|(id, slots, capabilities)| EndpointSpec {
        id: id.parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: *slots,
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        zone: None,
    });
    Arc::new(EndpointSet::new(&"pool".parse().unwrap(), specs, previous, at(0)))
}

fn queue(set: &Arc<EndpointSet>, capacity: u32) -> Arc<SlotQueue> {
    let settings = Queue { capacity, timeout: Duration::from_secs(30) };
    Arc::new(SlotQueue::new(Some(&settings), set.clone()))
}

fn want(arrived: u64, required: &[&str]) -> Want {
    Want { required: required.iter().map(|&name| name.into()).collect(), priority: 0, arrived: at(arrived), strangers: Vec::new() }
}

fn take(set: &EndpointSet, id: &str) -> Attempt {
    Attempt::try_begin(set.get(&id.parse().unwrap()).unwrap(), at(0)).unwrap()
}

/// Ends an attempt as the request path does.
fn end(queue: &Arc<SlotQueue>, attempt: Attempt) {
    let endpoint = attempt.endpoint().clone();
    drop(attempt);
    queue.freed(&endpoint, at(0));
}

#[test]
fn a_freed_slot_goes_to_the_first_whom_its_endpoint_suits() {
    let set = set(&[("cpu", Some(1), &[]), ("gpu", Some(1), &["gpu"])], None);
    let queue = queue(&set, 10);
    let (cpu, gpu) = (take(&set, "cpu"), take(&set, "gpu"));
    let mut picky = queue.wait(want(1, &["gpu"]), at(1)).unwrap();
    let mut easy = queue.wait(want(2, &[]), at(2)).unwrap();
    end(&queue, cpu);
    assert!((&mut picky).now_or_never().is_none());
    assert_eq!((&mut easy).now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "cpu");
    end(&queue, gpu);
    assert_eq!(picky.now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "gpu");
}

#[test]
fn an_endpoint_that_comes_back_serves_those_who_wait() {
    let set = set(&[("a", Some(2), &[])], None);
    let endpoint = set.endpoints()[0].clone();
    let queue = queue(&set, 10);
    endpoint.state.set(Cause::Down, true);
    let mut waits: Vec<_> = (0..3).map(|n| queue.wait(want(n, &[]), at(n)).unwrap()).collect();
    endpoint.state.set(Cause::Down, false);
    queue.opened(at(5));
    let served: Vec<_> = waits.iter_mut().map(|wait| wait.now_or_never().is_some()).collect();
    assert_eq!(served, [true, true, false]);
}

#[test]
fn an_endpoint_that_appears_serves_those_who_wait() {
    let empty = set(&[], None);
    let queue = queue(&empty, 10);
    let wait = queue.wait(want(0, &[]), at(0)).unwrap();
    queue.follow(set(&[("new", None, &[])], Some(&empty)), Vec::new(), at(1));
    assert_eq!(wait.now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "new");
}

#[test]
fn a_slot_is_given_as_the_membership_has_it_when_it_is_free() {
    let first = set(&[("grows", Some(1), &[]), ("shrinks", Some(2), &["x"]), ("goes", Some(1), &["y"])], None);
    let queue = queue(&first, 10);
    let grows = take(&first, "grows");
    let shrinks = [take(&first, "shrinks"), take(&first, "shrinks")];
    let goes = take(&first, "goes");
    let second = set(&[("grows", Some(2), &[]), ("shrinks", Some(1), &["x"])], Some(&first));
    let mut waits: Vec<_> = (0..2).map(|n| queue.wait(want(n, &[]), at(n)).unwrap()).collect();
    let mut picky = ["x", "y"].map(|name| queue.wait(want(5, &[name]), at(5)).unwrap());
    queue.follow(second.clone(), Vec::new(), at(6));
    let _begun = (&mut waits[0]).now_or_never().unwrap().unwrap();
    end(&queue, grows);
    assert!((&mut waits[1]).now_or_never().is_some(), "the endpoint has two slots now");
    let [one, other] = shrinks;
    end(&queue, one);
    assert!((&mut picky[0]).now_or_never().is_none(), "the endpoint has one slot now");
    end(&queue, other);
    assert!((&mut picky[0]).now_or_never().is_some());
    end(&queue, goes);
    assert!((&mut picky[1]).now_or_never().is_none(), "the endpoint has left the pool");
}

#[test]
fn a_grant_that_nobody_came_for_goes_to_the_next_and_is_no_attempt() {
    let set = set(&[("a", Some(1), &[])], None);
    let queue = queue(&set, 10);
    let attempt = take(&set, "a");
    let gone = queue.wait(want(0, &[]), at(0)).unwrap();
    let next = queue.wait(want(1, &[]), at(1)).unwrap();
    end(&queue, attempt);
    drop(gone);
    let _running = next.now_or_never().unwrap().unwrap();
    let totals = set.endpoints()[0].vitals().totals();
    // The one that `take` began counts as aborted.
    assert_eq!((totals.attempts, totals.aborted), (2, 1));
}

#[test]
fn a_full_queue_refuses_nobody_whom_a_free_slot_suits() {
    let set = set(&[("cpu", Some(1), &[]), ("gpu", Some(1), &["gpu"])], None);
    let queue = queue(&set, 1);
    let _busy = take(&set, "gpu");
    let mut picky = queue.wait(want(0, &["gpu"]), at(0)).unwrap();
    let easy = queue.wait(want(1, &[]), at(1)).unwrap();
    assert_eq!(easy.now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "cpu");
    let urgent = queue.wait(Want { priority: 5, ..want(2, &[]) }, at(2)).unwrap();
    assert_eq!(urgent.now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "cpu");
    assert!((&mut picky).now_or_never().is_none(), "nobody had to leave for one who did not wait");
    let _busy = take(&set, "cpu");
    assert_eq!(queue.wait(want(3, &[]), at(3)).unwrap_err(), Refusal::Full);
    assert_eq!((queue.figures().waiting, queue.figures().rejected_total), (1, 1));
}

#[test]
fn one_who_returns_needs_no_free_place() {
    let gone = set(&[("gone", None, &[])], None);
    let set = set(&[("a", Some(1), &[])], None);
    let queue = queue(&set, 1);
    let attempt = take(&set, "a");
    let mut newcomer = queue.wait(want(5, &[]), at(5)).unwrap();
    let strangers = vec![gone.endpoints()[0].serial()];
    let mut returns = queue.wait(Want { strangers, ..want(0, &[]) }, at(6)).unwrap();
    end(&queue, attempt);
    assert!((&mut newcomer).now_or_never().is_none());
    assert!((&mut returns).now_or_never().is_some(), "it stands where it stood");
}

#[test]
fn a_stranger_is_passed_over_for_the_next_endpoint_and_the_next_request() {
    let set = set(&[("gone", Some(1), &[]), ("b", Some(1), &[])], None);
    let queue = queue(&set, 10);
    let strangers = vec![set.endpoints()[0].serial()];
    let busy = [take(&set, "gone"), take(&set, "b")];
    let mut first = queue.wait(Want { strangers, ..want(0, &[]) }, at(0)).unwrap();
    let mut second = queue.wait(want(1, &[]), at(1)).unwrap();
    let [gone, b] = busy;
    drop(gone);
    queue.opened(at(2));
    assert!((&mut first).now_or_never().is_none());
    assert_eq!((&mut second).now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "gone");
    end(&queue, b);
    assert_eq!((&mut first).now_or_never().unwrap().unwrap().endpoint().spec.id.as_str(), "b");
}

#[test]
fn an_unavailable_endpoint_serves_nobody() {
    let set = set(&[("a", Some(1), &[])], None);
    let queue = queue(&set, 10);
    let attempt = take(&set, "a");
    let mut wait = queue.wait(want(0, &[]), at(0)).unwrap();
    set.endpoints()[0].state.set(Cause::Draining, true);
    end(&queue, attempt);
    assert!((&mut wait).now_or_never().is_none());
}

#[test]
fn a_newcomer_is_not_served_before_those_who_wait() {
    let set = set(&[("a", Some(1), &[])], None);
    let queue = queue(&set, 10);
    let attempt = take(&set, "a");
    let mut first = queue.wait(want(0, &[]), at(0)).unwrap();
    // The slot is free, and its releaser has not come to the queue yet.
    drop(attempt);
    let mut second = queue.wait(want(1, &[]), at(1)).unwrap();
    assert!((&mut second).now_or_never().is_none());
    assert!((&mut first).now_or_never().is_some());
}

#[test]
fn a_half_open_endpoint_is_given_to_one_who_waits_at_a_time() {
    let set = set(&[("a", None, &[])], None);
    let queue = queue(&set, 10);
    let state = set.endpoints()[0].state.clone();
    let settings = model::Breaker { failure_threshold: 1, success_threshold: 2, ..model::Breaker::default() };
    let breaker = Arc::new(Breaker::new(&settings, state, Arc::default()));
    queue.follow(set, vec![breaker.clone()], at(0));
    let good = |grant: Grant, now| {
        let (attempt, pass) = grant.into_parts();
        breaker.end(pass.unwrap(), Verdict::Success, now);
        queue.freed(attempt.endpoint(), now);
    };
    let failing = breaker.admit(at(0)).unwrap();
    breaker.end(failing, Verdict::Failure(Why::Status(500)), at(0));
    let mut waits: Vec<_> = (0..5).map(|n| queue.wait(want(n, &[]), at(n)).unwrap()).collect();
    let now = at(3_600_000);
    breaker.wake(now);
    queue.opened(now);
    let mut granted = || -> Vec<Option<Grant>> { waits.iter_mut().map(|wait| wait.now_or_never().map(Result::unwrap)).collect() };
    let mut first = granted();
    assert!(first[0].is_some() && first[1..].iter().all(Option::is_none));
    // Not used after all: the next one may probe.
    drop(first.remove(0));
    queue.opened(now);
    let mut second = granted();
    assert!(second[1].is_some() && second[2..].iter().all(Option::is_none));
    good(second.remove(1).unwrap(), now);
    let mut third = granted();
    assert!(third[2].is_some() && third[3..].iter().all(Option::is_none));
    good(third.remove(2).unwrap(), now);
    assert!(granted()[3..].iter().all(Option::is_some), "closed, it is given to all");
}

#[test]
fn threads_that_take_free_and_wait_at_once_lose_no_slot() {
    for _ in 0..500 {
        let set = set(&[("a", Some(1), &[])], None);
        let queue = queue(&set, 10);
        let attempt = take(&set, "a");
        let wait = std::thread::scope(|scope| {
            scope.spawn(|| end(&queue, attempt));
            // Fills the endpoint again and frees it again, if it comes between.
            scope.spawn(|| {
                if let Some(attempt) = Attempt::try_begin(&set.endpoints()[0], at(0)) {
                    end(&queue, attempt);
                }
            });
            queue.wait(want(0, &[]), at(0)).unwrap()
        });
        assert!(wait.now_or_never().is_some(), "everybody has freed what he had, and one waits");
    }
}

proptest! {
    #[test]
    fn nobody_waits_while_an_available_endpoint_that_suits_has_a_slot(
        calls in prop::collection::vec((0_u8..6, any::<prop::sample::Index>()), 1..150), slots in 1_u32..3,
    ) {
        let set = set(&[("a", Some(slots), &[]), ("b", Some(1), &["x"]), ("c", Some(1), &["x", "y"])], None);
        let queue = queue(&set, 5);
        let wants: [&[&str]; 4] = [&[], &["x"], &["y"], &["x", "y"]];
        let (mut running, mut waits) = (Vec::new(), Vec::new());
        for (time, (call, which)) in (0_u64..).zip(calls) {
            let endpoint = &set.endpoints()[which.index(3)];
            match call {
                0..=2 => {
                    let required = wants[which.index(4)];
                    waits.extend(queue.wait(want(time, required), at(time)).map(|wait| (required, wait)));
                }
                3 if !running.is_empty() => end(&queue, Grant::into_parts(running.swap_remove(which.index(running.len()))).0),
                4 if !waits.is_empty() => drop(waits.swap_remove(which.index(waits.len()))),
                5 => {
                    let down = !endpoint.state.availability().has(Cause::Down);
                    endpoint.state.set(Cause::Down, down);
                    queue.opened(at(time));
                }
                _ => {}
            }
            let mut still = Vec::new();
            for (required, mut wait) in waits {
                match (&mut wait).now_or_never() {
                    Some(grant) => running.push(grant.unwrap()),
                    None => still.push((required, wait)),
                }
            }
            waits = still;
            for endpoint in set.endpoints() {
                let in_flight = running.iter().filter(|attempt| Arc::ptr_eq(attempt.endpoint(), endpoint)).count();
                prop_assert_eq!(endpoint.vitals().in_flight() as usize, in_flight);
                prop_assert!(in_flight <= endpoint.spec.max_connections.unwrap() as usize);
                let suited = waits.iter().any(|(required, _)| required.iter().all(|name| endpoint.spec.capabilities.contains(*name)));
                prop_assert!(!(suited && endpoint.is_eligible() && endpoint.has_slot()));
            }
        }
    }
}
