use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::health::testing::health;

use Finding::{Bad, Degraded as Slow, Ok as Good};
use Standing::{Degraded, Healthy, Unhealthy};

fn at(secs: usize) -> Tick {
    Tick::from_nanos(secs as u64 * 1_000_000_000)
}

fn checked(finding: Finding) -> Checked {
    Checked::new(finding, "m", Duration::from_millis(1))
}

fn verdict(first: First) -> Verdict {
    Verdict::new(&health(), first, at(0))
}

/// Feeds results, one a second from 1 s on, and returns the standing after each.
fn feed(verdict: &mut Verdict, findings: &[Finding]) -> Vec<Standing> {
    let mut before = verdict.standing();
    findings
        .iter()
        .enumerate()
        .map(|(n, &finding)| {
            let change = verdict.on_result(checked(finding), at(n + 1));
            let now = verdict.standing();
            assert_eq!(change, (before != now).then_some(Change { from: before, to: now }));
            before = now;
            now
        })
        .collect()
}

#[test]
fn standings_follow_the_table() {
    use First::{AfterGoodCheck, UseAtOnce};
    let table: &[(First, &[Finding], &[Standing])] = &[
        (UseAtOnce, &[Bad, Bad, Bad, Bad], &[Healthy, Healthy, Unhealthy, Unhealthy]),
        (UseAtOnce, &[Bad, Bad, Good, Bad, Bad], &[Healthy; 5]),
        (UseAtOnce, &[Bad, Bad, Bad, Good, Good], &[Healthy, Healthy, Unhealthy, Unhealthy, Healthy]),
        (
            UseAtOnce,
            &[Bad, Bad, Bad, Good, Bad, Good, Good],
            &[Healthy, Healthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Healthy],
        ),
        (UseAtOnce, &[Slow, Good, Good], &[Degraded, Degraded, Healthy]),
        (
            UseAtOnce,
            &[Slow, Good, Slow, Good, Bad, Good, Good],
            &[Degraded, Degraded, Degraded, Degraded, Degraded, Degraded, Healthy],
        ),
        (UseAtOnce, &[Slow, Bad, Bad, Bad], &[Degraded, Degraded, Degraded, Unhealthy]),
        (UseAtOnce, &[Bad, Bad, Bad, Good, Slow], &[Healthy, Healthy, Unhealthy, Unhealthy, Degraded]),
        (UseAtOnce, &[Bad, Bad, Bad, Slow, Good], &[Healthy, Healthy, Unhealthy, Unhealthy, Healthy]),
        (AfterGoodCheck, &[Good], &[Healthy]),
        (AfterGoodCheck, &[Slow], &[Degraded]),
        (AfterGoodCheck, &[Bad, Bad, Bad, Good], &[Unhealthy, Unhealthy, Unhealthy, Healthy]),
        // Once it has been up, it is as any other.
        (AfterGoodCheck, &[Good, Bad, Bad, Bad, Good, Good], &[Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Healthy]),
    ];
    for (first, findings, expected) in table {
        assert_eq!(feed(&mut verdict(*first), findings), *expected, "{first:?} {findings:?}");
    }
}

#[test]
fn since_is_when_the_standing_changed() {
    let mut verdict = verdict(First::UseAtOnce);
    feed(&mut verdict, &[Good, Bad, Bad, Bad, Bad]);
    assert_eq!((verdict.since(), verdict.in_a_row()), (at(4), 4));
}

#[test]
fn a_standing_is_an_assumption_before_the_first_check() {
    let mut verdict = verdict(First::UseAtOnce);
    assert!(!verdict.is_known());
    feed(&mut verdict, &[Bad]);
    assert!(verdict.is_known());
}

#[test]
fn other_thresholds_count_from_the_next_result() {
    let mut verdict = verdict(First::UseAtOnce);
    feed(&mut verdict, &[Bad, Bad]);
    verdict.configure(&Health { unhealthy_threshold: 2, ..health() });
    assert_eq!(verdict.standing(), Healthy);
    assert_eq!(feed(&mut verdict, &[Bad]), [Unhealthy]);
}

#[test]
fn a_threshold_of_nothing_counts_as_one() {
    let health = Health { unhealthy_threshold: 0, healthy_threshold: 0, ..health() };
    let mut verdict = Verdict::new(&health, First::UseAtOnce, at(0));
    assert_eq!(feed(&mut verdict, &[Good, Bad, Good]), [Healthy, Unhealthy, Healthy]);
}

#[test]
fn the_last_hundred_results_are_kept_the_latest_first() {
    let mut verdict = verdict(First::UseAtOnce);
    for n in 0..250 {
        verdict.on_result(checked(Good), at(n));
    }
    let times: Vec<_> = verdict.history().map(|entry| entry.at).collect();
    assert_eq!(times, (150..250).rev().map(at).collect::<Vec<_>>());
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let checked = Checked::new(Bad, "ä".repeat(500), Duration::ZERO);
    assert_eq!(&*checked.message, "ä".repeat(MAX_MESSAGE / 2));
}

fn finding() -> impl Strategy<Value = Finding> {
    prop_oneof![Just(Good), Just(Slow), Just(Bad)]
}

proptest! {
    #[test]
    fn a_change_needs_its_run_of_results(findings in prop::collection::vec(finding(), 1..200), up in 1..5_u32, down in 1..5_u32) {
        let health = Health { healthy_threshold: up, unhealthy_threshold: down, ..health() };
        let mut verdict = Verdict::new(&health, First::UseAtOnce, at(0));
        for (n, &last) in findings.iter().enumerate() {
            let change = verdict.on_result(checked(last), at(n));
            let row = |fits: fn(Finding) -> bool| findings[..=n].iter().rev().take_while(|&&f| fits(f)).count() as u32;
            let (good, ok, bad) = (row(|f| f != Bad), row(|f| f == Good), row(|f| f == Bad));
            match change {
                Some(Change { to: Unhealthy, .. }) => prop_assert_eq!(bad, down),
                Some(Change { from: Unhealthy, to }) => prop_assert!(good == up && (to == Degraded) == (last == Slow)),
                Some(Change { from: Degraded, .. }) => prop_assert_eq!(ok, up),
                Some(Change { .. }) => prop_assert_eq!(last, Slow),
                None => {
                    let stays = match verdict.standing() {
                        Healthy => last != Slow && bad < down,
                        Degraded => ok < up && bad < down,
                        Unhealthy => good < up,
                    };
                    prop_assert!(stays);
                }
            }
            prop_assert_eq!(verdict.in_a_row(), good.max(bad));
        }
    }
}
