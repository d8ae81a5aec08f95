//! What a row of history holds, and how many rows become one. Pure.
//!
//! A place without a number holds NaN: no data is never zero. Columns are written to disk by their place in the list, so new ones go to its
//! end, and none is ever taken out.

use serde::{Deserialize, Serialize};

/// How many columns there are.
pub const COLUMNS: usize = Column::ALL.len();

/// A figure of a pool that history keeps. Durations are in seconds, utilisations and rates of errors are ratios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Requests in flight and queued, mean.
    Concurrency,
    /// The same, the most at once.
    ConcurrencyMax,
    /// Requests that came in a second, mean.
    RequestRate,
    /// Requests that came.
    Arrived,
    /// Requests that waited in the queue, the most at once.
    QueueDepth,
    /// How long requests waited, 95th percentile.
    QueueWaitP95,
    /// From the pick to the response's head, 95th percentile.
    FirstByteP95,
    /// From the pick to the last byte, median.
    ResponseTimeP50,
    /// The same, 95th percentile.
    ResponseTimeP95,
    /// The same, 99th percentile.
    ResponseTimeP99,
    /// Failed attempts over attempts that ended.
    ErrorRate,
    /// Processor use over what a replica may use.
    Cpu,
    /// Memory use over what a replica may use.
    Memory,
    /// Replicas that serve, mean.
    Ready,
    /// Replicas that the platform was told to have, mean.
    Desired,
    /// Replicas that policies and forecast wanted before limits, mean.
    Wanted,
}

/// How the values of many rows become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Their mean; each row counts the same.
    Mean,
    /// The largest of them. For percentiles this is a bound from above: the percentile of all cannot be larger than the largest percentile of a part.
    Max,
    /// Their sum; rows that are missing are missing in it.
    Sum,
}

/// The figures of one pool over one minute, or over the five that a coarser row is for.
#[derive(Clone, Copy, Debug)]
pub struct Row([f32; COLUMNS]);

impl Column {
    /// All columns, in the order in which rows are written.
    pub const ALL: [Self; 16] = [
        Self::Concurrency,
        Self::ConcurrencyMax,
        Self::RequestRate,
        Self::Arrived,
        Self::QueueDepth,
        Self::QueueWaitP95,
        Self::FirstByteP95,
        Self::ResponseTimeP50,
        Self::ResponseTimeP95,
        Self::ResponseTimeP99,
        Self::ErrorRate,
        Self::Cpu,
        Self::Memory,
        Self::Ready,
        Self::Desired,
        Self::Wanted,
    ];

    /// Returns the word for the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::ConcurrencyMax => "concurrency_max",
            Self::RequestRate => "request_rate",
            Self::Arrived => "arrived",
            Self::QueueDepth => "queue_depth",
            Self::QueueWaitP95 => "queue_wait_p95",
            Self::FirstByteP95 => "first_byte_p95",
            Self::ResponseTimeP50 => "response_time_p50",
            Self::ResponseTimeP95 => "response_time_p95",
            Self::ResponseTimeP99 => "response_time_p99",
            Self::ErrorRate => "error_rate",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Ready => "ready",
            Self::Desired => "desired",
            Self::Wanted => "wanted",
        }
    }

    /// Returns how values of this column become one.
    pub const fn law(self) -> Law {
        match self {
            Self::Arrived => Law::Sum,
            Self::ConcurrencyMax
            | Self::QueueDepth
            | Self::QueueWaitP95
            | Self::FirstByteP95
            | Self::ResponseTimeP95
            | Self::ResponseTimeP99 => Law::Max,
            // The median of medians is anything; their mean is at least steady.
            Self::Concurrency
            | Self::RequestRate
            | Self::ResponseTimeP50
            | Self::ErrorRate
            | Self::Cpu
            | Self::Memory
            | Self::Ready
            | Self::Desired
            | Self::Wanted => Law::Mean,
        }
    }
}

impl Law {
    /// Makes one of many; `None` when there is none.
    pub fn of(self, values: impl IntoIterator<Item = f32>) -> Option<f32> {
        let (mut count, mut sum, mut max) = (0_u32, 0.0_f64, f32::NEG_INFINITY);
        for value in values {
            (count, sum, max) = (count + 1, sum + f64::from(value), max.max(value));
        }
        let made = match self {
            Self::Mean => (sum / f64::from(count)) as f32,
            Self::Max => max,
            Self::Sum => sum as f32,
        };
        (count > 0).then_some(made)
    }
}

impl Default for Row {
    fn default() -> Self {
        Self([f32::NAN; COLUMNS])
    }
}

impl PartialEq for Row {
    /// Two places without data are the same.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, two)| one == two || one.is_nan() && two.is_nan())
    }
}

impl Row {
    /// Returns the value of a column, `None` without data.
    pub fn get(&self, column: Column) -> Option<f32> {
        let value = self.0[column as usize];
        (!value.is_nan()).then_some(value)
    }

