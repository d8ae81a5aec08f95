//! How fast the autoscaler reacts: from the first request that waits to the scale-up, and until its replica is ready.
//!
//! Measured from outside, over the admin server: both are upper bounds, as a wait is seen a moment after it began.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{self, Interval, MissedTickBehavior};

use super::super::super::fetch::Server;
use super::seen::{self, Change};

/// How often it is looked: well below what is measured, and a small part of what the admin server can do.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How fast it reacted to the first request that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reaction {
    /// Until it decided to have more replicas.
    pub(super) decided: Duration,
    /// Until one more was ready.
    pub(super) ready: Duration,
}

/// Waits for the first request that waits, then for a replica more. Cancel safe.
///
/// # Errors
/// When the admin server does not answer.
pub(super) async fn measure(server: &Server) -> anyhow::Result<Reaction> {
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (none_waited, ready_before) = first_wait(server, &mut ticks).await?;
    let decided = loop {
        ticks.tick().await;
        if let Some(change) = first_up(&seen::changes(server).await?, none_waited) {
            break change.at_unix_ms;
        }
    };
    while seen::scaling(server).await?.replicas.ready <= ready_before {
        ticks.tick().await;
    }
    Ok(Reaction { decided: since(none_waited, decided), ready: since(none_waited, unix_ms()) })
}

/// Waits for the first request that waits; returns the last moment at which none had waited, and how many replicas there were.
async fn first_wait(server: &Server, ticks: &mut Interval) -> anyhow::Result<(i64, u32)> {
    let ready = seen::scaling(server).await?.replicas.ready;
    let mut none_waited = unix_ms();
    loop {
        ticks.tick().await;
        let now = unix_ms();
        if seen::pool(server).await?.queue.queued_total > 0 {
            return Ok((none_waited, ready));
        }
        none_waited = now;
    }
}

/// Finds the first decision for more replicas from a moment on; `changes` has the latest first.
fn first_up(changes: &[Change], from_unix_ms: i64) -> Option<&Change> {
    changes.iter().rev().find(|change| change.to > change.from && change.at_unix_ms >= from_unix_ms)
}

fn since(earlier_unix_ms: i64, unix_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(unix_ms.saturating_sub(earlier_unix_ms)).unwrap_or(0))
}

fn unix_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at_unix_ms: i64, from: u32, to: u32) -> Change {
        Change { at_unix_ms, from, to, reason: String::new() }
    }

    #[test]
    fn the_first_scale_up_after_the_wait_counts() {
        let changes = [change(50, 5, 6), change(40, 2, 5), change(35, 3, 2), change(30, 2, 3), change(10, 0, 2)];
        for (from, expected) in [(0, Some(10)), (11, Some(30)), (30, Some(30)), (31, Some(40)), (51, None)] {
            assert_eq!(first_up(&changes, from).map(|change| change.at_unix_ms), expected, "{from}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_measures_nothing() {
        assert_eq!(since(5, 3), Duration::ZERO);
        assert_eq!(since(3, 5), Duration::from_millis(2));
    }
}
