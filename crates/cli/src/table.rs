//! Plain tables as Docker prints them: columns padded to their widest cell and three spaces between.

use std::fmt;

/// Docker's columns are at least this wide, the gap included.
const LEAST: usize = 10;
const GAP: usize = 3;

/// Rows of text under a heading.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            (cells.map(|cell| cell.chars().count()).max().unwrap_or_default() + GAP).max(LEAST)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                if column + 1 == row.len() {
                    writeln!(formatter, "{cell}")?;
                } else {
                    write!(formatter, "{cell:width$}", width = widths[column])?;
                }
            }
        }
        Ok(())
    }
}