    /// Sets the value of a column; what is no finite number is no data.
    pub fn set(&mut self, column: Column, value: f64) {
        let value = value as f32;
        self.0[column as usize] = if value.is_finite() { value } else { f32::NAN };
    }

    /// Returns the row with this value, or as it is when there is none.
    #[must_use]
    pub fn with(mut self, column: Column, value: impl Into<Option<f64>>) -> Self {
        if let Some(value) = value.into() {
            self.set(column, value);
        }
        self
    }

    /// Returns the row with what `newer` knows in place of its own.
    pub(super) fn updated(mut self, newer: &Self) -> Self {
        for (mine, new) in self.0.iter_mut().zip(newer.0) {
            if !new.is_nan() {
                *mine = new;
            }
        }
        self
    }

    /// Makes one row of many, each column by its own law.
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut made = Self::default();
        for column in Column::ALL {
            if let Some(value) = column.law().of(rows.clone().filter_map(|row| row.get(column))) {
                made.set(column, f64::from(value));
            }
        }
        made
    }

    /// Returns the bytes for the disk: the columns in their order, little-endian.
    pub(super) fn encode(&self) -> [u8; COLUMNS * 4] {
        let mut bytes = [0; COLUMNS * 4];
        for (to, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            *to = value.to_le_bytes();
        }
        bytes
    }

    /// Reads the bytes of any version: columns that it did not know have no data, columns that only it knows are left out.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut row = Self::default();
        for (column, value) in Column::ALL.into_iter().zip(bytes.as_chunks::<4>().0) {
            row.set(column, f64::from(f32::from_le_bytes(*value)));
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn each_column_stands_at_its_own_place() {
        for (place, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(column as usize, place);
            assert_eq!(serde_json::to_value(column).unwrap(), column.as_str());
        }
    }

    #[test]
    fn no_data_is_not_zero() {
        let mut row = Row::default().with(Column::Cpu, None).with(Column::Ready, 0.0);
        assert_eq!((row.get(Column::Cpu), row.get(Column::Ready)), (None, Some(0.0)));
        [f64::NAN, f64::INFINITY, 1e300].into_iter().for_each(|value| {
            row.set(Column::Ready, value);
            assert_eq!(row.get(Column::Ready), None);
        });
    }

    #[test]
    fn laws_make_one_of_many() {
        let made = [Law::Mean, Law::Max, Law::Sum].map(|law| law.of([1.0, 5.0, 3.0]));
        assert_eq!(made, [Some(3.0), Some(5.0), Some(9.0)]);
        assert_eq!([Law::Mean, Law::Max, Law::Sum].map(|law| law.of([])), [None; 3]);
    }

    #[test]
    fn counts_are_added_peaks_stay_and_the_rest_is_averaged() {
        let of = |law| Column::ALL.into_iter().filter(|column| column.law() == law).map(Column::as_str).collect::<Vec<_>>();
        let peaks =
            ["concurrency_max", "queue_depth", "queue_wait_p95", "first_byte_p95", "response_time_p95", "response_time_p99"];
        assert_eq!((of(Law::Sum), of(Law::Max)), (vec!["arrived"], peaks.to_vec()));
    }

    #[test]
    fn rows_without_data_do_not_count_in_a_mean() {
        let rows = [Row::default().with(Column::Cpu, 0.5), Row::default(), Row::default().with(Column::Cpu, 0.7)];
        let made = Row::of(rows.iter());
        assert_eq!((made.get(Column::Cpu), made.get(Column::Memory)), (Some(0.6), None));
    }

    #[test]
    fn rows_of_other_versions_can_be_read() {
        let row = Row::default().with(Column::Concurrency, 4.0).with(Column::Wanted, 2.0);
        let bytes = row.encode();
        assert_eq!(Row::decode(&bytes[..4]), Row::default().with(Column::Concurrency, 4.0));
        assert_eq!(Row::decode(&[&bytes[..], &[1, 2, 3, 4, 5]].concat()), row);
        assert_eq!(Row::decode(&[]), Row::default());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(values in prop::collection::vec(any::<f32>(), COLUMNS)) {
            let mut row = Row::default();
            for (column, value) in Column::ALL.into_iter().zip(&values) {
                row.set(column, f64::from(*value));
            }
            let back = Row::decode(&row.encode());
            prop_assert_eq!(back, row);
            for (column, value) in Column::ALL.into_iter().zip(values) {
                prop_assert_eq!(back.get(column).map(f32::to_bits), value.is_finite().then(|| value.to_bits()));
            }
        }

        #[test]
        fn a_mean_and_a_maximum_are_within_what_they_are_of(values in prop::collection::vec(-1e6..1e6_f32, 1..20)) {
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mean = Law::Mean.of(values.iter().copied()).unwrap();
            prop_assert!((least..=most).contains(&mean));
            prop_assert_eq!(Law::Max.of(values), Some(most));
        }
    }
}
