use std::time::Duration;

use proptest::prelude::{prop, prop_assert, proptest};

use super::*;

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn budget(ratio: f64, min_per_second: u32) -> Budget {
    Budget::new(&model::Budget { ratio, min_per_second })
}

/// Spends until refused, at most 10,000 times.
fn drain(budget: &Budget, now: Tick) -> usize {
    (0..10_000).take_while(|_| budget.spend(now)).count()
}

#[test]
fn the_requests_of_ten_seconds_pay_for_their_share() {
    for (ratio, min_per_second, requests, granted) in
        [(0.2, 0, 100, 20), (0.2, 0, 4, 0), (0.2, 0, 5, 1), (0.0, 10, 1000, 100), (0.2, 10, 100, 120), (f64::NAN, 0, 100, 0)]
    {
        let budget = budget(ratio, min_per_second);
        (0..requests).for_each(|n| budget.note_request(at(n * 9)));
        assert_eq!(drain(&budget, at(9_500)), granted, "{ratio} {min_per_second} {requests}");
    }
}

#[test]
fn what_is_old_pays_no_more_and_what_was_spent_comes_back() {
    let budget = budget(0.5, 1);
    (0..100).for_each(|_| budget.note_request(at(0)));
    assert_eq!(drain(&budget, at(9_999)), 60);
    assert_eq!(drain(&budget, at(19_999)), 0, "the spent ones count for ten seconds at least");
    assert_eq!(drain(&budget, at(21_000)), 10);
}

#[test]
fn other_settings_keep_the_counts() {
    let budget = budget(0.0, 1);
    assert_eq!(drain(&budget, at(0)), 10);
    budget.configure(&model::Budget { ratio: 0.0, min_per_second: 2 });
    assert_eq!(drain(&budget, at(0)), 10);
}

#[test]
fn the_report_tells_both_sides() {
    let budget = budget(0.2, 0);
    (0..10).for_each(|_| budget.note_request(at(0)));
    drain(&budget, at(1000));
    let report = Report { requests: 10, spent: 2, allowance: 2, spent_total: 2, refused_total: 1 };
    assert_eq!(budget.report(at(1000)), report);
    let later = Report { requests: 0, spent: 0, allowance: 0, ..report };
    assert_eq!(budget.report(at(100_000)), later);
}

#[test]
fn threads_that_race_never_spend_more_than_there_is() {
    for round in 0..20 {
        let budget = budget(0.1, 3);
        (0..1000).for_each(|_| budget.note_request(at(9_000)));
        let granted: usize = std::thread::scope(|scope| {
            let spend = |thread: u64| (0..500).filter(|n| budget.spend(at(9_900 + (n * 7 + thread) % 200))).count();
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || spend(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((1..=130).contains(&granted), "round {round}: {granted}");
        assert_eq!(budget.report(at(10_000)).spent, granted as u64);
    }
}

#[test]
fn no_request_is_lost_when_threads_race() {
    let budget = budget(0.2, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|n| budget.note_request(at(n))));
        }
    });
    assert_eq!(budget.report(at(9_999)).requests, 40_000);
}

proptest! {
    #[test]
    fn any_ten_seconds_that_end_with_a_retry_have_paid_for_it(
        steps in prop::collection::vec((0_u64..900, 0_u32..6, 0_u32..6), 1..120),
        ratio in 0.0_f64..1.0,
        min_per_second in 0_u32..3,
    ) {
        let budget = budget(ratio, min_per_second);
        let (mut now, mut requests, mut retries) = (at(0), Vec::new(), Vec::new());
        for (pause, arrive, fail) in steps {
            now = now + Duration::from_millis(pause);
            for _ in 0..arrive {
                budget.note_request(now);
                requests.push(now);
            }
            for _ in 0..fail {
                let recent = |ticks: &[Tick]| ticks.iter().filter(|&&then| now.since(then) < Duration::from_secs(10)).count();
                if budget.spend(now) {
                    retries.push(now);
                    let paid = ratio * recent(&requests) as f64 + 10.0 * f64::from(min_per_second);
                    prop_assert!(recent(&retries) as f64 <= paid);
                }
            }
        }
    }

    #[test]
    fn half_of_what_nine_seconds_pay_for_is_always_granted(start in 0_u64..100_000, requests in 20_u64..500) {
        let budget = budget(0.2, 0);
        (0..requests).for_each(|n| budget.note_request(at(start + n * 9_000 / requests)));
        prop_assert!(drain(&budget, at(start + 9_000)) as u64 >= requests / 10);
    }
}
