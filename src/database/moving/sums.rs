//! What two tables are compared by: the number of rows and sums over hashes, which no order of rows changes.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::tables::Copied;

/// The sums of one table on one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) rows: u64,
    /// Over the hashes of all rows, each of its columns by name and canonical text. A sum, unlike an exclusive or,
    /// doesn't lose rows that are there twice.
    pub(super) rows_sum: u128,
    /// The same of each column, to tell where a difference is.
    columns: Vec<u64>,
    buffer: Vec<u8>,
}

impl Sums {
    /// Adds a row: the canonical text of each column, `None` for null.
    pub(super) fn add(&mut self, columns: &[Copied], cells: &[Option<Vec<u8>>]) {
        self.columns.resize(columns.len(), 0);
        self.buffer.clear();
        for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
            let from = self.buffer.len();
            self.buffer.extend_from_slice(column.key.as_bytes());
            // A length apart from all others stands for null.
            let length = cell.as_ref().map_or(u64::MAX, |cell| cell.len() as u64);
            self.buffer.extend_from_slice(&length.to_le_bytes());
            self.buffer.extend_from_slice(cell.as_deref().unwrap_or_default());
            self.columns[at] = self.columns[at].wrapping_add(xxh3_64(&self.buffer[from..]));
        }
        self.rows += 1;
        self.rows_sum = self.rows_sum.wrapping_add(xxh3_128(&self.buffer));
    }

    /// Where the sums of the target differ: the columns, and the numbers of rows. `None` where they don't.
    pub(super) fn difference(&self, target: &Sums, columns: &[Copied]) -> Option<String> {
        if (self.rows, self.rows_sum) == (target.rows, target.rows_sum) {
            return None;
        }
        if self.rows != target.rows {
            return Some(format!("{} rows were read, and {} arrived", self.rows, target.rows));
        }
        let differ = columns.iter().zip(self.columns.iter().zip(&target.columns));
        let names: Vec<&str> =
            differ.filter(|(_, (one, other))| one != other).map(|(column, _)| &*column.key).collect();
        Some(match names.is_empty() {
            true => "the same values arrived in other rows".to_string(),
            false => format!("other values arrived in {}", names.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::moving::form::{Affinity, Form};

    fn sums(rows: &[[Option<&str>; 2]]) -> Sums {
        let mut sums = Sums::default();
        for row in rows {
            sums.add(&columns(), &row.map(|cell| cell.map(|cell| cell.as_bytes().to_vec())));
        }
        sums
    }

    fn columns() -> [Copied; 2] {
        ["a", "b"].map(|key| Copied {
            key: key.into(),
            quoted: Default::default(),
            form: Form::Uuid,
            affinity: Affinity::Text,
        })
    }

    #[test]
    fn order_does_not_matter_and_all_else_does() {
        let rows = sums(&[[Some("1"), Some("2")], [Some("3"), None]]);
        let same = |other: &[[Option<&str>; 2]]| rows.difference(&sums(other), &columns());
        assert_eq!(same(&[[Some("3"), None], [Some("1"), Some("2")]]), None);
        let swapped = same(&[[Some("3"), Some("2")], [Some("1"), None]]);
        assert_eq!(swapped.as_deref(), Some("the same values arrived in other rows"));
        let other = same(&[[Some("1"), Some("2")], [Some("3"), Some("")]]);
        assert_eq!(other.as_deref(), Some("other values arrived in b"));
        assert!(same(&[[Some("1"), Some("2")]]).is_some_and(|told| told.contains("2 rows were read, and 1 arrived")));
        assert_ne!(sums(&[[None, None]; 2]).rows_sum, 0);
    }
}
