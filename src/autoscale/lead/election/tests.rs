use proptest::prelude::*;

use super::*;

mod simulation;

const RENEW: Duration = Duration::from_secs(2);

fn candidate(identity: &str) -> Election<u64> {
    Election::new(Terms { identity: identity.to_owned(), seconds: 10, renew: RENEW })
}

fn at(millis: u64) -> Moment {
    Moment { tick: Tick::from_nanos(millis * 1_000_000), wall: i64::try_from(millis * 1000).unwrap() }
}

fn tick(millis: u64) -> Tick {
    at(millis).tick
}

fn held(holder: &str, renewed: i64) -> LeaseRecord {
    LeaseRecord { holder: holder.to_owned(), seconds: 10, acquired: 0, renewed, transitions: 3 }
}

/// Lets `election` write what it wants to at that time, and answers 100 ms later.
fn write(election: &mut Election<u64>, millis: u64, written: Written<u64>) -> LeaseRecord {
    let Step::Write { record, .. } = election.step(at(millis)) else { panic!("nothing is written at {millis} ms") };
    election.wrote(record.clone(), at(millis), tick(millis + 100), written);
    record
}

#[test]
fn a_lease_that_is_not_there_is_made_and_held() {
    let mut a = candidate("a");
    assert_eq!(a.step(at(0)), Step::Look);
    a.saw(tick(50), None);
    let record = write(&mut a, 60, Written::Done(1));
    assert_eq!((record.holder.as_str(), record.seconds, record.transitions), ("a", 10, 0));
    // 8 s of the 10 from when it was sent, not from when it was answered.
    assert_eq!(a.may_act(at(100)), Some(tick(8060)));
    assert_eq!(a.may_act(at(8059)), Some(tick(8060)));
    assert_eq!(a.may_act(at(8060)), None);
    assert_eq!(a.step(at(500)), Step::Wait(tick(2060)));
}

#[test]
fn a_renewal_keeps_when_it_was_acquired_and_changes_the_time() {
    let mut a = candidate("a");
    a.saw(tick(0), None);
    let first = write(&mut a, 0, Written::Done(1));
    let second = write(&mut a, 2000, Written::Done(2));
    assert_eq!((second.acquired, second.transitions), (first.acquired, first.transitions));
    assert_ne!(second.renewed, first.renewed);
    // A wall clock that stands still makes a renewal all the same.
    let Step::Write { record, over } = a.step(Moment { wall: second.renewed, ..at(4000) }) else { panic!("it is due") };
    assert_ne!(record.renewed, second.renewed);
    assert_eq!(over, Some(2));
}

#[test]
fn a_lease_of_another_is_over_when_it_has_not_changed_for_its_duration_on_our_clock() {
    let mut b = candidate("b");
    // By the wall clock it is over for ages, or good for ages: it makes no difference.
    for renewed in [-1_000_000_000_000, 1_000_000_000_000] {
        b.saw(tick(1000), Some((held("a", renewed), 1)));
        assert_eq!(b.step(at(1000)), Step::Wait(tick(3000)));
    }
    for millis in [3000, 5000, 7000, 9000] {
        assert_eq!(b.step(at(millis)), Step::Look);
        b.saw(tick(millis), Some((held("a", 1_000_000_000_000), 1)));
    }
    assert_eq!(b.step(at(10_999)), Step::Wait(tick(11_000)), "it comes at the very moment");
    let record = write(&mut b, 11_000, Written::Done(2));
    assert_eq!((record.holder.as_str(), record.transitions), ("b", 4));
    assert!(b.may_act(at(11_100)).is_some());
}

#[test]
fn a_change_of_the_lease_begins_its_time_anew() {
    let mut b = candidate("b");
    b.saw(tick(0), Some((held("a", 1), 1)));
    b.saw(tick(6000), Some((held("a", 2), 2)));
    assert_ne!(b.step(at(10_000)), Step::Write { record: held("b", 0), over: Some(2) });
    assert_eq!(b.step(at(10_000)), Step::Look);
    b.saw(tick(10_000), Some((held("a", 2), 2)));
    assert_eq!(b.step(at(11_000)), Step::Wait(tick(12_000)));
}

#[test]
fn a_version_that_changed_for_another_reason_does_not_begin_its_time_anew() {
    let mut b = candidate("b");
    b.saw(tick(0), Some((held("a", 1), 1)));
    b.saw(tick(9500), Some((held("a", 1), 7)));
    let Step::Write { over, .. } = b.step(at(10_000)) else { panic!("it is over") };
    assert_eq!(over, Some(7));
}

#[test]
fn a_lost_race_is_looked_at_before_anything_is_written() {
    let mut b = candidate("b");
    b.saw(tick(0), None);
    write(&mut b, 0, Written::Lost);
    assert_eq!(b.may_act(at(200)), None);
    assert_eq!(b.step(at(200)), Step::Look);
    b.saw(tick(300), Some((held("a", 1), 1)));
    assert_eq!(b.step(at(300)), Step::Wait(tick(2300)));
}

