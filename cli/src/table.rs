//! A table of text in columns: [`table`].

/// Lines with the cells of each column below each other. Columns that hold numbers, in `right`, are aligned at their end.
pub fn table(names: &[&str], right: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        longest.max(names[column].chars().count())
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = names.iter().zip(&widths).zip(cells).map(|((name, width), cell)| {
            if right.contains(name) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            }
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(names.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// 1536 → `1.5 KiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let rows = [["a", "10"], ["long", "9"]].map(|row| row.map(str::to_string).to_vec());
        assert_eq!(table(&["name", "n"], &["n"], &rows), "name   n\na     10\nlong   9\n");
    }

    #[test]
    fn sizes_have_a_unit_in_which_they_are_short() {
        assert_eq!(
            [512, 1536, 3 << 20, 5 << 50].map(bytes),
            ["0.5 KiB", "1.5 KiB", "3.0 MiB", "5120.0 TiB"]
        );
    }
}
