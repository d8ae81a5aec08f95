//! How long a platform is waited for.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use crate::kit::clock;
use crate::platform::ScaleError;

/// How long a platform may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for a call until its time is over.
///
/// The clock is looked at before each step of the call: a process that was stopped in the midst of it, and goes on when another gateway leads,
/// must not finish what it had begun.
pub(super) async fn in_time<T>(limit: Duration, call: impl Future<Output = Result<T, ScaleError>>) -> Result<T, ScaleError> {
    let late = || ScaleError::Unreachable { platform: "the platform", detail: format!("no answer within {limit:?}") };
    let until = clock::now() + limit;
    let mut call = pin!(call);
    let watched = poll_fn(|cx| if clock::now() >= until { Poll::Ready(Err(late())) } else { call.as_mut().poll(cx) });
    timeout(limit, watched).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_answer_is_given_up() {
        let never = std::future::pending::<Result<(), ScaleError>>();
        assert_eq!(in_time(PATIENCE, never).await.unwrap_err().as_str(), "unreachable");
        assert_eq!(in_time(PATIENCE, async { Ok(3) }).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_stopped_in_its_midst_takes_no_other_step_after_its_time() {
        let steps = Cell::new(0);
        let stopped = async {
            steps.set(1);
            // As for a process that is stopped and goes on later: the time passes, and no timer has fired.
            tokio::time::advance(PATIENCE).await;
            steps.set(2);
            Ok(())
        };
        assert!(in_time(PATIENCE, stopped).await.is_err());
        assert_eq!(steps.get(), 1);
    }
}
