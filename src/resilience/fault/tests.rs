use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn fault(wish: Wish) -> Fault {
    Fault::new(&wish).unwrap()
}

fn always() -> Fault {
    fault(Wish { share: 1.0, abort: Some(503), ..Wish::default() })
}

#[test]
fn what_makes_no_sense_is_refused() {
    let delay = Some(Duration::from_secs(1));
    let good = Wish { share: 0.5, delay, ..Wish::default() };
    assert!(Fault::new(&good).is_ok());
    for (wish, why) in [
        (Wish { share: 0.0, ..good }, InvalidFault::Share(0.0)),
        (Wish { share: 1.01, ..good }, InvalidFault::Share(1.01)),
        (Wish { share: -0.5, ..good }, InvalidFault::Share(-0.5)),
        (Wish { delay: Some(Duration::from_secs(3601)), ..good }, InvalidFault::Delay),
        (Wish { abort: Some(200), ..good }, InvalidFault::Abort(200)),
        (Wish { abort: Some(600), ..good }, InvalidFault::Abort(600)),
        (Wish { abort: Some(7), ..good }, InvalidFault::Abort(7)),
        (Wish { abort: Some(503), reset: true, ..good }, InvalidFault::TwoEnds),
        (Wish { slow_body: Some(0), ..good }, InvalidFault::SlowBody),
        (Wish { slow_body: Some(9), abort: Some(503), ..good }, InvalidFault::NoBody),
        (Wish { slow_body: Some(9), reset: true, ..good }, InvalidFault::NoBody),
        (Wish { delay: None, ..good }, InvalidFault::Nothing),
    ] {
        assert_eq!(Fault::new(&wish), Err(why), "{wish:?}");
    }
    assert!(matches!(Fault::new(&Wish { share: f64::NAN, ..good }), Err(InvalidFault::Share(_))));
    assert_eq!(InvalidFault::Abort(200).to_string(), "abort 200 is not a status from 400 to 599");
}

#[test]
fn a_fault_ends_by_itself() {
    let (switch, mut rng) = (Switch::default(), Rng::with_seed(1));
    assert_eq!(switch.draw(at(0), &mut rng), None);
    switch.set(always(), at(1000));
    assert!(switch.draw(at(999), &mut rng).is_some());
    assert_eq!(switch.draw(at(1000), &mut rng), None);
    assert!(!switch.is_on.load(Relaxed), "the fast path has it back");
    assert_eq!(switch.injected_total(), 1);
}

#[test]
fn a_fault_can_be_replaced_and_switched_off() {
    let (switch, mut rng) = (Switch::default(), Rng::with_seed(1));
    switch.set(always(), at(1000));
    switch.set(fault(Wish { share: 1.0, reset: true, ..Wish::default() }), at(2000));
    assert_eq!(switch.draw(at(1500), &mut rng).map(|injection| injection.end), Some(End::Reset));
    switch.clear();
    assert_eq!(switch.draw(at(1500), &mut rng), None);
    assert_eq!(switch.active(at(1500)), None);
    switch.set(always(), at(3000));
    assert!(switch.draw(at(1500), &mut rng).is_some());
}

#[test]
fn the_admin_api_sees_what_is_on_and_how_long() {
    let switch = Switch::default();
    let delay = Some(Duration::from_millis(250));
    switch.set(fault(Wish { share: 0.25, delay, abort: Some(429), ..Wish::default() }), at(90_000));
    let shown = serde_json::to_value(switch.active(at(60_000))).unwrap();
    let expected = serde_json::json!({
        "share": 0.25, "delay_seconds": 0.25, "abort": 429, "reset": false, "bytes_per_sec": null, "remaining_seconds": 30.0,
    });
    assert_eq!(shown, expected);
    assert_eq!(switch.active(at(90_000)), None);
}

#[test]
fn an_injection_carries_all_that_was_asked_for() {
    let (switch, mut rng) = (Switch::default(), Rng::with_seed(1));
    let delay = Some(Duration::from_secs(2));
    switch.set(fault(Wish { share: 1.0, delay, slow_body: Some(64), ..Wish::default() }), at(1));
    assert_eq!(switch.draw(at(0), &mut rng), Some(Injection { delay, end: End::None, bytes_per_sec: Some(64) }));
}

proptest! {
    #[test]
    fn the_share_of_requests_gets_it(share in 0.01_f64..=1.0, seed: u64) {
        let (switch, mut rng) = (Switch::default(), Rng::with_seed(seed));
        switch.set(fault(Wish { share, reset: true, ..Wish::default() }), at(1));
        let hits = (0..4000).filter(|_| switch.draw(at(0), &mut rng).is_some()).count();
        // Six standard deviations of the binomial distribution.
        let bound = 6.0 * (4000.0 * share * (1.0 - share)).sqrt() + 1e-9;
        prop_assert!((hits as f64 - 4000.0 * share).abs() <= bound, "{hits} of 4000 at {share}");
        prop_assert_eq!(switch.injected_total(), hits as u64);
    }

    #[test]
    fn a_checked_fault_is_one_that_can_be_injected(
        share in any::<f64>(),
        delay in prop::option::of((0_u64..10_000).prop_map(Duration::from_secs)),
        abort in prop::option::of(any::<u16>()),
        reset: bool,
        slow_body in prop::option::of(0_u64..3),
    ) {
        if let Ok(Fault { share, injection }) = Fault::new(&Wish { share, delay, abort, reset, slow_body }) {
            prop_assert!(share > 0.0 && share <= 1.0);
            prop_assert!(injection.delay.is_some() || injection.end != End::None || injection.bytes_per_sec.is_some());
            prop_assert!(injection.bytes_per_sec != Some(0) && injection.delay.is_none_or(|delay| delay <= MAX_DELAY));
        }
    }
}
