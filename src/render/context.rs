//! What a rendering sees: names, and cheap views of the values that stand behind them.

use std::fmt;
use std::sync::Arc;

use super::form::FormView;
use crate::value::{Rows, Value};

/// What stands behind a name. Cloning never copies rows.
#[derive(Clone, Debug)]
pub enum Slot {
    /// One value (`:value`, a parameter).
    Value(Value),
    /// The first row (`:one`, `:maybe`); null when there is none.
    Row(Arc<Rows>),
    /// All rows (`:many`), with `.more`, `.first` and their number as `|length`.
    Rows(Arc<Rows>),
    /// The first column of all rows (`:list`).
    List(Arc<Rows>),
    /// An action's form.
    Form(Arc<FormView>),
    /// Names of their own, looked up when the template asks for them: `request`, `site`, `user`, `params`. The one who
    /// implements [`Names`] may record what was read.
    Names(Arc<dyn Names>),
}

/// Names that are looked up only when a template asks for them.
pub trait Names: fmt::Debug + Send + Sync {
    /// What stands behind a name; `None` when there is no such name.
    fn get(&self, name: &str) -> Option<Slot>;

    /// All names, for loops over the whole and for `json`.
    fn list(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
}

/// Plain pairs are names, too.
impl Names for Vec<(Arc<str>, Slot)> {
    fn get(&self, name: &str) -> Option<Slot> {
        self.iter().find(|(known, _)| &**known == name).map(|(_, slot)| slot.clone())
    }

    fn list(&self) -> Vec<Arc<str>> {
        self.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Makes the form of an action for `form("/article/[slug]/comments", slug=article.slug)`: the route as written and the
/// named arguments. An error is a message for the site's author.
pub type FormMaker = Arc<dyn Fn(&str, Vec<(String, Value)>) -> Result<FormView, String> + Send + Sync>;

/// All that one rendering sees.
#[derive(Clone, Default)]
pub struct Context {
    /// The names; of two equal ones the first counts.
    pub names: Vec<(Arc<str>, Slot)>,
    /// What `form()` calls; without it `form()` is an error.
    pub form: Option<FormMaker>,
}

impl fmt::Debug for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.names.iter().map(|(name, slot)| (name, slot))).finish()
    }
}
