//! The rounds of a leader: once a second it tells its peers who is leaving, and hears what they see.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::letter::Instruction;
use crate::autoscale::Autoscaler;
use crate::kit::clock;
use crate::model::Id;

/// How often peers are asked: as often as pools are usually decided about.
const ROUND: Duration = Duration::from_secs(1);

/// Asks the peers while this gateway leads; ends with the autoscaler.
pub(in crate::autoscale) async fn make(autoscaler: Weak<Autoscaler>) {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(autoscaler) = autoscaler.upgrade() else { return };
        let shop = autoscaler.shop();
        let Some(peers) = &shop.peers else { return };
        if shop.lead.may_act(clock::now()).is_none() {
            peers.forget();
            continue;
        }
        let all = autoscaler.all();
        let leaving = all.iter().map(|(pool, scaling)| {
            let names: BTreeSet<Id> = scaling.standing().leaving.into_keys().collect();
            (pool.clone(), names)
        });
        let instruction = Instruction { leader: peers.identity.clone(), draining: leaving.collect() };
        let pools: Vec<Id> = all.into_iter().map(|(pool, _)| pool).collect();
        peers.ask(&instruction, &pools).await;
    }
}
