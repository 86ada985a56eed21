//! Matches the paths of access rules against address patterns. A rule is bound to routes, never to an address's text.

use super::pattern::{Pattern, Segment};

/// Whether a rule's path (`*` one segment, `**` any number) covers some path that the pattern matches. A parameter may
/// be any text, so a rule for `/orders/new` also covers `/orders/[id]`: when in doubt, the rule holds.
pub(super) fn covers(rule: &str, pattern: &Pattern) -> bool {
    let parts: Vec<&str> = rule.split('/').filter(|part| !part.is_empty()).collect();
    matches(&parts, &pattern.0)
}

/// Whether a rule's path covers one address.
pub(super) fn covers_address(rule: &str, address: &str) -> bool {
    let segments = address.split('/').filter(|part| !part.is_empty()).map(|part| Segment::Exact(part.into()));
    covers(rule, &Pattern(segments.collect()))
}

fn matches(parts: &[&str], segments: &[Segment]) -> bool {
    match (parts.split_first(), segments.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            matches(rest, segments) || segments.split_first().is_some_and(|(_, left)| matches(parts, left))
        }
        (Some(_), Some((Segment::Rest(_), _))) => true,
        (Some((part, rest)), Some((segment, left))) => one(part, segment) && matches(rest, left),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn one(part: &str, segment: &Segment) -> bool {
    match segment {
        _ if part == "*" => true,
        Segment::Exact(text) => **text == *part,
        Segment::Parameter { end, .. } => part.ends_with(&**end),
        Segment::Rest(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_cover_the_routes_that_they_could_mean() {
        let covers = |rule, pattern| super::covers(rule, &Pattern::parse(pattern).unwrap());
        assert!(covers("/account/**", "/account"));
        assert!(covers("/account/**", "/account/orders/[id]"));
        assert!(covers("/**", "/"));
        assert!(covers("/*", "/about"));
        assert!(!covers("/*", "/about/us"));
        assert!(covers("/orders/new", "/orders/[id]"));
        assert!(covers("/docs/secret/x", "/docs/[...path]"));
        assert!(covers("/**/edit", "/a/b/edit"));
        assert!(!covers("/account/**", "/accounts"));
    }
}
