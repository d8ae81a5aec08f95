//! Sends the requests of a schedule when they are due, and counts what becomes of them.

use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client::{self, Outcome};
use super::schedule::{Arrival, Ask, Schedule};
use super::summary::Tally;

/// The requests that were sent, and those that are due.
#[derive(Debug)]
pub(super) struct Traffic {
    proxy: SocketAddr,
    schedule: Schedule,
    due: Option<Arrival>,
    began: Instant,
    running: JoinSet<Outcome>,
    tally: Tally,
}

impl Traffic {
    /// Begins now.
    pub(super) fn new(proxy: SocketAddr, mut schedule: Schedule) -> Self {
        let due = schedule.next();
        Self { proxy, schedule, due, began: Instant::now(), running: JoinSet::new(), tally: Tally::default() }
    }

    /// Sends what is due, for as long as the schedule has something. Cancel safe.
    pub(super) async fn run(&mut self) {
        while let Some(Arrival { at, ask }) = self.due {
            // Both are cancel safe.
            tokio::select! {
                () = sleep_until(self.began + at) => self.send(ask),
                Some(outcome) = self.running.join_next() => self.tally.add(outcome.ok()),
            }
        }
    }

    fn send(&mut self, ask: Ask) {
        self.tally.sent += 1;
        self.tally.streams += u64::from(ask == Ask::Stream);
        self.running.spawn(client::ask(self.proxy, ask));
        self.due = self.schedule.next();
    }

    /// Waits for what runs. Cancel safe.
    pub(super) async fn finish(&mut self) {
        while let Some(outcome) = self.running.join_next().await {
            self.tally.add(outcome.ok());
        }
    }

    /// Returns what was counted; what still runs is given up.
    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }
}
