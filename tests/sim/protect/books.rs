//! What the simulation writes down by itself of all that it lets the machines do, so that their own figures can be held against it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate::endpoint::{EndpointSet, Serial, State};
use tidegate::kit::clock::Tick;
use tidegate::model::{self, Outcome, Priority, Side};
use tidegate::resilience::breaker::Breaker;

use super::lab::Flag;
use super::seen::Counts;

/// The window of budgets.
const WINDOW: Duration = Duration::from_secs(10);

/// All books.
#[derive(Default)]
pub(super) struct Books {
    /// Every identity that an endpoint ever had, those that have left the pool included.
    pub(super) identities: Vec<Identity>,
    places: HashMap<Serial, usize>,
    /// Those who wait for a slot of the pool.
    pub(super) queue: Line,
    /// Those who wait for a slot of the bulkhead.
    pub(super) hull: Line,
    /// Slots of the bulkhead that are held, and how others ended.
    pub(super) slots: Account,
    /// How many the bulkhead had admitted after the event before.
    pub(super) admitted_before: u64,
    pub(super) requests: Account,
    pub(super) retries: Spending,
    pub(super) hedges: Spending,
    pub(super) counts: Counts,
    /// Attempts that began.
    attempts: u64,
    /// The first breach that was seen in passing.
    pub(super) breach: Option<String>,
}

/// What was done with one identity of an endpoint.
pub(super) struct Identity {
    pub(super) state: Arc<State>,
    pub(super) breaker: Arc<Breaker>,
    /// The most slots that a membership gives it which anybody still goes by; 0 when none has it.
    pub(super) limit: u32,
    /// Whether the newest membership has it.
    pub(super) is_member: bool,
    pub(super) account: Account,
    /// Attempts that the machine had counted when it was last looked at.
    pub(super) attempts_before: u64,
    /// Slots taken after the event before.
    pub(super) in_flight_before: u32,
    /// A place was taken or given back since.
    pub(super) is_touched: bool,
    /// When it opened last, and until when, unless it was switched off or closed since.
    pub(super) opening: Option<Opening>,
    /// Attempts that began since it is half-open, and that have neither a good head nor an end.
    pub(super) probes: Vec<u64>,
}

/// How a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// The step of the run, as a moment may have many.
    pub(super) step: u64,
    pub(super) until: Tick,
}

/// Begun = completed + failed + aborted + running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) running: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) aborted: u64,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Failed,
    Aborted,
}

/// Those who wait in one queue.
#[derive(Default)]
pub(super) struct Line {
    pub(super) waiting: BTreeMap<u64, Waiting>,
    /// How many waited after the event before.
    pub(super) length_before: u64,
    /// Those who had a grant that was worth nothing, and stand again at their old places.
    pub(super) returned: u64,
    /// How many they were after the event before.
    pub(super) returned_before: u64,
    /// Those who left when they were called, and did not know.
    pub(super) withdrawn: u64,
    numbers: u64,
}

/// One who waits.
pub(super) struct Waiting {
    pub(super) required: u8,
    pub(super) priority: Priority,
    pub(super) arrived: Tick,
    pub(super) deadline: Tick,
    pub(super) flag: Arc<Flag>,
    /// It passes over endpoints that others take.
    pub(super) has_strangers: bool,
    /// Its flag was seen up.
    pub(super) is_called: bool,
    /// When that was seen, one who should have been called first was still in the line.
    pub(super) overtook: bool,
    /// When that was seen, a less important one was still in the line.
    pub(super) spared: bool,
}

/// Requests and extra attempts of the last ten seconds.
#[derive(Default)]
pub(super) struct Spending {
    requests: VecDeque<Tick>,
    spent: VecDeque<Tick>,
}

impl Account {
    pub(super) const fn begin(&mut self) {
        self.running += 1;
    }

    pub(super) const fn end(&mut self, end: End) {
        self.running -= 1;
        match end {
            End::Completed => self.completed += 1,
            End::Failed => self.failed += 1,
            End::Aborted => self.aborted += 1,
        }
    }

    pub(super) const fn begun(self) -> u64 {
        self.running + self.completed + self.failed + self.aborted
    }
}

impl End {
    /// Returns how an attempt counts that ended with `outcome`, whose answer was a failure by its status or not.
    pub(super) fn of(outcome: Outcome, is_failure: bool) -> Self {
        match outcome {
            Outcome::Completed if is_failure => Self::Failed,
            Outcome::Completed => Self::Completed,
            Outcome::Failed(reason) | Outcome::Truncated(reason) if reason.side() == Side::Endpoint => Self::Failed,
            Outcome::Failed(_) | Outcome::Truncated(_) | Outcome::Aborted => Self::Aborted,
        }
    }
}

