//! What the admin server shows of the sizing of pools, and what it orders.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::proxy::Proxy;
use crate::admin::{AutoscalerView, ElectionView, OrderView, ReplicaView, ScalingView, Unknown};
use crate::autoscale::{LeaseStanding, Order, Ordered, Scaling, Standing};
use crate::kit::clock;
use crate::model::{Autoscale, Id, Target};
use crate::platform::Replica;

impl Proxy {
    pub(super) fn scaling_view(&self, pool: &str) -> Result<ScalingView, Unknown> {
        let (name, settings, scaling) = self.sized(pool)?;
        Ok(self.view(name, &settings, &scaling))
    }

    pub(super) fn autoscaler_view(&self) -> AutoscalerView {
        let election = self.autoscaler.election().map(|LeaseStanding { identity, leads, holder, transitions }| ElectionView {
            identity,
            leads,
            holder,
            transitions,
        });
        let pools = self.autoscaler.all();
        AutoscalerView { election, pools: pools.iter().filter_map(|(pool, _)| self.scaling_view(pool.as_str()).ok()).collect() }
    }

    pub(super) fn give_order(&self, pool: &str, order: Option<(Order, Option<Duration>)>) -> Result<ScalingView, Unknown> {
        let (name, settings, scaling) = self.sized(pool)?;
        let now = clock::now();
        info!(%pool, ?order, "Size ordered by an operator.");
        scaling.set_order(order.map(|(order, time)| Ordered { order, until: time.map(|time| now + time) }));
        Ok(self.view(name, &settings, &scaling))
    }

    fn view(&self, pool: Id, settings: &Autoscale, scaling: &Scaling) -> ScalingView {
        view(pool, settings, scaling, self.autoscaler.leads(&settings.target))
    }

    fn sized(&self, pool: &str) -> Result<(Id, Autoscale, Arc<Scaling>), Unknown> {
        let live = self.live_pool(pool)?;
        let unsized_pool = || Unknown::Unsized(pool.to_owned());
        let settings = live.model.autoscale.clone().ok_or_else(unsized_pool)?;
        let scaling = self.autoscaler.scaling(pool).ok_or_else(unsized_pool)?;
        Ok((live.model.name.clone(), settings, scaling))
    }
}

fn view(pool: Id, settings: &Autoscale, scaling: &Scaling, leads: bool) -> ScalingView {
    let now = clock::now();
    let Standing { leader, replicas, shown, leaving, readings, decision, error, counts, startup_ms, .. } = scaling.standing();
    let order = scaling
        .order(now)
        .map(|Ordered { order, until }| OrderView { order, seconds_left: until.map(|until| until.since(now).as_secs_f64()) });
    let replica = |replica: Replica| ReplicaView {
        leaving: leaving.get(&replica.name).copied(),
        address: replica.address.map(|address| address.to_string()),
        name: replica.name,
        phase: replica.phase,
        age_seconds: replica.age.as_secs_f64(),
        usage: replica.usage,
    };
    ScalingView {
        pool,
        mode: settings.mode,
        platform: platform(&settings.target),
        leads,
        leader,
        min_replicas: settings.terms.min_replicas,
        max_replicas: settings.terms.max_replicas,
        replicas,
        shown: shown.into_iter().map(replica).collect(),
        readings,
        decision,
        order,
        error,
        startup_seconds: startup_ms.map(|millis| Duration::from_millis(millis).as_secs_f64()),
        counts,
    }
}

const fn platform(target: &Target) -> &'static str {
    match target {
        Target::Kubernetes(_) => "kubernetes",
        Target::Docker(_) => "docker",
        Target::Process(_) => "process",
    }
}
