//! Terms for the tests of this folder.

use std::time::Duration;

use crate::model::{self, Aggregation, Meter, ScalePolicy, ScaleRule, Signal, Terms};

pub(super) fn policy(signal: Signal, target: f64) -> ScalePolicy {
    let meter = Meter { signal, aggregation: Aggregation::Average, window: Duration::from_secs(60) };
    ScalePolicy { name: "busy".parse().unwrap(), rule: ScaleRule::Target { meter, target }, priority: 4 }
}

pub(super) fn terms(horizon: Duration, policies: Vec<ScalePolicy>) -> Terms {
    let forecast = Some(model::Forecast { horizon, ..model::Forecast::default() });
    Terms { max_replicas: 100, policies, forecast, ..Terms::default() }
}
