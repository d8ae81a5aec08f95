use std::collections::BTreeMap;

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::platform::Phase;

fn at(seconds: u64) -> Tick {
    Tick::from_nanos(seconds * 1_000_000_000)
}

fn id(name: &str) -> Id {
    name.parse().unwrap()
}

fn roster() -> Roster {
    Roster::new("a-".to_owned(), Rng::with_seed(7))
}

fn address() -> Address {
    "127.0.0.1:80".parse().unwrap()
}

fn listed(name: &str, container: &str, is_running: bool) -> Listed {
    Listed { name: id(name), container: container.to_owned(), is_running, age: Duration::from_secs(5) }
}

fn unreachable() -> ScaleError {
    super::super::connect::unreachable("gone".to_owned())
}

fn phases(roster: &Roster) -> Vec<(String, Phase)> {
    roster.replicas(at(0)).into_iter().map(|replica| (replica.name.to_string(), replica.phase)).collect()
}

/// A roster with so many replicas that serve, born a second apart: `a-1` in container `c1` and so on.
fn serving(count: u32) -> Roster {
    let mut roster = roster();
    roster.listed(&[], at(0));
    for number in 1..=count {
        let now = at(u64::from(number));
        roster.scale(number, vec![], now);
        let (name, container) = (id(&format!("a-{number}")), format!("c{number}"));
        assert_eq!(roster.jobs(now), [Job::Create(name.clone())]);
        roster.created(&name, Ok(container.clone()), now);
        assert_eq!(roster.jobs(now), [Job::Probe(name.clone(), container.clone())]);
        roster.probed(&name, &container, Ok(address()), now);
    }
    assert_eq!(roster.serving().len(), usize::try_from(count).unwrap());
    roster
}

#[test]
fn more_replicas_are_created_together_under_the_lowest_free_numbers() {
    let mut roster = roster();
    roster.listed(&[listed("a-2", "x", true)], at(0));
    roster.scale(3, vec![], at(1));
    assert_eq!(roster.jobs(at(1)), [Job::Create(id("a-1")), Job::Probe(id("a-2"), "x".to_owned()), Job::Create(id("a-3"))]);
    assert_eq!(roster.jobs(at(1)), [], "each job is given out once");
    assert!(!roster.is_settled(at(1)));
}

#[test]
fn what_is_found_first_is_what_is_wanted() {
    let mut roster = roster();
    roster.listed(&[listed("a-1", "x", true), listed("a-5", "y", false)], at(9));
    assert_eq!(roster.observed(at(9)).desired, 2);
    assert_eq!(phases(&roster), [("a-1".to_owned(), Phase::Starting), ("a-5".to_owned(), Phase::Failed)]);
    assert_eq!(roster.observed(at(9)).replicas[0].age, Duration::from_secs(5));
    assert_eq!(roster.jobs(at(9)), [Job::Probe(id("a-1"), "x".to_owned()), Job::Bury(id("a-5"), "y".to_owned())]);
    roster.buried(&id("a-5"), Ok("exit status 1".to_owned()), at(9));
    assert_eq!(roster.jobs(at(10)), [Job::Create(id("a-5"))], "one that has ended is removed and made anew");
}

#[test]
fn of_those_taken_over_the_youngest_goes_first_also_when_all_are_older_than_the_process() {
    let mut roster = roster();
    let aged = |name, hours: u64| Listed { age: Duration::from_secs(hours * 3600), ..listed(name, name, true) };
    roster.listed(&[aged("a-1", 3), aged("a-2", 1), aged("a-3", 2)], at(1));
    for name in ["a-1", "a-2", "a-3"] {
        roster.jobs(at(1));
        roster.probed(&id(name), name, Ok(address()), at(1));
    }
    assert_eq!(roster.observed(at(2)).replicas[0].age, Duration::from_secs(3 * 3600 + 1));
    roster.scale(2, vec![], at(2));
    assert_eq!(roster.jobs(at(2)), [Job::End(id("a-2"), "a-2".to_owned())]);
}

#[test]
fn no_container_is_zero_replicas() {
    let mut roster = roster();
    roster.listed(&[], at(0));
    assert_eq!(roster.observed(at(0)), Observed::default());
    assert_eq!((roster.jobs(at(0)), roster.is_settled(at(0)), roster.is_empty()), (vec![], true, true));
}

