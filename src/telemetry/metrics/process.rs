//! Figures of the whole process: seldom counted, so they go through the `metrics` facade and its Prometheus exporter.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use metrics::{Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

const METADATA: Metadata<'static> = Metadata::new("tidegate", Level::INFO, Some(module_path!()));

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// The new config is in force.
    Applied,
    /// The file is not a valid config.
    Invalid,
    /// The config is valid and could not be applied, for a port in use or the like.
    Refused,
}

/// Figures of the whole process.
pub struct Process {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    restarts: AtomicU64,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

impl Process {
    /// Describes every figure; `workers` is how many worker threads there are.
    pub fn new(workers: usize) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let process = Self { recorder, handle, restarts: AtomicU64::new(0) };
        process.describe();
        process.set("tidegate_build_info", vec![Label::new("version", env!("CARGO_PKG_VERSION"))], 1.0);
        process.set("tidegate_workers", Vec::new(), workers as f64);
        process.set("tidegate_start_time_seconds", Vec::new(), unix_now());
        for result in [ReloadResult::Applied, ReloadResult::Invalid, ReloadResult::Refused] {
            process.count("tidegate_config_reloads_total", vec![Label::new("result", result.as_str())], 0);
        }
        process.count("tidegate_worker_restarts_total", Vec::new(), 0);
        process.count("tidegate_panics_total", Vec::new(), 0);
        process
    }

    fn describe(&self) {
        let counters = [
            ("tidegate_config_reloads_total", "Attempts to take a new config, by result."),
            ("tidegate_worker_restarts_total", "Workers that died and were started again."),
            ("tidegate_panics_total", "Panics; each ended one connection or one worker."),
            (
                "tidegate_access_log_dropped_total",
                "Access log lines that were lost: the writer was too slow, or the file took nothing.",
            ),
        ];
        for (name, help) in counters {
            self.recorder.describe_counter(name.into(), Some(Unit::Count), help.into());
        }
        let gauges = [
            ("tidegate_build_info", "Always 1; the label tells the version."),
            ("tidegate_workers", "Worker threads."),
            ("tidegate_start_time_seconds", "When the process started, in Unix time."),
            ("tidegate_config_generation", "Counts the configs that were in force, from 1."),
            ("tidegate_config_last_applied_seconds", "When the config in force was applied, in Unix time."),
        ];
        for (name, help) in gauges {
            self.recorder.describe_gauge(name.into(), None, help.into());
        }
    }

    fn set(&self, name: &'static str, labels: Vec<Label>, value: f64) {
        self.recorder.register_gauge(&metrics::Key::from_parts(name, labels), &METADATA).set(value);
    }

    fn count(&self, name: &'static str, labels: Vec<Label>, amount: u64) {
        self.recorder.register_counter(&metrics::Key::from_parts(name, labels), &METADATA).increment(amount);
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: ReloadResult) {
        self.count("tidegate_config_reloads_total", vec![Label::new("result", result.as_str())], 1);
    }

    /// A config is in force.
    pub fn applied(&self, generation: u64) {
        self.set("tidegate_config_generation", Vec::new(), generation as f64);
        self.set("tidegate_config_last_applied_seconds", Vec::new(), unix_now());
    }

    /// A worker died and is started again.
    pub fn worker_restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
        self.count("tidegate_worker_restarts_total", Vec::new(), 1);
    }

    /// Returns how many workers died.
    pub fn worker_restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// Something panicked.
    pub fn panicked(&self) {
        self.count("tidegate_panics_total", Vec::new(), 1);
    }

    /// Tells how many access log lines were dropped so far.
    pub fn access_log_dropped(&self, dropped: u64) {
        self.recorder.register_counter(&metrics::Key::from_name("tidegate_access_log_dropped_total"), &METADATA).absolute(dropped);
    }

    /// Writes the figures in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

impl ReloadResult {
    /// Returns the word for the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
        }
    }
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_are_counted_by_result() {
        let process = Process::new(2);
        process.reloaded(ReloadResult::Invalid);
        process.applied(3);
        let text = process.render();
        assert!(text.contains("tidegate_config_reloads_total{result=\"invalid\"} 1"), "{text}");
        assert!(text.contains("tidegate_config_generation 3"), "{text}");
        assert!(text.contains("tidegate_workers 2"), "{text}");
    }
}
