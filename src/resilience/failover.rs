//! How a route's traffic is divided between its pools, the tiers, as the first ones lose capacity. Pure.
//!
//! By degrees and not by a switch: a tier that has lost half of its endpoints keeps what the other half can carry. The formula is Envoy's
//! ("Priority levels", Envoy documentation, load balancing): a tier's health is `min(1, available x overprovisioning)`; tiers take their
//! health of the traffic in order until all is taken; when the healths add up to less than 1, they are scaled up to 1. Does not know pools, nor
//! what makes an endpoint available.

/// The most tiers that get a share; further ones get nothing.
pub const MAX_TIERS: usize = 8;

/// The share of each tier; they add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    shares: [f64; MAX_TIERS],
    tiers: usize,
}

impl Shares {
    /// Returns the share of each tier, in order.
    pub fn as_slice(&self) -> &[f64] {
        &self.shares[..self.tiers]
    }
}

/// Divides the traffic by the share of each tier's weight that is available (0 to 1); the first tier gets all when none has anything.
///
/// An `overprovisioning` below 1 counts as 1: a tier in full health never gives traffic away.
pub fn shares(available: &[f64], overprovisioning: f64) -> Shares {
    let tiers = available.len().min(MAX_TIERS);
    let mut healths = [0.0; MAX_TIERS];
    for (health, available) in healths.iter_mut().zip(available) {
        // `f64::max` passes over a NaN.
        *health = (available.max(0.0) * overprovisioning.max(1.0)).min(1.0);
    }
    let total: f64 = healths.iter().sum();
    let scale = if total > 0.0 && total < 1.0 { total } else { 1.0 };
    let mut shares = [0.0; MAX_TIERS];
    let mut left = 1.0_f64;
    for (share, health) in shares.iter_mut().zip(healths) {
        *share = (health / scale).min(left);
        left -= *share;
    }
    // The whole when no tier has anything, or what rounding has left: it belongs to a tier that has a share already.
    let rest = shares.iter().rposition(|&share| share > 0.0).unwrap_or(0);
    shares[rest] += left;
    Shares { shares, tiers }
}

