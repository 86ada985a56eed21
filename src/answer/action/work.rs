//! An action's part of a write transaction: its statements, and what it makes of the visitor's session.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::HeaderValue;
use http::header::USER_AGENT;

use crate::accounts::proof::{self, Proven};
use crate::accounts::sessions::{self, Origin};
use crate::accounts::{Identity, device};
use crate::answer::data::json as results_json;
use crate::answer::once::{self, Kept, Key};
use crate::answer::page::{RequestNames, SiteNames, slot};
use crate::answer::reading::{Ended, drive};
use crate::answer::session::{Fresh, find};
use crate::answer::times::Times;
use crate::clock::datetime_text;
use crate::database::Transaction;
use crate::flow::Visit;
use crate::flow::visitor::Visitor;
use crate::problem::{Kind, Problem};
use crate::render::{Context, Slot};
use crate::site::{Action, DirectiveTemplate, Event, Site};
use crate::sqlfile::{Arguments, Results, Run, Script, UserColumn};
use crate::uploads::Upload;
use crate::value::{Declared, Kind as ValueKind, Value};

use super::inside;

/// What an action that committed gives.
#[derive(Clone, Debug)]
pub(super) enum Done {
    /// It ran.
    Now(Box<Ran>),
    /// Its key was used before: the answer of that time.
    Again(Kept),
}

/// What an action that ran gives.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) kept: Kept,
    /// Its results, for a page that shows them at once.
    pub(super) results: Vec<(Arc<str>, Slot)>,
    pub(super) change: Change,
    /// Who the visitor is now, for a page that is shown with it, or a session that has changed.
    pub(super) identity: Identity,
}

/// What became of the visitor's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// [`Work::fresh`] opens it from now on.
    Opened {
        /// Whether somebody is logged in on it.
        is_login: bool,
        /// Whether they stay so when the browser is closed.
        remember: bool,
    },
    /// It ended.
    Ended,
}

/// One action ready to run, as often as its group needs it.
pub(super) struct Work {
    site: Arc<Site>,
    visitor: Arc<Visitor>,
    action: Arc<Action>,
    inputs: Inputs,
    fresh: Fresh,
    key: Option<Box<Key>>,
    /// The moment of the request as text, once something asks for it.
    now: OnceLock<Arc<str>>,
    /// What a login is noted with.
    user_agent: Option<HeaderValue>,
    /// Whether anybody will ask for the results as JSON: a program, or a request with the same key.
    wants_json: bool,
    default_target: String,
    /// When it was handed on.
    began: Instant,
}

/// What an action runs with.
#[derive(Clone, Default)]
pub(super) struct Inputs {
    /// The values of its parameters.
    pub(super) arguments: Arguments,
    /// The values of the parameters of its events, in their order.
    pub(super) events: Vec<Arguments>,
    /// What was proven before.
    pub(super) proven: Proven,
    /// The files that came with it.
    pub(super) uploads: Vec<Upload>,
}

/// The visitor as the transaction finds and makes them.
struct Who {
    visitor: Visitor,
    change: Change,
}

impl Who {
    fn becomes(&mut self, identity: Identity) {
        self.visitor = self.visitor.become_identity(identity);
    }
}

impl Work {
    pub(super) fn new(
        (site, action): (&Arc<Site>, &Arc<Action>),
        visit: &Visit,
        visitor: &Arc<Visitor>,
        inputs: Inputs,
        key: Option<Box<Key>>,
        default_target: String,
    ) -> Work {
        let logs_in = action.script.directives.login.is_some();
        Work {
            site: site.clone(),
            visitor: visitor.clone(),
            action: action.clone(),
            inputs,
            fresh: Fresh::new(visitor.moment()),
            wants_json: visit.wants_json || key.is_some(),
            key,
            now: OnceLock::new(),
            user_agent: logs_in.then(|| visit.headers.value(USER_AGENT)).flatten(),
            default_target,
            began: Instant::now(),
        }
    }

    /// When it was handed on.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// What opens a session that this action begins or renews.
    pub(super) fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    fn now(&self) -> &Arc<str> {
        self.now.get_or_init(|| datetime_text(self.visitor.moment()).into())
    }

    fn address(&self) -> Arc<str> {
        self.visitor.address().to_string().into()
    }

    /// From where somebody logs in.
    fn origin(&self) -> Origin {
        let agent = self.user_agent.as_ref().and_then(|agent| agent.to_str().ok());
        Origin { device: device::name(agent.unwrap_or("")).into(), address: self.address() }
    }

