//! Who may: what the rules of a route come to, in a form that can be written down, read again and compared.

use std::collections::BTreeSet;
use std::fmt;

use super::rules::{self, RESERVED};
use crate::settings::AccessRule;

/// Who may do something: whoever is among each of these groups. Groups that ask for nothing new are left out; without
/// any it is everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(BTreeSet<BTreeSet<String>>);

impl Policy {
    /// What the rules come to for a method.
    pub fn of(rules: &[AccessRule], method: &str) -> Policy {
        let about = rules.iter().filter(|rule| rules::is_about(rule, method));
        Policy::of_groups(about.map(|rule| rule.allow.iter().cloned().collect()))
    }

    fn of_groups(groups: impl Iterator<Item = BTreeSet<String>>) -> Policy {
        let groups: BTreeSet<BTreeSet<String>> =
            groups.filter(|group| !group.contains("everyone")).map(simplified).collect();
        let needed = groups.iter().filter(|group| {
            let said_by = |other: &BTreeSet<String>| other != *group && is_within(other, group);
            !groups.iter().any(said_by)
        });
        Policy(needed.cloned().collect())
    }

    /// Reads what [`Policy`] prints.
    ///
    /// # Errors
    /// The word that names nobody.
    pub fn parse(text: &str) -> Result<Policy, String> {
        let mut groups = Vec::new();
        for part in text.trim().split(", and ") {
            let words: BTreeSet<String> = part.split(" or ").map(|word| word.trim().to_string()).collect();
            if let Some(wrong) = words.iter().find(|word| !is_name(word) || *word == "anonymous") {
                return Err(wrong.clone());
            }
            groups.push(words);
        }
        Ok(Policy::of_groups(groups.into_iter()))
    }

    /// Whether everyone may.
    pub fn is_public(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether only users with some role may.
    pub fn demands_a_role(&self) -> bool {
        self.0.iter().any(|group| group.iter().all(|word| !RESERVED.contains(&word.as_str())))
    }

    /// Who may now, but may not by `before`: the least that somebody must be; `None` if nobody.
    pub fn newcomer(&self, before: &Policy) -> Option<String> {
        before.0.iter().find_map(|asked| self.past(asked))
    }

    /// Somebody whom this lets in and who is not in the group. Each of our groups has a member who is outside of it, or
    /// else that group says all that this one does.
    fn past(&self, group: &BTreeSet<String>) -> Option<String> {
        if self.is_public() {
            return Some("visitors who are not logged in".into());
        }
        let mut is: BTreeSet<&str> = BTreeSet::new();
        for own in &self.0 {
            let mut outside = own.iter().filter(|word| !is_member(word, group)).map(String::as_str);
            // The least of them, so that the message names the most people.
            let least = outside.clone().find(|word| *word == "users").or_else(|| outside.next());
            is.insert(least?);
        }
        Some(described(&is))
    }
}

/// `users with the role editor`
fn described(is: &BTreeSet<&str>) -> String {
    let roles: Vec<&str> = is.iter().filter(|word| !RESERVED.contains(word)).copied().collect();
    let confirmed = if is.contains("confirmed") { "confirmed " } else { "" };
    match roles[..] {
        [] => format!("all {confirmed}users"),
        [role] => format!("{confirmed}users with the role `{role}`"),
        _ => format!("{confirmed}users with the roles `{}`", roles.join("` and `")),
    }
}

/// A group without those who are in it anyhow: all are users.
fn simplified(group: BTreeSet<String>) -> BTreeSet<String> {
    if group.contains("users") { ["users".to_string()].into() } else { group }
}

/// Whether everybody of the first group is in the second.
fn is_within(group: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    group.iter().all(|word| is_member(word, other))
}

/// Whether those whom a word names are all in a group.
fn is_member(word: &str, group: &BTreeSet<String>) -> bool {
    group.contains(word) || group.contains("users") && word != "anonymous"
}

/// Whether a word can stand in `allow`: one of the reserved ones, or the name of a role.
pub fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_public() {
            return out.write_str("everyone");
        }
        let group = |group: &BTreeSet<String>| group.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
        out.write_str(&self.0.iter().map(group).collect::<Vec<_>>().join(", and "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rules::tests::{any_rule, as_who, everybody, rule};
    use super::super::rules::{Verdict, decide};
    use super::*;

    fn of(allow: &[&[&str]]) -> Policy {
        let rules: Vec<AccessRule> = allow.iter().map(|allow| rule(&[], allow, false)).collect();
        Policy::of(&rules, "GET")
    }

    #[test]
    fn it_says_no_more_than_is_needed() {
        assert_eq!(of(&[]).to_string(), "everyone");
        assert_eq!(of(&[&["everyone", "editor"]]).to_string(), "everyone");
        assert_eq!(of(&[&["users"], &["editor", "admin"]]).to_string(), "admin or editor");
        assert_eq!(of(&[&["editor", "users"]]).to_string(), "users");
        assert_eq!(of(&[&["confirmed"], &["editor", "admin"]]).to_string(), "admin or editor, and confirmed");
        assert_eq!(Policy::of(&[rule(&["POST"], &["users"], false)], "GET").to_string(), "everyone");
    }

    #[test]
    fn newcomers_are_named() {
        let newcomer = |now: &[&[&str]], before: &[&[&str]]| of(now).newcomer(&of(before)).unwrap_or_default();
        assert_eq!(newcomer(&[], &[&["users"]]), "visitors who are not logged in");
        assert_eq!(newcomer(&[&["users"]], &[&["editor"]]), "all users");
        assert_eq!(newcomer(&[&["confirmed"]], &[&["editor"]]), "all confirmed users");
        assert_eq!(newcomer(&[&["editor", "admin"]], &[&["editor"]]), "users with the role `admin`");
        assert_eq!(newcomer(&[&["editor"]], &[&["editor"], &["confirmed"]]), "users with the role `editor`");
        assert_eq!(newcomer(&[&["a"], &["b"]], &[&["c"]]), "users with the roles `a` and `b`");
        assert_eq!(newcomer(&[&["editor"]], &[&["users"]]), "");
        assert_eq!(newcomer(&[&["users"]], &[]), "");
    }

    #[test]
    fn a_role_is_demanded_only_of_everybody() {
        assert!(of(&[&["editor", "admin"]]).demands_a_role());
        assert!(of(&[&["users"], &["editor"]]).demands_a_role());
        assert!(!of(&[&["editor", "confirmed"]]).demands_a_role());
        assert!(!of(&[]).demands_a_role());
    }

    #[test]
    fn a_word_that_names_nobody_is_told() {
        assert_eq!(Policy::parse("users or all people"), Err("all people".into()));
        assert_eq!(Policy::parse(""), Err(String::new()));
        assert_eq!(Policy::parse("anonymous"), Err("anonymous".into()));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(rules in prop::collection::vec(any_rule(), 0..5)) {
            let policy = Policy::of(&rules, "GET");
            prop_assert_eq!(Policy::parse(&policy.to_string()), Ok(policy));
        }

        #[test]
        fn newcomers_are_those_whom_only_the_new_rules_let_in(
            now in prop::collection::vec(any_rule(), 0..4),
            before in prop::collection::vec(any_rule(), 0..4),
        ) {
            let newcomer = Policy::of(&now, "GET").newcomer(&Policy::of(&before, "GET"));
            let allowed = |rules: &[AccessRule], one| decide(rules, "GET", as_who(one)) == Verdict::Allowed;
            let someone = everybody().iter().any(|one| allowed(&now, one) && !allowed(&before, one));
            prop_assert_eq!(newcomer.is_some(), someone);
        }
    }
}
