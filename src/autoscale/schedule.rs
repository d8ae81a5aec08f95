//! When schedules hold, and what they ask for.
//!
//! A schedule holds from each of its starts for as long as it lasts, in real time: ten hours are ten hours on the day on which the clocks
//! change. A start that falls into the hour that is skipped comes when that hour would have ended; one that falls into the hour that comes
//! twice comes the first time, unless it recurs within a day, as `*/30 * * * *` does.
//!
//! The only thing read from outside is the time-zone database, once; the time is an argument. Deliberately not here: what becomes of bounds
//! (`decide`).

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::decide::Look;
use crate::model::{Id, ScaleRule, Terms};

/// Why a schedule cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is none.
    #[error("schedule \"{name}\": {cron:?} is not a cron expression of five fields")]
    Cron {
        /// The schedule.
        name: Id,
        /// The expression.
        cron: String,
        /// What is wrong.
        #[source]
        source: croner::errors::CronError,
    },
    /// The time zone is unknown.
    #[error("schedule \"{name}\": there is no time zone {zone:?}")]
    Zone {
        /// The schedule.
        name: Id,
        /// The time zone.
        zone: String,
        /// What is wrong.
        #[source]
        source: jiff::Error,
    },
}

/// The schedules of a pool.
#[derive(Clone, Debug, Default)]
pub struct Schedules(Vec<Schedule>);

#[derive(Clone, Debug)]
struct Schedule {
    name: Id,
    cron: Cron,
    zone: TimeZone,
    lasts: Duration,
    min_replicas: Option<u32>,
    max_replicas: Option<u32>,
}

impl Schedules {
    /// Reads the schedules among the policies of `terms`.
    ///
    /// # Errors
    ///
    /// An expression or a time zone is not one.
    pub fn new(terms: &Terms) -> Result<Self, ScheduleError> {
        let schedules = terms.policies.iter().filter_map(|policy| Schedule::new(&policy.name, &policy.rule).transpose());
        schedules.collect::<Result<_, _>>().map(Self)
    }

    /// Returns what the schedules ask for at `unix_ms`, milliseconds since 1970: of several that hold, the largest minimum and the least
    /// maximum. Where these conflict, the minimum wins.
    pub fn look(&self, unix_ms: i64) -> Look {
        let Ok(now) = Timestamp::from_millisecond(unix_ms) else { return Look::default() };
        let active: Vec<_> = self.0.iter().filter(|schedule| schedule.holds(now)).collect();
        let min_replicas = active.iter().filter_map(|schedule| schedule.min_replicas).max();
        let max_replicas = active.iter().filter_map(|schedule| schedule.max_replicas).min();
        Look {
            min_replicas,
            max_replicas: max_replicas.map(|max| max.max(min_replicas.unwrap_or(0))),
            names: active.iter().map(|schedule| schedule.name.clone()).collect(),
        }
    }
}

impl Schedule {
    fn new(name: &Id, rule: &ScaleRule) -> Result<Option<Self>, ScheduleError> {
        let ScaleRule::Schedule { cron, time_zone, lasts, min_replicas, max_replicas } = rule else { return Ok(None) };
        // As in crontab (POSIX): neither seconds nor years.
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|source| ScheduleError::Cron { name: name.clone(), cron: cron.clone(), source })?;
        let zone = TimeZone::get(time_zone).map_err(|source| ScheduleError::Zone {
            name: name.clone(),
            zone: time_zone.clone(),
            source,
        })?;
        let (min_replicas, max_replicas) = (*min_replicas, *max_replicas);
        Ok(Some(Self { name: name.clone(), cron: parsed, zone, lasts: *lasts, min_replicas, max_replicas }))
    }

    /// Tells whether its last start is not longer ago than it lasts.
    fn holds(&self, now: Timestamp) -> bool {
        let start = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true);
        start.is_ok_and(|start| {
            let since = now.as_millisecond().saturating_sub(start.timestamp().as_millisecond());
            u128::try_from(since).is_ok_and(|since| since < self.lasts.as_millis())
        })
    }
}

#[cfg(test)]
mod tests;
