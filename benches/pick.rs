//! What a pick costs: each strategy at 4, 100 and 10,000 endpoints, with an attempt begun and ended as the request path does.
//!
//! `cargo bench --bench pick`

use std::hint::black_box;

use fastrand::Rng;
use tidegate::balance::{Ask, Picker};
use tidegate::endpoint::{Attempt, Cause, EndpointSet};
use tidegate::kit::clock::Tick;
use tidegate::model::{Address, EndpointSpec, Hash, Id, Outcome, Pool, ResourceTerms, Strategy, Upstream, Weight};

/// Shows that a pick allocates nothing.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const SIZES: [usize; 3] = [4, 100, 10_000];
const NOW: Tick = Tick::from_nanos(1_000_000_000);

fn main() {
    divan::main();
}

fn id(name: &str) -> Id {
    name.parse().expect("names of the benchmark are valid")
}

fn set(n: usize) -> EndpointSet {
    let specs = (0..n).map(|n| EndpointSpec {
        id: id(&format!("e{n}")),
        address: Address::Ip(([127, 0, 0, 1], 80).into()),
        // Four distinct weights.
        weight: Weight::from_hundredths(100 * (1 + n as u32 % 4)),
        max_connections: None,
        capabilities: std::iter::once("python".to_owned()).collect(),
        zone: None,
    });
    EndpointSet::new(&id("pool"), specs, None, Tick::from_nanos(0))
}

fn picker(strategy: Strategy) -> Picker {
    Picker::new(&Pool {
        name: id("pool"),
        strategy,
        hash: Hash::default(),
        resource: ResourceTerms::default(),
        endpoints: Vec::new(),
        discovery: None,
        autoscale: None,
        slow_start: None,
        max_connections: None,
        protection: Default::default(),
        upstream: Upstream::default(),
    })
}

/// Picks, begins an attempt, measures its first byte and ends it, with three more attempts in flight.
fn run(bencher: divan::Bencher<'_, '_>, strategy: Strategy, n: usize) {
    let (set, mut picker, mut rng) = (set(n), picker(strategy), Rng::with_seed(7));
    let mut now = NOW;
    let mut running = std::collections::VecDeque::with_capacity(4);
    let mut key = 0_u64;
    // What is derived from the set is derived by the first pick: not what is measured here.
    picker.pick(&set, &Ask { key: Some(key), ..Ask::default() }, now, &mut rng).expect("an endpoint is available");
    bencher.bench_local(|| {
        now = Tick::from_nanos(now.as_nanos() + 10_000);
        key += 1;
        let ask = Ask { key: Some(key), ..Ask::default() };
        if let Ok(index) = picker.pick(&set, black_box(&ask), now, &mut rng) {
            running.push_back(Attempt::begin(set.endpoints()[index].clone(), now));
        }
        if running.len() > 3
            && let Some(mut attempt) = running.pop_front()
        {
            attempt.first_byte(now);
            attempt.finish(Outcome::Completed, now);
        }
    });
}

#[divan::bench(args = SIZES)]
fn round_robin(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, Strategy::RoundRobin, n);
}

#[divan::bench(args = SIZES)]
fn least_connections(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, Strategy::LeastConnections, n);
}

#[divan::bench(args = SIZES)]
fn weighted_round_robin(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, Strategy::WeightedRoundRobin, n);
}

#[divan::bench(args = SIZES)]
fn least_response_time(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, Strategy::LeastResponseTime, n);
}

#[divan::bench(args = SIZES)]
fn resource_based(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, Strategy::ResourceBased, n);
}

#[divan::bench(args = SIZES)]
fn consistent_hashing(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, Strategy::ConsistentHashing, n);
}

/// The first pick after an endpoint has changed: what is derived from the set is derived again.
#[divan::bench(args = SIZES)]
fn after_a_change(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (set, mut picker, mut rng) = (set(n), picker(Strategy::WeightedRoundRobin), Rng::with_seed(7));
    let mut down = false;
    bencher.bench_local(|| {
        down = !down;
        set.endpoints()[n / 2].state.set(Cause::Down, down);
        picker.pick(&set, black_box(&Ask::default()), NOW, &mut rng)
    });
}

/// The ring of consistent hashing, built once for each membership.
#[divan::bench(args = SIZES, sample_count = 10)]
fn ring(bencher: divan::Bencher<'_, '_>, n: usize) {
    bencher.with_inputs(|| set(n)).bench_values(|set| set.ring().walk(1).next());
}
