//! What is worth writing down. Pure.

use std::collections::BTreeSet;

use crate::autoscale::{Decision, Limit};

/// Tells whether a decision says something that the last one written did not.
///
/// Another number of replicas, another trigger, or other limits that hold it back are news; values and thresholds that wobble are not. Whoever is
/// about to call the platform writes in any case.
pub fn is_news(prev: &Decision, next: &Decision) -> bool {
    let moves_on = next.to != prev.to || next.from != prev.from && next.from != next.to;
    moves_on || next.trigger != prev.trigger || limits(next) != limits(prev)
}

fn limits(decision: &Decision) -> BTreeSet<Limit> {
    // The tolerance comes and goes with every request.
    decision.limits.iter().map(|clamp| clamp.limit).filter(|limit| *limit != Limit::Tolerance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscale::{Clamp, Trigger, Verdict, Vote};

    fn decision(from: u32, to: u32) -> Decision {
        let policy = "busy".parse().unwrap();
        let verdict = Verdict { policy, value: Some(3.0), threshold: 8.0, vote: Vote::Hold, desired: Some(to) };
        let clamp = |limit| Clamp { limit, from: 9, to };
        Decision {
            from,
            to,
            trigger: Trigger::Steady,
            verdicts: vec![verdict],
            wanted: to,
            limits: vec![clamp(Limit::Cooldown), clamp(Limit::MaxStep)],
            reason: "as it was".to_owned(),
        }
    }

    #[test]
    fn numbers_triggers_and_limits_are_news() {
        let prev = decision(2, 2);
        assert!(is_news(&prev, &decision(2, 3)));
        assert!(is_news(&prev, &decision(3, 3)));
        assert!(is_news(&decision(2, 4), &decision(3, 4)));
        assert!(is_news(&prev, &Decision { trigger: Trigger::Missing, ..decision(2, 2) }));
        assert!(is_news(&prev, &Decision { limits: Vec::new(), ..decision(2, 2) }));
    }

    #[test]
    fn what_wobbles_is_no_news() {
        let prev = decision(2, 2);
        let mut next = decision(2, 2);
        next.verdicts[0].value = Some(3.1);
        next.wanted = 3;
        next.reason = "as it was, a little more".to_owned();
        next.limits.reverse();
        next.limits[0].from = 7;
        next.limits.push(next.limits[0]);
        assert!(!is_news(&prev, &next));
        // What is recommended stands until it changes, and a step that has been made is no second one.
        assert!(!is_news(&decision(2, 4), &decision(2, 4)));
        assert!(!is_news(&decision(2, 4), &decision(4, 4)));
    }
}