    /// The action's whole part of the transaction.
    pub(super) async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Done, Ended> {
        if let Some(key) = &self.key
            && let Some(kept) = Box::pin(once::find(transaction, key, self.now())).await?
        {
            return Ok(Done::Again(kept));
        }
        let mut who = self.who(transaction).await?;
        for used in &self.inputs.proven.uses {
            if !Box::pin(used.run(transaction)).await? {
                return Err(Problem::new(Kind::Conflict, "Something has changed meanwhile. Please try again.").into());
            }
        }
        for upload in &self.inputs.uploads {
            Box::pin(record(transaction, upload, self.now())).await?;
        }
        let results = self.drive(transaction, &self.action.script, &self.inputs.arguments, &who).await?;
        let waits = self.may_end(&who) && Box::pin(self.end(transaction, &mut who, &results)).await?;
        let kept = if waits { self.waiting(&results)? } else { self.kept(&results)? };
        if let Some(key) = &self.key {
            Box::pin(once::keep(transaction, key, &kept, self.now())).await?;
            if matches!(who.change, Change::Opened { .. }) {
                // The visitor's next request brings the new cookie, and may be this one sent again.
                Box::pin(once::keep(transaction, &key.of(&self.fresh.secret_hash()), &kept, self.now())).await?;
            }
        }
        let results = if self.action.shows_results() { slots(&results) } else { Vec::new() };
        let is_shown = self.action.shows_results() || who.change != Change::None;
        let identity = if is_shown { who.visitor.identity().clone() } else { Identity::default() };
        Ok(Done::Now(Box::new(Ran { kept, results, change: who.change, identity })))
    }

    async fn drive(
        &self,
        transaction: &mut Transaction<'_>,
        script: &Arc<Script>,
        arguments: &Arguments,
        who: &Who,
    ) -> Result<Results, Ended> {
        let rows = self.site.settings.max_rows as usize;
        let mut run = Run::start(script, arguments.clone(), &who.visitor, rows)?;
        drive(transaction, &mut run, &mut Times::unasked(self.began)).await?;
        Ok(run.finish())
    }

    /// Finds who the visitor is, and begins a session, when the action asks for one. It is asked anew at each run,
    /// because a run that was rolled back took its new session with it.
    async fn who(&self, transaction: &mut Transaction<'_>) -> Result<Who, Ended> {
        if !self.action.asks_who() {
            return Ok(Who { visitor: Visitor::clone(&self.visitor), change: Change::None });
        }
        let identity = find(transaction, &self.visitor).await?;
        let id = |identity: &Identity| identity.user.as_ref().map(|user| user.id);
        if self.visitor.is_known() && id(self.visitor.identity()) != id(&identity) {
            // Whoever was let in a moment ago is no more who they were.
            return Err(Problem::new(Kind::LoginNeeded, "Please log in again.").into());
        }
        let is_there = identity.session.is_some() || identity.token.is_some();
        let mut who = Who { visitor: self.visitor.become_identity(identity), change: Change::None };
        if !is_there {
            Box::pin(self.begin(transaction, &mut who)).await?;
        }
        Ok(who)
    }

    async fn begin(&self, transaction: &mut Transaction<'_>, who: &mut Who) -> Result<(), Ended> {
        let session = Some(self.fresh.begin(transaction).await?);
        who.becomes(Identity { session, ..Identity::default() });
        who.change = Change::Opened { is_login: false, remember: false };
        Ok(())
    }

    /// Whether the directives, or what the action has written, may make something else of the session.
    fn may_end(&self, who: &Who) -> bool {
        let directives = &self.action.script.directives;
        directives.register.is_some() || directives.logout || directives.login.is_some() || self.may_renew(who)
    }

    /// What the directives make of the session once all statements have run. Tells whether the visitor owes a second
    /// factor.
    async fn end(&self, transaction: &mut Transaction<'_>, who: &mut Who, results: &Results) -> Result<bool, Ended> {
        let directives = &self.action.script.directives;
        match column(&directives.register, results) {
            Some(user) => self.registered(transaction, who, user).await?,
            None if directives.register.is_some() => self.rehearse(transaction, who).await?,
            None => {}
        }
        if directives.logout {
            self.event(transaction, Event::Logout, who).await?;
            self.log_out(transaction, who).await?;
        }
        match column(&directives.login, results) {
            Some(user) => self.log_in(transaction, who, user).await,
            None => self.renew(transaction, who).await.map(|()| false),
        }
    }

