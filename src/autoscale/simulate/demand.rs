//! What a trace needs if one knows it beforehand: the fewest slots with which nobody waits for longer than allowed. Pure.
//!
//! Greedy, in the order of arrival: a request takes over the first slot that gets free while it may still wait, and only when there is none it opens
//! one; nobody starts before those who came earlier. No proof that fewer do not suffice, but with these slots nobody waits for longer: a first-come,
//! first-served queue with at least as many slots open at every instant starts every request no later (by induction over the requests).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::trace::Trace;

/// How many slots are taken from an instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Microseconds since the trace began.
    pub(super) at_us: u64,
    /// Slots.
    pub(super) slots: u32,
}

/// Returns the steps of the slots taken when each request may wait for `wait_us`.
pub(super) fn steps(trace: &Trace, wait_us: u64) -> Vec<Step> {
    let mut ends = BinaryHeap::new();
    let mut changes = Vec::with_capacity(trace.requests.len() * 2);
    let mut last_start = 0;
    for request in &trace.requests {
        let mut start = request.at_us.max(last_start);
        while ends.peek().is_some_and(|Reverse(end)| *end <= start) {
            ends.pop();
        }
        if let Some(&Reverse(end)) = ends.peek()
            && end <= request.at_us + wait_us
        {
            ends.pop();
            start = end;
        }
        last_start = start;
        // What takes no time would end before it starts, in the order of the changes.
        let end = start + request.service_us.max(1);
        ends.push(Reverse(end));
        changes.extend([(start, true), (end, false)]);
    }
    // At one instant those who end come first: their slots are taken over.
    changes.sort_unstable();
    let mut slots = 0_u32;
    let mut steps: Vec<Step> = Vec::new();
    for (at_us, is_start) in changes {
        slots = if is_start { slots + 1 } else { slots.saturating_sub(1) };
        match steps.last_mut() {
            Some(last) if last.at_us == at_us => last.slots = slots,
            _ => steps.push(Step { at_us, slots }),
        }
    }
    steps
}

/// Returns the most slots that are taken before `until_us`.
pub(super) fn most(steps: &[Step], until_us: u64) -> u32 {
    steps.iter().take_while(|step| step.at_us < until_us).map(|step| step.slots).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::trace::Request;
    use super::*;

    fn trace(requests: &[(u64, u64)]) -> Trace {
        Trace::new(requests.iter().map(|&(at_us, service_us)| Request { at_us, service_us }).collect(), 0, 0)
    }

    fn pairs(steps: &[Step]) -> Vec<(u64, u32)> {
        steps.iter().map(|step| (step.at_us, step.slots)).collect()
    }

    #[test]
    fn who_may_not_wait_opens_a_slot() {
        let trace = trace(&[(0, 10), (5, 10), (10, 10)]);
        assert_eq!(pairs(&steps(&trace, 0)), [(0, 1), (5, 2), (10, 2), (15, 1), (20, 0)]);
    }

    #[test]
    fn who_may_wait_takes_over_a_slot_in_turn() {
        let trace = trace(&[(0, 10), (5, 10), (6, 10), (7, 1)]);
        let steps = steps(&trace, 5);
        // The second waits until 10 for the first's slot; the third, who comes when that is taken, may not start before it.
        assert_eq!(pairs(&steps), [(0, 1), (10, 3), (11, 2), (20, 0)]);
        assert_eq!((most(&steps, 10), most(&steps, 11)), (1, 3));
    }
}
