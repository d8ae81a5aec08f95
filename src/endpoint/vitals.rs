//! How an endpoint is doing: counters and averages in atomics, written by every worker and read by pickers.
//!
//! Accesses are relaxed but for the slots: each figure is right by itself, and figures read together may be an instant apart.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use serde::Serialize;

use crate::kit::clock::Tick;
use crate::kit::ewma::{PeakEwma, Reading};
use crate::kit::window::Window;

/// The least that a failed attempt counts as in the average of times to first byte, so that fast failures never attract traffic.
pub const FAILED_LATENCY: Duration = Duration::from_secs(5);

/// The longest that a `Retry-After` parks an endpoint.
pub const MAX_PARK: Duration = Duration::from_secs(300);

/// Time in which the average of times to first byte forgets all but 1/e of the past.
const DECAY: Duration = Duration::from_secs(10);

/// How many response times and verdicts are kept.
const RECENT: usize = 100;

/// A load report counts in full for this long, then fades to nothing in the same time again.
const REPORT_FRESH: Duration = Duration::from_secs(10);

/// How many attempts began, and how they ended; `attempts` = `completed` + `failed` + `aborted` + those in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Attempts that began.
    pub attempts: u64,
    /// Those that the endpoint served well.
    pub completed: u64,
    /// Those that failed by the endpoint's doing, truncated responses and answers of 500, 502, 503 and 504 among them.
    pub failed: u64,
    /// Those that ended by nobody's or somebody else's doing, most often because the client left.
    pub aborted: u64,
}

/// What an endpoint says of its own load; what it does not say is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Processor utilisation as a ratio.
    pub cpu: f64,
    /// Memory utilisation as a ratio.
    pub memory: f64,
    /// The application's own figure as a ratio; may exceed 1.
    pub application: f64,
    /// Requests that wait in the endpoint.
    pub queue: u32,
}

/// A load report and how much it still counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportedLoad {
    /// The largest of the reported utilisations, as a ratio.
    pub utilisation: f64,
    /// Requests that wait in the endpoint.
    pub queue: u32,
    /// How much it counts: 1 when fresh, towards 0 when it fades.
    pub trust: f64,
}

/// The figures of one endpoint.
#[derive(Debug, Default)]
pub struct Vitals {
    in_flight: AtomicU32,
    attempts: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    aborted: AtomicU64,
    /// Failures since the last success.
    failed_in_a_row: AtomicU32,
    first_byte: PeakEwma,
    /// Nanoseconds since the start, 0 when never parked.
    parked_until: AtomicU64,
    /// Utilisation as `f32` in the upper half, queue length in the lower.
    report: AtomicU64,
    /// Processor and memory of the last report, each as `f32`: in the upper half and in the lower.
    resources: AtomicU64,
    /// Nanoseconds since the start, plus 1; 0 without a report.
    reported_at: AtomicU64,
    /// In microseconds.
    response_times: Window<RECENT>,
    /// 1 for a failure, 0 for a success.
    failures: Window<RECENT>,
}

impl Vitals {
    /// Returns the attempts that run, from the pick to the last byte.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Returns the counters; the law among them holds exactly when no attempt begins or ends meanwhile.
    pub fn totals(&self) -> Totals {
        Totals {
            attempts: self.attempts.load(Relaxed),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
        }
    }

    /// Returns how many attempts have failed since one was served well.
    pub fn failed_in_a_row(&self) -> u32 {
        self.failed_in_a_row.load(Relaxed)
    }

    /// Returns the peak EWMA of the time to first byte in seconds, `None` while unmeasured.
    pub fn first_byte(&self, now: Tick) -> Option<Reading> {
        self.first_byte.read(DECAY, now)
    }

    /// Returns the same as it was after the last sample, without regard to the time since.
    pub fn last_first_byte(&self) -> Option<f64> {
        self.first_byte.last()
    }

    /// Returns the mean of the last 100 response times, from the pick to the last byte, in seconds; `None` without any.
    pub fn mean_response_time(&self) -> Option<f64> {
        self.response_times.mean().map(|micros| micros / 1e6)
    }

    /// Returns the median of the `last` response times (at most 100 are kept), from the pick to the last byte; `None` without any.
    pub fn median_response_time(&self, last: usize) -> Option<Duration> {
        self.response_times.median(last).map(|micros| Duration::from_micros(micros.into()))
    }

