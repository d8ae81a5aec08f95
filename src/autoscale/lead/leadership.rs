//! The candidate of this process: keeps the lease, and tells others whether they may act.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::election::{Election, Moment, Step, Terms, Written};
use crate::kit::clock::{self, Tick};
use crate::model::Lease;
use crate::platform::kubernetes::{CallError, Cluster, LeaseBook, LeaseRecord, LeaseVersion};

/// How often a release is tried: the renewal that was under way may have changed the version.
const RELEASES: u32 = 3;

/// Until when a leader may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Tick>);

/// How an election stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The name of this candidate.
    pub identity: String,
    /// Whether it leads.
    pub leads: bool,
    /// Who holds the lease, as far as is known; `None`: nobody.
    pub holder: Option<String>,
    /// How often the lease went from one holder to another.
    pub transitions: u32,
}

/// Whether this gateway may act; dropped, it stops to keep the lease, which is then over in its time.
pub struct Leadership {
    candidate: Option<Candidate>,
    leads: watch::Receiver<bool>,
    /// Keeps the channel of one who always leads.
    _always: Option<watch::Sender<bool>>,
}

struct Candidate {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    election: Mutex<Election<LeaseVersion>>,
    book: LeaseBook,
    leads: watch::Sender<bool>,
}

impl Deadline {
    /// There is none.
    pub const NONE: Self = Self(None);

    /// Tells whether a call that takes so long is over before it.
    pub fn outlasts(self, now: Tick, call: Duration) -> bool {
        self.0.is_none_or(|until| now + call <= until)
    }

    /// Returns how long is left; `None` for one who always leads.
    pub fn left(self, now: Tick) -> Option<Duration> {
        self.0.map(|until| until.since(now))
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("standing", &self.standing()).finish()
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leadership {
    /// Leads, always: there is no other gateway.
    pub fn always() -> Self {
        let (sender, leads) = watch::channel(true);
        Self { candidate: None, leads, _always: Some(sender) }
    }

    /// Stands for election on the present runtime; `identity` is the gateway's name, to which a part is added that no earlier run of it had.
    pub fn stand(lease: &Lease, identity: &str, cluster: Arc<Cluster>) -> Self {
        let identity = format!("{identity}_{:016x}", Rng::new().u64(..));
        let seconds = u32::try_from(lease.duration.as_secs()).unwrap_or(u32::MAX).max(1);
        let terms = Terms { identity, seconds, renew: lease.renew };
        // A renewal that takes longer than the time to the next one is better tried again.
        let limit = lease.renew.min(cluster.timeouts().call);
        let book = LeaseBook::new(cluster, lease.namespace.clone(), lease.name.clone(), limit);
        let (sender, leads) = watch::channel(false);
        let shared = Arc::new(Shared { election: Mutex::new(Election::new(terms)), book, leads: sender });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Self { candidate: Some(Candidate { shared, task }), leads, _always: None }
    }

    /// Tells whether this gateway may act now, and until when; what it does must be over by then.
    pub fn may_act(&self, now: Tick) -> Option<Deadline> {
        let Some(candidate) = &self.candidate else { return Some(Deadline(None)) };
        let now = Moment { tick: now, wall: Timestamp::now().as_microsecond() };
        candidate.shared.lock().may_act(now).map(|until| Deadline(Some(until)))
    }

    /// Returns the longest time that a leader's call may take, so that one which begins between two renewals is over before the lease.
    pub fn call_limit(&self) -> Duration {
        self.candidate.as_ref().map_or(Duration::MAX, |candidate| candidate.shared.lock().terms().call_limit())
    }

    /// Waits until this gateway begins or ceases to lead, as far as it was found out; whether it may act, [`Leadership::may_act`] says. Cancel safe.
    pub async fn changed(&mut self) {
        if self.leads.changed().await.is_err() {
            // The task has ended, with the runtime or by `close`: there will be no more changes.
            std::future::pending().await
        }
    }

    /// Returns how the election stands; `None` for one who always leads.
    pub fn standing(&self) -> Option<Standing> {
        let shared = &self.candidate.as_ref()?.shared;
        let election = shared.lock();
        let record = election.record();
        Some(Standing {
            identity: election.terms().identity.clone(),
            leads: election.may_act(present()).is_some(),
            holder: record.map(|record| record.holder.clone()).filter(|holder| !holder.is_empty()),
            transitions: record.map_or(0, |record| record.transitions),
        })
    }

    /// Stops to lead and gives the lease back, so that another takes over at once; call it when nothing that this gateway does is under way.
    pub async fn release(&self) {
        let Some(candidate) = &self.candidate else { return };
        candidate.task.abort();
        candidate.shared.release().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Election<LeaseVersion>> {
        // The machine is changed by whole steps that do not panic.
        self.election.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        loop {
            let step = self.lock().step(present());
            match step {
                Step::Wait(until) => sleep(until.since(clock::now())).await,
                Step::Look => self.look().await,
                Step::Write { record, over } => self.write(record, over.as_ref()).await,
            }
            self.announce();
        }
    }

    async fn look(&self) {
        match self.book.get().await {
            Ok(lease) => self.lock().saw(clock::now(), lease),
            Err(error) => {
                self.complain(&error);
                self.lock().failed(clock::now());
            }
        }
    }

    async fn write(&self, record: LeaseRecord, over: Option<&LeaseVersion>) {
        let sent = present();
        let written = match self.book.put(&record, over).await {
            Ok(version) => Written::Done(version),
            // 404: somebody has taken the lease away.
            Err(error) if matches!(error.code(), Some(404 | 409)) => Written::Lost,
            Err(error) => {
                self.complain(&error);
                Written::Failed
            }
        };
        self.lock().wrote(record, sent, clock::now(), written);
    }

    fn complain(&self, error: &CallError) {
        if *self.leads.borrow() {
            warn!(%error, "The lease could not be renewed.");
        } else {
            debug!(%error, "The lease could not be looked at.");
        }
    }

    fn announce(&self) {
        let leads = self.lock().may_act(present()).is_some();
        self.leads.send_if_modified(|known| {
            let is_news = *known != leads;
            if is_news {
                *known = leads;
                if leads {
                    info!("This gateway leads.");
                } else {
                    info!("This gateway does not lead any more.");
                }
            }
            is_news
        });
    }

    async fn release(&self) {
        for _ in 0..RELEASES {
            let free = self.lock().release(Timestamp::now().as_microsecond());
            let Some((record, version)) = free else { return };
            match self.book.put(&record, Some(&version)).await {
                Ok(_) => return,
                Err(error) if error.code() == Some(409) => self.look().await,
                Err(error) => return warn!(%error, "The lease could not be given back; another takes over when it is over."),
            }
        }
    }
}

fn present() -> Moment {
    Moment { tick: clock::now(), wall: Timestamp::now().as_microsecond() }
}
