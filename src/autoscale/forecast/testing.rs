//! Terms for the tests of this folder.

use std::time::Duration;

use crate::model::{self, Aggregation, Fallback, Meter, ScaleDown, ScalePolicy, ScaleRule, ScaleUp, Signal, Terms};

pub(super) fn policy(signal: Signal, target: f64) -> ScalePolicy {
    let meter = Meter { signal, aggregation: Aggregation::Average, window: Duration::from_secs(60) };
    ScalePolicy { name: "busy".parse().unwrap(), rule: ScaleRule::Target { meter, target }, priority: 4 }
}

pub(super) fn terms(horizon: Duration, policies: Vec<ScalePolicy>) -> Terms {
    Terms {
        min_replicas: 1,
        max_replicas: 100,
        idle_after: Duration::from_secs(600),
        interval: Duration::from_secs(1),
        policies,
        scale_up: ScaleUp::default(),
        scale_down: ScaleDown::default(),
        tolerance: 0.1,
        max_events_per_hour: 10,
        panic: None,
        forecast: Some(model::Forecast { horizon, ..model::Forecast::default() }),
        missing_after: Duration::from_secs(120),
        fallback: Fallback::Hold,
    }
}
