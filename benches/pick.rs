//! What a pick costs: each strategy at 4, 100 and 10,000 endpoints, with an attempt begun and ended as the request path does; and where nearly all
//! slots are taken, at 40, 1,000 and 10,000.
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
const BUSY_SIZES: [usize; 3] = [40, 1000, 10_000];
/// Slots that are free where nearly all are taken.
const FREE: usize = 8;
const NOW: Tick = Tick::from_nanos(1_000_000_000);

fn main() {
    divan::main();
}

fn id(name: &str) -> Id {
    name.parse().expect("names of the benchmark are valid")
}

/// Four distinct weights, no limit.
fn set(n: usize) -> EndpointSet {
    set_with(n, |n| 100 * (1 + n as u32 % 4), None)
}

/// Weights in hundredths.
fn set_with(n: usize, weight: impl Fn(usize) -> u32, slots: Option<u32>) -> EndpointSet {
    let specs = (0..n).map(|n| EndpointSpec {
        id: id(&format!("e{n}")),
        address: Address::Ip(([127, 0, 0, 1], 80).into()),
        weight: Weight::from_hundredths(weight(n)),
        max_connections: slots,
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
    run_on(bencher, strategy, &set(n));
}

fn run_on(bencher: divan::Bencher<'_, '_>, strategy: Strategy, set: &EndpointSet) {
    let (mut picker, mut rng) = (picker(strategy), Rng::with_seed(7));
    let mut now = NOW;
    let mut running = std::collections::VecDeque::with_capacity(4);
    let mut key = 0_u64;
    // What is derived from the set is derived by the first pick: not what is measured here.
    picker.pick(set, &Ask { key: Some(key), ..Ask::default() }, now, &mut rng).expect("an endpoint is available");
    bencher.bench_local(|| {
        now = Tick::from_nanos(now.as_nanos() + 10_000);
        key += 1;
        let ask = Ask { key: Some(key), ..Ask::default() };
        if let Ok(index) = picker.pick(set, black_box(&ask), now, &mut rng) {
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

/// Where endpoints with one slot each are busy but for a few, which stand anywhere.
#[divan::bench(args = BUSY_SIZES, consts = [0, 1, 2, 3, 4, 5])]
fn busy<const STRATEGY: usize>(bencher: divan::Bencher<'_, '_>, n: usize) {
    let strategy = Strategy::ALL[STRATEGY];
    let set = set_with(n, |n| 100 * (1 + n as u32 % 4), Some(1));
    let mut places: Vec<_> = (0..n).collect();
    Rng::with_seed(3).shuffle(&mut places);
    let _running: Vec<_> = places.iter().skip(FREE).map(|&n| Attempt::begin(set.endpoints()[n].clone(), NOW)).collect();
    run_on(bencher, strategy, &set);
}

/// Where every slot is taken.
#[divan::bench(args = BUSY_SIZES)]
fn full(bencher: divan::Bencher<'_, '_>, n: usize) {
    let (set, mut picker, mut rng) = (set_with(n, |_| 100, Some(1)), picker(Strategy::LeastConnections), Rng::with_seed(7));
    let _running: Vec<_> = set.endpoints().iter().map(|endpoint| Attempt::begin(endpoint.clone(), NOW)).collect();
    bencher.bench_local(|| picker.pick(&set, black_box(&Ask::default()), NOW, &mut rng));
}

/// Every endpoint with a weight of its own.
#[divan::bench(args = SIZES)]
fn weighted_round_robin_of_distinct_weights(bencher: divan::Bencher<'_, '_>, n: usize) {
    run_on(bencher, Strategy::WeightedRoundRobin, &set_with(n, |n| 100 + n as u32, None));
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