/// Returns the tier of a `point` from 0 to below 1: tiers lie side by side in order, so that a request with the same point (the hash
/// of its session's key) stays where it is unless the borders of its tier pass it.
pub fn choose(shares: &Shares, point: f64) -> usize {
    let mut border = 0.0;
    let chosen = shares.as_slice().iter().position(|share| {
        border += share;
        point < border
    });
    // Rounding can leave the last border a little below 1.
    chosen.or_else(|| shares.as_slice().iter().rposition(|&share| share > 0.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn rounded(available: &[f64], overprovisioning: f64) -> Vec<u32> {
        shares(available, overprovisioning).as_slice().iter().map(|share| (share * 1000.0).round() as u32).collect()
    }

    #[test]
    fn tiers_take_over_by_degrees() {
        // The first seven rows are in Envoy's documentation, in whole percent.
        for (available, expected) in [
            (vec![1.0, 1.0], vec![1000, 0]),
            (vec![0.72, 1.0], vec![1000, 0]),
            (vec![0.71, 1.0], vec![994, 6]),
            (vec![0.5, 1.0], vec![700, 300]),
            (vec![0.25, 0.25], vec![500, 500]),
            (vec![0.25, 0.25, 1.0], vec![350, 350, 300]),
            (vec![0.25, 0.25, 0.2], vec![357, 357, 286]),
            (vec![0.25, 0.1, 1.0], vec![350, 140, 510]),
            (vec![0.0, 0.0, 0.1], vec![0, 0, 1000]),
            (vec![0.0, 0.0], vec![1000, 0]),
            (vec![f64::NAN, -1.0, f64::INFINITY], vec![0, 0, 1000]),
            (vec![0.0], vec![1000]),
        ] {
            assert_eq!(rounded(&available, 1.4), expected, "{available:?}");
        }
        assert_eq!(rounded(&[1.0, 1.0], 0.5), [1000, 0]);
    }

    #[test]
    fn no_tier_and_too_many_do_no_harm() {
        assert_eq!(choose(&shares(&[], 1.4), 0.5), 0);
        let many = shares(&[0.0; 20], 1.4);
        assert_eq!((many.as_slice().len(), choose(&many, 0.5)), (MAX_TIERS, 0));
    }

    #[test]
    fn a_point_finds_the_tier_whose_share_it_lies_in() {
        let shares = shares(&[0.25, 0.0, 0.1, 1.0], 1.4);
        for (point, tier) in [(0.0, 0), (0.349, 0), (0.351, 2), (0.489, 2), (0.491, 3), (0.999_999, 3), (1.0, 3), (f64::NAN, 3)] {
            assert_eq!(choose(&shares, point), tier, "{point}");
        }
        assert_eq!(choose(&super::shares(&[0.0, 1.0], 1.4), 0.0), 1, "a tier without a share has no point, not even the first");
    }

    fn tiers() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((0.0_f64..1.3, 0_u8..4).prop_map(|(share, kind)| if kind == 0 { 0.0 } else { share.min(1.0) }), 1..9)
    }

    proptest! {
        #[test]
        fn shares_add_up_to_one_and_go_to_tiers_that_have_something(available in tiers(), overprovisioning in 1.0_f64..3.0) {
            let shares = shares(&available, overprovisioning);
            prop_assert!((shares.as_slice().iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(shares.as_slice().iter().all(|share| (0.0..=1.0 + 1e-9).contains(share)));
            if available.iter().any(|&share| share > 0.0) {
                for (share, available) in shares.as_slice().iter().zip(&available) {
                    prop_assert!(*share == 0.0 || *available > 0.0);
                }
            }
        }

        #[test]
        fn a_first_tier_in_full_health_takes_all(mut available in tiers(), point in 0.0_f64..1.0) {
            available[0] = 1.0;
            let shares = shares(&available, 1.0);
            prop_assert_eq!(shares.as_slice()[0], 1.0);
            prop_assert_eq!(choose(&shares, point), 0);
        }

        #[test]
        fn a_loss_takes_from_that_tier_only(
            mut available in tiers(),
            which: prop::sample::Index,
            kept in 0.0_f64..1.0,
            overprovisioning in 1.0_f64..2.0,
        ) {
            let tier = which.index(available.len());
            let before = shares(&available, overprovisioning);
            available[tier] *= kept;
            let after = shares(&available, overprovisioning);
            if available.iter().any(|&share| share > 0.0) {
                for (at, (before, after)) in before.as_slice().iter().zip(after.as_slice()).enumerate() {
                    let is_right = if at == tier { *after <= before + 1e-9 } else { *after >= before - 1e-9 };
                    prop_assert!(is_right);
                }
            }
        }

        #[test]
        fn a_loss_in_the_first_tier_moves_a_point_to_later_tiers_only(
            mut available in tiers(),
            kept in 0.01_f64..1.0,
            point in 0.0_f64..1.0,
        ) {
            let before = choose(&shares(&available, 1.4), point);
            available[0] *= kept;
            let after = shares(&available, 1.4);
            // A hair's breadth: the borders of tiers that lost nothing are sums in another order.
            prop_assert!(choose(&after, (point + 1e-12).min(1.0 - 1e-12)) >= before);
        }

        #[test]
        fn points_meet_tiers_as_often_as_their_shares_say(available in tiers()) {
            let shares = shares(&available, 1.4);
            let mut counts = [0_u32; MAX_TIERS];
            (0..10_000).for_each(|n| counts[choose(&shares, f64::from(n) / 10_000.0)] += 1);
            for (count, share) in counts.iter().zip(shares.as_slice()) {
                prop_assert!((f64::from(*count) / 10_000.0 - share).abs() < 1e-3);
            }
        }
    }
}
