use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn model(name: &str, requests: u32, burst: u32, key: RateKey) -> RateLimit {
    RateLimit { name: name.parse().unwrap(), requests, per: SECOND, burst, key }
}

fn route(name: &str, requests: u32, burst: u32) -> RateLimit {
    model(name, requests, burst, RateKey::Route)
}

fn limits(models: &[RateLimit]) -> RateLimits {
    RateLimits::new(models, None)
}

fn at(millis: u64) -> Tick {
    Tick::from_nanos(millis * 1_000_000)
}

fn passes(limits: &RateLimits, now: Tick) -> bool {
    !limits.check(now, |_| None).unwrap().is_refused()
}

fn allowed(decision: Decision) -> bool {
    matches!(decision, Decision::Allowed { .. })
}

#[test]
fn each_key_has_its_own_burst_and_those_without_share_one() {
    let limit = RateLimiter::new(&model("clients", 1, 2, RateKey::ClientAddress));
    for key in [Some(1), Some(2), None] {
        let passed: Vec<_> = (0..3).map(|_| allowed(limit.check(key, at(0)))).collect();
        assert_eq!(passed, [true, true, false], "{key:?}");
    }
    assert_eq!(limit.keys(), 2);
}

#[test]
fn when_there_is_no_room_new_keys_share_one_bucket_and_nobody_passes_free() {
    let limit = RateLimiter::bounded(&model("clients", 1, 3, RateKey::ClientAddress), 10);
    assert!((0..10).all(|key| allowed(limit.check(Some(key), at(0)))));
    let newcomers = (10..1000).filter(|key| allowed(limit.check(Some(*key), at(1)))).count();
    assert_eq!((newcomers, limit.keys()), (3, 10), "the newcomers have one burst together");
    assert!((0..10).all(|key| allowed(limit.check(Some(key), at(1)))), "who was there keeps a bucket");
}

#[test]
fn keys_whose_buckets_are_full_again_make_room_and_others_stay() {
    let limit = RateLimiter::bounded(&model("clients", 1, 3, RateKey::ClientAddress), 10);
    for key in 0..10 {
        limit.check(Some(key), at(0));
    }
    // The last one uses more, and is full again after 3 s instead of 1.
    limit.check(Some(9), at(0));
    limit.check(Some(9), at(0));
    assert!(allowed(limit.check(Some(100), at(1500))));
    assert_eq!(limit.keys(), 2);
    assert!(allowed(limit.check(Some(9), at(1500))) && !allowed(limit.check(Some(9), at(1500))), "what it used is not forgotten");
}

#[test]
fn a_flood_of_keys_is_swept_once_a_second() {
    let limit = RateLimiter::bounded(&model("clients", 100, 1, RateKey::ClientAddress), 2);
    for key in 0..3 {
        limit.check(Some(key), at(0));
    }
    // The first sweep found nothing; both keys would be thrown away now, but the next sweep is not due.
    limit.check(Some(3), at(500));
    assert_eq!(limit.keys(), 2);
    limit.check(Some(4), at(1000));
    assert_eq!(limit.keys(), 1);
}

#[test]
fn the_most_restrictive_limit_is_told() {
    let both = limits(&[route("minute", 60, 60), route("second", 5, 5)]);
    let standing = both.check(at(0), |_| None).unwrap();
    assert_eq!((standing.limit, standing.decision), (1, Decision::Allowed { remaining: 4, reset: SECOND / 5 }));
    for _ in 0..4 {
        both.check(at(0), |_| None);
    }
    let standing = both.check(at(0), |_| None).unwrap();
    assert_eq!((standing.limit, standing.decision), (1, Decision::Refused { retry_after: SECOND / 5, reset: SECOND }));
    assert_eq!(limits(&[]).check(at(0), |_| None), None);
}

#[test]
fn of_several_that_refuse_the_longest_is_told() {
    let both = limits(&[route("fast", 10, 1), route("slow", 1, 1)]);
    assert!(passes(&both, at(0)));
    let standing = both.check(at(0), |_| None).unwrap();
    assert_eq!((standing.limit, standing.decision), (1, Decision::Refused { retry_after: SECOND, reset: SECOND }));
}

#[test]
fn a_refused_request_takes_nothing_from_the_other_limits() {
    let both = limits(&[route("wide", 10, 10), route("narrow", 1, 1)]);
    assert!(passes(&both, at(0)));
    for _ in 0..50 {
        assert!(!passes(&both, at(0)));
    }
    let [wide, _] = both.limits() else { panic!("two limits") };
    assert_eq!((0..20).filter(|_| allowed(wide.check(None, at(0)))).count(), 9);
}

