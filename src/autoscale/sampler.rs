//! From looks at a pool to a row of history a minute. Pure.

use super::decide::Replicas;
use super::signal::Observation;
use crate::telemetry::history::{Column, Row};

/// Gathers the looks of one minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampler {
    minute: Option<i64>,
    /// The last look before the minute, for differences.
    before: Option<Observation>,
    last: Option<Observation>,
    looks: u32,
    sums: [f64; 4],
    most: (u64, u64),
    resources: [(f64, u32); 2],
}

/// What the sums are of.
const MEANS: [Column; 4] = [Column::Concurrency, Column::Ready, Column::Desired, Column::Wanted];

impl Sampler {
    /// Takes one look of `unix_minute`, with what was wanted then; returns the row of the minute before, when that is over.
    pub(super) fn take(&mut self, unix_minute: i64, seen: Observation, replicas: Replicas, wanted: u32) -> Option<(i64, Row)> {
        let done = match self.minute {
            Some(minute) if minute != unix_minute => self.row(minute),
            _ => None,
        };
        if self.minute != Some(unix_minute) {
            *self = Self { minute: Some(unix_minute), before: self.last.take(), ..Self::default() };
        }
        let concurrency = seen.in_flight.saturating_add(seen.queued);
        let means = [concurrency as f64, replicas.ready.into(), replicas.desired.into(), wanted.into()];
        self.sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean);
        self.most = (self.most.0.max(concurrency), self.most.1.max(seen.queued));
        for ((sum, count), value) in self.resources.iter_mut().zip([seen.cpu, seen.memory]) {
            if let Some(value) = value {
                *sum += value;
                *count += 1;
            }
        }
        self.looks += 1;
        self.last = Some(seen);
        done
    }

    fn row(&self, minute: i64) -> Option<(i64, Row)> {
        let last = self.last.as_ref()?;
        let looks = f64::from(self.looks.max(1));
        let mut row = Row::default();
        for (column, sum) in MEANS.into_iter().zip(self.sums) {
            row.set(column, sum / looks);
        }
        row.set(Column::ConcurrencyMax, self.most.0 as f64);
        row.set(Column::QueueDepth, self.most.1 as f64);
        for (column, (sum, count)) in [Column::Cpu, Column::Memory].into_iter().zip(self.resources) {
            if count > 0 {
                row.set(column, sum / f64::from(count));
            }
        }
        // Of the first minute nobody knows how much of a total is its own.
        if let Some(before) = &self.before {
            grown(&mut row, before, last);
        }
        Some((minute, row))
    }
}

fn grown(row: &mut Row, before: &Observation, last: &Observation) {
    if let (Some(arrived), Some(elapsed)) =
        (last.arrived_total.checked_sub(before.arrived_total), last.at_ms.checked_sub(before.at_ms).filter(|elapsed| *elapsed > 0))
    {
        row.set(Column::Arrived, arrived as f64);
        row.set(Column::RequestRate, arrived as f64 * 1000.0 / elapsed as f64);
    }
    let failed = last.failed_total.saturating_sub(before.failed_total) as f64;
    let ended = failed + last.completed_total.saturating_sub(before.completed_total) as f64;
    if ended > 0.0 {
        row.set(Column::ErrorRate, failed / ended);
    }
    let quantiles = [
        (Column::QueueWaitP95, last.queue_wait.since(&before.queue_wait), 0.95),
        (Column::FirstByteP95, last.first_byte.since(&before.first_byte), 0.95),
        (Column::ResponseTimeP50, last.response_time.since(&before.response_time), 0.5),
        (Column::ResponseTimeP95, last.response_time.since(&before.response_time), 0.95),
        (Column::ResponseTimeP99, last.response_time.since(&before.response_time), 0.99),
    ];
    for (column, samples, quantile) in quantiles {
        if let Some(value) = samples.quantile(quantile) {
            row.set(column, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(sampler: &mut Sampler, minute: i64, in_flight: u64, arrived_total: u64) -> Option<(i64, Row)> {
        let seen = Observation { at_ms: arrived_total * 1000, in_flight, arrived_total, ..Observation::default() };
        sampler.take(minute, seen, Replicas { ready: 2, desired: 3, ..Replicas::default() }, 4)
    }

    #[test]
    fn a_minute_becomes_a_row_when_the_next_one_begins() {
        let mut sampler = Sampler::default();
        assert_eq!(look(&mut sampler, 7, 1, 10), None);
        assert_eq!(look(&mut sampler, 7, 3, 20), None);
        let (minute, row) = look(&mut sampler, 8, 5, 40).unwrap();
        assert_eq!((minute, row.get(Column::Concurrency), row.get(Column::ConcurrencyMax)), (7, Some(2.0), Some(3.0)));
        assert_eq!(
            [Column::Ready, Column::Desired, Column::Wanted].map(|column| row.get(column)),
            [Some(2.0), Some(3.0), Some(4.0)]
        );
        assert_eq!(row.get(Column::Arrived), None, "nobody saw where it began");
        let (minute, row) = look(&mut sampler, 9, 0, 50).unwrap();
        assert_eq!((minute, row.get(Column::Arrived), row.get(Column::RequestRate)), (8, Some(20.0), Some(1.0)));
        assert_eq!(row.get(Column::ErrorRate), None, "nothing ended");
    }

    #[test]
    fn a_minute_that_nobody_looked_at_has_no_row() {
        let mut sampler = Sampler::default();
        look(&mut sampler, 7, 1, 10);
        assert_eq!(look(&mut sampler, 9, 1, 20).map(|(minute, _)| minute), Some(7));
    }
}
