//! Columns of text: the first to the left, the others to the right.

use std::fmt;

/// Rows of cells.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Stands where nothing was measured.
const NOT_MEASURED: &str = "not measured";

impl Table {
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| cell.as_ref().to_owned());
        self.rows.push(cells.collect());
    }

    pub(super) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// A name and one number per column.
    pub fn numbers(&mut self, name: &str, numbers: impl IntoIterator<Item = Option<f64>>) {
        let numbers = numbers.into_iter().map(number);
        self.rows
            .push(std::iter::once(name.to_owned()).chain(numbers).collect());
    }
}

/// As many digits as say something.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => NOT_MEASURED.to_owned(),
        Some(value) if value.abs() >= 1000.0 => grouped(value),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// Whole, with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column| self.rows.iter().filter_map(move |row| row.get(column));
        let width = |column| {
            cells(column)
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths = (0..columns).map(width).collect::<Vec<_>>();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                if column == 0 {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("  {cell:>width$}"));
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
    fn columns_line_up_and_missing_numbers_say_so() {
        let mut table = Table::default();
        table.row(["", "raw", "gateway"]);
        table.numbers("messages/s", [Some(1_234_567.4), Some(12.34)]);
        table.numbers("calls", [Some(0.0213), None]);
        let expected = "                  raw       gateway\nmessages/s  1,234,567          12.3\ncalls           0.021  not measured\n";
        assert_eq!(table.to_string(), expected);
    }
}
