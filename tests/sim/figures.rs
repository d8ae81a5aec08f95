//! What came out: percentiles, errors, tables.

use std::fmt::Write as _;

/// How the queries of one step fared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// In microseconds, those that were given up included.
    times: Vec<u32>,
    errors: usize,
    sorted: bool,
}

impl Figures {
    /// Counts a query that was answered.
    pub(crate) fn answered(&mut self, micros: u32) {
        self.times.push(micros);
        self.sorted = false;
    }

    /// Counts a query that was given up.
    pub(crate) fn failed(&mut self, micros: u32) {
        self.answered(micros);
        self.errors += 1;
    }

    /// Puts the times in order, which [`quantile`](Self::quantile) needs.
    pub(crate) fn sort(&mut self) {
        self.times.sort_unstable();
        self.sorted = true;
    }

    /// Returns how many queries there were.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Returns how many were given up.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Returns the time in milliseconds that this share of the queries did not exceed (nearest rank); 0 without queries.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        assert!(self.sorted, "sort first");
        let rank = (share * self.len() as f64).ceil() as usize;
        self.times.get(rank.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
    }

    /// Writes p50, p99, p99.9 in milliseconds, and the share of errors if there are any.
    pub(crate) fn cell(&self) -> String {
        let mut cell = format!("{:.0} / {:.0} / {:.0}", self.quantile(0.5), self.quantile(0.99), self.quantile(0.999));
        if self.errors > 0 {
            let percent = 100.0 * self.errors as f64 / self.len() as f64;
            let decimals = if percent < 0.1 { 3 } else { 1 };
            write!(cell, ", **{percent:.decimals$}%**").expect("a string takes all");
        }
        cell
    }
}

/// Writes a table in Markdown.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    line(head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

#[test]
fn quantiles_are_of_the_nearest_rank_and_errors_count_as_times() {
    let mut figures = Figures::default();
    (1..=999).rev().for_each(|ms| figures.answered(ms * 1000));
    figures.failed(5_000_000);
    figures.sort();
    assert_eq!([0.5, 0.99, 0.999, 1.0].map(|share| figures.quantile(share)), [500.0, 990.0, 999.0, 5000.0]);
    assert_eq!((figures.len(), figures.errors()), (1000, 1));
    assert_eq!(figures.cell(), "500 / 990 / 999, **0.1%**");
    let mut three = Figures::default();
    [3000, 1000, 2000].into_iter().for_each(|micros| three.answered(micros));
    three.sort();
    assert_eq!([0.5, 0.99].map(|share| three.quantile(share)), [2.0, 3.0]);
    assert_eq!(three.cell(), "2 / 3 / 3");
}

#[test]
fn a_table_is_markdown() {
    let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(table(&text(&["a", "b"]), &[text(&["1", "2"])]), "| a | b |\n|---|---|\n| 1 | 2 |\n");
}
