//! Deadlines that no configured duration can overflow.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than a process lives, and far from what an `Instant` cannot hold.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Returns the moment `duration` from now; a duration beyond ten years counts as ten.
pub(super) fn after(duration: Duration) -> Instant {
    since(Instant::now(), duration)
}

/// Returns the moment `duration` after `start`; a duration beyond ten years counts as ten.
pub(super) fn since(start: Instant, duration: Duration) -> Instant {
    start + duration.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_duration_does_not_overflow() {
        assert!(after(Duration::MAX) > Instant::now());
    }
}
