//! Finds names and columns that nobody gives.

use std::sync::Arc;

/// What a name stands for, as far as templates care. In doubt [`Shape::Any`]: nothing below it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shape {
    /// Anything; never a fault.
    #[default]
    Any,
    /// One value without names below it.
    Scalar,
    /// One row with these columns.
    Row(Arc<[Arc<str>]>),
    /// Rows with these columns.
    Rows(Arc<[Arc<str>]>),
    /// A list of scalars.
    List,
    /// A form with these fields.
    Form(Arc<[Arc<str>]>),
    /// Names of their own.
    Map(Arc<[(Arc<str>, Shape)]>),
}

/// The fields of the action's form of a route, by the route as a template writes it; `None` when there is no such
/// action (the caller reports that from `Facts::forms`, so `check` stays silent).
pub type FormNames<'a> = &'a dyn Fn(&str) -> Option<Arc<[Arc<str>]>>;

/// What a page's context gives.
pub struct Shapes<'a> {
    /// Every name of the context, `params`, `request`, `site` … included.
    pub names: Vec<(Arc<str>, Shape)>,
    /// The fields of a form.
    pub form: FormNames<'a>,
}
