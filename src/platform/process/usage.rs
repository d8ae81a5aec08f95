//! From what processes have used so far to what they use. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proc::{Consumption, Identity, TICKS_PER_SECOND};
use crate::kit::clock::Tick;
use crate::platform::Usage;

/// Two looks are at least this far apart: the system counts processor time in hundredths of a second, so a shorter time says little.
const SHORTEST: Duration = Duration::from_millis(500);

/// What was seen at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Tick,
    pub(super) groups: BTreeMap<Identity, Consumption>,
    /// The machine's.
    pub(super) memory_kib: Option<u64>,
}

/// Compares each sample with the one before.
#[derive(Debug)]
pub(super) struct Gauge {
    processors: f64,
    last: Option<Sample>,
}

impl Gauge {
    /// Begins without a sample on a machine with so many processors.
    pub(super) fn new(processors: usize) -> Self {
        Self { processors: processors.max(1) as f64, last: None }
    }

    /// Tells whether the last sample is old enough for another.
    pub(super) fn is_due(&self, now: Tick) -> bool {
        self.last.as_ref().is_none_or(|last| now.since(last.at) >= SHORTEST)
    }

    /// Takes a sample in; what it shows of each group.
    pub(super) fn update(&mut self, sample: Sample) -> BTreeMap<Identity, Usage> {
        let usage = |(group, now): (&Identity, &Consumption)| {
            (*group, Usage { cpu: self.cpu(&sample, *group), memory: memory(&sample, *now) })
        };
        let found = sample.groups.iter().map(usage).collect();
        self.last = Some(sample);
        found
    }

    /// Returns the share of all processors since the last sample that has the group, too.
    fn cpu(&self, sample: &Sample, group: Identity) -> Option<f64> {
        let last = self.last.as_ref()?;
        let ticks = sample.groups.get(&group)?.ticks.saturating_sub(last.groups.get(&group)?.ticks);
        let seconds = sample.at.since(last.at).as_secs_f64();
        (seconds > 0.0).then(|| (ticks as f64 / TICKS_PER_SECOND / seconds / self.processors).min(1.0))
    }
}

fn memory(sample: &Sample, now: Consumption) -> Option<f64> {
    let all = sample.memory_kib.filter(|all| *all > 0)?;
    Some((now.memory_kib as f64 / all as f64).min(1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    const ONE: Identity = Identity { pid: 1, started: 1 };

    fn sample(at_ms: u64, ticks: u64, memory_kib: u64) -> Sample {
        let groups = BTreeMap::from([(ONE, Consumption { ticks, memory_kib })]);
        Sample { at: Tick::from_nanos(at_ms * 1_000_000), groups, memory_kib: Some(1000) }
    }

    #[test]
    fn use_is_the_share_of_all_processors_and_of_all_memory() {
        let mut gauge = Gauge::new(4);
        assert_eq!(gauge.update(sample(0, 100, 250))[&ONE], Usage { cpu: None, memory: Some(0.25) });
        // 2 s of processor time in 1 s of 4 processors.
        assert_eq!(gauge.update(sample(1000, 300, 500))[&ONE], Usage { cpu: Some(0.5), memory: Some(0.5) });
        assert_eq!(gauge.update(sample(3000, 300, 500))[&ONE], Usage { cpu: Some(0.0), memory: Some(0.5) });
        // A member of the group took its time away with it.
        assert_eq!(gauge.update(sample(4000, 10, 500))[&ONE].cpu, Some(0.0));
    }

    #[test]
    fn another_process_with_the_same_number_begins_anew() {
        let mut gauge = Gauge::new(1);
        gauge.update(sample(0, 0, 0));
        let mut other = sample(1000, 50, 0);
        let reused = Identity { started: 2, ..ONE };
        other.groups = BTreeMap::from([(reused, Consumption { ticks: 50, memory_kib: 0 })]);
        assert_eq!(gauge.update(other)[&reused].cpu, None);
    }

    #[test]
    fn looks_are_not_too_close() {
        let mut gauge = Gauge::new(1);
        assert!(gauge.is_due(Tick::from_nanos(0)));
        gauge.update(sample(0, 0, 0));
        assert!(!gauge.is_due(Tick::from_nanos(499_000_000)));
        assert!(gauge.is_due(Tick::from_nanos(500_000_000)));
    }

    proptest! {
        #[test]
        fn use_is_a_ratio(samples in proptest::collection::vec((any::<u32>(), any::<u64>(), any::<u64>()), 1..6), processors in any::<usize>()) {
            let mut gauge = Gauge::new(processors);
            for (at, ticks, memory) in samples {
                let Usage { cpu, memory } = gauge.update(sample(at.into(), ticks, memory))[&ONE];
                assert!(cpu.into_iter().chain(memory).all(|ratio| (0.0..=1.0).contains(&ratio)), "{cpu:?} {memory:?}");
            }
        }
    }
}
