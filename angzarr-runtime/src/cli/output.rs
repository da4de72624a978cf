//! Tables.

use comfy_table::{Cell, ContentArrangement, Table, presets};

/// An empty table with these columns. In a terminal it takes the terminal's width.
pub(super) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| Cell::new(column.to_uppercase())));
    table
}

/// The table's lines without the spaces around them, which border nothing.
pub(super) fn text(table: &Table) -> String {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

/// `1 stream`, `2 streams`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