#[test]
fn a_number_said_before_the_engine_answered_holds_when_it_does() {
    let mut roster = roster();
    roster.scale(1, vec![], at(0));
    roster.listed(&[listed("a-1", "x", true), listed("a-2", "y", true)], at(5));
    assert_eq!(roster.observed(at(5)).desired, 1);
    let staying = roster.members.values().filter(|member| !member.is_doomed).count();
    assert_eq!(staying, 1);
}

#[test]
fn victims_go_first_then_who_serves_nobody_then_the_youngest() {
    let mut roster = serving(4);
    roster.scale(3, vec![id("a-2")], at(9));
    assert_eq!(roster.jobs(at(9)), [Job::End(id("a-2"), "c2".to_owned())]);
    roster.ended(&id("a-2"), Ok(()), at(9));
    roster.listed(&[listed("a-1", "c1", false), listed("a-3", "c3", true), listed("a-4", "c4", true)], at(9));
    roster.scale(2, vec![], at(9));
    assert_eq!(roster.jobs(at(9)), [Job::Bury(id("a-1"), "c1".to_owned())], "the dead one is who goes");
    roster.buried(&id("a-1"), Ok(String::new()), at(9));
    roster.scale(1, vec![], at(9));
    assert_eq!(roster.jobs(at(9)), [Job::End(id("a-4"), "c4".to_owned())]);
}

#[test]
fn victims_stay_when_there_is_no_surplus() {
    let mut roster = serving(2);
    roster.scale(2, vec![id("a-1")], at(9));
    assert_eq!(roster.jobs(at(9)), []);
}

#[test]
fn a_replica_that_is_not_wanted_any_more_is_ended_when_its_creation_is_over() {
    let mut roster = roster();
    roster.listed(&[], at(0));
    roster.scale(1, vec![], at(0));
    assert_eq!(roster.jobs(at(0)), [Job::Create(id("a-1"))]);
    roster.scale(0, vec![], at(0));
    assert_eq!(roster.jobs(at(0)), []);
    roster.created(&id("a-1"), Ok("x".to_owned()), at(1));
    assert_eq!(roster.jobs(at(1)), [Job::End(id("a-1"), "x".to_owned())]);
    roster.ended(&id("a-1"), Ok(()), at(2));
    assert!(roster.is_empty());
}

#[test]
fn a_dead_container_is_replaced_after_a_delay_that_doubles_and_ends_at_thirty_seconds() {
    let mut roster = serving(1);
    let mut now = at(10);
    let mut container = "c1".to_owned();
    for death in 0..12_u32 {
        roster.listed(&[listed("a-1", &container, false)], now);
        assert_eq!(roster.jobs(now), [Job::Bury(id("a-1"), container.clone())]);
        roster.buried(&id("a-1"), Ok(format!("death {death}")), now);
        assert_eq!(phases(&roster)[0].1, Phase::Failed);
        let delay = roster.next_due().unwrap().since(now);
        let longest = Duration::from_millis(100 << death).min(MAX_DELAY);
        assert!(delay <= longest && delay >= longest / 2, "{death}: {delay:?}");
        assert_eq!(roster.jobs(now), []);
        now = now + delay;
        assert_eq!(roster.jobs(now), [Job::Create(id("a-1"))]);
        container = format!("d{death}");
        roster.created(&id("a-1"), Ok(container.clone()), now);
        roster.jobs(now);
        roster.probed(&id("a-1"), &container, Ok(address()), now);
    }
    assert_eq!(roster.failure(&id("a-1")), Some("death 11"));
}

#[test]
fn a_minute_of_service_forgets_earlier_deaths() {
    let mut roster = serving(1);
    for now in [at(10), at(100)] {
        let container = roster.serving()[0].1.clone();
        roster.listed(&[listed("a-1", &container, false)], now);
        roster.jobs(now);
        roster.buried(&id("a-1"), Ok(String::new()), now);
        assert!(roster.next_due().unwrap().since(now) <= FIRST_DELAY);
        roster.jobs(now + FIRST_DELAY);
        roster.created(&id("a-1"), Ok(format!("at {now:?}")), now);
        roster.jobs(now);
        let container = format!("at {now:?}");
        roster.probed(&id("a-1"), &container, Ok(address()), now);
    }
}

