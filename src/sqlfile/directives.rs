//! Directives: what a query file says beside its SQL (`-- redirect: /cart`).

use std::sync::Arc;
use std::time::Duration;

use crate::problem::Place;

/// A text of the author with its place, so that a fault in it can be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    /// The text.
    pub text: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// Where a successful action leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Redirect {
    /// A template of a path, such as `/orders/{{ order.id }}`.
    To(Phrase),
    /// `back`: the page that the visitor came from, never another site.
    Back(Place),
}

/// `error: CONSTRAINT on=field message`: what a broken rule of the schema says to the visitor.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorMessage {
    /// The rule's name, or `table.column`, as the author wrote it.
    pub constraint: Arc<str>,
    /// The field it belongs to; empty for the form as a whole.
    pub field: Arc<str>,
    /// The message for the visitor.
    pub message: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// `login: user.id`: the query and its column that tell who is logged in.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginColumn {
    /// A one-row query of the same file.
    pub query: Arc<str>,
    /// Its column.
    pub column: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// The directives of one query file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directives {
    /// `redirect:` where a successful action leads; without it, to its page.
    pub redirect: Option<Redirect>,
    /// `page:` the route of the page that shows the form again, such as `/article/[slug]`.
    pub page: Option<Phrase>,
    /// `flash:` a template of the message that the next page shows.
    pub flash: Option<Phrase>,
    /// `status:` the status of a success, 200 to 299.
    pub status: Option<u16>,
    /// `body:` the object of a JSON body that holds the parameters.
    pub body: Option<Phrase>,
    /// `fill:` the query that gives a form's first values.
    pub fill: Option<Phrase>,
    /// `error:` messages for constraints.
    pub errors: Vec<ErrorMessage>,
    /// `once:` how long the same key gets the same answer.
    pub once: Option<Duration>,
    /// `login:` who is logged in when the action succeeds.
    pub login: Option<LoginColumn>,
    /// `logout`: whether the action ends the session.
    pub logout: bool,
    /// `cron:` when a job runs, as five fields.
    pub cron: Option<Phrase>,
    /// `every:` how long after its last run a job runs again.
    pub every: Option<Duration>,
    /// `batch:` how many rows a job takes at once.
    pub batch: Option<u32>,
}
