//! Rows of text in columns, for people; machines ask for JSON.

use std::fmt;

/// The space between two columns.
const GAP: &str = "  ";

/// To which side the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with a heading; each row has a cell for each column.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [(&'static str, Side); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// Makes a table without rows.
    pub(super) const fn new(columns: [(&'static str, Side); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row at the end; control characters are shown as `?`, as a cell may come from a server.
    pub(super) fn push(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| cell.replace(char::is_control, "?")));
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].0.len()]).max().unwrap_or_default()
        })
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let heading = self.columns.map(|(name, _)| name.to_owned());
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, side)) in row.iter().zip(widths).zip(self.columns) {
                match side {
                    Side::Left => line.push_str(&format!("{cell:<width$}{GAP}")),
                    Side::Right => line.push_str(&format!("{cell:>width$}{GAP}")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("NAME", Side::Left), ("N", Side::Right), ("WHY", Side::Left)]);
        table.push(["a".to_owned(), "1000".to_owned(), String::new()]);
        table.push(["long-name".to_owned(), "7".to_owned(), "down".to_owned()]);
        assert_eq!(table.to_string(), "NAME          N  WHY\na          1000\nlong-name     7  down\n");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::new([("A", Side::Left)]);
        table.push(["x\u{1b}[2J\ny".to_owned()]);
        assert_eq!(table.to_string(), "A\nx?[2J?y\n");
    }
}
