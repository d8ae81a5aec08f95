//! One column over time, with its gaps. Pure.

use serde::Serialize;

use super::column::Column;

/// One column over time, in equal steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// The column.
    pub column: Column,
    /// Where it begins, in minutes since 1970.
    pub from: i64,
    /// Minutes from value to value.
    pub step: u32,
    /// A value for each step; `None` without data.
    pub values: Vec<Option<f32>>,
}

impl Series {
    /// Returns the values with the minutes at which their steps begin.
    pub fn points(&self) -> impl Iterator<Item = (i64, Option<f32>)> {
        let minutes = (0_i64..).map(|place| self.from.saturating_add(place.saturating_mul(i64::from(self.step))));
        minutes.zip(self.values.iter().copied())
    }

    /// Returns the value of the step that this minute is in.
    pub fn at(&self, minute: i64) -> Option<f32> {
        let place = minute.checked_sub(self.from)?.div_euclid(i64::from(self.step.max(1)));
        self.values.get(usize::try_from(place).ok()?).copied().flatten()
    }

    /// Tells whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_any_minute_of_its_step() {
        let series = Series { column: Column::Ready, from: 100, step: 5, values: vec![Some(1.0), None, Some(3.0)] };
        let minutes = [99, 100, 104, 105, 110, 114, 115, i64::MIN, i64::MAX];
        let found = minutes.map(|minute| series.at(minute));
        assert_eq!(found, [None, Some(1.0), Some(1.0), None, Some(3.0), Some(3.0), None, None, None]);
        assert_eq!(series.points().collect::<Vec<_>>(), [(100, Some(1.0)), (105, None), (110, Some(3.0))]);
        assert!(!series.is_empty());
    }
}
