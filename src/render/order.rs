//! Loops over sorted rows: `{% for row in rows|sort(attribute="name") %}`, in the order that the engine's `sort` gives.

use std::cmp::Ordering;

use minijinja::machinery::ast::{CallArg, Expr};

use crate::value::{Rows, Value};

/// By what a loop sorts its rows.
pub(super) struct Order {
    column: Box<str>,
    case_sensitive: bool,
    reverse: bool,
}

impl Order {
    /// What is written in the filter's parentheses. `None` for what only the engine knows: several columns, paths, and
    /// values that aren't written there.
    pub(super) fn of(arguments: &[CallArg<'_>]) -> Option<Order> {
        let mut order = Order { column: "".into(), case_sensitive: false, reverse: false };
        for argument in arguments {
            let CallArg::Kwarg(name, Expr::Const(written)) = argument else { return None };
            match *name {
                "attribute" => order.column = written.value.as_str()?.into(),
                "case_sensitive" => order.case_sensitive = bool::try_from(written.value.clone()).ok()?,
                "reverse" => order.reverse = bool::try_from(written.value.clone()).ok()?,
                _ => return None,
            }
        }
        let plain =
            !order.column.is_empty() && order.column.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphabetic());
        plain.then_some(order)
    }

    /// The rows' places, first to last; rows that are equal stay as they were. `None` unless the column holds texts
    /// alone, or whole numbers alone.
    pub(super) fn places(&self, rows: &Rows) -> Option<Vec<usize>> {
        let column = rows.column(&self.column)?;
        let cells = || rows.cells.iter().skip(column).step_by(rows.columns.len());
        let known =
            cells().all(|cell| matches!(cell, Value::Text(_))) || cells().all(|cell| matches!(cell, Value::Int(_)));
        let mut places: Vec<(&Value, usize)> = known.then(|| cells().zip(0..).collect())?;
        places.sort_by(|(one, _), (other, _)| match self.reverse {
            true => self.compare(other, one),
            false => self.compare(one, other),
        });
        Some(places.into_iter().map(|(_, place)| place).collect())
    }

    fn compare(&self, one: &Value, other: &Value) -> Ordering {
        match (one, other) {
            (Value::Text(one), Value::Text(other)) if self.case_sensitive => one.cmp(other),
            (Value::Text(one), Value::Text(other)) => {
                let folded = |byte: u8| byte.to_ascii_lowercase();
                let differ = one.bytes().zip(other.bytes()).find(|(one, other)| folded(*one) != folded(*other));
                differ.map_or(one.len().cmp(&other.len()), |(one, other)| folded(one).cmp(&folded(other)))
            }
            (Value::Int(one), Value::Int(other)) => one.cmp(other),
            _ => Ordering::Equal,
        }
    }
}
