use proptest::prelude::{prop, prop_assert, proptest};

use super::*;

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn hedging(quantile: f64) -> Hedging {
    Hedging::new(&Hedge { after: HedgeDelay::Quantile(quantile), max_extra: 0.05 })
}

fn is_near(delay: Option<Duration>, expected: Duration) -> bool {
    delay.is_some_and(|delay| (delay.as_secs_f64() / expected.as_secs_f64() - 1.0).abs() <= 0.05)
}

#[test]
fn a_fixed_delay_needs_no_samples() {
    let hedging = Hedging::new(&Hedge { after: HedgeDelay::Fixed(ms(30)), max_extra: 0.05 });
    assert_eq!(hedging.delay(at(0)), Some(ms(30)));
    let endless = Hedging::new(&Hedge { after: HedgeDelay::Fixed(Duration::MAX), max_extra: 0.05 });
    assert!(endless.delay(at(0)).is_some_and(|delay| delay > Duration::from_secs(1_000_000_000)));
}

#[test]
fn nothing_is_hedged_until_a_hundred_times_are_measured() {
    let hedging = hedging(0.95);
    (1..100).for_each(|n| hedging.record(ms(n), at(0)));
    assert_eq!(hedging.delay(at(0)), None);
    hedging.record(ms(100), at(0));
    assert_eq!(hedging.delay(at(99)), None, "the last look is good for 100 ms");
    assert!(is_near(hedging.delay(at(100)), ms(95)), "{:?}", hedging.delay(at(100)));
    assert_eq!(hedging.report(at(100)).samples, 100);
}

#[test]
fn the_quantile_is_of_the_last_minute() {
    let hedging = hedging(0.95);
    (0..1000).for_each(|_| hedging.record(ms(900), at(29_999)));
    (0..1000).for_each(|_| hedging.record(ms(10), at(30_000)));
    assert!(is_near(hedging.delay(at(59_999)), ms(900)));
    assert!(is_near(hedging.delay(at(60_099)), ms(10)), "the first half is over");
    (0..1000).for_each(|_| hedging.record(ms(50), at(60_100)));
    assert_eq!(hedging.report(at(60_100)).samples, 2000, "the new half took the place of the first");
    assert_eq!(hedging.delay(at(200_000)), None);
}

#[test]
fn other_settings_keep_what_was_measured() {
    let hedging = hedging(0.5);
    (1..=1000).for_each(|n| hedging.record(ms(n), at(0)));
    assert!(is_near(hedging.delay(at(0)), ms(500)));
    hedging.configure(&Hedge { after: HedgeDelay::Fixed(ms(7)), max_extra: 0.05 });
    assert_eq!(hedging.delay(at(0)), Some(ms(7)));
    hedging.configure(&Hedge { after: HedgeDelay::Quantile(0.99), max_extra: 0.05 });
    assert!(is_near(hedging.delay(at(0)), ms(990)));
}

#[test]
fn extra_attempts_are_paid_by_requests_alone() {
    let hedging = hedging(0.95);
    assert!(!hedging.spend(at(0)));
    (0..100).for_each(|_| hedging.note_request(at(0)));
    assert_eq!((0..100).filter(|_| hedging.spend(at(1))).count(), 5);
    hedging.configure(&Hedge { after: HedgeDelay::Quantile(0.95), max_extra: 0.1 });
    assert_eq!((0..100).filter(|_| hedging.spend(at(1))).count(), 5);
    assert_eq!(hedging.report(at(1)).budget.spent, 10);
}

#[test]
fn buckets_have_no_gaps() {
    let middles: Vec<_> = (0..BUCKETS).map(middle).collect();
    assert!(middles.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(middles.iter().enumerate().all(|(at, &nanos)| index(Duration::from_nanos(nanos)) == at));
    assert_eq!(index(Duration::MAX), BUCKETS - 1);
    assert_eq!(index(Duration::ZERO), 0);
}

#[test]
fn threads_that_race_lose_no_sample_within_a_half() {
    let hedging = hedging(0.95);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|n| hedging.record(ms(n % 50), at(n))));
        }
    });
    assert_eq!(hedging.report(at(10_000)).samples, 40_000);
}

proptest! {
    #[test]
    fn the_quantile_is_within_a_twentieth_of_the_truth(
        nanos in prop::collection::vec((2_u64..4_000_000_000, 0_u32..20), 100..400),
        quantile in 0.5_f64..0.999,
    ) {
        let hedging = hedging(quantile);
        let mut times: Vec<_> = nanos.iter().map(|&(nanos, shift)| (nanos >> shift).max(1_100)).collect();
        times.iter().for_each(|&nanos| hedging.record(Duration::from_nanos(nanos), at(5)));
        times.sort_unstable();
        let rank = (times.len() as f64 * quantile).ceil() as usize;
        let truth = Duration::from_nanos(times[rank.clamp(1, times.len()) - 1]);
        prop_assert!(is_near(hedging.delay(at(5)), truth), "{:?} is not {truth:?}", hedging.delay(at(5)));
    }
}
