//! The task that runs the checks of one pool, and its owner.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::counters::Counters;
use super::ledger::{Healed, Job, Ledger, Recorded, Ticket};
use super::plan::{Plan, Watched};
use super::report::{Present, Report, report};
use crate::endpoint::Endpoint;
use crate::health::active::check;
use crate::health::heal::{Event, Outside, Webhook};
use crate::health::verdict::{Checked, Finding, Standing};
use crate::kit::clock::{self, Tick};
use crate::model::Id;

/// Checks of a pool that may run at once: a few sockets, and enough for 10,000 endpoints that answer within 100 ms in 16 s.
const MAX_RUNNING: usize = 64;

/// Actions about endpoints of a pool that may run at once; who finds no place has another chance with the next bad check.
const MAX_CALLS: usize = 8;

/// What is checked.
pub struct Watch {
    /// The pool.
    pub pool: Id,
    /// How it is checked.
    pub plan: Plan,
    /// Its endpoints.
    pub members: Vec<Watched>,
    /// What it needs from elsewhere.
    pub outside: Outside,
}

/// The running checks of one pool; dropped, they end, and what they said of endpoints stays.
#[derive(Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    pool: Id,
    outside: Outside,
    books: Mutex<Books>,
    changed: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Books {
    ledger: Ledger,
    rng: Rng,
}

/// A result with the news that it made.
struct News {
    ticket: Ticket,
    recorded: Recorded,
    finding: Finding,
    message: Box<str>,
}