    /// Returns the share of failures in the last 100 verdicts, 0 without any.
    pub fn failure_rate(&self) -> f64 {
        self.failures.mean().unwrap_or(0.0).min(1.0)
    }

    /// Returns how long the endpoint asks not to be sent more, `None` when it does not.
    pub fn parked_for(&self, now: Tick) -> Option<Duration> {
        let until = Tick::from_nanos(self.parked_until.load(Relaxed));
        (until > now).then(|| until.since(now))
    }

    /// Returns what the endpoint last said of its load, `None` when it never did or the report has faded.
    pub fn reported(&self, now: Tick) -> Option<ReportedLoad> {
        let at = self.reported_at.load(Relaxed).checked_sub(1)?;
        let stale = now.since(Tick::from_nanos(at)).saturating_sub(REPORT_FRESH);
        let trust = 1.0 - stale.as_secs_f64() / REPORT_FRESH.as_secs_f64();
        let word = self.report.load(Relaxed);
        let utilisation = f64::from(f32::from_bits((word >> 32) as u32));
        (trust > 0.0).then_some(ReportedLoad { utilisation, queue: word as u32, trust })
    }

    /// Returns the processor and memory utilisation that the endpoint last said, as ratios; `None` when it never did or the report is stale.
    pub fn reported_resources(&self, now: Tick) -> Option<(f64, f64)> {
        let at = self.reported_at.load(Relaxed).checked_sub(1)?;
        let word = self.resources.load(Relaxed);
        let ratio = |bits: u32| f64::from(f32::from_bits(bits));
        (now.since(Tick::from_nanos(at)) <= REPORT_FRESH).then(|| (ratio((word >> 32) as u32), ratio(word as u32)))
    }

    /// Takes in a load report; figures that are not numbers, or negative, count as 0.
    pub fn report(&self, load: LoadReport, now: Tick) {
        // `f64::max` passes over a NaN.
        let clean = |ratio: f64| ratio.max(0.0).min(f64::from(f32::MAX)) as f32;
        let utilisation = clean(load.cpu.max(load.memory).max(load.application));
        let resources = [clean(load.cpu), clean(load.memory)].map(|ratio| u64::from(ratio.to_bits()));
        self.resources.store((resources[0] << 32) | resources[1], Relaxed);
        self.report.store((u64::from(utilisation.to_bits()) << 32) | u64::from(load.queue), Relaxed);
        self.reported_at.store(now.as_nanos().saturating_add(1), Relaxed);
    }

    /// Parks the endpoint for `wait`, at most 300 s; never shortens what was asked before.
    pub fn park(&self, wait: Duration, now: Tick) {
        self.parked_until.fetch_max((now + wait.min(MAX_PARK)).as_nanos(), Relaxed);
    }

