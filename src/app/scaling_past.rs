//! What the admin server shows of decisions, forecasts and history.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::proxy::Proxy;
use crate::admin::{DecisionView, ForecastView, HistoryView, Reading, SignalForecast, Unknown};
use crate::autoscale::report::{Evidence, Report};
use crate::autoscale::{Entry, Records, replay};
use crate::model::{Cost, Id};
use crate::telemetry::history::{Column, History};

/// How long history has a row for each minute.
const MINUTES_ARE_KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

/// Reads something from the records on a thread that may block.
fn reading<T: Default + Send + 'static>(
    records: Option<Arc<Records>>,
    read: impl FnOnce(&Records) -> Result<T, String> + Send + 'static,
) -> Reading<T> {
    Box::pin(async move {
        // No pool has been sized yet.
        let Some(records) = records else { return Ok(T::default()) };
        tokio::task::spawn_blocking(move || read(&records)).await.map_err(|error| error.to_string())?
    })
}

impl Proxy {
    pub(super) fn decisions_about(
        &self,
        pool: &str,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Reading<Vec<Arc<Entry>>>, Unknown> {
        let pool = self.live_pool(pool)?.model.name.clone();
        let read = move |records: &Records| records.ledger.entries(&pool, limit, before).map_err(|error| error.to_string());
        Ok(reading(self.autoscaler.records(), read))
    }

    pub(super) fn decision_again(&self, pool: &str, id: u64) -> Result<Reading<Option<DecisionView>>, Unknown> {
        let name = self.live_pool(pool)?.model.name.clone();
        let read = move |records: &Records| {
            let found = records.ledger.entries(&name, 1, Some(id.saturating_add(1))).map_err(|error| error.to_string())?;
            let entry = found.into_iter().find(|entry| entry.id == id);
            Ok(entry.map(|entry| DecisionView { difference: replay(&entry).err().map(|difference| difference.to_string()), entry }))
        };
        Ok(reading(self.autoscaler.records(), read))
    }

    pub(super) fn forecast_view(&self, pool: &str) -> Result<ForecastView, Unknown> {
        let name = self.live_pool(pool)?.model.name.clone();
        let scaling = self.autoscaler.scaling(pool).ok_or_else(|| Unknown::Unsized(pool.to_owned()))?;
        let forecasts = scaling.foresight().map(|foresight| (foresight, foresight.forecasts()));
        let signals = forecasts.into_iter().flat_map(|(foresight, forecasts)| {
            forecasts.into_iter().map(|(signal, forecast)| {
                let past = foresight.past(&signal);
                (signal.as_str(), SignalForecast { forecast, past })
            })
        });
        Ok(ForecastView { pool: name, signals: signals.collect() })
    }

    pub(super) fn history_view(&self, pool: &str, minutes: i64, step: u32) -> Result<HistoryView, Unknown> {
        let pool = self.live_pool(pool)?.model.name.clone();
        let step_minutes = i64::from(step.max(1));
        let until = (unix_minute() / step_minutes + 1) * step_minutes;
        let from_unix_minute = (until - minutes).div_euclid(step_minutes) * step_minutes;
        let records = self.autoscaler.records();
        let column = |column: Column| {
            let series = records.as_ref().map(|records| records.history.series(&pool, column, from_unix_minute..until, step));
            (column, series.map(|series| series.values).unwrap_or_default())
        };
        let columns = Column::ALL.iter().copied().map(column).collect();
        Ok(HistoryView { pool, from_unix_minute, step_minutes: step, columns })
    }

    pub(super) fn report_on_scaling(&self, window: Duration) -> Reading<Report> {
        let world = self.services.registry.world();
        let pools = world.iter().flat_map(|world| world.pools.values());
        let sized: Vec<(Id, Option<Cost>)> =
            pools.filter_map(|pool| Some((pool.model.name.clone(), pool.model.autoscale.as_ref()?.cost.clone()))).collect();
        let reported = reading(self.autoscaler.records(), move |records| report(records, &sized, window).map(Some));
        Box::pin(async move {
            let nothing = || Report::of(&[], window, Timestamp::now().as_millisecond());
            Ok(reported.await?.unwrap_or_else(nothing))
        })
    }
}

fn unix_minute() -> i64 {
    Timestamp::now().as_second().div_euclid(60)
}

fn report(records: &Records, sized: &[(Id, Option<Cost>)], window: Duration) -> Result<Report, String> {
    let now_unix_ms = Timestamp::now().as_millisecond();
    let from_unix_ms = now_unix_ms.saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    let minutes = from_unix_ms.div_euclid(60_000)..now_unix_ms.div_euclid(60_000) + 1;
    // Minutes are kept for eight days, five of them as one for five weeks.
    let step = if window > MINUTES_ARE_KEPT { 5 } else { 1 };
    let series = |history: &History, pool: &Id, column| history.series(pool, column, minutes.clone(), step);
    let gather = |(pool, cost): &(Id, Option<Cost>)| {
        let entries = records.ledger.since(pool, from_unix_ms).map_err(|error| error.to_string())?;
        let (ready, wanted) = (series(&records.history, pool, Column::Ready), series(&records.history, pool, Column::Wanted));
        Ok((pool.clone(), entries, ready, wanted, cost.clone()))
    };
    let gathered = sized.iter().map(gather).collect::<Result<Vec<_>, String>>()?;
    let evidence = gathered.iter().map(|(pool, entries, ready, wanted, cost)| Evidence {
        pool: pool.clone(),
        entries,
        ready,
        wanted,
        cost: cost.as_ref(),
    });
    Ok(Report::of(&evidence.collect::<Vec<_>>(), window, now_unix_ms))
}
