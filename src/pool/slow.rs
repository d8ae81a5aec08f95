//! A body at a bounded rate, for injected faults: frames are cut into parts, each of which waits for its time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

/// How often a part passes.
const PERIOD: Duration = Duration::from_millis(100);

/// Bounds the rate of a body.
#[derive(Debug)]
pub(super) struct Slow {
    /// At least 1.
    part: usize,
    period: Duration,
    held: Bytes,
    rest: Pin<Box<Sleep>>,
}

impl Slow {
    /// At most so many bytes in each second; at least 1.
    pub(super) fn new(bytes_per_sec: u64) -> Self {
        let bytes_per_sec = bytes_per_sec.max(1);
        // Below ten bytes in a second, one byte and a longer period.
        let part = bytes_per_sec / 10;
        let period = if part == 0 { Duration::from_secs(1) / u32::try_from(bytes_per_sec).unwrap_or(1) } else { PERIOD };
        let part = usize::try_from(part.max(1)).unwrap_or(usize::MAX);
        Self { part, period, held: Bytes::new(), rest: Box::pin(tokio::time::sleep(period)) }
    }

    /// Tells whether there is something to pass before the body is asked again.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes in what came.
    pub(super) fn push(&mut self, data: Bytes) {
        self.held = data;
    }

    /// Passes the next part, once its time has come.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        std::task::ready!(self.rest.as_mut().poll(cx));
        let next = self.rest.deadline() + self.period;
        self.rest.as_mut().reset(next.max(tokio::time::Instant::now()));
        Poll::Ready(self.held.split_to(self.part.min(self.held.len())))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_bytes_at_a_hundred_in_a_second_take_ten_seconds() {
        let mut slow = Slow::new(100);
        let begun = Instant::now();
        slow.push(Bytes::from(vec![0; 1000]));
        let mut passed = 0;
        while slow.holds() {
            passed += poll_fn(|cx| slow.poll_part(cx)).await.len();
        }
        assert_eq!((passed, begun.elapsed()), (1000, Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_very_slow_body_passes_byte_by_byte() {
        let mut slow = Slow::new(2);
        let begun = Instant::now();
        slow.push(Bytes::from_static(b"abc"));
        assert_eq!(poll_fn(|cx| slow.poll_part(cx)).await, "a");
        assert_eq!(begun.elapsed(), Duration::from_millis(500));
    }
}