impl Line {
    /// Writes down one who waits, and returns its number.
    pub(super) fn enter(&mut self, waiting: Waiting) -> u64 {
        self.numbers += 1;
        self.waiting.insert(self.numbers, waiting);
        self.numbers
    }

    /// Returns how many are really in the line: those who were called have left it.
    pub(super) fn length(&self) -> u64 {
        self.waiting.values().filter(|waiting| !waiting.flag.is_up()).count() as u64
    }

    /// Returns how many were called and do not know yet.
    pub(super) fn called(&self) -> u64 {
        self.waiting.len() as u64 - self.length()
    }

    /// Notes who was called by the last event, and at whose expense.
    pub(super) fn note_calls(&mut self) {
        if self.waiting.values().all(|waiting| waiting.is_called || !waiting.flag.is_up()) {
            return;
        }
        let still = self.waiting.values().filter(|waiting| !waiting.flag.is_up() && !waiting.has_strangers);
        let still: Vec<_> = still.map(Waiting::rank).collect();
        for waiting in self.waiting.values_mut().filter(|waiting| !waiting.is_called && waiting.flag.is_up()) {
            waiting.is_called = true;
            let (required, priority, arrived) = waiting.rank();
            let comes_first = |other: &(u8, Priority, Tick)| other.1 > priority || other.1 == priority && other.2 < arrived;
            // Whatever suits this one would have suited the other.
            waiting.overtook = still.iter().any(|other| other.0 & !required == 0 && comes_first(other));
            waiting.spared = still.iter().any(|other| other.1 < priority);
        }
    }
}

impl Identity {
    /// The breaker was switched off or closed: it begins anew, and the probes that run are none any more.
    pub(super) fn forget_breaker(&mut self) {
        self.probes.clear();
        self.opening = None;
    }
}

impl Waiting {
    const fn rank(&self) -> (u8, Priority, Tick) {
        (self.required, self.priority, self.arrived)
    }
}

impl Spending {
    pub(super) fn note_request(&mut self, now: Tick) {
        self.requests.push_back(now);
    }

    /// Notes an extra attempt that was granted.
    ///
    /// # Errors
    /// When the requests of the last ten seconds do not pay for it.
    pub(super) fn note_spent(&mut self, settings: &model::Budget, now: Tick) -> Result<(), String> {
        self.spent.push_back(now);
        for times in [&mut self.requests, &mut self.spent] {
            while times.front().is_some_and(|&time| time + WINDOW <= now) {
                times.pop_front();
            }
        }
        let (requests, spent) = (self.requests.len(), self.spent.len());
        let allowance = settings.ratio * requests as f64 + 10.0 * f64::from(settings.min_per_second);
        if spent as f64 > allowance + 1e-9 {
            return Err(format!("{spent} extra attempts in ten seconds of {requests} requests, {settings:?}"));
        }
        Ok(())
    }
}

impl Books {
    /// Opens a book for every endpoint of `set` that has none.
    pub(super) fn open(&mut self, set: &EndpointSet, breakers: &[Arc<Breaker>]) {
        for identity in &mut self.identities {
            identity.is_member = false;
        }
        for (endpoint, breaker) in set.endpoints().iter().zip(breakers) {
            let place = *self.places.entry(endpoint.serial()).or_insert_with(|| {
                self.identities.push(Identity {
                    state: endpoint.state.clone(),
                    breaker: breaker.clone(),
                    limit: 0,
                    is_member: false,
                    account: Account::default(),
                    attempts_before: 0,
                    in_flight_before: 0,
                    is_touched: true,
                    opening: None,
                    probes: Vec::new(),
                });
                self.identities.len() - 1
            });
            self.identities[place].is_member = true;
        }
    }

    /// Takes the memberships that anybody goes by.
    pub(super) fn limit<'a>(&mut self, sets: impl Iterator<Item = &'a EndpointSet>) {
        for identity in &mut self.identities {
            identity.limit = 0;
        }
        for endpoint in sets.flat_map(EndpointSet::endpoints) {
            let slots = endpoint.spec.max_connections.unwrap_or(u32::MAX);
            let identity = self.identity(endpoint.serial());
            identity.limit = identity.limit.max(slots);
        }
    }

    pub(super) fn identity(&mut self, serial: Serial) -> &mut Identity {
        let place = self.places[&serial];
        &mut self.identities[place]
    }

    /// Returns the number of another attempt.
    pub(super) const fn fresh(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    /// Keeps the first breach.
    pub(super) fn note<T>(&mut self, result: Result<T, String>) {
        if let Err(breach) = result {
            self.breach.get_or_insert(breach);
        }
    }
}
