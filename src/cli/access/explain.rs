//! `tableside access --explain`: what a path leads to, asked as a request would ask, and which rules decide.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Method, Request, Version};

use super::{Outcome, rule_text, word};
use crate::flow::{Route, Visit};
use crate::parse;
use crate::problem::{Kind, Problem};
use crate::route;
use crate::settings::AccessRule;
use crate::site::rules::{self, RESERVED, Verdict, Who};
use crate::site::statics::Found;
use crate::site::{Match, Site};

/// What a path leads to.
struct Target {
    /// In words.
    what: String,
    /// The rules that hold there.
    rules: Vec<AccessRule>,
}

pub(super) fn run(site: &Arc<Site>, path: &str, method: &str, names: &[String]) -> Result<Outcome, Problem> {
    let visit = visit(path, method)?;
    let Some(target) = target(site, &visit) else {
        println!("{} {}: nothing is there", visit.method, visit.path());
        return Ok(Outcome::Faults);
    };
    let roles: Vec<Arc<str>> =
        names.iter().filter(|name| !RESERVED.contains(&name.as_str())).map(|name| name.as_str().into()).collect();
    let who = who(names, &roles);
    println!("{} {} as {}", visit.method, visit.path(), names.join(" and "));
    println!("leads to {}", target.what);
    let method = visit.method.as_str();
    let verdict = rules::decide(&target.rules, method, who);
    let about: Vec<&AccessRule> = target.rules.iter().filter(|rule| rules::is_about(rule, method)).collect();
    let deciding = deciding(&about, who, verdict);
    for (index, rule) in about.iter().enumerate() {
        let says = if rules::lets_in(rule, who) { "lets in" } else { "refuses" };
        let decides = if deciding == Some(index) { ", and decides" } else { "" };
        println!("  {}:{}  {}  {says}{decides}", rule.place.file, rule.place.line, rule_text(rule));
    }
    if about.is_empty() {
        println!("  no rule is about it, so everyone may");
    }
    println!("{}: {}", word(verdict), meaning(verdict));
    Ok(Outcome::Success)
}

/// The request that is explained, its path read as a server reads it.
fn visit(path: &str, method: &str) -> Result<Visit, Problem> {
    let wrong = |why: String| Problem::new(Kind::Malformed, why);
    let method =
        Method::from_bytes(method.to_uppercase().as_bytes()).map_err(|_| wrong(format!("`{method}` is no method")))?;
    let request = Request::builder().method(method).uri(path).version(Version::HTTP_10).body(());
    let request = request.map_err(|error| wrong(format!("`{path}` is no path: {error}")))?;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut visit = Visit::begin(request.into_parts().0, nobody, false);
    match parse::address(&mut visit, &parse::Limits::default())? {
        parse::Address::Canonical => Ok(visit),
        parse::Address::Collapsed(to) => Err(wrong(format!("`{path}` is sent to {to}"))),
    }
}

fn target(site: &Arc<Site>, visit: &Visit) -> Option<Target> {
    let of_endpoint = |found: &Match| {
        let endpoint = &found.endpoint;
        let mut files: Vec<String> = Vec::new();
        files.extend(endpoint.page.iter().map(|page| page.file.to_string()));
        files.extend(endpoint.data.iter().map(|(_, data)| data.script.path.to_string()));
        files.extend(endpoint.visit.iter().map(|visit| visit.script.path.to_string()));
        files.extend(endpoint.actions.iter().map(|(_, action)| action.script.path.to_string()));
        Target { what: format!("{} ({})", endpoint.pattern, files.join(", ")), rules: endpoint.rules.clone() }
    };
    match route::route(site, visit) {
        Route::Endpoint(found) | Route::Return(found) => Some(of_endpoint(&found)),
        Route::Moved(found, to) => {
            let target = of_endpoint(&found);
            Some(Target { what: format!("{to}, by a redirect: {}", target.what), ..target })
        }
        Route::Static(Found::File(file)) => Some(Target {
            what: format!("the file public/{}", file.relative().display()),
            rules: site.static_rules(file.address()),
        }),
        Route::Static(Found::Moved { to, .. }) => {
            Some(Target { what: format!("{to}, by a redirect"), rules: site.static_rules(visit.path()) })
        }
        Route::Static(_) | Route::Nothing => None,
        Route::Upload(id) => Some(Target { what: format!("the upload {id}"), rules: site.upload_rules() }),
    }
}

/// Whom the names mean: without a role of theirs, users have none.
fn who<'r>(names: &[String], roles: &'r [Arc<str>]) -> Who<'r> {
    let named = |name: &str| names.iter().any(|known| known == name);
    match roles {
        [] if named("confirmed") => Who::User { confirmed: true, roles },
        [] if named("users") => Who::User { confirmed: false, roles },
        [] => Who::Anonymous,
        // As in the table, unless it is said that the address is not confirmed.
        _ => Who::User { confirmed: !named("users"), roles },
    }
}

/// The rule that decides: of those that refuse, one that hides comes first. Where all let in, the last one.
fn deciding(about: &[&AccessRule], who: Who<'_>, verdict: Verdict) -> Option<usize> {
    let refuses = |rule: &&&AccessRule| !rules::lets_in(rule, who);
    let position = |test: &dyn Fn(&&&AccessRule) -> bool| about.iter().position(|rule| test(&rule));
    match verdict {
        Verdict::Allowed => about.len().checked_sub(1),
        Verdict::Hidden => position(&|rule| refuses(rule) && rule.hide),
        _ => position(&|rule| refuses(rule)),
    }
}

fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "the rules let in",
        Verdict::LoginNeeded => "refused until somebody logs in",
        Verdict::ConfirmNeeded => "refused until the e-mail address is confirmed",
        Verdict::Refused => "refused",
        Verdict::Hidden => "answered as if nothing were there",
    }
}
