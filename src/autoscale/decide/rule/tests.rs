use std::time::Duration;

use super::*;
use crate::autoscale::decide::{Demand, Look, Reading, Replicas};
use crate::model::{Aggregation, Fallback, Meter, ScaleDown, ScalePolicy, ScaleUp, Signal};

fn terms() -> Terms {
    let meter = Meter { signal: Signal::Concurrency, aggregation: Aggregation::Average, window: Duration::from_secs(60) };
    Terms {
        min_replicas: 1,
        max_replicas: 20,
        idle_after: Duration::from_secs(600),
        interval: Duration::from_secs(1),
        policies: vec![ScalePolicy { name: "busy".parse().unwrap(), rule: ScaleRule::Target { meter, target: 8.0 }, priority: 1 }],
        scale_up: ScaleUp::default(),
        scale_down: ScaleDown::default(),
        tolerance: 0.1,
        max_events_per_hour: 60,
        panic: None,
        forecast: None,
        missing_after: Duration::from_secs(120),
        fallback: Fallback::Hold,
    }
}

fn input(value: f64, now_ms: u64) -> Input {
    Input {
        now_ms,
        unix_ms: 0,
        replicas: Replicas { desired: 4, ready: 4, starting: 0, draining: 0 },
        demand: Demand { in_flight: 1, is_complete: true, ..Demand::default() },
        readings: vec![Reading { policy: "busy".parse().unwrap(), value: Some(value), fast: None, missing_ms: 0, is_idle: false }],
        schedule: Look::default(),
        outlook: None,
        order: None,
    }
}

#[test]
fn target_tracking_orders_what_is_needed() {
    let (decision, state) = decide(&terms(), &input(41.0, 1_000_000), &State::default());
    assert_eq!((decision.from, decision.to), (4, 6));
    assert_eq!(decision.reason, "concurrency is 41.0, 8 for each replica: 6 wanted; 4 now; so 6");
    let mut later = input(80.0, 1_018_000);
    later.replicas = Replicas { desired: 6, ready: 4, starting: 2, draining: 0 };
    let (decision, _) = decide(&terms(), &later, &state);
    assert_eq!(decision.to, 6);
    assert_eq!(decision.reason, "concurrency is 80.0, 8 for each replica: 10 wanted; 6 now; cooldown of 30 s ends in 12 s");
}