#[test]
fn a_holder_that_cannot_renew_stops_before_its_time_is_over() {
    let mut a = candidate("a");
    a.saw(tick(0), None);
    write(&mut a, 0, Written::Done(1));
    write(&mut a, 2000, Written::Failed);
    for millis in [3100, 4200, 5300] {
        assert_eq!(a.step(at(millis)), Step::Look);
        a.failed(tick(millis + 100));
        assert_eq!(a.may_act(at(millis)), Some(tick(8000)));
    }
    assert_eq!(a.may_act(at(8000)), None);
    // Nobody was there to take over: it goes on, with the version that it sees.
    a.saw(tick(9000), Some((held("a", 1), 1)));
    write(&mut a, 9000, Written::Done(2));
    assert_eq!(a.may_act(at(9100)), Some(tick(17_000)));
}

#[test]
fn a_holder_that_sees_another_stops_at_once() {
    let mut a = candidate("a");
    a.saw(tick(0), None);
    write(&mut a, 0, Written::Done(1));
    write(&mut a, 2000, Written::Lost);
    assert!(a.may_act(at(2200)).is_some(), "somebody may have touched the object, and it is still its own");
    a.saw(tick(2300), Some((held("b", 9), 3)));
    assert_eq!(a.may_act(at(2300)), None);
}

#[test]
fn a_machine_that_was_suspended_learns_it_from_the_wall_clock() {
    let mut a = candidate("a");
    a.saw(tick(0), None);
    write(&mut a, 0, Written::Done(1));
    let woken = Moment { tick: tick(1000), wall: 60_000_000 };
    assert_eq!(a.may_act(woken), None);
    // A wall clock that goes back takes nothing away, and gives nothing.
    assert_eq!(a.may_act(Moment { tick: tick(1000), wall: -60_000_000 }), Some(tick(8000)));
    assert_eq!(a.may_act(Moment { tick: tick(8000), wall: -60_000_000 }), None);
    assert_eq!(a.may_act(Moment { tick: tick(1000), wall: 7_000_000 }), Some(tick(2000)));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let (mut a, mut b) = (candidate("a"), candidate("b"));
    a.saw(tick(0), None);
    write(&mut a, 0, Written::Done(1));
    let (free, version) = a.release(at(500).wall).unwrap();
    assert_eq!((free.holder.as_str(), free.seconds, version), ("", 1, 1));
    assert_eq!(a.may_act(at(500)), None);
    b.saw(tick(1000), Some((free, 2)));
    assert_eq!(write(&mut b, 1000, Written::Done(3)).transitions, 1);
    assert_eq!(b.release(at(1000).wall).map(|(_, version)| version), Some(3));
}

#[test]
fn only_its_own_lease_is_released() {
    let mut b = candidate("b");
    assert_eq!(b.release(0), None);
    b.saw(tick(0), Some((held("a", 1), 1)));
    assert_eq!(b.release(0), None);
}

#[test]
fn a_lease_that_was_taken_away_is_made_again_when_its_holder_has_stopped() {
    let mut b = candidate("b");
    b.saw(tick(0), Some((held("a", 1), 1)));
    b.saw(tick(2000), None);
    assert_eq!(b.step(at(4000)), Step::Look);
    b.saw(tick(4000), None);
    b.saw(tick(6000), None);
    b.saw(tick(8000), None);
    assert_eq!(b.step(at(9999)), Step::Wait(tick(10_000)));
    assert!(matches!(b.step(at(10_000)), Step::Write { over: None, .. }));
}

#[test]
fn a_lease_with_a_length_of_zero_or_of_ages_panics_nowhere() {
    let mut b = candidate("b");
    for seconds in [0, u32::MAX] {
        b.saw(tick(0), Some((LeaseRecord { seconds, transitions: u32::MAX, renewed: i64::MAX, ..held("a", 1) }, 1)));
        b.step(Moment { tick: tick(5000), wall: i64::MAX });
        b.step(Moment { tick: Tick::from_nanos(u64::MAX), wall: i64::MIN });
    }
    let endless = Terms { identity: "b".to_owned(), seconds: u32::MAX, renew: Duration::MAX };
    let mut b: Election<u64> = Election::new(endless);
    b.saw(tick(0), None);
    write(&mut b, 0, Written::Done(1));
    b.step(Moment { tick: Tick::from_nanos(u64::MAX), wall: i64::MAX });
    b.may_act(Moment { tick: Tick::from_nanos(u64::MAX), wall: i64::MIN });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever pauses, outages, losses, delays and clocks there are: there are never two, and somebody leads soon after the trouble is over.
    #[test]
    fn there_are_never_two_leaders_and_soon_there_is_one(seed in any::<u64>(), candidates in 1_usize..6) {
        let outcome = simulation::run(seed, candidates);
        prop_assert_eq!(outcome.double, None, "two candidates could act at once");
        prop_assert!(outcome.recovered, "nobody led 15 s after the trouble was over");
    }
}

#[test]
fn troubles_of_the_simulation_do_end_leaderships() {
    let outcomes: Vec<_> = (0..10).map(|seed| simulation::run(seed, 3)).collect();
    let changes: u32 = outcomes.iter().map(|outcome| outcome.transitions).sum();
    assert!(changes > 30, "the lease changed hands {changes} times: the simulation is too calm to show anything");
}
