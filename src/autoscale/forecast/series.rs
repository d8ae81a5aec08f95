//! The past of one signal in even steps, and how its holes are filled. Pure.
//!
//! A model needs every step. A hole of up to [`SHORT_GAP`] steps is a straight line between its ends. A longer one repeats what was measured
//! at the same time a day before, or else a week before, if that season is looked for. Where that is not known either, only what came after
//! the hole is used. What is missing at the end is not filled but for a moment: a pool that has not been seen lately has no forecast.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::model::Seasons;

/// The usual step.
pub const STEP: Duration = Duration::from_secs(300);

/// The least that a forecast is made of.
pub const MIN_POINTS: usize = 100;

/// Half an hour of the usual steps: shorter than what traffic usually takes to change its shape.
const SHORT_GAP: usize = 6;

/// A quarter of an hour of the usual steps: as long as what a row that comes late may take.
const MAX_SILENCE: usize = 3;

/// The past of one signal in even steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// How long a step is.
    pub step: Duration,
    /// When the first step begins, milliseconds since 1970.
    pub start_unix_ms: i64,
    /// The mean over each step; `None` without data. Steps are over: one that is still running is left out.
    pub values: Vec<Option<f64>>,
}

/// A series without holes.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// When its first step begins, milliseconds since 1970.
    pub start_unix_ms: i64,
    /// What was measured or filled in.
    pub values: Vec<f64>,
    /// How many of them were measured.
    pub measured: usize,
}

/// Why a series cannot be looked beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is too short.
    #[error("needs {MIN_POINTS} points of {}, has {has}", Span(*step))]
    Short {
        /// The points there are.
        has: usize,
        /// How long each is.
        step: Duration,
    },
    /// It ended some time ago.
    #[error("has no data for {}", Span(*silence))]
    Silent {
        /// How long ago.
        silence: Duration,
    },
}

struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (number, unit) =
            if seconds >= 60 && seconds.is_multiple_of(60) { (seconds / 60, "minute") } else { (seconds, "second") };
        write!(f, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

impl Series {
    /// Returns when the last step is over, milliseconds since 1970.
    pub fn end_unix_ms(&self) -> i64 {
        at(self.start_unix_ms, self.step, self.values.len())
    }

    /// Returns the value of the step that begins at `unix_ms`, if it was measured.
    pub fn at(&self, unix_ms: i64) -> Option<f64> {
        let since = u64::try_from(unix_ms.checked_sub(self.start_unix_ms)?).ok()?;
        let index = usize::try_from(since.checked_div(millis(self.step))?).ok()?;
        self.values.get(index).copied().flatten().filter(|value| is_measure(*value))
    }

    /// Fills the holes.
    ///
    /// # Errors
    /// When what is left has fewer than [`MIN_POINTS`] measured points, or ended some time ago.
    pub fn filled(&self, seasons: Seasons) -> Result<Filled, Refusal> {
        let mut values: Vec<_> = self.values.iter().map(|value| value.filter(|value| is_measure(*value))).collect();
        let short = |has| Refusal::Short { has, step: self.step };
        let last = values.iter().rposition(Option::is_some).ok_or(short(0))?;
        let silence = values.len() - 1 - last;
        if silence > MAX_SILENCE {
            return Err(Refusal::Silent { silence: self.step.saturating_mul(u32::try_from(silence).unwrap_or(u32::MAX)) });
        }
        let measured: Vec<_> = values.iter().map(Option::is_some).collect();
        values.truncate(last + 1);
        for gap in gaps(&values) {
            if gap.len() <= SHORT_GAP { draw(&mut values, gap) } else { repeat(&mut values, gap, seasons) }
        }
        let first = values.iter().rposition(Option::is_none).map_or(0, |hole| hole + 1);
        let has = measured.iter().skip(first).filter(|is| **is).count();
        if has < MIN_POINTS {
            return Err(short(has));
        }
        let mut values: Vec<_> = values.into_iter().skip(first).flatten().collect();
        let held = values.last().copied().unwrap_or_default();
        values.resize(values.len() + silence, held);
        Ok(Filled { start_unix_ms: at(self.start_unix_ms, self.step, first), values, measured: has })
    }
}

/// Returns when the step of this number begins, milliseconds since 1970.
pub(super) fn at(start_unix_ms: i64, step: Duration, number: usize) -> i64 {
    let passed = millis(step).saturating_mul(u64::try_from(number).unwrap_or(u64::MAX));
    start_unix_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Signals count, so what is negative or no number was not measured.
fn is_measure(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// The holes between what is there.
fn gaps(values: &[Option<f64>]) -> Vec<Range<usize>> {
    let mut gaps = Vec::new();
    let mut before = None;
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
        let start = before.map_or(0, |before: usize| before + 1);
        if start < index {
            gaps.push(start..index);
        }
        before = Some(index);
    }
    gaps
}

/// Draws a straight line from what is before the hole to what is after it.
fn draw(values: &mut [Option<f64>], gap: Range<usize>) {
    let before = gap.start.checked_sub(1).and_then(|index| values.get(index).copied().flatten());
    let after = values.get(gap.end).copied().flatten();
    let (Some(before), Some(after)) = (before, after) else { return };
    let parts = (gap.len() + 1) as f64;
    for (index, value) in values.get_mut(gap).into_iter().flatten().enumerate() {
        let share = (index + 1) as f64 / parts;
        *value = Some(before * (1.0 - share) + after * share);
    }
}

/// Repeats what was at the same time a season before; from left to right, so that a hole of two days repeats the day before twice.
fn repeat(values: &mut [Option<f64>], gap: Range<usize>, seasons: Seasons) {
    for index in gap {
        let ago = |season: usize| values.get(index.checked_sub(season)?).copied().flatten();
        let found = [seasons.daily, seasons.weekly].into_iter().flatten().find_map(ago);
        if let Some(value) = values.get_mut(index) {
            *value = found;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    const DAY: Seasons = Seasons { daily: Some(50), weekly: Some(120) };
    const NONE: Seasons = Seasons { daily: None, weekly: None };

    fn series(values: Vec<Option<f64>>) -> Series {
        Series { step: STEP, start_unix_ms: 600_000, values }
    }

    fn counting(to: u32) -> Vec<Option<f64>> {
        (0..to).map(|number| Some(f64::from(number))).collect()
    }

    #[test]
    fn too_few_points_are_refused_with_their_number() {
        let refusal = series(counting(99)).filled(DAY).unwrap_err();
        assert_eq!(refusal.to_string(), "needs 100 points of 5 minutes, has 99");
        assert_eq!(series(counting(100)).filled(DAY).unwrap().measured, 100);
        assert_eq!(series(vec![None; 500]).filled(DAY).unwrap_err().to_string(), "needs 100 points of 5 minutes, has 0");
        let fine = Series { step: Duration::from_secs(15), ..series(counting(1)) };
        assert_eq!(fine.filled(DAY).unwrap_err().to_string(), "needs 100 points of 15 seconds, has 1");
    }

    #[test]
    fn a_short_hole_is_a_straight_line() {
        let mut values = counting(200);
        values[150..156].fill(None);
        let filled = series(values).filled(NONE).unwrap();
        assert_eq!((filled.values.len(), filled.measured), (200, 194));
        assert!((0..200).all(|index| (filled.values[index] - index as f64).abs() < 1e-9));
    }

    #[test]
    fn a_long_hole_repeats_the_day_before_and_else_the_week_before() {
        let mut values = counting(300);
        values[160..270].fill(None);
        let filled = series(values).filled(DAY).unwrap();
        assert_eq!(
            filled.values[160..270],
            [(110..160), (110..160), (110..120)].into_iter().flatten().map(f64::from).collect::<Vec<_>>()
        );

        let mut values = counting(300);
        values[160..170].fill(None);
        let weekly = Seasons { daily: None, ..DAY };
        assert_eq!(series(values).filled(weekly).unwrap().values[160..170], (40..50).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_came_after_a_hole_that_cannot_be_filled_is_used() {
        let mut values = counting(300);
        values[160..170].fill(None);
        let filled = series(values).filled(NONE).unwrap();
        assert_eq!((filled.values[0], filled.values.len(), filled.measured), (170.0, 130, 130));
        assert_eq!(filled.start_unix_ms, 600_000 + 170 * 300_000);

        let mut values = counting(300);
        values[240..250].fill(None);
        assert_eq!(series(values).filled(NONE).unwrap_err(), Refusal::Short { has: 50, step: STEP });
    }

    #[test]
    fn a_moment_of_silence_at_the_end_holds_the_last_value_and_more_is_refused() {
        let with_silence = |steps: usize| series(counting(200).into_iter().chain(vec![None; steps]).collect());
        assert_eq!(with_silence(3).filled(NONE).unwrap().values[198..], [198.0, 199.0, 199.0, 199.0, 199.0]);
        assert_eq!(with_silence(4).filled(NONE).unwrap_err().to_string(), "has no data for 20 minutes");
    }

    #[test]
    fn what_is_no_measure_is_a_hole() {
        let mut values = counting(200);
        (values[10], values[11], values[12]) = (Some(f64::NAN), Some(-1.0), Some(f64::INFINITY));
        let series = series(values);
        assert!((10..13).all(|index| (series.filled(NONE).unwrap().values[index] - index as f64).abs() < 1e-9));
        assert_eq!([9, 10, 11].map(|index| series.at(600_000 + index * 300_000)), [Some(9.0), None, None]);
        assert_eq!((series.at(599_999), series.at(series.end_unix_ms())), (None, None));
    }

    proptest! {
        #[test]
        fn whatever_the_holes_what_is_filled_is_whole_and_keeps_what_was_measured(
            values in prop::collection::vec(prop::option::weighted(0.8, any::<f64>()), 0..400),
        ) {
            let series = series(values.clone());
            if let Ok(filled) = series.filled(DAY) {
                prop_assert!(filled.values.iter().all(|value| is_measure(*value)));
                prop_assert!(filled.measured >= MIN_POINTS && filled.measured <= filled.values.len());
                let first = values.len() - filled.values.len();
                for (index, value) in filled.values.iter().enumerate() {
                    let measured = values[first + index].filter(|value| is_measure(*value));
                    prop_assert!(measured.is_none_or(|measured| measured == *value));
                }
            }
        }
    }
}
