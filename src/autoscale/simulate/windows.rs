//! Means over windows of a figure whose integral over time is known: how the reference policies see the pool. Pure.

use std::collections::VecDeque;

/// The integral of a figure at several times.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    points: VecDeque<(u64, u64)>,
    span_us: u64,
}

impl Windows {
    /// Keeps what is needed to look `span_us` back.
    pub(super) const fn new(span_us: u64) -> Self {
        Self { points: VecDeque::new(), span_us }
    }

    /// Takes the integral (figure times microseconds) at a time that is not before the last one.
    pub(super) fn push(&mut self, at_us: u64, integral: u64) {
        self.points.push_back((at_us, integral));
        let oldest = at_us.saturating_sub(self.span_us);
        while self.points.get(1).is_some_and(|(second, _)| *second <= oldest) {
            self.points.pop_front();
        }
    }

    /// Returns the mean between the two points that are the last ones at `from_us` and at `to_us`, or the first that there is; `None` when these are
    /// the same.
    pub(super) fn mean(&self, from_us: u64, to_us: u64) -> Option<f64> {
        let at = |time| self.points.iter().rev().find(|(at, _)| *at <= time).or(self.points.front());
        let ((begin, low), (end, high)) = (at(from_us)?, at(to_us)?);
        (end > begin).then(|| high.saturating_sub(*low) as f64 / (end - begin) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_between_two_points_and_old_ones_are_forgotten() {
        let mut windows = Windows::new(30);
        for (at, integral) in [(0, 0), (10, 100), (20, 400), (30, 400), (40, 420)] {
            windows.push(at, integral);
        }
        assert_eq!(windows.mean(10, 20), Some(30.0));
        assert_eq!(windows.mean(14, 39), Some(15.0));
        assert_eq!(windows.mean(0, 40), Some(320.0 / 30.0));
        assert_eq!(windows.mean(40, 50), None);
        assert_eq!(Windows::new(1).mean(0, 1), None);
    }
}