#[test]
fn a_container_that_does_not_listen_in_time_is_ended_and_says_so() {
    let mut roster = roster();
    roster.listed(&[], at(0));
    roster.scale(1, vec![], at(0));
    roster.jobs(at(0));
    roster.created(&id("a-1"), Ok("x".to_owned()), at(0));
    roster.jobs(at(0));
    roster.probed(&id("a-1"), "x", Err("does not listen".to_owned()), at(30));
    assert_eq!(roster.jobs(at(30)), [Job::Bury(id("a-1"), "x".to_owned())]);
    roster.buried(&id("a-1"), Ok("exit status 137".to_owned()), at(30));
    assert_eq!(roster.failure(&id("a-1")), Some("does not listen; exit status 137"));
}

#[test]
fn a_probe_of_a_container_that_is_gone_changes_nothing() {
    let mut roster = serving(1);
    roster.listed(&[], at(5));
    roster.probed(&id("a-1"), "c1", Ok(address()), at(5));
    assert_eq!(phases(&roster), [("a-1".to_owned(), Phase::Failed)]);
}

#[test]
fn an_unreachable_engine_is_asked_again_and_not_held_against_the_container() {
    let mut roster = roster();
    roster.listed(&[], at(0));
    roster.scale(1, vec![], at(0));
    roster.jobs(at(0));
    roster.created(&id("a-1"), Err(unreachable()), at(0));
    assert_eq!(phases(&roster)[0].1, Phase::Starting);
    assert_eq!((roster.jobs(at(0)), roster.jobs(at(1))), (vec![], vec![Job::Create(id("a-1"))]));
}

#[test]
fn a_name_that_is_somebody_elses_is_left_to_them() {
    let mut roster = roster();
    roster.listed(&[], at(0));
    roster.scale(1, vec![], at(0));
    roster.jobs(at(0));
    let conflict = || ScaleError::Conflict { platform: "", what: "the name".to_owned() };
    roster.created(&id("a-1"), Err(conflict()), at(0));
    assert_eq!(roster.jobs(at(0)), [Job::Create(id("a-2"))]);
    for number in 2..=FREE_CONFLICTS {
        roster.created(&id(&format!("a-{number}")), Err(conflict()), at(0));
        roster.jobs(at(0));
    }
    assert!(roster.next_due().unwrap() > at(0), "an engine that always says so is not asked without end");
}

#[test]
fn a_restart_ends_the_container_and_creates_it_again_under_its_name() {
    let mut roster = serving(2);
    assert!(roster.restart(&id("a-1"), at(9)));
    assert_eq!(roster.jobs(at(9)), [Job::End(id("a-1"), "c1".to_owned())]);
    roster.ended(&id("a-1"), Ok(()), at(9));
    assert_eq!(roster.jobs(at(9)), [Job::Create(id("a-1"))]);
    assert_eq!(roster.observed(at(9)).desired, 2);
    assert!(!roster.restart(&id("a-7"), at(9)));
}

#[test]
fn a_stop_that_failed_is_tried_again() {
    let mut roster = serving(1);
    roster.scale(0, vec![], at(9));
    for now in [at(9), at(10), at(11)] {
        assert_eq!(roster.jobs(now), [Job::End(id("a-1"), "c1".to_owned())]);
        roster.ended(&id("a-1"), Err(unreachable()), now);
        assert_eq!(phases(&roster), [("a-1".to_owned(), Phase::Stopping)]);
        assert_eq!(roster.jobs(now), []);
    }
}

#[test]
fn a_container_that_somebody_removed_is_made_again() {
    let mut roster = serving(1);
    roster.listed(&[], at(9));
    assert_eq!(roster.failure(&id("a-1")), Some("somebody else has removed the container"));
    assert_eq!(roster.jobs(at(10)), [Job::Create(id("a-1"))]);
}