    /// Renews the cookie in this very answer when the action has asked for it (a new password): a copy of it that
    /// somebody else has must not be the first to come back, and get the new one.
    async fn renew(&self, transaction: &mut Transaction<'_>, who: &mut Who) -> Result<(), Ended> {
        let identity = who.visitor.identity();
        let (Some(session), true) = (&identity.session, self.may_renew(who)) else { return Ok(()) };
        let secret = self.fresh.secret_hash();
        if sessions::renew_at_once(transaction, self.fresh.opening(session, &secret)).await? {
            who.change = Change::Opened { is_login: true, remember: identity.remember };
        }
        Ok(())
    }

    fn may_renew(&self, who: &Who) -> bool {
        let is_login = who.visitor.identity().user.is_some() && who.change == Change::None;
        is_login && self.action.writes().may_hold("_sessions")
    }

    /// Runs what the site does for a new account.
    async fn registered(&self, transaction: &mut Transaction<'_>, who: &Who, user: i64) -> Result<(), Ended> {
        if let Some(hash) = self.new_password() {
            sessions::set_password(transaction, user, &hash, self.now()).await?;
        }
        let user = sessions::user(transaction, user).await?;
        let mut new = Who { visitor: who.visitor.clone(), change: who.change };
        new.becomes(Identity { user, ..who.visitor.identity().clone() });
        self.event(transaction, Event::Register, &new).await
    }

    /// Does the same for an account that is made for this alone and taken back: whoever registers with an address that
    /// is known already must hear just the same of a user name that is taken.
    async fn rehearse(&self, transaction: &mut Transaction<'_>, who: &Who) -> Result<(), Ended> {
        if !self.action.events.iter().any(|(event, _)| *event == Event::Register) {
            return Ok(());
        }
        transaction
            .undone(async |transaction| {
                let user = sessions::stand_in(transaction).await?;
                self.registered(transaction, who, user).await
            })
            .await
    }

    async fn event(&self, transaction: &mut Transaction<'_>, event: Event, who: &Who) -> Result<(), Ended> {
        for ((kind, script), arguments) in self.action.events.iter().zip(&self.inputs.events) {
            if *kind == event {
                self.drive(transaction, script, arguments, who).await?;
            }
        }
        Ok(())
    }

    async fn log_out(&self, transaction: &mut Transaction<'_>, who: &mut Who) -> Result<(), Ended> {
        let identity = who.visitor.identity().clone();
        if let Some(session) = &identity.session {
            sessions::end(transaction, session).await?;
            who.change = Change::Ended;
        }
        if let Some(user) = &identity.user {
            self.note(transaction, "logout", user.id).await?;
        }
        who.becomes(Identity::default());
        Ok(())
    }

    /// Logs a user in: the session stays, so that a cart does, but only its new secret opens it.
    async fn log_in(&self, transaction: &mut Transaction<'_>, who: &mut Who, user: i64) -> Result<bool, Ended> {
        let before = who.visitor.identity().user.as_ref().map(|user| user.id);
        if who.visitor.identity().session.is_none() || before.is_some_and(|before| before != user) {
            // What one user did in this session is not the other one's.
            if let Some(session) = &who.visitor.identity().session.clone() {
                sessions::end(transaction, session).await?;
            }
            self.begin(transaction, who).await?;
        }
        let identity = who.visitor.identity().clone();
        let session = identity.session.clone().unwrap_or_default();
        let secret = self.fresh.secret_hash();
        let opening = self.fresh.opening(&session, &secret);
        let remember =
            self.remembers() || self.inputs.proven.remember || identity.waiting == Some(user) && identity.remember;
        let proven = self.inputs.proven.second_factor == Some(user);
        if !proven && sessions::has_second_factor(transaction, user).await? {
            sessions::await_factor(transaction, opening, (user, remember), self.visitor.moment()).await?;
            who.change = Change::Opened { is_login: false, remember: false };
            return Ok(true);
        }
        let longest = jiff::SignedDuration::try_from(self.site.settings.session_longest).unwrap_or_default();
        let ends_at = datetime_text(self.visitor.moment() + longest);
        sessions::login(transaction, opening, (user, remember), &ends_at, &self.origin()).await?;
        who.change = Change::Opened { is_login: true, remember };
        self.note(transaction, "login", user).await?;
        let user = sessions::user(transaction, user).await?;
        who.becomes(Identity { session: Some(session), user, remember, ..Identity::default() });
        self.event(transaction, Event::Login, who).await?;
        Ok(false)
    }

    /// The hash of the password that a new account gets (`register: … password=@name`).
    fn new_password(&self) -> Option<Value> {
        let script = &self.action.script;
        let name = script.directives.register.as_ref()?.password.as_ref()?;
        let index = script.computed.iter().position(|value| value.name == *name)?;
        Some(self.inputs.arguments.proof(index)).filter(|hash| !hash.is_null())
    }

