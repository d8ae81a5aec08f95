//! What the API shows of the sizing of pools, and what it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use crate::autoscale::forecast::{Forecast, Made};
use crate::autoscale::{Counts, Decision, Entry, Leaving, Order, Reading, Replicas, Trouble};
use crate::model::{Id, ScaleMode};
use crate::platform::{Phase, Usage};
use crate::telemetry::history::Column;

/// The longest time that an order may hold by itself.
const MAX_HOLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// The most replicas that can be ordered.
const MAX_REPLICAS: u32 = 10_000;

/// `GET /api/v1/pools/{pool}/autoscale`.
#[derive(Clone, Debug, Serialize)]
pub struct ScalingView {
    /// The pool.
    pub pool: Id,
    /// `act`, `recommend` or `off`.
    pub mode: ScaleMode,
    /// What is scaled: `kubernetes`, `docker` or `process`.
    pub platform: &'static str,
    /// Whether this gateway acts; another one may lead.
    pub leads: bool,
    /// Who leads instead, when that is known.
    pub leader: Option<String>,
    /// The bounds of the config.
    pub min_replicas: u32,
    /// The bounds of the config.
    pub max_replicas: u32,
    /// How the replicas stand.
    pub replicas: Replicas,
    /// Each replica that the platform shows.
    pub shown: Vec<ReplicaView>,
    /// What the policies see, in base units (seconds, ratios).
    pub readings: Vec<Reading>,
    /// The last decision; `None` before the first.
    pub decision: Option<Decision>,
    /// What an operator has ordered.
    pub order: Option<OrderView>,
    /// What the platform refuses.
    pub error: Option<Trouble>,
    /// The measured time in seconds from an order to a serving replica.
    pub startup_seconds: Option<f64>,
    /// What was counted since the start.
    #[serde(flatten)]
    pub counts: Counts,
}

/// `GET /api/v1/autoscale`.
#[derive(Clone, Debug, Serialize)]
pub struct AutoscalerView {
    /// The election among gateways; `None` when this one is alone.
    pub election: Option<ElectionView>,
    /// The pools that are sized.
    pub pools: Vec<ScalingView>,
}

/// The election among gateways.
#[derive(Clone, Debug, Serialize)]
pub struct ElectionView {
    /// The name of this gateway.
    pub identity: String,
    /// Whether it leads.
    pub leads: bool,
    /// Who holds the lease.
    pub holder: Option<String>,
    /// How often the lease went from one holder to another.
    pub transitions: u32,
}

/// `GET /api/v1/pools/{pool}/autoscale/decisions/{id}`.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionView {
    /// What was written down.
    #[serde(flatten)]
    pub entry: Arc<Entry>,
    /// What differs when it is decided again from what was written down; `None`: nothing, as it should be.
    pub difference: Option<String>,
}

/// `GET /api/v1/pools/{pool}/autoscale/forecast`.
#[derive(Clone, Debug, Serialize)]
pub struct ForecastView {
    /// The pool.
    pub pool: Id,
    /// What is expected of each signal, by its name.
    pub signals: BTreeMap<&'static str, SignalForecast>,
}

/// What is expected of one signal.
#[derive(Clone, Debug, Serialize)]
pub struct SignalForecast {
    /// The forecast as it was made last.
    #[serde(flatten)]
    pub forecast: Forecast,
    /// What was said in the last day and what came, the oldest first.
    pub past: Vec<Made>,
}

/// `GET /api/v1/pools/{pool}/autoscale/history`.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryView {
    /// The pool.
    pub pool: Id,
    /// When the first value begins, in minutes since 1970.
    pub from_unix_minute: i64,
    /// Minutes from value to value.
    pub step_minutes: u32,
    /// The values of each column; null without data.
    pub columns: BTreeMap<Column, Vec<Option<f32>>>,
}

/// A replica.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaView {
    /// Its name, and that of its endpoint.
    pub name: Id,
    /// Where it listens.
    pub address: Option<String>,
    /// How far it is.
    pub phase: Phase,
    /// How old it is.
    pub age_seconds: f64,
    /// What it uses.
    #[serde(flatten)]
    pub usage: Usage,
    /// When it is leaving: since when, and how long it may take.
    pub leaving: Option<Leaving>,
}

/// An order and its end.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OrderView {
    /// What is ordered.
    pub order: Order,
    /// How long it still holds; `None`: until it is taken back.
    pub seconds_left: Option<f64>,
}

/// What `PUT /api/v1/pools/{pool}/autoscale/order` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderRequest {
    replicas: Option<u32>,
    #[serde(default)]
    paused: bool,
    #[serde(rename = "for", default, deserialize_with = "duration::optional")]
    time: Option<Duration>,
}

impl OrderRequest {
    /// What is expected.
    pub(super) const EXPECTED: &'static str = "{\"replicas\": NUMBER} or {\"paused\": true}, with \"for\": \"1h\" if wanted";

    /// Checks the order; the error is for whoever gave it.
    pub(super) fn check(&self) -> Result<(Order, Option<Duration>), String> {
        let order = match (self.replicas, self.paused) {
            (Some(replicas), false) if replicas <= MAX_REPLICAS => Order::Replicas(replicas),
            (Some(replicas), false) => return Err(format!("replicas is a number from 0 to {MAX_REPLICAS}, found {replicas}")),
            (None, true) => Order::Pause,
            (Some(_), true) | (None, false) => return Err(format!("{} is expected", Self::EXPECTED)),
        };
        match self.time {
            Some(time) if time.is_zero() || time > MAX_HOLD => Err("for is not above 0 and at most 720h".to_owned()),
            time => Ok((order, time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<(Order, Option<Duration>), String> {
        serde_json::from_str::<OrderRequest>(json).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn an_order_is_a_number_or_a_pause() {
        assert_eq!(checked(r#"{"replicas": 3}"#), Ok((Order::Replicas(3), None)));
        assert_eq!(checked(r#"{"paused": true, "for": "1h"}"#), Ok((Order::Pause, Some(Duration::from_secs(3600)))));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for json in [
            "{}",
            r#"{"replicas": 3, "paused": true}"#,
            r#"{"replicas": 10001}"#,
            r#"{"replicas": 1, "for": "0s"}"#,
            r#"{"replicas": 1, "for": "721h"}"#,
            r#"{"replicas": 1, "until": "1h"}"#,
            r#"{"replicas": -1}"#,
        ] {
            assert!(checked(json).is_err(), "{json}");
        }
    }
}
