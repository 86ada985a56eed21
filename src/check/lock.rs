//! `access.lock`: who may do what, as it was last committed on purpose. The check fails when somebody new is let in.

use std::collections::BTreeMap;

use super::access::start_of;
use super::served::{Served, served};
use crate::problem::{Fault, Level, Place};
use crate::site::policy::Policy;
use crate::site::{ACCESS_LOCK, Site, UPLOADS};

/// What the file begins with.
const HEAD: &str = "\
# Who may do what. `tableside check` fails when somebody is let in whom this file doesn't let in.
# Written by `tableside access --lock`: run it again to accept a change, and commit the file.
";

/// The methods of lines, in their order.
const METHODS: [&str; 6] = ["GET", "VISIT", "POST", "PUT", "PATCH", "DELETE"];

/// A route and the place of its method in [`METHODS`].
type Key = (String, usize);

/// The text of `access.lock` for a site as it is.
pub fn lock(site: &Site) -> String {
    let mut text = HEAD.to_string();
    for ((route, method), (policy, served)) in now(&served(site)) {
        // Public files come and go; the restricted ones are those that must not become public.
        // The server's own pages may be others with its next version.
        if !served.is_builtin() && (served.addresses.is_empty() || !policy.is_public()) {
            text.push_str(&format!("{} {route}  {policy}\n", METHODS[method]));
        }
    }
    text
}

/// Holds a site against its `access.lock`, where there is one.
pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    let Some(text) = &site.access_lock else { return };
    let locked = read(text, faults);
    let served = served(site);
    for (key, (policy, served)) in now(&served) {
        match locked.get(&key) {
            Some((before, place)) => faults.extend(opened(&key, &policy, before, served, place)),
            None => faults.extend(unknown(site, &key, &policy, served)),
        }
    }
}

/// Who may now, by route and method. What answers a route in several forms has the same rules.
fn now(served: &[Served]) -> BTreeMap<Key, (Policy, &Served)> {
    let mut all = BTreeMap::new();
    for one in served {
        let Some(method) = METHODS.iter().position(|method| *method == one.method) else { continue };
        let routes = if one.addresses.is_empty() { std::slice::from_ref(&one.route) } else { &one.addresses };
        for route in routes {
            all.entry((route.clone(), method)).or_insert_with(|| (one.policy(), one));
        }
    }
    all
}

/// Reads the lines of a lock and tells those that say nothing, or not the same.
fn read(text: &str, faults: &mut Vec<Fault>) -> BTreeMap<Key, (Policy, Place)> {
    let mut locked: BTreeMap<Key, (Policy, Place)> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let place = || Place::of_line(ACCESS_LOCK, text, index + 1);
        let fault = |message: &str| {
            Fault::error(message, place()).help("a line is `METHOD /route  who`; `tableside access --lock` writes it")
        };
        let Some((key, who)) = parts(line) else {
            faults.push(fault("this line of access.lock can't be read"));
            continue;
        };
        let Ok(policy) = Policy::parse(who) else {
            faults.push(fault(&format!("`{who}` doesn't say who may")));
            continue;
        };
        match locked.get(&key) {
            Some((before, _)) if *before != policy => {
                faults.push(fault(&format!("access.lock says two things about `{}`", named(&key))));
            }
            _ => _ = locked.insert(key, (policy, place())),
        }
    }
    locked
}

/// `POST /orders/[id]  users`
fn parts(line: &str) -> Option<(Key, &str)> {
    // The last two blanks: a route may hold some, who may doesn't.
    let (start, who) = line.trim_end().rsplit_once("  ")?;
    let (method, route) = start.split_once(' ')?;
    let method = METHODS.iter().position(|known| *known == method)?;
    route.starts_with('/').then(|| ((route.trim_end().to_string(), method), who.trim()))
}

fn named((route, method): &Key) -> String {
    format!("{} {route}", METHODS[*method])
}

/// The fault of a route that lets in somebody new.
fn opened(key: &Key, policy: &Policy, before: &Policy, served: &Served, place: &Place) -> Option<Fault> {
    let newcomer = policy.newcomer(before)?;
    let message = format!("`{}` now lets in {newcomer}; access.lock says: {before}", named(key));
    let rules: Vec<String> =
        served.rules.iter().map(|rule| format!("{}:{}", rule.place.file, rule.place.line)).collect();
    let because = match rules.is_empty() {
        true => format!("no access rule is about {}", served.file),
        false => format!("the rules are at {}", rules.join(", ")),
    };
    let help = format!("{because}; if it is meant so, `tableside access --lock` accepts it");
    Some(Fault::error(message, place.clone()).help(help))
}

/// The fault of a public route that the lock doesn't know. Static files come and go, and so do uploads' addresses.
fn unknown(site: &Site, key: &Key, policy: &Policy, served: &Served) -> Option<Fault> {
    if served.is_builtin() || !policy.is_public() || !served.addresses.is_empty() || served.route == UPLOADS {
        return None;
    }
    let message = format!("`{}` ({}) is public and not in access.lock", named(key), served.file);
    let fault = Fault { level: Level::Warning, ..Fault::everywhere(message) };
    let fault = Fault { place: start_of(site, &served.file), ..fault };
    Some(fault.help("add an access rule, or accept it with `tableside access --lock`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        read(text, &mut faults);
        let line = |fault: &Fault| fault.place.as_ref().map_or(0, |place| place.line);
        faults.iter().map(|fault| format!("{}: {}", line(fault), fault.message)).collect()
    }

    #[test]
    fn a_line_that_says_nothing_is_told() {
        assert!(told("# a\n\nGET /  everyone\nPOST /a b/[c]  admin or editor, and confirmed\n").is_empty());
        assert_eq!(told("GET / everyone\n"), ["1: this line of access.lock can't be read"]);
        assert_eq!(told("GET  everyone\n"), ["1: this line of access.lock can't be read"]);
        assert_eq!(told("\nLOOK /  everyone\n"), ["2: this line of access.lock can't be read"]);
        assert_eq!(told("<<<<<<< HEAD\n"), ["1: this line of access.lock can't be read"]);
        assert_eq!(told("GET /  all people\n"), ["1: `all people` doesn't say who may"]);
    }

    #[test]
    fn what_two_branches_say_must_be_the_same() {
        assert!(told("GET /a  users\nGET /a  users\n").is_empty());
        assert_eq!(told("GET /a  users\nGET /a  editor\n"), ["2: access.lock says two things about `GET /a`"]);
    }
}
