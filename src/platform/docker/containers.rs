//! The containers of one pool, as the autoscaler and the discovery see them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::connect::{PLATFORM, unreachable};
use super::engine::Engine;
use super::roster::Roster;
use super::spec::Identity;
use super::supervisor::{self, Books, Shared};
use crate::kit::clock;
use crate::model::{Container, Id, Target};
use crate::platform::platforms::Local;
use crate::platform::scaler::{Observed, Pending, Replica, ScaleError, Scaler};

/// How much longer than its grace an end may take.
const END: Duration = Duration::from_secs(30);

/// The containers of one pool, and the task that keeps them; dropped, the task ends and the containers stay.
pub struct Containers {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containers").field("pool", &self.shared.engine.identity().pool).finish_non_exhaustive()
    }
}

impl Containers {
    /// Begins to keep the containers of `pool` on the present runtime, with those that there are already.
    ///
    /// `owner` tells them from those of another Tidegate at the same engine; the engine need not be there yet.
    pub fn start(pool: &Id, owner: &str, settings: &Container) -> Self {
        let identity = Identity { pool: pool.clone(), owner: owner.to_owned() };
        let roster = Roster::new(identity.prefix(), Rng::new());
        let shared = Arc::new(Shared::new(Engine::new(identity, settings.clone()), roster));
        let task = tokio::spawn(supervisor::run(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Returns why a replica failed last, with the last lines that it wrote.
    pub fn failure(&self, replica: &Id) -> Option<String> {
        self.shared.lock().roster.failure(replica).map(str::to_owned)
    }

    /// Waits until `answer` gives one; it is asked after each turn of the task. Cancel safe.
    async fn wait<T>(&self, answer: impl Fn(&Books) -> Option<T>) -> Result<T, ScaleError> {
        let mut turns = self.shared.turns.subscribe();
        loop {
            let is_over = {
                let books = self.shared.lock();
                match answer(&books) {
                    Some(answer) if !books.is_over => return Ok(answer),
                    _ => books.is_over,
                }
            };
            if is_over || turns.changed().await.is_err() {
                return Err(unreachable("its containers are no longer kept".to_owned()));
            }
        }
    }

    async fn observed(&self) -> Result<Observed, ScaleError> {
        self.wait(|books| Some(books.reach.clone()?.map(|()| books.roster.observed(clock::now())))).await?
    }

    async fn scaled(&self, count: u32, victims: Vec<Id>) -> Result<(), ScaleError> {
        {
            let mut books = self.shared.lock();
            books.trouble = None;
            // It may be back.
            books.reach = books.reach.take().filter(Result::is_ok);
            books.roster.scale(count, victims, clock::now());
        }
        self.shared.wake.notify_one();
        self.wait(|books| books.outcome(clock::now())).await?
    }

    async fn restarted(&self, replica: Id) -> Result<(), ScaleError> {
        self.observed().await?;
        if !self.shared.lock().roster.restart(&replica, clock::now()) {
            return Err(ScaleError::Missing { platform: PLATFORM, what: format!("container {replica}") });
        }
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Waits for the end of something, at most as long as a stop may take, and ends the task.
    async fn finish(&self, end: impl Future<Output = Result<(), ScaleError>>) -> bool {
        let limit = self.shared.engine.settings().grace.saturating_add(END);
        let is_done = matches!(timeout(limit, end).await, Ok(Ok(())));
        self.task.abort();
        self.shared.lock().is_over = true;
        self.shared.turn();
        is_done
    }

    async fn closed(&self) {
        self.shared.lock().is_closing = true;
        // What is half done is let to its end, so that the next start finds clear figures.
        self.finish(self.wait(|books| (!books.roster.is_busy()).then_some(()))).await;
    }

    async fn disbanded(&self) {
        self.shared.lock().roster.scale(0, Vec::new(), clock::now());
        self.shared.wake.notify_one();
        let gone = self.wait(|books| (matches!(books.reach, Some(Ok(()))) && books.roster.is_empty()).then_some(()));
        if !self.finish(gone).await {
            let pool = &self.shared.engine.identity().pool;
            warn!(%pool, "The pool is gone, but its containers could not all be removed.");
        }
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scaler for Containers {
    fn observe(&self) -> Pending<'_, Result<Observed, ScaleError>> {
        Box::pin(self.observed())
    }

    fn scale_to(&self, count: u32, victims: Vec<Id>) -> Pending<'_, Result<(), ScaleError>> {
        Box::pin(self.scaled(count, victims))
    }

    fn restart(&self, replica: Id) -> Pending<'_, Result<(), ScaleError>> {
        Box::pin(self.restarted(replica))
    }

    fn changed(&self) -> Pending<'_, ()> {
        Box::pin(self.shared.news.notified())
    }
}

impl Local for Containers {
    fn replicas(&self) -> watch::Receiver<Vec<Replica>> {
        self.shared.replicas.subscribe()
    }

    fn configure(&self, target: &Target) {
        if let Target::Docker(settings) = target {
            self.shared.engine.configure(settings.clone());
        }
    }

    /// Containers outlive Tidegate: the next start takes them over.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(self.closed())
    }

    fn disband(&self) -> Pending<'_, ()> {
        Box::pin(self.disbanded())
    }
}