#[test]
fn workers_together_get_the_narrower_burst_and_leave_the_rest_of_the_wider() {
    let both = limits(&[route("wide", 1, 500), route("narrow", 1, 100)]);
    let passed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    passed.fetch_add(u32::from(passes(&both, at(0))), Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
    let [wide, _] = both.limits() else { panic!("two limits") };
    assert_eq!((0..1000).filter(|_| allowed(wide.check(None, at(0)))).count(), 400);
}

#[test]
fn a_limit_that_refuses_late_gives_back_what_was_taken() {
    // The second asks twice for one key of a burst of 1: what the first look found is gone at the second take.
    let clients = |name| model(name, 1, 1, RateKey::ClientAddress);
    let wide = RateLimiter::new(&route("wide", 1, 10));
    let narrow = RateLimiter::new(&clients("narrow"));
    let all = RateLimits { limits: [wide.clone(), narrow.clone(), narrow.clone()].into() };
    let standing = all.check(at(0), |key| (*key == RateKey::ClientAddress).then_some(7)).unwrap();
    assert_eq!(standing.limit, 2);
    assert!(standing.is_refused());
    assert_eq!((0..20).filter(|_| allowed(wide.check(None, at(0)))).count(), 10);
    assert!(allowed(narrow.check(Some(7), at(0))));
}

#[test]
fn other_figures_keep_what_was_used_and_another_key_begins_anew() {
    let old = limits(&[route("a", 10, 10), model("b", 10, 10, RateKey::ClientAddress)]);
    for _ in 0..6 {
        old.check(at(0), |_| Some(1));
    }
    let new = RateLimits::new(&[model("b", 10, 10, RateKey::Route), route("a", 100, 8)], Some(&old));
    assert_eq!(old.check(at(0), |_| Some(1)).unwrap().decision, Decision::Allowed { remaining: 3, reset: SECOND * 7 / 10 });
    new.configure(&old, at(0));
    let left = |limit: &RateLimiter| (0..20).filter(|_| allowed(limit.check(Some(1), at(0)))).count();
    let [b, a] = new.limits() else { panic!("two limits") };
    assert_eq!((left(a), left(b)), (1, 10));
}

fn counted(limit: &RateLimiter) -> (u64, u64, u64, usize) {
    let Report { allowed_total, refused_total, overflow_total, keys, .. } = limit.report();
    (allowed_total, refused_total, overflow_total, keys)
}

#[test]
fn a_limit_counts_what_it_allowed_what_it_refused_and_who_shared() {
    let limit = RateLimiter::bounded(&model("clients", 1, 1, RateKey::ClientAddress), 2);
    for key in [1, 1, 2, 3, 4, 3] {
        limit.check(Some(key), at(0));
    }
    // Keys 1 and 2 have a bucket; 3 and 4 share one that lets the first of them through.
    assert_eq!(counted(&limit), (3, 3, 3, 2));
    assert_eq!((limit.report().name.as_str(), limit.report().max_keys), ("clients", 2));
}

#[test]
fn each_of_several_limits_counts_what_all_let_through_and_what_it_refused_itself() {
    let both = limits(&[route("wide", 3, 3), route("narrow", 2, 2)]);
    for _ in 0..5 {
        both.check(at(0), |_| None);
    }
    let [wide, narrow] = both.limits() else { panic!("two limits") };
    assert_eq!((counted(wide), counted(narrow)), ((2, 0, 0, 0), (2, 3, 0, 0)));
    wide.check(None, at(0));
    both.check(at(0), |_| None);
    assert_eq!((counted(wide), counted(narrow)), ((3, 1, 0, 0), (2, 4, 0, 0)), "both refuse");
}

#[test]
fn what_is_given_back_is_not_counted_as_allowed() {
    let clients = |name| model(name, 1, 1, RateKey::ClientAddress);
    let (wide, narrow) = (RateLimiter::new(&route("wide", 1, 10)), RateLimiter::new(&clients("narrow")));
    let all = RateLimits { limits: [wide.clone(), narrow.clone(), narrow.clone()].into() };
    all.check(at(0), |key| (*key == RateKey::ClientAddress).then_some(7));
    assert_eq!((counted(&wide), counted(&narrow)), ((0, 0, 0, 0), (0, 1, 0, 1)));
}

#[test]
fn counts_go_on_with_other_figures() {
    let old = limits(&[route("a", 1, 1)]);
    for _ in 0..2 {
        old.check(at(0), |_| None);
    }
    let new = RateLimits::new(&[route("a", 100, 8)], Some(&old));
    assert_eq!(counted(&new.limits()[0]), (1, 1, 0, 0));
}

proptest! {
    #[test]
    fn several_limits_let_pass_what_each_of_them_would_and_a_refusal_leaves_no_trace(
        figures in prop::collection::vec((1_u32..20, 1_u32..10), 1..4),
        asks in prop::collection::vec((0_u64..300, 0_u64..3), 1..200),
    ) {
        let models: Vec<_> = figures
            .iter()
            .enumerate()
            .map(|(n, (requests, burst))| model(&format!("l{n}"), *requests, *burst, if n == 0 { RateKey::Route } else { RateKey::ClientAddress }))
            .collect();
        let real = limits(&models);
        // The reference: every limit alone, asked only for what all of them let through.
        let reference: Vec<_> = models.iter().map(RateLimiter::new).collect();
        let mut now = 0;
        for (gap, client) in asks {
            now += gap;
            let key = |key: &RateKey| (*key == RateKey::ClientAddress).then_some(client);
            let expected = reference.iter().all(|limit| allowed(limit.look(key(&limit.key), at(now))));
            let standing = real.check(at(now), key).unwrap();
            prop_assert_eq!(!standing.is_refused(), expected);
            if expected {
                let decisions = reference.iter().map(|limit| limit.check(key(&limit.key), at(now)));
                prop_assert_eq!(Some(standing), worst(decisions));
            }
            for (limit, alone) in real.limits.iter().zip(&reference) {
                let key = key(&limit.key);
                prop_assert!(limit.look(key, at(now)) == alone.look(key, at(now)));
            }
        }
    }
}
