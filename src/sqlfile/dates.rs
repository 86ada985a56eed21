//! Dates and datetimes: their texts, and moments counted from now.

/// A moment counted from the time of the request: `today - 30 days`, `now + 2 hours`.
#[derive(Clone, Debug, PartialEq)]
pub struct Moving {
    pub(super) start: Start,
    pub(super) amount: i64,
    pub(super) unit: Unit,
}

/// What a moment is counted from, and the form of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Today,
    Month,
    Minute,
    Now,
}

/// The unit of a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}
