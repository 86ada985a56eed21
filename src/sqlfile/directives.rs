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
    /// `none`: the action's page is shown at once, with the results as `done`. For what is shown once and kept nowhere.
    None(Place),
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

/// `login: user.id` or `register: user.id`: the query and its column that tell who is logged in, or has an account now.
#[derive(Clone, Debug, PartialEq)]
pub struct UserColumn {
    /// A one-row query of the same file.
    pub query: Arc<str>,
    /// Its column.
    pub column: Arc<str>,
    /// `remember=:name`: the parameter that tells whether the visitor stays logged in.
    pub remember: Option<Arc<str>>,
    /// `password=@name`: the computed `password_hash(…)` that a new account gets.
    pub password: Option<Arc<str>>,
    /// Where it stands.
    pub place: Place,
}

/// `limit: 5 per 15m by=:email`: how often an action may be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// How often.
    pub times: u32,
    /// Within this time.
    pub per: Duration,
    /// What tells those apart who try.
    pub by: LimitBy,
    /// Where it stands.
    pub place: Place,
}

/// What a [`RateLimit`] counts by.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitBy {
    /// The value of a parameter, in lower case.
    Parameter(Arc<str>),
    /// The visitor's address: `@client_ip`.
    Address,
    /// Who is logged in, else the address: `@user_id`.
    User,
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
    /// `download:` the name of the file that a browser keeps the data as.
    pub download: Option<Phrase>,
    /// `fill:` the query that gives a form's first values.
    pub fill: Option<Phrase>,
    /// `error:` messages for constraints.
    pub errors: Vec<ErrorMessage>,
    /// `once:` how long the same key gets the same answer.
    pub once: Option<Duration>,
    /// `login:` who is logged in when the action succeeds.
    pub login: Option<UserColumn>,
    /// `register:` who has an account when the action succeeds.
    pub register: Option<UserColumn>,
    /// `logout`: whether the action ends the session.
    pub logout: bool,
    /// `limit:` how often the action may be tried.
    pub limits: Vec<RateLimit>,
    /// `cron:` when a job runs, as five fields.
    pub cron: Option<Phrase>,
    /// `every:` how long after its last run a job runs again.
    pub every: Option<Duration>,
    /// `batch:` how many rows a job takes at once.
    pub batch: Option<u32>,
}
