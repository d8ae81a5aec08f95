//! What the admin server shows of decisions, forecasts and history.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::proxy::Proxy;
use crate::admin::{DecisionView, ForecastView, HistoryView, Pending, SignalForecast, Unknown};
use crate::autoscale::report::{Evidence, Report};
use crate::autoscale::{Entry, Records, replay};
use crate::model::{Cost, Id};
use crate::telemetry::history::{Column, History};

/// Reads something from the records on a thread that may block.
fn reading<T: Send + 'static>(
    records: Option<Arc<Records>>,
    read: impl FnOnce(&Records) -> Result<T, String> + Send + 'static,
) -> Pending<Result<T, String>> {
    Box::pin(async move {
        let records = records.ok_or("no pool has been sized yet")?;
        tokio::task::spawn_blocking(move || read(&records)).await.map_err(|error| error.to_string())?
    })
}

impl Proxy {
    pub(super) fn decisions_about(
        &self,
        pool: &str,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Pending<Result<Vec<Arc<Entry>>, String>>, Unknown> {
        let pool = self.live_pool(pool)?.model.name.clone();
        let read = move |records: &Records| records.ledger.entries(&pool, limit, before).map_err(|error| error.to_string());
        Ok(reading(self.autoscaler.records(), read))
    }

    pub(super) fn decision_again(&self, pool: &str, id: u64) -> Result<Pending<Result<DecisionView, String>>, Unknown> {
        let name = self.live_pool(pool)?.model.name.clone();
        let unknown = Unknown::Decision { pool: pool.to_owned(), id };
        let read = move |records: &Records| {
            let found = records.ledger.entries(&name, 1, Some(id.saturating_add(1))).map_err(|error| error.to_string())?;
            let entry = found.into_iter().find(|entry| entry.id == id).ok_or_else(|| unknown.to_string())?;
            let difference = replay(&entry).err().map(|difference| difference.to_string());
            Ok(DecisionView { entry, difference })
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

    pub(super) fn report_on_scaling(&self, window: Duration) -> Pending<Result<Report, String>> {
        let world = self.services.registry.world();
        let pools = world.iter().flat_map(|world| world.pools.values());
        let sized: Vec<(Id, Option<Cost>)> =
            pools.filter_map(|pool| Some((pool.model.name.clone(), pool.model.autoscale.as_ref()?.cost.clone()))).collect();
        reading(self.autoscaler.records(), move |records| report(records, &sized, window))
    }
}

fn unix_minute() -> i64 {
    Timestamp::now().as_second().div_euclid(60)
}

fn report(records: &Records, sized: &[(Id, Option<Cost>)], window: Duration) -> Result<Report, String> {
    let now_unix_ms = Timestamp::now().as_millisecond();
    let from_unix_ms = now_unix_ms.saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    let minutes = from_unix_ms.div_euclid(60_000)..now_unix_ms.div_euclid(60_000) + 1;
    let series = |history: &History, pool: &Id, column| history.series(pool, column, minutes.clone(), 1);
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
