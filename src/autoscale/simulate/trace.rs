//! What comes: requests with the time of their arrival and the time that they take. Pure.

use std::time::Duration;

use fastrand::Rng;

/// The longest time that is reckoned with, in microseconds: 34 years, so that sums of a few of them fit.
const LONGEST_US: u64 = 1 << 50;

/// The most requests of one trace: a third of a gigabyte of memory.
pub(super) const MOST_REQUESTS: usize = 20_000_000;

/// A request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// When it comes, microseconds since the trace began.
    pub at_us: u64,
    /// How long it runs once it has a slot, in microseconds.
    pub service_us: u64,
}

/// Requests in the order in which they come.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The requests.
    pub requests: Vec<Request>,
    /// When nothing more comes, microseconds since it began.
    pub end_us: u64,
    /// When it began, milliseconds since 1970: schedules and seasons follow it.
    pub start_unix_ms: i64,
}

/// How long a request runs of which a trace does not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// The mean.
    pub mean: Duration,
    /// How it varies.
    pub law: Law,
}

/// How a duration varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Many short ones, a few long ones: no memory.
    Exponential,
    /// Not at all.
    Fixed,
}

/// Returns a duration in microseconds, at most the longest that is reckoned with.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(LONGEST_US).min(LONGEST_US)
}

/// Returns seconds in microseconds; what is below zero or no number is zero.
pub(super) fn micros_of(seconds: f64) -> u64 {
    // `as` takes what is out of range to the nearest that is in it, and no number to zero.
    ((seconds * 1e6).round() as u64).min(LONGEST_US)
}

/// Returns microseconds in seconds.
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl Trace {
    /// Puts requests in order; it ends at `end_us`, or with the last arrival if that is later.
    pub fn new(mut requests: Vec<Request>, end_us: u64, start_unix_ms: i64) -> Self {
        requests.sort_unstable();
        let last = requests.last().map_or(0, |request| request.at_us);
        Self { requests, end_us: end_us.max(last).min(LONGEST_US), start_unix_ms }
    }

    /// Returns how many requests run at a time in the mean, if nobody ever waits.
    pub fn mean_in_flight(&self) -> f64 {
        let work: f64 = self.requests.iter().map(|request| seconds(request.service_us)).sum();
        if self.end_us == 0 { 0.0 } else { work / seconds(self.end_us) }
    }
}

impl Service {
    /// Draws how long one request runs, in microseconds.
    pub(super) fn draw(&self, random: &mut Rng) -> u64 {
        match self.law {
            Law::Fixed => micros(self.mean),
            Law::Exponential => micros_of(exponential(random) * self.mean.as_secs_f64()),
        }
    }
}

/// Draws from the exponential distribution of mean 1, by inversion.
pub(super) fn exponential(random: &mut Rng) -> f64 {
    // From (0, 1]: there is no logarithm of zero.
    -(1.0 - random.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_put_in_order_and_the_trace_lasts_to_the_last_of_them() {
        let at = |at_us| Request { at_us, service_us: 1_000_000 };
        let trace = Trace::new(vec![at(5_000_000), at(0), at(3_000_000)], 1, 0);
        assert_eq!(trace.requests, [at(0), at(3_000_000), at(5_000_000)]);
        assert_eq!((trace.end_us, trace.mean_in_flight()), (5_000_000, 0.6));
        assert_eq!(Trace::new(vec![], 0, 0).mean_in_flight(), 0.0);
    }

    #[test]
    fn odd_durations_become_reckonable_ones() {
        assert_eq!([f64::NAN, -1.0, 1.5, f64::INFINITY].map(micros_of), [0, 0, 1_500_000, LONGEST_US]);
        assert_eq!(micros(Duration::MAX), LONGEST_US);
    }

    #[test]
    fn service_times_have_their_mean() {
        let mean = Duration::from_secs(4);
        let mut random = Rng::with_seed(1);
        assert_eq!(Service { mean, law: Law::Fixed }.draw(&mut random), 4_000_000);
        let service = Service { mean, law: Law::Exponential };
        let sum: f64 = (0..20_000).map(|_| seconds(service.draw(&mut random))).sum();
        assert!((sum / 20_000.0 - 4.0).abs() < 0.1, "{sum}");
    }
}