    /// Whether the visitor wants to stay logged in.
    fn remembers(&self) -> bool {
        let script = &self.action.script;
        let name = script.directives.login.as_ref().and_then(|login| login.remember.as_ref());
        let index = name.and_then(|name| script.parameters.iter().position(|parameter| parameter.name == *name));
        index.and_then(|index| self.inputs.arguments.values().get(index)).is_some_and(Value::holds)
    }

    async fn note(&self, transaction: &mut Transaction<'_>, event: &str, user: i64) -> Result<(), Ended> {
        let (now, address) = (Value::Text(self.now().clone()), Value::Text(self.address()));
        let binds = [now, Value::from(event), Value::Int(user), Value::Null, address];
        Ok(proof::note(transaction, &binds).await?)
    }

    /// What the visitor is answered, rendered from the results.
    fn kept(&self, results: &Results) -> Result<Kept, Problem> {
        Ok(Kept {
            status: self.action.script.directives.status,
            target: self.target(results)?,
            flash: self
                .action
                .flash
                .as_ref()
                .map(|template| self.render(template, results))
                .transpose()?
                .filter(|text| !text.chars().all(char::is_whitespace)),
            json: if self.wants_json { results_json(results) } else { serde_json::Value::Null },
        })
    }

    /// What a visitor is answered who owes a second factor, and goes on to the same place after it.
    fn waiting(&self, results: &Results) -> Result<Kept, Problem> {
        let next: String = form_urlencoded::byte_serialize(self.target(results)?.as_bytes()).collect();
        let target = format!("/login/code?next={next}").into();
        Ok(Kept { status: None, target, flash: None, json: serde_json::json!({ "second_factor": true }) })
    }

    fn target(&self, results: &Results) -> Result<Arc<str>, Problem> {
        if let Some(away) = &self.inputs.proven.away {
            return Ok(away.as_str().into());
        }
        let Some(template) = &self.action.redirect else { return Ok(self.default_target.as_str().into()) };
        let text = self.render(template, results)?;
        let target = inside(text.trim_ascii())?;
        Ok(if target.len() == text.len() { text } else { target.into() })
    }

    /// What a directive says.
    fn render(&self, template: &DirectiveTemplate, results: &Results) -> Result<Arc<str>, Problem> {
        if let Some(text) = template.constant(&self.site.templates) {
            return Ok(text.clone());
        }
        let mut names = slots(results);
        let values = self.action.script.parameters.iter().zip(self.inputs.arguments.values());
        let params: Vec<(Arc<str>, Slot)> =
            values.map(|(parameter, value)| (parameter.name.clone(), Slot::Value(value.clone()))).collect();
        names.push(("params".into(), Slot::Names(Arc::new(params))));
        names.push(("request".into(), Slot::Names(Arc::new(RequestNames(self.visitor.clone())))));
        names.push(("site".into(), Slot::Names(Arc::new(SiteNames(self.visitor.clone())))));
        self.site.templates.render(&template.name, Context { names, form: None }).map(Arc::from)
    }
}

/// The results as a template sees them.
fn slots(results: &Results) -> Vec<(Arc<str>, Slot)> {
    results.iter().filter_map(|(name, outcome)| Some((name.clone(), slot(outcome)?))).collect()
}

/// The user whom a directive's column tells; none when there is no such row.
fn column(wanted: &Option<UserColumn>, results: &Results) -> Option<i64> {
    let wanted = wanted.as_ref()?;
    results.column(&wanted.query, &wanted.column)?.as_int()
}

/// Writes the row of an upload beside the rows that refer to it.
async fn record(transaction: &mut Transaction<'_>, upload: &Upload, now: &Arc<str>) -> Result<(), Ended> {
    const RECORD: &str =
        "insert into uploads (id, name, type, size, sha256, created_at) values ($1, $2, $3, $4, $5, $6)";
    const TEXT: Declared = ValueKind::Text.one();
    let kinds = [TEXT, TEXT, TEXT, ValueKind::Int.one(), TEXT, ValueKind::Datetime.one()];
    let binds = [
        Value::Text(upload.id.clone()),
        Value::from(upload.name.as_str()),
        Value::from(upload.content_type.as_str()),
        Value::Int(i64::try_from(upload.size).unwrap_or(i64::MAX)),
        Value::from(upload.sha256.as_str()),
        Value::Text(now.clone()),
    ];
    transaction.query(RECORD, &kinds, &binds, 1).await?;
    Ok(())
}
