//! Access rules: which routes a rule covers, and what rules say about a visitor. A rule is bound to routes, never to
//! an address's text.

use std::sync::Arc;

use super::pattern::{Pattern, Segment};
use crate::settings::AccessRule;

/// The words of `allow` that are no roles.
pub const RESERVED: [&str; 4] = ["everyone", "anonymous", "users", "confirmed"];

/// The methods that a rule can be about. `GET` brings `HEAD`, and visits.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Who asks, as rules tell visitors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// Nobody is logged in.
    Anonymous,
    /// A user.
    User {
        /// Whether the e-mail address is confirmed.
        confirmed: bool,
        /// The user's roles.
        roles: &'a [Arc<str>],
    },
}

/// What the rules of a route say to a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// Refused to somebody who isn't logged in.
    LoginNeeded,
    /// Refused to a user who lacks nothing but a confirmed e-mail address.
    ConfirmNeeded,
    /// Refused, and said so.
    Refused,
    /// Refused as if nothing were there.
    Hidden,
}

/// What the rules that cover a route say; the strictest wins: each rule that is about the method must let the visitor
/// in.
pub fn decide(rules: &[AccessRule], method: &str, who: Who<'_>) -> Verdict {
    let refusing = || rules.iter().filter(|rule| is_about(rule, method) && !lets_in(rule, who));
    if refusing().next().is_none() {
        return Verdict::Allowed;
    }
    if refusing().any(|rule| rule.hide) {
        return Verdict::Hidden;
    }
    match who {
        Who::Anonymous => Verdict::LoginNeeded,
        Who::User { confirmed: false, roles }
            if refusing().all(|rule| lets_in(rule, Who::User { confirmed: true, roles })) =>
        {
            Verdict::ConfirmNeeded
        }
        Who::User { .. } => Verdict::Refused,
    }
}

/// Whether a rule is about a method. HEAD is a GET. OPTIONS tells what is there as a GET does; where a rule hides any
/// method, it tells nothing.
pub fn is_about(rule: &AccessRule, method: &str) -> bool {
    let names = |method: &str| rule.methods.iter().any(|name| name == method);
    rule.methods.is_empty()
        || match method {
            "HEAD" => names("GET"),
            "OPTIONS" => names("GET") || rule.hide,
            method => names(method),
        }
}

/// Whether one of the words of a rule's `allow` lets a visitor in.
pub fn lets_in(rule: &AccessRule, who: Who<'_>) -> bool {
    rule.allow.iter().any(|word| match (word.as_str(), who) {
        ("everyone", _) => true,
        // Not even a role that is called so.
        ("anonymous", _) | (_, Who::Anonymous) => false,
        ("users", Who::User { .. }) => true,
        ("confirmed", Who::User { confirmed, .. }) => confirmed,
        (role, Who::User { roles, .. }) => roles.iter().any(|own| **own == *role),
    })
}

/// The rules that hold at a pattern, in the order of the file. `answered` are the methods that have an answer there.
///
/// A rule that hides all of them holds for every other method as well: "no such method" would tell that something is
/// there.
pub(super) fn bound<'r>(
    rules: impl IntoIterator<Item = &'r AccessRule>,
    pattern: &Pattern,
    answered: &[&str],
) -> Vec<AccessRule> {
    let mut bound: Vec<AccessRule> = rules.into_iter().filter(|rule| covers(&rule.path, pattern)).cloned().collect();
    for rule in bound.iter_mut().filter(|rule| rule.hide) {
        if answered.iter().all(|method| is_about(rule, method)) {
            rule.methods.clear();
        }
    }
    bound
}

/// Whether a rule's path (`*` one segment, `**` any number) covers some path that the pattern matches. A parameter may
/// be any text, so a rule for `/orders/new` also covers `/orders/[id]`: when in doubt, the rule holds.
pub(super) fn covers(rule: &str, pattern: &Pattern) -> bool {
    let parts: Vec<&str> = rule.split('/').filter(|part| !part.is_empty()).collect();
    matches(&parts, &pattern.0)
}

