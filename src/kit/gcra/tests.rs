use std::sync::atomic::AtomicU32;

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

fn allowed(decision: Decision) -> bool {
    matches!(decision, Decision::Allowed { .. })
}

#[test]
fn a_burst_passes_at_once_and_then_one_in_each_interval() {
    let (limit, rate) = (Gcra::default(), Rate::new(10, Duration::from_secs(1), 3));
    let start = at(5 * SECOND);
    let step = Duration::from_millis(100);
    for taken in 1..=3 {
        assert_eq!(limit.take(start, rate), Decision::Allowed { remaining: 3 - taken, reset: step * taken });
    }
    let table = [(0, 100), (40, 60), (99, 1)];
    for (after, wait) in table {
        let refused = Decision::Refused { retry_after: Duration::from_millis(wait), reset: Duration::from_millis(300 - after) };
        assert_eq!(limit.take(start + Duration::from_millis(after), rate), refused, "after {after} ms");
    }
    assert_eq!(limit.take(start + step, rate), Decision::Allowed { remaining: 0, reset: step * 3 });
    assert!(!limit.is_full(start + Duration::from_millis(399)) && limit.is_full(start + step * 4));
    assert_eq!(limit.take(start + step * 20, rate), Decision::Allowed { remaining: 2, reset: step });
}

#[test]
fn a_look_takes_nothing_and_says_what_a_take_says() {
    let (limit, rate) = (Gcra::default(), Rate::new(1, Duration::from_secs(1), 2));
    for _ in 0..4 {
        assert_eq!(limit.look(at(7), rate), limit.look(at(7), rate));
        assert_eq!(limit.look(at(7), rate), limit.take(at(7), rate));
    }
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let (limit, rate) = (Gcra::default(), Rate::new(1, Duration::from_secs(1), 2));
    let now = at(SECOND);
    let Decision::Allowed { reset, .. } = limit.take(now, rate) else { panic!("a full bucket lets one pass") };
    limit.take(now, rate);
    limit.give_back(now + reset, rate);
    assert!(allowed(limit.take(now, rate)) && !allowed(limit.take(now, rate)));
}

#[test]
fn what_time_has_paid_for_is_not_given_back() {
    let (limit, rate) = (Gcra::default(), Rate::new(1, Duration::from_secs(1), 1));
    let Decision::Allowed { reset, .. } = limit.take(at(SECOND), rate) else { panic!("a full bucket lets one pass") };
    let late = at(4 * SECOND + 17);
    assert!(allowed(limit.take(late, rate)));
    limit.give_back(at(SECOND) + reset, rate);
    assert!(!allowed(limit.take(late, rate)), "two passed at once");
}

#[test]
fn a_change_of_rate_keeps_what_was_used() {
    let second = Duration::from_secs(1);
    // From a rate to another, used, and what then passes at once.
    let table = [
        (Rate::new(10, second, 10), Rate::new(10, second, 20), 10, 10),
        (Rate::new(10, second, 10), Rate::new(1000, second, 10), 4, 6),
        (Rate::new(1, second, 1000), Rate::new(1, second, 5), 900, 0),
        (Rate::new(7, second, 4), Rate::new(1, second * 60, 4), 0, 4),
    ];
    for (from, to, used, left) in table {
        let (limit, now) = (Gcra::default(), at(99 * SECOND));
        for _ in 0..used {
            assert!(allowed(limit.take(now, from)));
        }
        limit.convert(now, from, to);
        assert_eq!((0..100).take_while(|_| allowed(limit.take(now, to))).count(), left, "{from:?} to {to:?}");
    }
    let (limit, now) = (Gcra::default(), at(SECOND));
    let from = Rate::new(1, second, 1000);
    for _ in 0..900 {
        limit.take(now, from);
    }
    limit.convert(now, from, Rate::new(1, second, 5));
    assert!(limit.is_full(now + second * 5), "a used bucket is full again after its own burst");
}

#[test]
fn extreme_settings_neither_panic_nor_let_more_pass() {
    for rate in [
        Rate::new(0, Duration::ZERO, 0),
        Rate::new(u32::MAX, Duration::from_nanos(1), u32::MAX),
        Rate::new(1, Duration::MAX, u32::MAX),
        Rate::new(1, Duration::MAX, 1),
    ] {
        for now in [0, 1, u64::MAX / 2, u64::MAX] {
            let limit = Gcra::default();
            limit.take(at(now), rate);
            limit.convert(at(now), rate, Rate::new(1, Duration::MAX, u32::MAX));
            limit.give_back(at(u64::MAX), rate);
            limit.look(at(0), rate);
        }
    }
    let limit = Gcra::default();
    let rate = Rate::new(1, Duration::MAX, 1);
    assert!(allowed(limit.take(at(0), rate)) && !allowed(limit.take(at(DEEPEST - 1), rate)));
}

#[test]
fn threads_together_get_one_burst() {
    let (limit, rate, passed) = (Gcra::default(), Rate::new(1, Duration::from_secs(60), 1000), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    passed.fetch_add(u32::from(allowed(limit.take(at(SECOND), rate))), Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 1000);
}

proptest! {
    #[test]
    fn in_any_window_no_more_than_burst_and_rate_pass_and_none_is_refused_without_cause(
        requests in 1_u32..50, per_ms in 1_u64..5000, burst in 1_u32..20,
        gaps in prop::collection::vec(0_u64..400_000_000, 1..300),
    ) {
        let per = Duration::from_millis(per_ms);
        let (limit, rate) = (Gcra::default(), Rate::new(requests, per, burst));
        let (mut now, mut passed) = (0_u64, Vec::new());
        for gap in gaps {
            now += gap;
            match limit.take(at(now), rate) {
                Decision::Allowed { .. } => passed.push(now),
                Decision::Refused { retry_after, .. } => {
                    // Not a nanosecond earlier, and not later.
                    let due = at(now) + retry_after;
                    prop_assert!(allowed(limit.look(due, rate)));
                    prop_assert!(!allowed(limit.look(at(due.as_nanos() - 1), rate)));
                }
            }
        }
        for (first, start) in passed.iter().enumerate() {
            for (last, end) in passed.iter().enumerate().skip(first) {
                let (count, time) = ((last - first + 1) as u128, u128::from(end - start));
                let most = u128::from(burst) + time * u128::from(requests) / per.as_nanos();
                prop_assert!(count <= most, "{} in {} ns", count, time);
            }
        }
    }

    #[test]
    fn remaining_is_what_passes_at_once(burst in 1_u32..30, used in 0_u32..40, gap in 0_u64..SECOND) {
        let (limit, rate) = (Gcra::default(), Rate::new(3, Duration::from_secs(1), burst));
        for _ in 0..used {
            limit.take(at(SECOND), rate);
        }
        let now = at(SECOND + gap);
        if let Decision::Allowed { remaining, reset } = limit.take(now, rate) {
            prop_assert!(limit.is_full(now + reset));
            let passed = (0..100).take_while(|_| allowed(limit.take(now, rate))).count();
            prop_assert_eq!(passed, remaining as usize);
        }
    }
}