/// What may happen to a roster.
#[derive(Clone, Debug)]
enum Event {
    Scale(u32, u8),
    Restart(u8),
    Kill(u8),
    Remove(u8),
    /// The next jobs fail.
    Trouble(u8),
    List,
    Wait,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0..6_u32, 0..8_u8).prop_map(|(count, victim)| Event::Scale(count, victim)),
        (0..8_u8).prop_map(Event::Restart),
        (0..8_u8).prop_map(Event::Kill),
        (0..8_u8).prop_map(Event::Remove),
        (0..4_u8).prop_map(Event::Trouble),
        Just(Event::List),
        Just(Event::Wait),
    ];
    proptest::collection::vec(event, 0..60)
}

/// An engine that does each job at once, or fails.
#[derive(Default)]
struct Engine {
    containers: BTreeMap<String, (Id, bool)>,
    made: u32,
    trouble: u8,
}

impl Engine {
    fn fails(&mut self) -> bool {
        let fails = self.trouble > 0;
        self.trouble = self.trouble.saturating_sub(1);
        fails
    }

    fn nth(&self, number: u8) -> Option<String> {
        self.containers.keys().nth(usize::from(number)).cloned()
    }

    fn list(&self) -> Vec<Listed> {
        let one = |(container, (name, is_running)): (&String, &(Id, bool))| listed(name.as_str(), container, *is_running);
        self.containers.iter().map(one).collect()
    }

    fn carry_out(&mut self, roster: &mut Roster, now: Tick) {
        for job in roster.jobs(now) {
            let fails = self.fails();
            match job {
                Job::Create(name) if fails => roster.created(&name, Err(unreachable()), now),
                Job::Create(name) => {
                    assert!(!self.containers.values().any(|(other, _)| *other == name), "{name} is created twice");
                    self.made += 1;
                    let container = format!("m{}", self.made);
                    self.containers.insert(container.clone(), (name.clone(), true));
                    roster.created(&name, Ok(container), now);
                }
                Job::Probe(name, container) => {
                    let listens = self.containers.get(&container).is_some_and(|(_, is_running)| *is_running && !fails);
                    roster.probed(&name, &container, listens.then(address).ok_or_else(String::new), now);
                }
                Job::End(name, _) if fails => roster.ended(&name, Err(unreachable()), now),
                Job::End(name, container) => {
                    self.containers.remove(&container);
                    roster.ended(&name, Ok(()), now);
                }
                Job::Bury(name, _) if fails => roster.buried(&name, Err(unreachable()), now),
                Job::Bury(name, container) => {
                    self.containers.remove(&container);
                    roster.buried(&name, Ok(String::new()), now);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_wanted_number_serves_in_the_end(events in events()) {
        let (mut roster, mut engine, mut now) = (roster(), Engine::default(), at(0));
        let mut wanted = 0;
        roster.listed(&[], now);
        for event in events {
            match event {
                Event::Scale(count, victim) => {
                    wanted = count;
                    roster.scale(count, vec![id(&format!("a-{victim}"))], now);
                }
                Event::Restart(number) => drop(roster.restart(&id(&format!("a-{number}")), now)),
                Event::Kill(number) => {
                    if let Some(container) = engine.nth(number) {
                        engine.containers.get_mut(&container).unwrap().1 = false;
                    }
                }
                Event::Remove(number) => drop(engine.nth(number).and_then(|container| engine.containers.remove(&container))),
                Event::Trouble(count) => engine.trouble = count,
                Event::List => roster.listed(&engine.list(), now),
                Event::Wait => now = now + Duration::from_millis(700),
            }
            engine.carry_out(&mut roster, now);
        }
        engine.trouble = 0;
        for _ in 0..6 {
            roster.listed(&engine.list(), now);
            engine.carry_out(&mut roster, now);
            now = now + MAX_DELAY;
            engine.carry_out(&mut roster, now);
        }
        prop_assert_eq!(roster.serving().len(), usize::try_from(wanted).unwrap());
        prop_assert_eq!(engine.containers.len(), usize::try_from(wanted).unwrap());
        prop_assert_eq!(roster.replicas(now).len(), usize::try_from(wanted).unwrap());
        prop_assert!(roster.is_settled(now) && !roster.is_busy());
        let containers: std::collections::BTreeSet<String> = roster.serving().into_iter().map(|(_, container)| container).collect();
        prop_assert_eq!(containers, engine.containers.keys().cloned().collect());
    }
}
