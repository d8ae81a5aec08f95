//! Deadlines that nearly always pass unused, kept by timers that are seldom set.
//!
//! A request's deadline is later than that of the one before, so that a timer which is left running rings early at worst, and is set anew then:
//! once in the length of a deadline instead of once for each request.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// As many timers as are kept for later; more requests than that wait at once only in a peak.
const KEPT: usize = 1024;

/// A timer that goes on from one deadline to the next.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Timers that nobody uses now.
#[derive(Debug, Default)]
pub(super) struct Alarms(RefCell<Vec<Alarm>>);

impl Alarm {
    /// Is ready once `deadline` is over.
    pub(super) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if deadline <= sleep.deadline() {
                return Poll::Ready(());
            }
            // It rang for an earlier request.
            sleep.as_mut().reset(deadline);
        }
    }
}

impl Alarms {
    /// Takes the one that was used last.
    pub(super) fn take(&self) -> Alarm {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Puts one back.
    pub(super) fn put_back(&self, alarm: Alarm) {
        let mut alarms = self.0.borrow_mut();
        if alarm.sleep.is_some() && alarms.len() < KEPT {
            alarms.push(alarm);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn ring(alarm: &mut Alarm, deadline: Instant) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| alarm.poll(deadline, cx)).await;
        start.elapsed()
    }

    async fn look(alarm: &mut Alarm, deadline: Instant) -> Poll<()> {
        poll_fn(|cx| Poll::Ready(alarm.poll(deadline, cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_its_deadline_whatever_it_was_set_to_before() {
        for before in [1, 5, 9] {
            let mut alarm = Alarm::default();
            let now = Instant::now();
            assert!(look(&mut alarm, now + before * SECOND).await.is_pending());
            assert_eq!(ring(&mut alarm, now + 5 * SECOND).await, 5 * SECOND, "set to {before} s before");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_rung_can_be_used_again() {
        let mut alarm = Alarm::default();
        assert_eq!(ring(&mut alarm, Instant::now() + SECOND).await, SECOND);
        assert_eq!(ring(&mut alarm, Instant::now() + SECOND).await, SECOND);
        assert!(look(&mut alarm, Instant::now() + SECOND).await.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_put_back_is_taken_again_still_set() {
        let alarms = Alarms::default();
        let mut alarm = alarms.take();
        let set = Instant::now() + SECOND;
        assert!(look(&mut alarm, set).await.is_pending());
        alarms.put_back(alarm);
        assert_eq!(alarms.take().sleep.map(|sleep| sleep.deadline()), Some(set));
        assert!(alarms.take().sleep.is_none());
    }
}
