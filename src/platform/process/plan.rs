//! Which replicas come and which go when their number changes. Pure.

use std::cmp::Reverse;
use std::time::Duration;

use crate::model::{Id, ParseIdError};
use crate::platform::Phase;

/// A replica that may be chosen; one that is on its way out for good is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) name: Id,
    pub(super) phase: Phase,
    pub(super) age: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// How many are started.
    pub(super) more: usize,
    /// Who ends.
    pub(super) fewer: Vec<Id>,
}

/// Brings `candidates` to `wanted`. `victims` go first, in their order, but not more than are too many: a call that is repeated after they went ends
/// nobody else. Then those that do not serve, then the youngest, which have the least to lose.
pub(super) fn plan(wanted: usize, mut candidates: Vec<Candidate>, victims: &[Id]) -> Plan {
    let rank = |name: &Id| victims.iter().position(|victim| victim == name).unwrap_or(usize::MAX);
    candidates.sort_by_key(|candidate| {
        (rank(&candidate.name), is_serving(candidate.phase), candidate.age, Reverse(candidate.name.clone()))
    });
    let too_many = candidates.len().saturating_sub(wanted);
    Plan {
        more: wanted.saturating_sub(candidates.len()),
        fewer: candidates.into_iter().take(too_many).map(|candidate| candidate.name).collect(),
    }
}

fn is_serving(phase: Phase) -> bool {
    match phase {
        Phase::Ready => true,
        Phase::Starting | Phase::Stopping | Phase::Failed => false,
    }
}

/// Returns the name with the smallest number that nobody has.
///
/// # Errors
/// When the pool's name leaves no room for a number.
pub(super) fn free_name(pool: &Id, is_taken: impl Fn(&str) -> bool) -> Result<Id, ParseIdError> {
    // Fewer than `u32::MAX` replicas are there, so one number is free.
    let free = (1..=u32::MAX).map(|number| format!("{pool}-{number}")).find(|name| !is_taken(name));
    free.unwrap_or_default().parse()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn candidate(name: &str, phase: Phase, age: u64) -> Candidate {
        Candidate { name: id(name), phase, age: Duration::from_secs(age) }
    }

    fn three() -> Vec<Candidate> {
        vec![candidate("a-1", Phase::Ready, 30), candidate("a-2", Phase::Ready, 10), candidate("a-3", Phase::Failed, 90)]
    }

    #[test]
    fn the_number_is_reached_by_the_right_ones() {
        let cases: [(usize, &[&str], usize, &[&str]); 7] = [
            (5, &[], 2, &[]),
            (3, &[], 0, &[]),
            // Who does not serve goes before the youngest.
            (2, &[], 0, &["a-3"]),
            (1, &[], 0, &["a-3", "a-2"]),
            // A victim goes before both.
            (2, &["a-1"], 0, &["a-1"]),
            (1, &["a-1"], 0, &["a-1", "a-3"]),
            (3, &["a-1"], 0, &[]),
        ];
        for (wanted, victims, more, fewer) in cases {
            let victims: Vec<Id> = victims.iter().map(|name| id(name)).collect();
            let expected = Plan { more, fewer: fewer.iter().map(|name| id(name)).collect() };
            assert_eq!(plan(wanted, three(), &victims), expected, "{wanted} with {victims:?}");
        }
    }

    #[test]
    fn a_victim_that_has_gone_costs_nobody_else_its_place() {
        assert_eq!(plan(3, three(), &[id("a-9")]), Plan::default());
    }

    #[test]
    fn the_smallest_free_number_is_taken() {
        let taken = ["a-1", "a-2", "a-4"];
        assert_eq!(free_name(&id("a"), |name| taken.contains(&name)), Ok(id("a-3")));
        assert_eq!(free_name(&id(&"a".repeat(253)), |_| false), Err(ParseIdError::TooLong));
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let phase = prop_oneof![Just(Phase::Ready), Just(Phase::Starting), Just(Phase::Failed)];
        prop::collection::vec((phase, 0_u64..5), 0..8).prop_map(|kinds| {
            kinds.into_iter().enumerate().map(|(nth, (phase, age))| candidate(&format!("a-{nth}"), phase, age)).collect()
        })
    }

    proptest! {
        #[test]
        fn the_number_is_always_reached(wanted in 0_usize..10, candidates in candidates(), victims in prop::collection::vec(any::<u8>(), 0..4)) {
            let victims: Vec<Id> = victims.iter().map(|nth| id(&format!("a-{}", nth % 8))).collect();
            let Plan { more, fewer } = plan(wanted, candidates.clone(), &victims);
            assert_eq!(candidates.len() + more - fewer.len(), wanted);
            assert!(more == 0 || fewer.is_empty());
            let mut unique = fewer.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), fewer.len());
            let stays = |name: &Id| candidates.iter().any(|candidate| candidate.name == *name) && !fewer.contains(name);
            let is_other = |name: &Id| !victims.contains(name);
            assert!(!(victims.iter().any(stays) && fewer.iter().any(is_other)), "a victim stays while another goes");
        }
    }
}
