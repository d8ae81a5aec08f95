//! What else runs on a replica's machine, and what it leaves.
//!
//! A machine is ten allocations large. The replica owns one and may use what the others leave; when they want it all, the isolation of the
//! machine keeps the replica to its own. How much the others want moves on two scales: a regime that holds for a minute on average, and what is
//! wanted within it, drawn anew every second on average. The paper's antagonists were what else ran on its machines; regimes and their shares are a
//! reconstruction in which a minority of machines is contended.

use std::time::Duration;

use fastrand::Rng;

use crate::draw::{exponential, normal};

/// A machine's size in allocations.
const MACHINE: f64 = 10.0;

/// How long a regime holds on average.
pub(crate) const REGIME: Duration = Duration::from_secs(60);

/// How long what is wanted within a regime holds on average.
pub(crate) const MOMENT: Duration = Duration::from_secs(1);

/// How the load of a machine is for a while; in allocations.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Regime {
    share: f64,
    mean: f64,
    deviation: f64,
}

/// Three in ten machines are contended: there the replica has mostly no more than its own.
const REGIMES: [Regime; 3] = [
    Regime { share: 0.3, mean: 9.5, deviation: 0.5 },
    Regime { share: 0.5, mean: 7.5, deviation: 1.0 },
    Regime { share: 0.2, mean: 5.0, deviation: 1.5 },
];

/// The antagonists of one machine.
#[derive(Debug)]
pub(crate) struct Antagonist {
    regime: Regime,
    wanted: f64,
}

impl Antagonist {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut antagonist = Self { regime: REGIMES[0], wanted: 0.0 };
        antagonist.change_regime(rng);
        antagonist
    }

    /// Draws the regime, and what is wanted in it.
    pub(crate) fn change_regime(&mut self, rng: &mut Rng) {
        let mut left = rng.f64();
        let drawn = REGIMES.iter().find(|regime| {
            left -= regime.share;
            left < 0.0
        });
        self.regime = *drawn.unwrap_or(&REGIMES[0]);
        self.change_moment(rng);
    }

    /// Draws what is wanted in the same regime.
    pub(crate) fn change_moment(&mut self, rng: &mut Rng) {
        self.wanted = normal(self.regime.mean, self.regime.deviation, rng).clamp(0.0, MACHINE);
    }

    /// Returns what the replica may use, in allocations: its own, or what is left when that is more.
    pub(crate) fn leaves(&self) -> f64 {
        (MACHINE - self.wanted).max(1.0)
    }
}

/// Returns in what time something changes that changes every `mean` on average.
pub(crate) fn change_in(mean: Duration, rng: &mut Rng) -> Duration {
    exponential(mean, rng)
}

#[test]
fn the_replica_has_its_own_always_and_no_more_on_three_in_ten_machines() {
    let mut rng = Rng::with_seed(1);
    let machines: Vec<_> = (0..20_000).map(|_| Antagonist::new(&mut rng)).collect();
    assert!(machines.iter().all(|machine| (1.0..=MACHINE).contains(&machine.leaves())));
    let contended = machines.iter().filter(|machine| machine.regime == REGIMES[0]).count();
    assert!((5700..6300).contains(&contended), "{contended}");
    let mean = machines.iter().map(Antagonist::leaves).sum::<f64>() / 20_000.0;
    // Enough for the whole ramp, if it is found.
    assert!((2.5..2.7).contains(&mean), "{mean}");
}
