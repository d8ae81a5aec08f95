//! The experiment of "Load is not what you should balance: Introducing Prequal" (Wydrowski et al., NSDI 2024, section 5), with Tidegate's pickers
//! in the place of the paper's clients.
//!
//! Each client is a worker with a [`Picker`] of its own; the workers of one proxy share an [`EndpointSet`] and so see what each other has in
//! flight. Queries come as a Poisson process and need processor time from a normal distribution whose deviation is its mean, cut off at 0. The
//! proxy gives a query up after five seconds (a first-byte timeout), and the replica then stops working on it. The network takes no time, and
//! nothing is tried again. Whatever does not depend on the picks (arrivals, costs, antagonists) is the same for every strategy under one seed.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use tidegate::balance::{Ask, Picker, hash_key};
use tidegate::endpoint::{Attempt, EndpointSet, LoadReport};
use tidegate::kit::clock::Tick;
use tidegate::model::{Address, EndpointSpec, Hash, Id, Outcome, Pool, Reason, ResourceTerms, Strategy, Upstream, Weight};

use crate::antagonist::{Antagonist, MOMENT, REGIME, change_in};
use crate::draw::{MEAN_OF_POSITIVE_NORMAL, exponential, positive_normal};
use crate::figures::Figures;
use crate::replica::Replica;
use crate::world::{Ticket, World};

/// After this a query is given up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// The steps of the ramp as shares of what the replicas own together, each 10/9 of the one before.
pub(crate) const RAMP: [f64; 9] = [0.75, 0.83, 0.93, 1.03, 1.14, 1.27, 1.41, 1.57, 1.74];

/// A replica's own cores.
const ALLOCATION: f64 = 4.0;

/// Mean and deviation of a query's cost before it is cut off at 0, in seconds of processor time.
const COST: f64 = 0.08;

/// Keys of `consistent_hashing`, equally popular.
const KEYS: u64 = 10_000;

/// What is compared: a strategy, and whether replicas report their load with every answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) strategy: Strategy,
    pub(crate) reports: Reports,
}

/// Whether replicas report their load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reports {
    /// Never.
    None,
    /// With every answer: cores used over cores owned, and queries that wait.
    WithAnswers,
}

/// The size of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) replicas: usize,
    /// Workers in each proxy.
    pub(crate) workers: usize,
    pub(crate) proxies: usize,
    /// At the first load, before anything is counted.
    pub(crate) warm_up: Duration,
    /// How long each load is held.
    pub(crate) step: Duration,
    pub(crate) loads: Vec<f64>,
}

/// An experiment that runs.
struct Experiment<'a> {
    scale: &'a Scale,
    reports: Reports,
    world: World<Event>,
    replicas: Vec<Host>,
    sets: Vec<EndpointSet>,
    workers: Vec<Worker>,
    queries: HashMap<u64, Query>,
    arrivals: Rng,
    machines: Rng,
    /// `None` in the warm-up.
    step: Option<usize>,
    load: f64,
    figures: Vec<Figures>,
}

/// A machine with its replica.
struct Host {
    replica: Replica,
    antagonist: Antagonist,
    next_done: Option<Ticket>,
}

struct Worker {
    proxy: usize,
    picker: Picker,
    rng: Rng,
}

struct Query {
    attempt: Attempt,
    replica: usize,
    deadline: Ticket,
    step: Option<usize>,
}

enum Event {
    Arrival,
    /// The next query of a replica is done.
    Done(usize),
    Deadline(u64),
    Regime(usize),
    Moment(usize),
}

/// Runs the ramp and returns the figures of each step, a query counted in the step in which it came.
pub(crate) fn run(contender: Contender, scale: &Scale, seed: u64) -> Vec<Figures> {
    let mut experiment = Experiment::new(contender, scale, seed);
    experiment.hold(None, scale.loads[0], scale.warm_up);
    for (step, &load) in scale.loads.iter().enumerate() {
        experiment.hold(Some(step), load, scale.step);
    }
    experiment.settle();
    experiment.figures.iter_mut().for_each(Figures::sort);
    experiment.figures
}

fn id(name: &str) -> Id {
    name.parse().expect("names of the simulation are valid")
}

fn pool(strategy: Strategy) -> Pool {
    Pool {
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
    }
}

fn set(replicas: usize) -> EndpointSet {
    let specs = (0..replicas).map(|n| EndpointSpec {
        id: id(&format!("r{n}")),
        address: Address::Ip(([127, 0, 0, 1], 80).into()),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: Default::default(),
        zone: None,
    });
    EndpointSet::new(&id("pool"), specs, None, Tick::from_nanos(0))
}

