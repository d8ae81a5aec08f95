//! What is run: many seeds, one seed again, and the same seed twice.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::run::{Summary, replay, run};
use super::seen::{Counts, Seen};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 200;

/// What must be no rare part of something else.
const SHARES: [(Seen, Seen, f64); 2] = [(Seen::Watched, Seen::Waiting, 0.5), (Seen::RequestsAfterLeap, Seen::Requests, 0.1)];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// What seeds came to.
#[derive(Default)]
struct Found {
    breaches: Vec<String>,
    counts: Counts,
    /// In how many seeds each was reached.
    seeds: Counts,
}

impl Found {
    fn take(&mut self, result: Result<Summary, String>) {
        match result {
            Ok(summary) => {
                self.counts.add_all(&summary.counts);
                Seen::ALL.into_iter().filter(|&seen| summary.counts.of(seen) > 0).for_each(|seen| self.seeds.note(seen));
            }
            Err(breach) => self.breaches.push(breach),
        }
    }
}

/// Runs `seed`; one that panics is told of like one that breaks a law.
fn run_safely(seed: u64, run: impl FnOnce(u64) -> Result<Summary, String>) -> Result<Summary, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Err(format!("seed {seed} panicked: {}\n  replay: {}", text.unwrap_or("without words"), replay(seed)))
    })
}

/// Runs each of `seeds`, on all cores.
fn run_all(seeds: &Range<u64>) -> Found {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(Found::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let result = run_safely(seed, run);
            found.lock().unwrap_or_else(PoisonError::into_inner).take(result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_law_holds_after_every_event_of_every_seed() {
    if let Some(seed) = number("TIDEGATE_SIM_SEED") {
        let summary = run(seed).unwrap_or_else(|breach| panic!("{breach}"));
        println!("{summary:#?}");
        return;
    }
    let count = number("TIDEGATE_SIM_SEEDS").unwrap_or(SEEDS);
    let from = number("TIDEGATE_SIM_FROM").unwrap_or(1);
    let Found { breaches, counts, seeds } = run_all(&(from..from.saturating_add(count)));
    for seen in Seen::ALL {
        println!("{seen:?}: {} in {} seeds", counts.of(seen), seeds.of(seen));
    }
    let (broken, first) = (breaches.len(), breaches.iter().take(10).map(String::as_str).collect::<Vec<_>>());
    assert!(breaches.is_empty(), "{broken} of {count} seeds\n{}", first.join("\n"));
    if count >= SEEDS {
        for seen in Seen::ALL {
            assert!(counts.of(seen) > 0, "no seed reaches {seen:?}");
        }
        for (part, of, least) in SHARES {
            let share = counts.of(part) as f64 / counts.of(of) as f64;
            assert!(share >= least, "{part:?} is {share:.3} of {of:?}");
        }
    }
}

#[test]
fn a_seed_that_panics_is_named_and_can_be_seen_again() {
    let place = 3;
    let told = run_safely(7, |_| panic!("nothing at {place}")).unwrap_err();
    assert_eq!(told, "seed 7 panicked: nothing at 3\n  replay: TIDEGATE_SIM_SEED=7 cargo test --test sim protect");
    assert!(run_safely(8, |_| panic!("nothing")).unwrap_err().starts_with("seed 8 panicked: nothing\n"));
}

#[test]
fn a_seed_replays_exactly_and_another_seed_is_another_story() {
    let digests = |seeds: std::ops::Range<u64>| seeds.map(|seed| run(seed).map(|summary| summary.digest)).collect::<Vec<_>>();
    let once = digests(1..4);
    assert_eq!(once, digests(1..4));
    assert!((1..once.len()).all(|place| once[place] != once[place - 1]));
}
