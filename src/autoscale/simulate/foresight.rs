//! The forecast in a simulation: the forecaster as it is, fed with what the trace has brought so far. Pure.
//!
//! It knows nothing from before the trace, so a trace shorter than the history that a season needs shows no season. A forecast that nobody follows
//! (`watch`) changes nothing, and is not computed.

use std::time::Duration;

use super::super::Outlook;
use super::super::forecast::{Context, Forecaster, STEP, Series};
use super::sizer::{Look, Totals};
use super::trace::micros;
use crate::model::{ForecastMode, Signal, Terms};

/// The past of a pool, and what follows from it.
#[derive(Debug)]
pub(super) struct Foresight {
    forecaster: Forecaster,
    past: Vec<(Signal, Series)>,
    startup: Duration,
    since_us: u64,
    concurrency_us: u64,
    arrived: u64,
}

impl Foresight {
    /// Makes one without a past; `None` when no decision would follow it.
    pub(super) fn new(terms: &Terms, startup: Duration, start_unix_ms: i64) -> Option<Self> {
        terms.forecast.as_ref().filter(|forecast| forecast.mode == ForecastMode::Act)?;
        let empty = |signal| (signal, Series { step: STEP, start_unix_ms, values: Vec::new() });
        Some(Self {
            forecaster: Forecaster::default(),
            past: Forecaster::signals(terms).into_iter().map(empty).collect(),
            startup,
            since_us: 0,
            concurrency_us: 0,
            arrived: 0,
        })
    }

    /// Takes in what has come since the last step, and returns what is expected.
    pub(super) fn look(&mut self, look: &Look<'_>, terms: &Terms, now_unix_ms: i64) -> Option<Outlook> {
        let context = Context { terms, startup: self.startup, now_unix_ms };
        let span = look.now_us.saturating_sub(self.since_us);
        if span >= micros(STEP) {
            self.step(span, look.totals);
            self.since_us += micros(STEP);
            for (signal, series) in &self.past {
                self.forecaster.update(signal, series, &context);
            }
        }
        self.forecaster.outlook(&context)
    }

    fn step(&mut self, span_us: u64, totals: &Totals) {
        let span = span_us as f64;
        let concurrency_us = totals.in_flight_us + totals.queued_us;
        for (signal, series) in &mut self.past {
            let value = match signal {
                Signal::Concurrency => Some((concurrency_us - self.concurrency_us) as f64 / span),
                Signal::RequestRate => Some((totals.arrived - self.arrived) as f64 * 1e6 / span),
                _ => None,
            };
            series.values.push(value);
        }
        self.concurrency_us = concurrency_us;
        self.arrived = totals.arrived;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fleet::Census;
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn the_past_is_the_mean_of_each_step() {
        let terms = settings("forecast: { mode: act }").terms;
        let mut foresight = Foresight::new(&terms, Duration::from_secs(30), 1000).unwrap();
        let mut totals = Totals::default();
        for second in 0..=600 {
            totals.in_flight_us = second * 4_000_000;
            totals.queued_us = second.saturating_sub(300) * 1_000_000;
            let look = Look {
                now_us: second * 1_000_000,
                census: Census::default(),
                queued: 0,
                oldest_us: 0,
                queue_full: false,
                idle_us: 0,
                busy: None,
                totals: &totals,
            };
            // Far too little for a forecast.
            assert_eq!(foresight.look(&look, &terms, 1000), None);
        }
        assert_eq!(foresight.past[0].0, Signal::Concurrency);
        assert_eq!(foresight.past[0].1.values, [Some(4.0), Some(5.0)]);
    }

    #[test]
    fn a_forecast_that_nobody_follows_is_not_made() {
        for text in ["forecast: { mode: watch }", "forecast: off"] {
            assert!(Foresight::new(&settings(text).terms, Duration::ZERO, 0).is_none());
        }
    }
}
