//! What follows from a decision: who leaves, who comes back, and the call to the platform.

use std::cmp::Ordering;

use jiff::Timestamp;
use tracing::info;

use super::{Sizer, millis, millis_of};
use crate::autoscale::decide::{Decision, Trigger};
use crate::autoscale::ledger::Upshot;
use crate::autoscale::patience::in_time;
use crate::autoscale::retreat::{Candidate, Moves};
use crate::endpoint::Cause;
use crate::kit::clock::{self, Tick};
use crate::model::{Autoscale, Id};
use crate::platform::{Observed, Phase, Replica};

impl Sizer {
    /// Asks the platform for `count` replicas, and tells whether it takes that.
    pub(super) async fn call(&mut self, from: u32, count: u32, moves: Moves, decision: &Decision, id: u64) -> bool {
        info!(pool = %self.live.model.name, from, to = count, leaving = ?moves.release, reason = decision.reason, "Scaling.");
        let began = clock::now();
        let call = self.scaler.scale_to(count, moves.release.clone());
        let result = in_time(self.shop.patience(&self.target), call).await;
        let upshot = match &result {
            Ok(()) => Upshot::Done,
            Err(error) => Upshot::Failed { error: error.as_str().to_owned(), text: error.to_string() },
        };
        self.records.ledger.carried(id, upshot, Timestamp::now().as_millisecond());
        // Whatever it did, what was seen is no longer so.
        if let Some((seen, at)) = &mut self.seen {
            *at = Tick::default();
            if result.is_ok() {
                seen.desired = count;
            }
        }
        match &result {
            Ok(()) => self.carried_out(from, count, decision),
            Err(error) => {
                self.retreat.keep(&moves.release);
                self.shared.update(|standing| standing.counts.failed_total += 1);
                self.note(error);
            }
        }
        if result.is_ok() && count > from {
            self.awaited.push((id, began, count));
        }
        result.is_ok()
    }

    fn carried_out(&self, from: u32, to: u32, decision: &Decision) {
        self.shared.update(|standing| {
            standing.error = None;
            match to.cmp(&from) {
                Ordering::Greater => {
                    standing.counts.up_total += 1;
                    standing.counts.predictive_total += u64::from(decision.trigger == Trigger::Forecast);
                }
                Ordering::Less => standing.counts.down_total += 1,
                Ordering::Equal => {}
            }
        });
    }

    /// Notes how long the last scale-up took.
    pub(super) fn follow_up(&mut self, seen: &Observed, now: Tick) {
        let ready = seen.replicas.iter().filter(|replica| replica.phase == Phase::Ready).count();
        let ledger = &self.records.ledger;
        self.awaited.retain(|&(id, since, count)| {
            let is_there = u32::try_from(ready).is_ok_and(|ready| ready >= count);
            if is_there {
                ledger.ready(id, millis(now.since(since)));
            }
            !is_there && seen.desired >= count
        });
    }

    /// Decides who leaves and who comes back, and lets pickers know.
    pub(super) fn step(&mut self, settings: &Autoscale, seen: &Observed, decision: &Decision, now: Tick) -> Moves {
        let present = self.candidates(seen);
        let staying = present.iter().filter(|candidate| !self.retreat.leaving().contains_key(&candidate.name)).count();
        let active = i64::from(seen.desired) - i64::try_from(self.retreat.draining().count()).unwrap_or(i64::MAX);
        let (staying, to) = (i64::try_from(staying).unwrap_or(i64::MAX), i64::from(decision.to));
        // Replicas that the platform has promised and not yet shown do not come back, and are the first not to come.
        let wanted = if to >= active { staying + to - active } else { staying.min(to) };
        let wanted = u32::try_from(wanted.max(0)).unwrap_or(u32::MAX);
        let moves = self.retreat.step(&present, wanted, millis(settings.drain_timeout), millis_of(now));
        self.mark(|name| self.retreat.leaving().contains_key(name));
        let back = moves.undrain.len() as u64;
        self.shared.update(|standing| {
            standing.counts.taken_back_total += back;
            // At once: peers are told of it.
            standing.leaving.clone_from(self.retreat.leaving());
        });
        moves
    }

    /// Bounds a count, so that no replica goes but those that are released and those that have never been there.
    pub(super) fn covered(&self, count: u32, seen: &Observed, moves: &Moves) -> u32 {
        let shown = seen.replicas.iter().filter(|replica| replica.phase != Phase::Stopping).count();
        let unshown = seen.desired.saturating_sub(u32::try_from(shown).unwrap_or(u32::MAX));
        let released = u32::try_from(moves.release.len()).unwrap_or(u32::MAX);
        count.max(seen.desired.saturating_sub(released).saturating_sub(unshown))
    }

    pub(super) fn candidates(&self, seen: &Observed) -> Vec<Candidate> {
        let members = self.live.members.load();
        let staying = seen.replicas.iter().filter(|replica| replica.phase != Phase::Stopping);
        let candidate = |replica: &Replica| {
            let endpoint = members.set.get(&replica.name);
            Candidate {
                name: replica.name.clone(),
                in_flight: self.running.on(&replica.name) + self.elsewhere(&replica.name),
                serves: replica.phase == Phase::Ready,
                last_used_ms: endpoint.map_or(0, |endpoint| self.collector.used_ms(endpoint.serial())),
                age_ms: millis(replica.age),
            }
        };
        staying.map(candidate).collect()
    }

    /// Returns how many requests other gateways have on a replica. One that is leaving may still get some from those that do not know yet: it is
    /// as good as busy.
    fn elsewhere(&self, name: &Id) -> u64 {
        let is_given_more = self.drained.as_ref().is_some_and(|drained| !drained.contains(name));
        let unknown = u64::from(is_given_more && self.retreat.leaving().contains_key(name));
        self.elsewhere.get(name).copied().unwrap_or(0).max(unknown)
    }

    /// Lets those endpoints get no new requests, and all others some.
    pub(super) fn mark(&self, is_draining: impl Fn(&Id) -> bool) {
        for endpoint in self.live.members.load().set.endpoints() {
            endpoint.state.set(Cause::Draining, is_draining(&endpoint.spec.id));
        }
    }
}