/// An endpoint about which something is to be done.
struct Call {
    webhook: Option<Arc<Webhook>>,
    restarts: bool,
    endpoint: Arc<Endpoint>,
    message: Box<str>,
    down_for: Duration,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("pool", &self.pool).field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Monitor {
    /// Begins to check on the present runtime.
    ///
    /// When this returns, endpoints that must pass a check first are down: publish the set of endpoints after it.
    pub fn start(spec: Watch) -> Self {
        let Watch { pool, plan, members, outside } = spec;
        let mut books = Books { ledger: Ledger::new(plan), rng: Rng::new() };
        books.ledger.update(members, clock::now(), &mut books.rng);
        let books = Mutex::new(books);
        let shared = Arc::new(Shared { pool, outside, books, changed: Notify::new(), counters: Arc::default() });
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Takes the pool's present endpoints; of those that stay nothing is forgotten, and their checks go on.
    ///
    /// When this returns, endpoints that are new and must pass a check first are down: publish the set of endpoints after it.
    pub fn update(&self, members: Vec<Watched>) {
        let mut books = self.shared.lock();
        let Books { ledger, rng } = &mut *books;
        ledger.update(members, clock::now(), rng);
        drop(books);
        self.shared.changed.notify_one();
    }

    /// Takes other settings and the pool's present endpoints; nothing is restarted when the settings are the same.
    pub fn configure(&self, plan: Plan, members: Vec<Watched>) {
        let mut books = self.shared.lock();
        let Books { ledger, rng } = &mut *books;
        let now = clock::now();
        ledger.configure(plan, now, rng);
        ledger.update(members, now, rng);
        drop(books);
        self.shared.changed.notify_one();
    }

    /// Ends the checks because they are configured no longer: no endpoint is down or degraded by them any more.
    pub fn switch_off(&self) {
        self.shared.lock().ledger.switch_off(clock::now());
        self.task.abort();
    }

    /// Returns what is known, with at most `results` (of 100) results of each endpoint.
    pub fn report(&self, results: usize) -> Report {
        let present = Present { tick: clock::now(), time: Timestamp::now() };
        report(&self.shared.lock().ledger, results, present)
    }

    /// Returns the counters, which go on being counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Books> {
        // Nothing done under the lock panics; were it to, the books are worth more than their end.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_due(&self) -> Option<Job> {
        self.lock().ledger.take_due(clock::now())
    }

    fn next_due(&self) -> Option<Tick> {
        self.lock().ledger.next_due()
    }

    async fn check(&self, job: Job) -> (Ticket, Checked) {
        (job.ticket, check(&job.health, &job.target, &self.outside.lookup).await)
    }

    fn record(&self, ticket: Ticket, checked: Checked) -> Option<News> {
        let (message, finding) = (checked.message.clone(), checked.finding);
        let mut books = self.lock();
        let Books { ledger, rng } = &mut *books;
        let recorded = ledger.record(ticket, checked, clock::now(), rng)?;
        drop(books);
        self.counters.count_check(finding);
        Some(News { ticket, recorded, finding, message })
    }

    fn take_call(&self, news: News) -> Option<Call> {
        let News { ticket, recorded: Recorded { endpoint, .. }, finding, message } = news;
        let mut books = self.lock();
        let heal = books.ledger.plan.health.heal.as_ref().filter(|_| finding == Finding::Bad)?;
        let restarts = heal.restart;
        let webhook = books.ledger.plan.webhook.clone();
        let down_for = books.ledger.take_heal(ticket, clock::now())?;
        Some(Call { webhook, restarts, endpoint, message, down_for })
    }

    /// Logs and counts a change.
    fn tell(&self, news: &News) {
        let Some(change) = news.recorded.change else { return };
        self.counters.count_transition();
        let (pool, endpoint, message) = (&self.pool, &news.recorded.endpoint.spec.id, &news.message);
        let (from, to) = (change.from, change.to);
        if to == Standing::Healthy {
            info!(%pool, %endpoint, %from, %to, message = %message, "Endpoint is well.");
        } else {
            warn!(%pool, %endpoint, %from, %to, message = %message, "Endpoint is not well.");
        }
    }

    async fn heal(&self, call: Call) {
        if let Some(webhook) = &call.webhook {
            let result = webhook.call(&self.event(&call), &self.outside.lookup).await;
            self.note(&call, "webhook", result);
        }
        if call.restarts {
            let result = (self.outside.repair)(&self.pool, &call.endpoint.spec.id).await;
            self.note(&call, "restart", result);
        }
    }

    fn event(&self, call: &Call) -> Event {
        let spec = &call.endpoint.spec;
        Event {
            event: "endpoint_unhealthy",
            pool: self.pool.to_string(),
            endpoint: spec.id.to_string(),
            address: spec.address.to_string(),
            since_seconds: call.down_for.as_secs(),
            last_message: call.message.clone(),
            time: format!("{:.3}", Timestamp::now()),
        }
    }

    /// Counts, keeps and logs what was done.
    fn note(&self, call: &Call, action: &'static str, result: Result<(), String>) {
        self.counters.count_heal(&result);
        self.lock().ledger.healed(call.endpoint.serial(), Healed { at: clock::now(), action, result: result.clone() });
        let (pool, endpoint) = (&self.pool, &call.endpoint.spec.id);
        match result {
            Ok(()) => info!(%pool, %endpoint, action, "The endpoint stays down: something was done about it."),
            Err(error) => warn!(%pool, %endpoint, action, %error, "The endpoint stays down, and nothing could be done about it."),
        }
    }
}

async fn run(shared: Arc<Shared>) {
    let mut running = FuturesUnordered::new();
    let mut calls = FuturesUnordered::new();
    loop {
        while running.len() < MAX_RUNNING
            && let Some(job) = shared.take_due()
        {
            running.push(shared.check(job));
        }
        let wake = if running.len() < MAX_RUNNING { shared.next_due() } else { None };
        // Every branch is cancel safe: checks and calls stay in their sets, a time and a permit of `changed` are looked at again.
        tokio::select! {
            Some((ticket, checked)) = running.next() => {
                if let Some(news) = shared.record(ticket, checked) {
                    shared.tell(&news);
                    if calls.len() < MAX_CALLS && let Some(call) = shared.take_call(news) {
                        calls.push(shared.heal(call));
                    }
                }
            }
            Some(()) = calls.next() => {}
            () = until(wake) => {}
            () = shared.changed.notified() => {}
        }
    }
}

/// Waits until `tick`, or for ever.
async fn until(tick: Option<Tick>) {
    match tick {
        Some(tick) => sleep(tick.since(clock::now())).await,
        None => pending().await,
    }
}
