//! Tables, at most as wide as the terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

/// The narrowest terminal for which a table is fitted. Others wrap its lines themselves, and some report
/// no columns at all.
const NARROWEST: u16 = 40;

/// A table with these columns and rows.
pub(crate) fn table<const N: usize>(columns: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if table.width().is_some_and(|width| width >= NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(columns);
    table.add_rows(rows);
    // Spaces at the end of a line are nothing to see.
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
