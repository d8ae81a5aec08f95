//! Keeps the forecasts of one pool up to date, on threads that may block.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{debug, warn};

use super::decide::Outlook;
use super::forecast::{Context, Forecast, Forecaster, Made, STEP, Series};
use crate::model::{Id, Signal, Terms};
use crate::telemetry::history::{Column, History};

/// How far back a forecast looks, in minutes: all that history has.
const PAST_MINUTES: i64 = 35 * 24 * 60;

/// What is supposed of a replica's start-up before one was measured.
const STARTUP: Duration = Duration::from_secs(60);

/// Minutes of a step.
const STEP_MINUTES: u32 = 5;

/// The forecasts of one pool.
#[derive(Debug)]
pub struct Foresight {
    pool: Id,
    history: Arc<History>,
    forecaster: Mutex<Forecaster>,
    is_busy: AtomicBool,
}

impl Foresight {
    /// Goes on where the last run of this process ended. Waits for the disk.
    pub(super) fn open(pool: Id, history: Arc<History>) -> Arc<Self> {
        let kept = history.store().get(&key(&pool)).ok().flatten();
        let foresight = Self::new(pool, history);
        *foresight.lock() = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        foresight
    }

    /// Begins without forecasts.
    pub(super) fn new(pool: Id, history: Arc<History>) -> Arc<Self> {
        Arc::new(Self { pool, history, forecaster: Mutex::default(), is_busy: AtomicBool::new(false) })
    }

    /// Returns what is expected, and begins to bring it up to date when it is time.
    pub(super) fn outlook(self: &Arc<Self>, terms: &Arc<Terms>, startup: Option<Duration>, now_unix_ms: i64) -> Option<Outlook> {
        terms.forecast.as_ref()?;
        let startup = startup.unwrap_or(STARTUP);
        self.refresh(terms, startup, now_unix_ms);
        self.lock().outlook(&Context { terms, startup, now_unix_ms })
    }

    /// Returns the forecasts as they were made last.
    pub fn forecasts(&self) -> BTreeMap<Signal, Forecast> {
        self.lock().forecasts()
    }

    /// Returns what was said of a signal in the last day and what came, the oldest first.
    pub fn past(&self, signal: &Signal) -> Vec<Made> {
        self.lock().past(signal).copied().collect()
    }

    fn refresh(self: &Arc<Self>, terms: &Arc<Terms>, startup: Duration, now_unix_ms: i64) {
        let due = {
            let forecaster = self.lock();
            Forecaster::signals(terms).into_iter().filter(|signal| forecaster.due(signal, now_unix_ms)).collect::<Vec<_>>()
        };
        if due.is_empty() || self.is_busy.swap(true, AcqRel) {
            return;
        }
        let (foresight, terms) = (self.clone(), terms.clone());
        // Ends by itself; a panic in a model costs this one update.
        tokio::task::spawn_blocking(move || {
            let _idle = Idle(&foresight.is_busy);
            foresight.update(&due, &terms, startup, now_unix_ms);
        });
    }

    fn update(&self, due: &[Signal], terms: &Terms, startup: Duration, now_unix_ms: i64) {
        let mut forecaster = self.lock().clone();
        forecaster.retain(terms);
        for signal in due {
            let Some(series) = self.series(signal, now_unix_ms) else { continue };
            forecaster.update(signal, &series, &Context { terms, startup, now_unix_ms });
            debug!(pool = %self.pool, signal = signal.as_str(), points = series.values.len(), "Forecast made.");
        }
        match serde_json::to_vec(&forecaster) {
            Ok(bytes) => self.history.store().put(&key(&self.pool), bytes),
            Err(error) => warn!(pool = %self.pool, %error, "Forecasts cannot be written down."),
        }
        *self.lock() = forecaster;
    }

    fn series(&self, signal: &Signal, now_unix_ms: i64) -> Option<Series> {
        let column = match signal {
            Signal::Concurrency => Column::Concurrency,
            Signal::RequestRate => Column::RequestRate,
            _ => return None,
        };
        let step = i64::from(STEP_MINUTES);
        // A step that still runs is left out.
        let until = now_unix_ms.div_euclid(60_000).div_euclid(step) * step;
        let rows = self.history.series(&self.pool, column, until - PAST_MINUTES..until, STEP_MINUTES);
        let mut values: Vec<Option<f64>> = rows.values.iter().map(|value| value.map(f64::from)).collect();
        let begins = values.iter().position(Option::is_some).unwrap_or(values.len());
        values.drain(..begins);
        let start = rows.from + i64::try_from(begins).unwrap_or(i64::MAX / step) * step;
        Some(Series { step: STEP, start_unix_ms: start * 60_000, values })
    }

    fn lock(&self) -> MutexGuard<'_, Forecaster> {
        // Replaced as a whole.
        self.forecaster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that nobody is busy, also after a panic.
struct Idle<'a>(&'a AtomicBool);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        debug_assert!(self.0.load(Acquire));
        self.0.store(false, Release);
    }
}

fn key(pool: &Id) -> String {
    format!("forecast/{pool}")
}
