//! Several values that never change, of which there is mostly one: that one needs no memory of its own.

use std::ops::Deref;
use std::sync::Arc;

/// One value or several.
#[derive(Clone, Debug)]
pub(super) enum Few<T> {
    /// One.
    One([T; 1]),
    /// Any other number.
    Many(Arc<[T]>),
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Few::One(one) => one,
            Few::Many(many) => many,
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Few<T>) -> bool {
        self[..] == other[..]
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Few<T> {
        let mut values = values.into_iter();
        let first = values.next();
        match (first, values.next()) {
            (Some(one), None) => Few::One([one]),
            (first, second) => Few::Many(first.into_iter().chain(second).chain(values).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_kept() {
        for size in 0..5 {
            let few: Few<usize> = (0..size).collect();
            assert_eq!(few[..], *(0..size).collect::<Vec<_>>());
            assert_eq!(matches!(few, Few::One(_)), size == 1);
            assert_eq!(few, few.clone());
        }
        assert_eq!((size_of::<Few<u64>>(), size_of::<Few<(usize, i64)>>()), (16, 24));
    }
}
