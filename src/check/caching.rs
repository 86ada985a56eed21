//! Faults of cache rules: rules that hold for nothing, that never count, and that say two things.

use super::access::wrong_part;
use crate::problem::Fault;
use crate::settings::{CacheRule, Caching};
use crate::site::caching::{holds, touches};
use crate::site::{Endpoint, Site};

pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    let rules = &site.settings.cache;
    for (index, rule) in rules.iter().enumerate() {
        let fault = wrong_part(&rule.path, &rule.place, "a cache rule")
            .or_else(|| twice(rule, &rules[..index]))
            .or_else(|| without_effect(site, rule));
        faults.extend(fault);
    }
}

/// A path that an earlier rule is about already.
fn twice(rule: &CacheRule, before: &[CacheRule]) -> Option<Fault> {
    let first = before.iter().find(|other| other.path == rule.path)?;
    let fault = Fault::error(format!("{} has two cache rules", rule.path), rule.place.clone());
    Some(fault.help(format!("the other one stands in line {}", first.place.line)))
}

/// A rule that no route follows.
fn without_effect(site: &Site, rule: &CacheRule) -> Option<Fault> {
    let asks = |endpoint: &&Endpoint| endpoint.page.is_some() || !endpoint.data.is_empty();
    let endpoints = || site.endpoints.iter().map(|endpoint| &**endpoint).filter(asks);
    let fault = |message: String| Fault::error(message, rule.place.clone());
    let mut held =
        endpoints().filter(|endpoint| holds(rule, &endpoint.pattern) && may_follow(rule, endpoint)).peekable();
    if held.peek().is_none() {
        return Some(
            match endpoints().find(|endpoint| touches(rule, &endpoint.pattern) && may_follow(rule, endpoint)) {
                Some(part) => {
                    fault(format!("the cache rule for {} is about a part of {} only", rule.path, part.pattern))
                        .help("answers may grow old on whole routes alone: write `*` where the route has a parameter")
                }
                None => fault(format!("no page matches the cache rule for {}", rule.path))
                    .help("`tableside routes` lists what there is"),
            },
        );
    }
    if held.any(|endpoint| endpoint.caching == rule.caching) {
        return None;
    }
    let meets = |other: &&CacheRule| {
        other.caching < rule.caching
            && endpoints().any(|endpoint| holds(rule, &endpoint.pattern) && holds(other, &endpoint.pattern))
    };
    let stricter = site.settings.cache.iter().filter(meets);
    let lines = stricter.map(|other| format!("line {} ({})", other.place.line, other.path)).collect::<Vec<_>>();
    let message = format!("the cache rule for {} never counts", rule.path);
    Some(fault(message).help(format!("the strictest rule of a route counts: see {}", lines.join(", "))))
}

/// The server's own pages are always fresh, or stricter.
fn may_follow(rule: &CacheRule, endpoint: &Endpoint) -> bool {
    !(endpoint.builtin && rule.caching > Caching::Fresh)
}
