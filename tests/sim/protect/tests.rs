//! What is run: many seeds, one seed again, and the same seed twice.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::books::{Counts, Seen};
use super::run::run;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Runs each of `seeds`, on all cores; returns the sum of what they reached.
fn run_all(seeds: std::ops::RangeInclusive<u64>) -> (Vec<String>, Counts) {
    let next = AtomicU64::new(*seeds.start());
    let found = Mutex::new((Vec::new(), Counts::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed > *seeds.end() {
                return;
            }
            let result = run(seed);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(summary) => found.1.add_all(&summary.counts),
                Err(breach) => found.0.push(breach),
            }
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
    let seeds = number("TIDEGATE_SIM_SEEDS").unwrap_or(SEEDS);
    let (breaches, counts) = run_all(1..=seeds);
    for seen in Seen::ALL {
        println!("{seen:?}: {}", counts.of(seen));
    }
    let (broken, first) = (breaches.len(), breaches.iter().take(10).map(String::as_str).collect::<Vec<_>>());
    assert!(breaches.is_empty(), "{broken} of {seeds} seeds\n{}", first.join("\n"));
    if seeds >= SEEDS {
        for seen in Seen::ALL {
            assert!(counts.of(seen) > 0, "no seed reaches {seen:?}");
        }
    }
}

#[test]
fn a_seed_replays_exactly_and_another_seed_is_another_story() {
    let digests = |seeds: std::ops::Range<u64>| seeds.map(|seed| run(seed).map(|summary| summary.digest)).collect::<Vec<_>>();
    let once = digests(1..4);
    assert_eq!(once, digests(1..4));
    assert!((1..once.len()).all(|place| once[place] != once[place - 1]));
}