/// Whether a rule's path covers a path.
pub fn reaches(rule: &str, path: &str) -> bool {
    let segments = path.split('/').filter(|part| !part.is_empty()).map(|part| Segment::Exact(part.into()));
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
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::problem::Place;

    /// A rule for all paths.
    pub(crate) fn rule(methods: &[&str], allow: &[&str], hide: bool) -> AccessRule {
        AccessRule {
            path: "/**".into(),
            methods: methods.iter().map(ToString::to_string).collect(),
            allow: allow.iter().map(ToString::to_string).collect(),
            hide,
            place: Place::of("site.toml", "", 0, 0),
        }
    }

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

    #[test]
    fn a_visitor_is_let_in_by_every_rule_or_not_at_all() {
        use Verdict::{Allowed, ConfirmNeeded, Hidden, LoginNeeded, Refused};
        let editor: [Arc<str>; 1] = ["editor".into()];
        let who = [
            Who::Anonymous,
            Who::User { confirmed: false, roles: &[] },
            Who::User { confirmed: true, roles: &[] },
            Who::User { confirmed: false, roles: &editor },
            Who::User { confirmed: true, roles: &editor },
        ];
        type Rules<'a> = &'a [(&'a [&'a str], &'a [&'a str], bool)];
        // Rules, method, and the verdicts for: anonymous, user, confirmed, unconfirmed editor, editor.
        let table: &[(Rules<'_>, &str, [Verdict; 5])] = &[
            (&[], "GET", [Allowed; 5]),
            (&[(&[], &["everyone"], true)], "POST", [Allowed; 5]),
            (&[(&[], &["users"], false)], "GET", [LoginNeeded, Allowed, Allowed, Allowed, Allowed]),
            (&[(&[], &["users"], true)], "GET", [Hidden, Allowed, Allowed, Allowed, Allowed]),
            (&[(&[], &["confirmed"], false)], "GET", [LoginNeeded, ConfirmNeeded, Allowed, ConfirmNeeded, Allowed]),
            (&[(&[], &["editor"], false)], "GET", [LoginNeeded, Refused, Refused, Allowed, Allowed]),
            (&[(&[], &["editor", "confirmed"], false)], "GET", [LoginNeeded, ConfirmNeeded, Allowed, Allowed, Allowed]),
            (
                &[(&[], &["editor"], false), (&[], &["confirmed"], false)],
                "GET",
                [LoginNeeded, Refused, Refused, ConfirmNeeded, Allowed],
            ),
            (
                &[(&[], &["everyone"], false), (&[], &["users"], false)],
                "GET",
                [LoginNeeded, Allowed, Allowed, Allowed, Allowed],
            ),
            (&[(&[], &["users"], false), (&[], &["editor"], true)], "GET", [Hidden, Hidden, Hidden, Allowed, Allowed]),
            // A rule that hides hides only from those whom it refuses.
            (
                &[(&[], &["users"], true), (&[], &["editor"], false)],
                "GET",
                [Hidden, Refused, Refused, Allowed, Allowed],
            ),
            (&[(&["POST"], &["users"], false)], "GET", [Allowed; 5]),
            (&[(&["GET"], &["users"], false)], "HEAD", [LoginNeeded, Allowed, Allowed, Allowed, Allowed]),
            (&[(&["GET"], &["users"], false)], "OPTIONS", [LoginNeeded, Allowed, Allowed, Allowed, Allowed]),
            (&[(&["POST"], &["users"], false)], "OPTIONS", [Allowed; 5]),
            (&[(&["POST"], &["users"], true)], "OPTIONS", [Hidden, Allowed, Allowed, Allowed, Allowed]),
            (&[(&[], &["anonymous"], false)], "GET", [LoginNeeded, Refused, Refused, Refused, Refused]),
        ];
        for (rules, method, expected) in table {
            let rules: Vec<AccessRule> =
                rules.iter().map(|(methods, allow, hide)| rule(methods, allow, *hide)).collect();
            assert_eq!(who.map(|who| decide(&rules, method, who)), *expected, "{method} {rules:?}");
        }
    }

    #[test]
    fn a_role_is_never_one_of_the_reserved_words() {
        let roles: [Arc<str>; 3] = ["confirmed".into(), "anonymous".into(), "everyone".into()];
        let who = Who::User { confirmed: false, roles: &roles };
        assert_eq!(decide(&[rule(&[], &["confirmed"], false)], "GET", who), Verdict::ConfirmNeeded);
        assert_eq!(decide(&[rule(&[], &["anonymous"], false)], "GET", who), Verdict::Refused);
    }

    #[test]
    fn what_is_hidden_whole_has_no_other_methods() {
        let pattern = Pattern::parse("/a").unwrap();
        let bound = |rule: AccessRule, answered: &[&str]| bound(&[rule], &pattern, answered).remove(0).methods;
        assert!(bound(rule(&["GET"], &["users"], true), &["GET"]).is_empty());
        assert!(bound(rule(&["GET", "POST"], &["users"], true), &["GET", "POST"]).is_empty());
        assert_eq!(bound(rule(&["GET"], &["users"], true), &["GET", "POST"]), ["GET"]);
        assert_eq!(bound(rule(&["GET"], &["users"], false), &["GET"]), ["GET"]);
    }

    /// Any rule over a few words.
    pub(crate) fn any_rule() -> impl Strategy<Value = AccessRule> {
        let words = prop::sample::subsequence(vec!["everyone", "users", "confirmed", "editor", "teller"], 1..=3);
        let methods = prop::sample::subsequence(METHODS.to_vec(), 0..=2);
        (methods, words, any::<bool>()).prop_map(|(methods, allow, hide)| rule(&methods, &allow, hide))
    }

    /// Whoever there can be over the roles of [`any_rule`].
    pub(crate) fn everybody() -> Vec<(bool, bool, Vec<Arc<str>>)> {
        let roles = [vec![], vec!["editor"], vec!["teller"], vec!["editor", "teller"]];
        let mut all = vec![(false, false, Vec::new())];
        for roles in roles {
            let roles: Vec<Arc<str>> = roles.into_iter().map(Arc::from).collect();
            all.extend([false, true].map(|confirmed| (true, confirmed, roles.clone())));
        }
        all
    }

    /// One of [`everybody`].
    pub(crate) fn as_who((user, confirmed, roles): &(bool, bool, Vec<Arc<str>>)) -> Who<'_> {
        if *user { Who::User { confirmed: *confirmed, roles } } else { Who::Anonymous }
    }

    proptest! {
        #[test]
        fn a_further_rule_never_lets_more_visitors_in(
            rules in prop::collection::vec(any_rule(), 0..5),
            further in any_rule(),
            at in 0usize..5,
            method in prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "OPTIONS"]),
        ) {
            let mut more = rules.clone();
            more.insert(at.min(rules.len()), further);
            for one in everybody() {
                let (before, after) = (decide(&rules, method, as_who(&one)), decide(&more, method, as_who(&one)));
                prop_assert!(before == Verdict::Allowed || after != Verdict::Allowed);
                // Nor is anything shown again that was hidden.
                prop_assert!(before != Verdict::Hidden || after == Verdict::Hidden);
            }
        }

        #[test]
        fn a_visitor_with_more_is_let_in_wherever_one_with_less_is(
            rules in prop::collection::vec(any_rule(), 0..5),
        ) {
            let all = everybody();
            let less = |a: &(bool, bool, Vec<Arc<str>>), b: &(bool, bool, Vec<Arc<str>>)| {
                a.0 <= b.0 && a.1 <= b.1 && a.2.iter().all(|role| b.2.contains(role))
            };
            for a in &all {
                for b in all.iter().filter(|b| less(a, b)) {
                    let allowed = |one| decide(&rules, "GET", as_who(one)) == Verdict::Allowed;
                    prop_assert!(!allowed(a) || allowed(b));
                }
            }
        }
    }
}
