//! Simulations: the real machines under virtual time, many of them and one seed.
//!
//! `cargo test --test sim` runs small ones; `TIDEGATE_SIM=full` makes the experiment as large as the one it follows (see `docs/balancing.md`).

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod antagonist;
mod draw;
mod figures;
mod prequal;
mod protect;
mod replica;
mod world;

use std::time::Duration;

use figures::{Figures, table};
use prequal::{Contender, DEADLINE, RAMP, Reports, Scale, run};
use tidegate::model::Strategy;

const SEED: u64 = 1;

const ROTATION: Contender = contender("weighted_round_robin", Strategy::WeightedRoundRobin);
const RESPONSE_TIME: Contender = contender("least_response_time", Strategy::LeastResponseTime);
const RESOURCES: Contender = contender("resource_based", Strategy::ResourceBased);
const REPORTED: Contender =
    Contender { reports: Reports::WithAnswers, ..contender("resource_based with reports", Strategy::ResourceBased) };

const CONTENDERS: [Contender; 7] = [
    contender("round_robin", Strategy::RoundRobin),
    ROTATION,
    contender("consistent_hashing", Strategy::ConsistentHashing),
    contender("least_connections", Strategy::LeastConnections),
    RESPONSE_TIME,
    RESOURCES,
    REPORTED,
];

/// Those that must hold where rotation cannot.
const HOLDERS: [Contender; 3] = [RESPONSE_TIME, RESOURCES, REPORTED];

const fn contender(name: &'static str, strategy: Strategy) -> Contender {
    Contender { name, strategy, reports: Reports::None }
}

/// One proxy with all workers, and many with a part of them each.
fn scales() -> [Scale; 2] {
    let full = std::env::var_os("TIDEGATE_SIM").is_some_and(|size| size == "full");
    let (clients, proxies) = if full { (100, 10) } else { (20, 4) };
    let one = Scale {
        replicas: clients,
        workers: clients,
        proxies: 1,
        warm_up: Duration::from_secs(if full { 30 } else { 5 }),
        step: Duration::from_secs(if full { 120 } else { 15 }),
        loads: if full { RAMP.to_vec() } else { vec![1.41, 1.74] },
    };
    let many = Scale { workers: clients / proxies, proxies, ..one.clone() };
    [one, many]
}

/// Runs all contenders; the figures are in their order, each with those of its steps.
fn compare(scale: &Scale, seed: u64) -> Vec<Vec<Figures>> {
    CONTENDERS.iter().map(|&contender| run(contender, scale, seed)).collect()
}

fn markdown(scale: &Scale, figures: &[Vec<Figures>]) -> String {
    let head: Vec<_> = std::iter::once("strategy".to_owned()).chain(scale.loads.iter().map(|load| format!("{load:.2}"))).collect();
    let row = |(contender, steps): (&Contender, &Vec<Figures>)| {
        std::iter::once(format!("`{}`", contender.name)).chain(steps.iter().map(Figures::cell)).collect()
    };
    table(&head, &CONTENDERS.iter().zip(figures).map(row).collect::<Vec<_>>())
}

#[test]
fn strategies_that_see_latency_or_load_hold_the_deadline_where_rotation_cannot() {
    let deadline_ms = DEADLINE.as_secs_f64() * 1000.0;
    for scale in scales() {
        let figures = compare(&scale, SEED);
        let of = |contender: Contender| &figures[CONTENDERS.iter().position(|&other| other == contender).unwrap()];
        println!("{} x {} workers, {} replicas\n", scale.proxies, scale.workers, scale.replicas);
        println!("{}", markdown(&scale, &figures));
        let last = of(ROTATION).last().unwrap();
        assert!(last.errors() > 0 && last.quantile(0.999) >= deadline_ms, "rotation holds: {}", last.cell());
        for holder in HOLDERS {
            for (load, step) in scale.loads.iter().zip(of(holder)) {
                assert!(step.len() > 10_000, "{} queries are too few for p99.9", step.len());
                assert_eq!(step.errors(), 0, "{} at {load}", holder.name);
                // Far from the deadline, so that a seed does not decide.
                assert!(step.quantile(0.999) < deadline_ms / 2.0, "{} at {load}: {}", holder.name, step.cell());
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_figures_again_and_another_seed_gives_others() {
    let scale = Scale {
        replicas: 10,
        workers: 3,
        proxies: 2,
        warm_up: Duration::from_secs(1),
        step: Duration::from_secs(2),
        loads: vec![0.75, 1.74],
    };
    let once = compare(&scale, SEED);
    assert!(once == compare(&scale, SEED));
    assert!(once.iter().flatten().all(|step| step.len() > 100));
    assert!(once.iter().zip(&compare(&scale, SEED + 1)).all(|(one, other)| one != other));
}
