//! What happens before an action's transaction: tries are counted, and what is slow or secret is proven.

use std::sync::Arc;

use crate::accounts::guessing::address_key;
use crate::accounts::proof::{Proven, Prover, too_many};
use crate::accounts::{attempts, password};
use crate::answer::{Tools, identify};
use crate::database::{Failure, Tables, Transaction};
use crate::flow::Visit;
use crate::flow::visitor::Visitor;
use crate::problem::{FieldErrors, Problem};
use crate::settings::Settings;
use crate::site::{Action, Match};
use crate::sqlfile::{Arguments, LimitBy, RateLimit, Script, Type};
use crate::value::Value;

/// Counts this try of an action under each `limit:` that it has.
///
/// # Errors
/// It was tried too often.
pub(super) async fn count_limits(
    tools: &Tools<'_>,
    visitor: &Arc<Visitor>,
    found: &Match,
    action: &Action,
    arguments: &Arguments,
) -> Result<(), Problem> {
    let limits = &action.script.directives.limits;
    if limits.iter().any(|limit| limit.by == LimitBy::User) {
        identify(tools, visitor).await?;
    }
    let route = found.endpoint.pattern.to_string();
    let keyed = limits.iter().enumerate().map(|(index, limit)| {
        let who = counted_by(limit, visitor, &action.script, arguments);
        let key = attempts::key(&["limit", &action.script.path, &route, &index.to_string(), &who]);
        (key, (limit.times, limit.per))
    });
    let (keyed, now): (Vec<_>, _) = (keyed.collect(), visitor.moment());
    let database = tools.database()?;
    let tables = database.versions().tables(&Tables::Known(["_attempts".to_string()].into()));
    let counted = database.write_to(&tables, async move |transaction: &mut Transaction<'_>| {
        let mut longest = None;
        for (key, limit) in &keyed {
            longest = longest.max(attempts::within(transaction, key, *limit, now).await?);
        }
        Ok::<_, Failure>(longest)
    });
    match counted.await? {
        None => Ok(()),
        Some(wait) => Err(too_many(wait)),
    }
}

/// What tells those apart whom a limit counts.
fn counted_by(limit: &RateLimit, visitor: &Visitor, script: &Script, arguments: &Arguments) -> String {
    match &limit.by {
        LimitBy::Parameter(name) => {
            let index = script.parameters.iter().position(|parameter| parameter.name == *name);
            let value = index.and_then(|index| arguments.values().get(index));
            value.map_or_else(String::new, |value| value.to_string().trim().to_lowercase())
        }
        LimitBy::User if visitor.identity().user.is_some() => {
            visitor.identity().user.as_ref().map_or_else(String::new, |user| format!("user {}", user.id))
        }
        LimitBy::User | LimitBy::Address => address_key(visitor.address()),
    }
}

/// Works out what the script has proven before its transaction, and keeps it with the arguments.
///
/// # Errors
/// Too many tries, too many visitors at once, a database that fails.
pub(super) async fn prove(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    script: &Script,
    arguments: &mut Arguments,
) -> Result<Proven, Problem> {
    let mut proven = Proven::default();
    if !script.has_proofs() {
        return Ok(proven);
    }
    let began = std::time::Instant::now();
    identify(tools, visitor).await?;
    let origin = visitor.site_url();
    let prover = Prover {
        database: tools.database()?,
        hashing: tools.hashing,
        providers: tools.providers,
        register_asks: tools.site.register_asks,
        settings: &tools.site.settings,
        identity: visitor.identity(),
        address: visitor.address(),
        origin: &origin,
        now: visitor.moment(),
    };
    for (place, function, inputs) in script.proofs(arguments, &**visitor)? {
        prover.prove(place, function, &inputs, &mut proven).await?;
    }
    for (place, value) in &proven.values {
        arguments.prove(*place, value.clone());
    }
    visit.trace.record("proof", "", began);
    Ok(proven)
}

/// New passwords that break the rules.
pub(super) fn weak_passwords(
    settings: &Settings,
    visitor: &Visitor,
    script: &Script,
    arguments: &Arguments,
) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let pairs = || script.parameters.iter().zip(arguments.values());
    let sent = pairs().find(|(parameter, _)| parameter.kind == Type::Email).and_then(|(_, value)| value.as_str());
    let own = visitor.identity().user.as_ref().map(|user| &*user.email);
    for (parameter, value) in pairs().filter(|(parameter, _)| parameter.is_new_password()) {
        let Value::Text(text) = value else { continue };
        if let Some(message) = password::fault(text, sent.or(own), settings.password_length as usize) {
            errors.add(parameter.name.clone(), message);
        }
    }
    errors
}
