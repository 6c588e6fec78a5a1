//! Text tables: aligned columns under bold headers.

use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use resnet_formats::brief;

/// A column's alignment.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Formats rows under headers. Cells may hold untrusted text.
pub(crate) fn table(
    headers: &[(&str, Align)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|h| h.0));
    for row in rows {
        table.add_row(row.iter().map(|cell| brief(cell).to_string()));
    }
    for (column, &(_, align)) in table.column_iter_mut().zip(headers) {
        column.set_padding((0, 2));
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    let bold = Style::new().bold();
    let lines = table.lines().enumerate().map(|(i, line)| {
        let line = line.trim_end().to_owned();
        if i == 0 { format!("{bold}{line}{bold:#}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "1"], ["long name", "1,000"]].map(|r| r.map(String::from).to_vec());
        let text = table(&[("name", Align::Left), ("n", Align::Right)], rows);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "name           n\na              1\nlong name  1,000");
    }
}