impl<'a> Experiment<'a> {
    fn new(contender: Contender, scale: &'a Scale, seed: u64) -> Self {
        let mut world = World::new(seed);
        let (arrivals, mut machines) = (world.randomness(), world.randomness());
        let host = |_| {
            let antagonist = Antagonist::new(&mut machines);
            Host { replica: Replica::new(ALLOCATION * antagonist.leaves()), antagonist, next_done: None }
        };
        let replicas: Vec<_> = (0..scale.replicas).map(host).collect();
        for n in 0..scale.replicas {
            world.after(change_in(REGIME, &mut machines), Event::Regime(n));
            world.after(change_in(MOMENT, &mut machines), Event::Moment(n));
        }
        let sets: Vec<_> = (0..scale.proxies).map(|_| set(scale.replicas)).collect();
        let workers = (0..scale.proxies * scale.workers).map(|n| {
            let mut worker =
                Worker { proxy: n / scale.workers, picker: Picker::new(&pool(contender.strategy)), rng: world.randomness() };
            // Workers that have run for a while are not all at the same place of their rotation.
            for _ in 0..worker.rng.usize(..scale.replicas) {
                let picked = worker.picker.pick(&sets[worker.proxy], &Ask::default(), Tick::from_nanos(0), &mut worker.rng);
                assert!(picked.is_ok(), "every replica is available");
            }
            worker
        });
        let workers = workers.collect();
        world.after(Duration::ZERO, Event::Arrival);
        Self {
            scale,
            reports: contender.reports,
            world,
            replicas,
            sets,
            workers,
            queries: HashMap::new(),
            arrivals,
            machines,
            step: None,
            load: 0.0,
            figures: vec![Figures::default(); scale.loads.len()],
        }
    }

    fn hold(&mut self, step: Option<usize>, load: f64, time: Duration) {
        (self.step, self.load) = (step, load);
        let end = self.world.now() + time;
        while let Some(event) = self.world.next(end) {
            self.happen(event);
        }
    }

    /// Waits for what is under way.
    fn settle(&mut self) {
        let end = self.world.now() + DEADLINE + Duration::from_nanos(1);
        while let Some(event) = self.world.next(end) {
            if !matches!(event, Event::Arrival) {
                self.happen(event);
            }
        }
        assert!(self.queries.is_empty(), "every query is answered or given up");
        let in_flight = |set: &EndpointSet| set.endpoints().iter().map(|endpoint| endpoint.vitals().in_flight()).sum::<u32>();
        assert!(self.sets.iter().all(|set| in_flight(set) == 0), "nothing is in flight without a query");
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Done(replica) => self.done(replica),
            Event::Deadline(query) => self.give_up(query),
            Event::Regime(n) => {
                self.replicas[n].antagonist.change_regime(&mut self.machines);
                self.world.after(change_in(REGIME, &mut self.machines), Event::Regime(n));
                self.follow_machine(n);
            }
            Event::Moment(n) => {
                self.replicas[n].antagonist.change_moment(&mut self.machines);
                self.world.after(change_in(MOMENT, &mut self.machines), Event::Moment(n));
                self.follow_machine(n);
            }
        }
    }

    fn arrive(&mut self) {
        let now = self.world.now();
        let per_second = self.load * ALLOCATION * self.scale.replicas as f64 / (COST * MEAN_OF_POSITIVE_NORMAL);
        let gap = exponential(Duration::from_secs_f64(1.0 / per_second), &mut self.arrivals);
        self.world.after(gap, Event::Arrival);
        let worker = self.arrivals.usize(..self.workers.len());
        let cost = Duration::from_secs_f64(positive_normal(COST, &mut self.arrivals));
        let key = hash_key(&self.arrivals.u64(..KEYS).to_le_bytes());

        let worker = &mut self.workers[worker];
        let set = &self.sets[worker.proxy];
        let ask = Ask { key: Some(key), ..Ask::default() };
        let replica = worker.picker.pick(set, &ask, now, &mut worker.rng).expect("every replica is available");
        let attempt = Attempt::begin(set.endpoints()[replica].clone(), now);
        let query = self.world.fresh();
        let deadline = self.world.after(DEADLINE, Event::Deadline(query));
        self.queries.insert(query, Query { attempt, replica, deadline, step: self.step });
        self.replicas[replica].replica.admit(query, cost, now);
        self.foresee(replica);
    }

    fn done(&mut self, replica: usize) {
        let now = self.world.now();
        let host = &mut self.replicas[replica];
        host.next_done = None;
        let query = host.replica.finish(now).and_then(|query| self.queries.remove(&query));
        let mut query = query.expect("a replica is done only with what it works on");
        self.world.cancel(query.deadline);
        query.attempt.first_byte(now);
        if self.reports == Reports::WithAnswers {
            let report =
                LoadReport { cpu: host.replica.used(now) / ALLOCATION, queue: host.replica.waiting(), ..LoadReport::default() };
            query.attempt.report(report, now);
        }
        if let Some(step) = query.step {
            self.figures[step].answered(micros(now.since(query.attempt.started())));
        }
        query.attempt.finish(Outcome::Completed, now);
        self.foresee(replica);
    }

    fn give_up(&mut self, query: u64) {
        let now = self.world.now();
        let Query { attempt, replica, step, .. } =
            self.queries.remove(&query).expect("the deadline of an answered query is cancelled");
        if let Some(step) = step {
            self.figures[step].failed(micros(DEADLINE));
        }
        attempt.finish(Outcome::Failed(Reason::FirstByteTimeout), now);
        self.replicas[replica].replica.cancel(query, now);
        self.foresee(replica);
    }

    fn follow_machine(&mut self, replica: usize) {
        let host = &mut self.replicas[replica];
        host.replica.set_cores(ALLOCATION * host.antagonist.leaves(), self.world.now());
        self.foresee(replica);
    }

    /// Puts the end of the replica's next query where it now belongs.
    fn foresee(&mut self, replica: usize) {
        let host = &mut self.replicas[replica];
        if let Some(ticket) = host.next_done.take() {
            self.world.cancel(ticket);
        }
        host.next_done = host.replica.next_done().map(|delay| self.world.after(delay, Event::Done(replica)));
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
