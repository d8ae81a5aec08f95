//! What a container uses, from what the engine counts. Pure.

use bollard::models::ContainerStatsResponse;

use crate::kit::clock::Tick;
use crate::platform::Usage;

/// What the engine had counted at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Nanoseconds of processor time since the start.
    pub(super) cpu: Option<u64>,
    /// Processors that the machine has.
    pub(super) processors: Option<u32>,
    /// Memory in use over its limit.
    pub(super) memory: Option<f64>,
}

impl Sample {
    /// Reads what the engine says.
    ///
    /// Pages that only cache files are not counted as use, as `docker stats` does it: `inactive_file` in control groups version 2,
    /// `total_inactive_file` in version 1.
    pub(super) fn read(stats: &ContainerStatsResponse) -> Self {
        let cpu = stats.cpu_stats.as_ref();
        let memory = stats.memory_stats.as_ref().and_then(|memory| {
            let (usage, limit) = (memory.usage?, memory.limit.filter(|limit| *limit > 0)?);
            let named = |name: &str| memory.stats.as_ref()?.get(name).copied();
            let cached = named("total_inactive_file").or_else(|| named("inactive_file")).unwrap_or(0);
            Some(ratio(usage.saturating_sub(cached), limit))
        });
        Self {
            cpu: cpu.and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage),
            processors: cpu.and_then(|cpu| cpu.online_cpus).filter(|count| *count > 0),
            memory,
        }
    }

    /// Returns what was used from `before` to this; processor time over `cpus`, or over all processors when that is no limit.
    pub(super) fn usage(&self, now: Tick, before: Option<(Tick, Self)>, cpus: Option<f64>) -> Usage {
        let cpu = before.and_then(|(then, before)| {
            let used = self.cpu?.checked_sub(before.cpu?)?;
            let elapsed = now.since(then).as_secs_f64();
            let allowed = cpus.or_else(|| self.processors.map(f64::from)).filter(|allowed| *allowed > 0.0)?;
            (elapsed > 0.0).then(|| std::time::Duration::from_nanos(used).as_secs_f64() / elapsed / allowed)
        });
        Usage { cpu, memory: self.memory }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    // Rounding beyond 2^53 bytes changes nothing that matters.
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn stats(value: serde_json::Value) -> ContainerStatsResponse {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn caches_of_files_are_not_counted_as_use() {
        for name in ["inactive_file", "total_inactive_file"] {
            let stats = stats(json!({"memory_stats": {"usage": 300, "limit": 1000, "stats": {name: 100}}}));
            assert_eq!(Sample::read(&stats).memory, Some(0.2), "{name}");
        }
    }

    #[test]
    fn what_the_engine_does_not_say_is_not_zero() {
        assert_eq!(Sample::read(&stats(json!({}))), Sample::default());
        let no_limit = stats(json!({"memory_stats": {"usage": 300, "limit": 0}, "cpu_stats": {"online_cpus": 0}}));
        assert_eq!(Sample::read(&no_limit), Sample::default());
    }

    #[test]
    fn processor_time_is_over_the_limit_or_over_all_processors() {
        let sample = |cpu| Sample::read(&stats(json!({"cpu_stats": {"cpu_usage": {"total_usage": cpu}, "online_cpus": 4}})));
        let (then, now) = (Tick::default(), Tick::default() + Duration::from_secs(2));
        let before = Some((then, sample(1_000_000_000_u64)));
        assert_eq!(sample(2_000_000_000).usage(now, before, Some(0.5)).cpu, Some(1.0));
        assert_eq!(sample(2_000_000_000).usage(now, before, None).cpu, Some(0.125));
        assert_eq!(sample(2_000_000_000).usage(now, None, None).cpu, None, "one sample is no rate");
        assert_eq!(sample(500_000_000).usage(now, before, None).cpu, None, "a counter that fell began anew");
        assert_eq!(sample(2_000_000_000).usage(then, before, None).cpu, None, "no time has passed");
    }
}