    /// Begins, and returns how many are in flight now.
    pub(super) fn begin(&self) -> u32 {
        self.attempts.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, SeqCst).saturating_add(1)
    }

    /// Begins when fewer than `slots` are in flight, and returns how many are now.
    ///
    /// Sequentially consistent, as is [`end`](Self::end): whoever announces that he waits and then finds no slot is seen by whoever frees one.
    pub(super) fn try_begin(&self, slots: u32) -> Option<u32> {
        let before = self.in_flight.fetch_update(SeqCst, SeqCst, |taken| (taken < slots).then_some(taken + 1)).ok()?;
        self.attempts.fetch_add(1, Relaxed);
        Some(before + 1)
    }

    /// Returns the attempts that run, as [`Openings`](super::Openings) must read them.
    pub(super) fn taken(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    pub(super) fn withdraw(&self) {
        self.attempts.fetch_sub(1, Relaxed);
    }

    pub(super) fn measure_first_byte(&self, latency: Duration, now: Tick) {
        self.first_byte.record(latency, DECAY, now);
    }

    pub(super) fn measure_failure(&self, latency: Duration, now: Tick) {
        self.first_byte.record(latency.max(FAILED_LATENCY), DECAY, now);
    }

    pub(super) fn complete(&self, response_time: Duration) {
        self.completed.fetch_add(1, Relaxed);
        // Read first: a store for each success would take the line from every other worker.
        if self.failed_in_a_row.load(Relaxed) != 0 {
            self.failed_in_a_row.store(0, Relaxed);
        }
        self.failures.push(0);
        self.response_times.push(u32::try_from(response_time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Relaxed);
        self.failed_in_a_row.fetch_add(1, Relaxed);
        self.failures.push(1);
    }

    pub(super) fn abort(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    /// Ends, and returns how many were in flight before.
    pub(super) fn end(&self) -> u32 {
        self.in_flight.fetch_sub(1, SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Tick {
        Tick::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_park_is_capped_and_never_shortened() {
        let vitals = Vitals::default();
        assert_eq!(vitals.parked_for(at(0)), None);
        vitals.park(Duration::from_secs(1000), at(10));
        assert_eq!(vitals.parked_for(at(10)), Some(MAX_PARK));
        vitals.park(Duration::from_secs(1), at(10));
        assert_eq!(vitals.parked_for(at(10)), Some(MAX_PARK));
        assert_eq!(vitals.parked_for(at(310)), None);
    }

    #[test]
    fn a_report_counts_ten_seconds_in_full_and_fades_in_ten_more() {
        let vitals = Vitals::default();
        assert_eq!(vitals.reported(at(0)), None);
        vitals.report(LoadReport { cpu: 0.25, memory: 0.5, application: 0.1, queue: 7 }, at(0));
        let trust = |secs| vitals.reported(at(secs)).map(|load| load.trust);
        assert_eq!(vitals.reported(at(0)), Some(ReportedLoad { utilisation: 0.5, queue: 7, trust: 1.0 }));
        assert_eq!(trust(10), Some(1.0));
        assert!(trust(15).is_some_and(|trust| (trust - 0.5).abs() < 1e-9));
        assert_eq!(trust(20), None);
    }

    #[test]
    fn reported_resources_are_told_apart_and_grow_stale() {
        let vitals = Vitals::default();
        assert_eq!(vitals.reported_resources(at(0)), None);
        vitals.report(LoadReport { cpu: 0.25, memory: 0.5, application: 0.9, queue: 0 }, at(0));
        assert_eq!(vitals.reported_resources(at(10)), Some((0.25, 0.5)));
        assert_eq!(vitals.reported_resources(at(11)), None);
    }

    #[test]
    fn a_report_of_nonsense_counts_as_nothing() {
        let vitals = Vitals::default();
        vitals.report(LoadReport { cpu: f64::NAN, memory: -1.0, application: f64::NEG_INFINITY, queue: 0 }, at(1));
        assert_eq!(vitals.reported(at(1)).map(|load| load.utilisation), Some(0.0));
        vitals.report(LoadReport { cpu: f64::INFINITY, ..LoadReport::default() }, at(1));
        assert!(vitals.reported(at(1)).is_some_and(|load| load.utilisation.is_finite()));
    }

    #[test]
    fn failures_in_a_row_end_with_a_success_and_not_with_an_abort() {
        let vitals = Vitals::default();
        (0..3).for_each(|_| vitals.fail());
        vitals.abort();
        assert_eq!(vitals.failed_in_a_row(), 3);
        vitals.complete(Duration::from_millis(5));
        assert_eq!(vitals.failed_in_a_row(), 0);
        vitals.fail();
        assert_eq!(vitals.failed_in_a_row(), 1);
    }

    #[test]
    fn the_median_response_time_is_of_the_last_ones() {
        let vitals = Vitals::default();
        assert_eq!(vitals.median_response_time(100), None);
        [5, 5, 5, 90, 90].iter().for_each(|&millis| vitals.complete(Duration::from_millis(millis)));
        assert_eq!(vitals.median_response_time(100), Some(Duration::from_millis(5)));
        assert_eq!(vitals.median_response_time(2), Some(Duration::from_millis(90)));
    }

    #[test]
    fn only_the_last_hundred_verdicts_count() {
        let vitals = Vitals::default();
        assert_eq!(vitals.failure_rate(), 0.0);
        (0..100).for_each(|_| vitals.fail());
        assert_eq!(vitals.failure_rate(), 1.0);
        (0..75).for_each(|_| vitals.complete(Duration::from_millis(200)));
        assert!((vitals.failure_rate() - 0.25).abs() < 1e-9);
        assert!(vitals.mean_response_time().is_some_and(|mean| (mean - 0.2).abs() < 1e-9));
    }
}
