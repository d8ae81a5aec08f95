//! `pools.NAME.autoscale`: bounds, scale to zero, what cannot work or has no effect.

use super::{Report, scale_policies, targets};
use crate::config::compile;
use crate::config::raw::{Autoscale, Pool};
use crate::config::shape::{At, OrNone};
use crate::config::tree::NodeId;
use crate::model::{Fallback, ForecastMode, Queue, Terms};

/// What checks of sizing look at together.
pub(super) struct Sizing<'a> {
    pub(super) pool: &'a Pool,
    /// Where the pool stands.
    pub(super) pool_id: NodeId,
    pub(super) autoscale: &'a At<Autoscale>,
    /// The fewest replicas; `None` when that could not be read.
    pub(super) min_replicas: Option<u32>,
    /// The most replicas; `None` when that could not be read.
    pub(super) max_replicas: Option<u32>,
    /// How many requests may wait, 0 without a queue; `None` when that could not be read.
    pub(super) capacity: Option<u32>,
}

/// Checks how the pool that stands at `pool_id` is sized.
pub(super) fn autoscale(pool: &Pool, pool_id: NodeId, report: &mut Report<'_>) {
    let Some(autoscale) = pool.autoscale.as_ref().and_then(OrNone::as_option) else { return };
    let sizing = Sizing {
        pool,
        pool_id,
        autoscale,
        min_replicas: min_replicas(autoscale, report),
        max_replicas: max_replicas(autoscale, report),
        capacity: capacity(pool, pool_id, report),
    };
    targets::target(&sizing, report);
    bounds(&sizing, report);
    zero(&sizing, report);
    scale_policies::policies(&sizing, report);
    panic(&sizing, report);
    forecast(&sizing, report);
}

fn min_replicas(autoscale: &At<Autoscale>, report: &Report<'_>) -> Option<u32> {
    let given = autoscale.value.min_replicas.as_ref().map(|count| count.value.0);
    given.or_else(|| (!report.has_key(autoscale.id, "min_replicas")).then_some(Terms::default().min_replicas))
}

fn max_replicas(autoscale: &At<Autoscale>, report: &Report<'_>) -> Option<u32> {
    match &autoscale.value.max_replicas {
        Some(count) => Some(count.value.0),
        None if report.has_key(autoscale.id, "max_replicas") => None,
        None => min_replicas(autoscale, report).map(compile::default_max_replicas),
    }
}

fn capacity(pool: &Pool, pool_id: NodeId, report: &Report<'_>) -> Option<u32> {
    match &pool.queue {
        Some(OrNone::None) => Some(0),
        Some(OrNone::Some(queue)) if queue.0.capacity.is_some() => queue.0.capacity.as_ref().map(|count| count.value.0),
        Some(OrNone::Some(_)) => {
            let is_written = report.child(pool_id, "queue").is_some_and(|queue| report.has_key(queue, "capacity"));
            (!is_written).then(|| Queue::default().capacity)
        }
        None => (!report.has_key(pool_id, "queue")).then(|| Queue::default().capacity),
    }
}

fn bounds(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let raw = &sizing.autoscale.value;
    if let (Some(min), Some(max)) = (&raw.min_replicas, &raw.max_replicas)
        && min.value.0 > max.value.0
    {
        report.error(min.id, "`min_replicas` is more than `max_replicas`");
    }
    if let (Some(fallback), Some(max)) = (&raw.fallback, sizing.max_replicas)
        && let Fallback::Replicas(count) = fallback.value
        && count > max
    {
        report.error(fallback.id, format!("is more than `max_replicas`, which is {max}"));
    }
    if let Some(tolerance) = raw.behavior.tolerance.as_ref().filter(|ratio| ratio.value.0 >= 1.0) {
        report.error(tolerance.id, "with a tolerance of 100% no use is too low: nothing would ever scale down");
    }
}

/// Checks that somebody can wait for the first replica.
fn zero(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let raw = &sizing.autoscale.value;
    if let Some(min) = raw.min_replicas.as_ref().filter(|min| min.value.0 == 0 && sizing.capacity == Some(0)) {
        let message = "scale to zero needs the `queue` of the pool, where requests wait for the first replica";
        report.error(min.id, message);
    }
    if let Some(idle) = raw.idle_after.as_ref().filter(|_| sizing.min_replicas.is_some_and(|min| min > 0)) {
        report.warn(idle.id, "has no effect: `min_replicas` is not 0");
    }
}

fn panic(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let Some(panic) = sizing.autoscale.value.panic.as_ref().and_then(OrNone::as_option) else { return };
    if !scale_policies::may_have_target(sizing, report, |_| true) {
        report.warn(panic.id, "has no effect: no policy has a `target`");
    }
    let Some(window) = &panic.value.window else { return };
    if window.value.0 < compile::interval(&sizing.autoscale.value) {
        report.error(window.id, "is shorter than `interval`: there would be nothing to see in it");
    }
    if scale_policies::shortest_target_window(sizing).is_some_and(|shortest| window.value.0 >= shortest) {
        report.warn(window.id, "has no effect: the window of a policy with a `target` is not longer");
    }
}

fn forecast(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let Some(forecast) = sizing.autoscale.value.forecast.as_ref().and_then(OrNone::as_option) else { return };
    let mode = forecast.value.mode.as_ref().and_then(OrNone::as_option);
    let Some(mode) = mode.filter(|mode| mode.value == ForecastMode::Act) else { return };
    if !scale_policies::may_have_target(sizing, report, scale_policies::is_demand) {
        report.warn(mode.id, "has no effect: no policy has a `target` for `concurrency` or `request_rate`, which can be foreseen");
    }
}
