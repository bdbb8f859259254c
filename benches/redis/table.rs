//! A table that reads well both as text and as Markdown.

use std::fmt::Write as _;

pub(crate) struct Table {
    title: &'static str,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &'static str, heads: &[&str]) -> Self {
        Self { title, rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// Adds a row: what it is about, and then a number for each of the other columns.
    pub(crate) fn row(&mut self, about: String, numbers: impl IntoIterator<Item = f64>) {
        self.texts(about, numbers.into_iter().map(short));
    }

    pub(crate) fn texts(&mut self, about: String, texts: impl IntoIterator<Item = String>) {
        let mut row = vec![about];
        row.extend(texts);
        self.rows.push(row);
    }

    pub(crate) fn render(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.rows[0].len()).map(width).collect();
        let mut text = format!("## {}\n\n", self.title);
        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Writing to a string does not fail.
                let _ = match column {
                    0 => write!(text, "| {cell:width$} |"),
                    _ => write!(text, " {cell:>width$} |"),
                };
            }
            text.push('\n');
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let line = "-".repeat(*width);
                    text += &if column == 0 { format!("|-{line}-|") } else { format!("-{line}:|") };
                }
                text.push('\n');
            }
        }
        text
    }
}

/// A number with about three digits that matter.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if !size.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if (0.99..1.0).contains(&size) => format!("{number:.4}"),
        _ => format!("{number:.2}"),
    }
}
