//! The JSON by which an operator orders a fault.
//!
//! What a fault may be is `resilience::fault`'s to say; here are the words, the durations, and the bound on how long it lasts.

use std::time::Duration;

use serde::Deserialize;

use super::duration;
use crate::resilience::fault::{Fault, Wish};

/// A fault that outlasts the attention of whoever ordered it is an outage.
const MAX_TIME: Duration = Duration::from_secs(3600);

/// What `PUT` takes, as the operator wrote it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultOrder {
    #[serde(default = "all")]
    share: f64,
    #[serde(default, deserialize_with = "duration::optional")]
    delay: Option<Duration>,
    abort: Option<u16>,
    #[serde(default)]
    reset: bool,
    slow_body: Option<u64>,
    #[serde(rename = "for", deserialize_with = "duration::required")]
    time: Duration,
}

impl FaultOrder {
    /// What is expected, for whoever wrote something else.
    pub(super) const EXPECTED: &'static str = "{\"share\": 0.1, \"delay\": \"100ms\", \"abort\": 503, \"reset\": true, \"slow_body\": BYTES_PER_SECOND, \"for\": \"60s\"}";

    /// Checks the order.
    ///
    /// # Errors
    /// When it is no fault, or lasts too long, in words.
    pub(super) fn check(&self) -> Result<(Fault, Duration), String> {
        let Self { share, delay, abort, reset, slow_body, time } = *self;
        if time.is_zero() || time > MAX_TIME {
            return Err("for is not above 0 and at most 1h".to_owned());
        }
        let fault = Fault::new(&Wish { share, delay, abort, reset, slow_body }).map_err(|error| error.to_string())?;
        Ok((fault, time))
    }
}

const fn all() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<(Fault, Duration), String> {
        serde_json::from_str::<FaultOrder>(json).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn an_order_becomes_the_fault_that_it_describes() {
        let secs = Duration::from_secs;
        let half = Wish { share: 0.5, delay: Some(Duration::from_millis(100)), abort: Some(503), ..Wish::default() };
        let reset = Wish { share: 1.0, reset: true, ..Wish::default() };
        let slow = Wish { share: 1.0, slow_body: Some(512), ..Wish::default() };
        for (json, wish, time) in [
            (r#"{"share": 0.5, "delay": "100ms", "abort": 503, "for": "60s"}"#, half, secs(60)),
            (r#"{"reset": true, "for": "1h"}"#, reset, secs(3600)),
            (r#"{"slow_body": 512, "delay": null, "for": "1.5m"}"#, slow, secs(90)),
        ] {
            assert_eq!(checked(json), Ok((Fault::new(&wish).unwrap(), time)), "{json}");
        }
    }

    #[test]
    fn an_order_that_is_no_fault_says_why() {
        for (json, why) in [
            (r#"{"abort": 503}"#, "missing field `for`"),
            (r#"{"abort": 503, "for": "0s"}"#, "for is not above 0 and at most 1h"),
            (r#"{"abort": 503, "for": "61m"}"#, "for is not above 0 and at most 1h"),
            (r#"{"abort": 503, "for": "-1s"}"#, "is no duration"),
            (r#"{"abort": 503, "for": "60"}"#, "\"60\" is no duration"),
            (r#"{"abort": 503, "for": 60}"#, "expected a string"),
            (r#"{"abort": 503, "for": "99999999999999999999h"}"#, "is no duration"),
            (r#"{"delay": "soon", "for": "60s"}"#, "\"soon\" is no duration"),
            (r#"{"delay": "2h", "for": "60s"}"#, "delay is longer than 1h"),
            (r#"{"share": 0, "abort": 503, "for": "60s"}"#, "share 0 is not above 0 and at most 1"),
            (r#"{"share": 1.5, "abort": 503, "for": "60s"}"#, "share 1.5 is not"),
            (r#"{"abort": 200, "for": "60s"}"#, "abort 200 is not a status from 400 to 599"),
            (r#"{"abort": 70000, "for": "60s"}"#, "70000"),
            (r#"{"abort": 503, "reset": true, "for": "60s"}"#, "abort and reset exclude each other"),
            (r#"{"slow_body": 0, "for": "60s"}"#, "slow_body is 0"),
            (r#"{"for": "60s"}"#, "neither delay, abort, reset nor slow_body is given"),
            (r#"{"abort": 503, "for": "60s", "x": 1}"#, "unknown field `x`"),
        ] {
            let found = checked(json).unwrap_err();
            assert!(found.contains(why), "{json}: {found}");
        }
    }
}
