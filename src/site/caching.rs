//! Which rule of `[[cache]]` holds for a route.

use super::pattern::{Pattern, Segment};
use super::rules::covers;
use crate::settings::{CacheRule, Caching};

/// What the rules say about the answers of a route; the strictest counts. A rule that has more asked of the database holds
/// when in doubt, like one of access; one that lets answers grow old holds only for what it surely means.
pub(super) fn decide(rules: &[CacheRule], pattern: &Pattern, builtin: bool) -> Caching {
    let holding = rules.iter().filter(|rule| holds(rule, pattern) && !(builtin && rule.caching > Caching::Fresh));
    holding.map(|rule| rule.caching).min().unwrap_or_default()
}

/// Whether a rule is about a route.
pub fn holds(rule: &CacheRule, pattern: &Pattern) -> bool {
    match rule.caching {
        Caching::MaxStale(_) => {
            let parts: Vec<&str> = rule.path.split('/').filter(|part| !part.is_empty()).collect();
            covers_all(&parts, &pattern.0)
        }
        _ => covers(&rule.path, pattern),
    }
}

/// Whether a rule may be meant for some address of a route.
pub fn touches(rule: &CacheRule, pattern: &Pattern) -> bool {
    covers(&rule.path, pattern)
}

/// Whether a rule's path covers every path that the pattern matches.
fn covers_all(parts: &[&str], segments: &[Segment]) -> bool {
    match (parts.split_first(), segments.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            covers_all(rest, segments) || segments.split_first().is_some_and(|(_, left)| covers_all(parts, left))
        }
        (Some((&"*", rest)), Some((Segment::Exact(_) | Segment::Parameter { .. }, left))) => covers_all(rest, left),
        (Some((part, rest)), Some((Segment::Exact(text), left))) => **text == **part && covers_all(rest, left),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::problem::Place;

    fn rule(path: &str, caching: Caching) -> CacheRule {
        CacheRule { path: path.into(), caching, place: Place::of("site.toml", "", 0, 0) }
    }

    #[test]
    fn the_strictest_rule_counts() {
        let stale = |seconds| Caching::MaxStale(Duration::from_secs(seconds));
        let rules = [
            rule("/**", stale(60)),
            rule("/news/*", stale(5)),
            rule("/shop/**", Caching::Strict),
            rule("/shop/cart", Caching::Off),
        ];
        let of = |pattern: &str| decide(&rules, &Pattern::parse(pattern).unwrap(), false);
        assert_eq!(of("/"), stale(60));
        assert_eq!(of("/news/[slug]"), stale(5));
        assert_eq!(of("/news"), stale(60));
        assert_eq!(of("/shop"), Caching::Strict);
        assert_eq!(of("/shop/cart"), Caching::Off);
        // The parameter may be `cart`.
        assert_eq!(of("/shop/[name]"), Caching::Off);
        assert_eq!(decide(&rules, &Pattern::parse("/login").unwrap(), true), Caching::Fresh);
        assert_eq!(decide(&[], &Pattern::parse("/").unwrap(), false), Caching::Fresh);
    }

    #[test]
    fn growing_old_is_allowed_only_to_what_is_meant() {
        let holds =
            |path, pattern| holds(&rule(path, Caching::MaxStale(Duration::ZERO)), &Pattern::parse(pattern).unwrap());
        assert!(holds("/docs/**", "/docs/[...path]"));
        assert!(holds("/docs/**", "/docs"));
        assert!(!holds("/docs/*", "/docs/[...path]"));
        assert!(!holds("/docs/x", "/docs/[page]"));
        assert!(holds("/docs/*", "/docs/[page]"));
        assert!(holds("/**/edit", "/a/[b]/edit"));
        assert!(!holds("/**/edit", "/a/[...b]"));
        assert!(!holds("/docs/x/*", "/docs/[page]/more"));
    }
}
