//! Who may see which rows: `= @user_id` where nobody need be logged in, and statements about a table whose rows belong
//! to users that never say whose.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queries::{Known, offset_of_table};
use crate::database::migrations::Content;
use crate::database::{Database, Description, Tables};
use crate::problem::{Fault, Level, Place, suggestion};
use crate::settings::{AccessRule, Owner};
use crate::site::Site;
use crate::site::policy::Policy;
use crate::site::rules::is_about;
use crate::sqlfile::tokens::{Token, TokenKind, tokenize};
use crate::sqlfile::{Dialect, Query, QueryKind, Script, ServerValue, Source};

pub(super) fn check(site: &Site, schema: &Database, known: &Known, faults: &mut Vec<Fault>) {
    if site.settings.has_users() {
        for (script, rules) in readings(site) {
            if Policy::of(rules, "GET").is_public() {
                script.queries.iter().for_each(|query| finds_nothing(script, query, faults));
            }
        }
    }
    if site.settings.has_users() {
        faults.extend(schema.held_by("users").into_iter().filter_map(|(table, column)| holds(site, &table, &column)));
    }
    let owners = existing(site, schema, faults);
    for (script, rules, method) in all(site) {
        if !is_settled(rules, method) {
            without_owner(&owners, script, known, faults);
        }
    }
}

/// The fault of a table whose rows keep an account from being deleted. The server's own take care of that themselves.
fn holds(site: &Site, table: &str, column: &str) -> Option<Fault> {
    let message = format!("`{table}.{column}` keeps the accounts that it refers to from being deleted");
    let fault = Fault { level: Level::Warning, ..Fault::everywhere(message) };
    let fault = Fault { place: made_at(site, table), ..fault };
    (!table.starts_with('_')).then(|| {
        fault.help("say what becomes of the rows: `on delete cascade`, `on delete set null`, or `on delete restrict`")
    })
}

/// The line of the last migration that makes a table.
fn made_at(site: &Site, table: &str) -> Option<Place> {
    site.migrations.iter().rev().find_map(|migration| {
        let Content::Sql(sql) = &migration.content else { return None };
        let tokens: Vec<Token> = tokenize(sql, site.dialect).into_iter().filter(Token::is_significant).collect();
        let mut made = tokens.windows(2).enumerate().filter_map(|(at, pair)| {
            let makes = pair[0].is_word(sql, "create") && pair[1].is_word(sql, "table");
            let skipped = |token: &&Token| ["if", "not", "exists"].iter().any(|word| token.is_word(sql, word));
            tokens[at + 2..].iter().find(|token| !skipped(token)).filter(|_| makes)
        });
        let named =
            made.find(|token| token.text(sql).trim_matches(['"', '`', '[', ']']).eq_ignore_ascii_case(table))?;
        Some(Place::of(migration.path.clone(), sql, named.from, named.to))
    })
}

/// The scripts of pages and data, with the rules of their routes.
fn readings(site: &Site) -> impl Iterator<Item = (&Arc<Script>, &[AccessRule])> {
    site.endpoints.iter().flat_map(|endpoint| {
        let page = endpoint.page.iter().flat_map(|page| &page.scripts);
        let data = endpoint.data.iter().map(|(_, data)| &data.script);
        page.chain(data).map(|script| (script, &endpoint.rules[..]))
    })
}

/// Every script of a route, with its rules and its method.
fn all(site: &Site) -> impl Iterator<Item = (&Arc<Script>, &[AccessRule], &'static str)> {
    let actions = site.endpoints.iter().flat_map(|endpoint| {
        let visit = endpoint.visit.iter().map(|visit| (&visit.script, "GET"));
        let actions = endpoint.actions.iter().map(|(method, action)| (&action.script, method.name()));
        visit.chain(actions).map(|(script, method)| (script, &endpoint.rules[..], method))
    });
    readings(site).map(|(script, rules)| (script, rules, "GET")).chain(actions)
}

/// `where user_id = @user_id` on a page that anonymous visitors may open.
fn finds_nothing(script: &Script, query: &Query, faults: &mut Vec<Fault>) {
    // A `:require` refuses them, which may well be what is meant.
    if query.is_conditional() || matches!(query.kind, QueryKind::Require(_)) {
        return;
    }
    for at in required_equal(script, query) {
        faults.push(
            Fault::warning("visitors who are not logged in have no @user_id: this finds nothing for them", {
                query.place_of(at)
            })
            .help("add an access rule for this route, or run it only with `when=@user_id`"),
        );
    }
}

/// Where a statement compares with `@user_id` so that each row that it gives must be the user's: in its own `where`,
/// with no `or` beside it. What stands in parentheses or in a join's `on` may find nothing and the row still come.
fn required_equal(script: &Script, query: &Query) -> Vec<usize> {
    let sql = &*query.sql;
    let tokens: Vec<Token> = tokenize(sql, script.dialect).into_iter().filter(Token::is_significant).collect();
    let is_equal = |at: Option<usize>| {
        at.and_then(|at| tokens.get(at))
            .is_some_and(|token| token.kind == TokenKind::Operator && matches!(token.text(sql), "=" | "=="))
    };
    let (mut found, mut here) = (Vec::new(), Vec::new());
    let (mut depth, mut inside) = (0usize, false);
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 => match token.text(sql).to_ascii_lowercase().as_str() {
                "where" => inside = true,
                "or" => {
                    inside = false;
                    here.clear();
                }
                "group" | "order" | "limit" | "union" | "except" | "intersect" | "window" | "returning" => {
                    inside = false;
                    found.append(&mut here);
                }
                _ => {}
            },
            TokenKind::Placeholder if depth == 0 && inside => {
                let compared = is_equal(at.checked_sub(1)) || is_equal(Some(at + 1));
                if compared && names_user(script, query, token.text(sql)) {
                    here.push(token.from);
                }
            }
            _ => {}
        }
    }
    found.append(&mut here);
    found
}

/// Whether a placeholder such as `?2` or `$2` takes `@user_id`.
fn names_user(script: &Script, query: &Query, placeholder: &str) -> bool {
    let number: Option<usize> = placeholder.get(1..).and_then(|number| number.parse().ok());
    let bind = number.and_then(|number| query.binds.get(number.checked_sub(1)?));
    bind.is_some_and(|bind| matches!(bind.source, Source::Server(at) if script.server[at] == ServerValue::UserId))
}

/// The entries of `[owners]` that name a column of a table; the others are told.
fn existing<'s>(site: &'s Site, schema: &Database, faults: &mut Vec<Fault>) -> Vec<&'s Owner> {
    let owners = &site.settings.owners;
    let mut sound = Vec::new();
    for owner in owners {
        let (table, column) = (&owner.table, &owner.column);
        let columns = schema.columns_of(table);
        let fault = |message: String| Fault::error(message, owner.place.clone());
        if !site.settings.has_users() {
            faults.push(
                fault(format!("`{table}` can't belong to users: this site has no accounts"))
                    .help("set `register` in a section [users] to \"open\", \"invited\" or \"closed\""),
            );
        } else if columns.is_empty() {
            let help = suggestion(table, schema.tables().iter().map(String::as_str));
            faults.push(fault(format!("there is no table `{table}`")).help(help));
        } else if !columns.iter().any(|known| **known == **column) {
            let help = suggestion(column, columns.iter().map(String::as_str));
            faults.push(fault(format!("`{table}` has no column `{column}`")).help(help));
        } else {
            sound.push(owner);
        }
    }
    sound
}

/// Whether the rules of a route say on purpose that its rows are not one user's own: only a role may, or everyone.
fn is_settled(rules: &[AccessRule], method: &str) -> bool {
    let policy = Policy::of(rules, method);
    policy.demands_a_role() || policy.is_public() && rules.iter().any(|rule| is_about(rule, method))
}

/// Statements that read or write a table whose rows belong to users, and never say whose rows.
fn without_owner(owners: &[&Owner], script: &Arc<Script>, known: &Known, faults: &mut Vec<Fault>) {
    // The results and the tables of earlier statements that said it.
    let (mut own_results, mut own_tables) = (BTreeSet::new(), Owned::default());
    for (index, query) in script.queries.iter().enumerate() {
        let Some(description) = known.get(script, index) else { continue };
        if says_whose(script, query, &own_results) {
            own_results.insert(query.slot);
            own_tables.add(query, description);
            continue;
        }
        for owner in owners.iter().filter(|owner| touches(query, description, &owner.table, script.dialect)) {
            if own_tables.settle(query, &owner.table) {
                continue;
            }
            let table = &owner.table;
            let place = offset_of_table(query, table, script.dialect)
                .map_or_else(|| query.place.clone(), |at| query.place_of(at));
            faults.push(
                Fault::warning(
                    format!("`{table}` belongs to users, and `{}` never mentions @user_id", query.name),
                    place,
                )
                .help(format!(
                    "compare `{}` with @user_id, or add an access rule that demands a role or says \"everyone\"",
                    owner.column
                )),
            );
        }
    }
}

/// Tables of which an earlier statement of the script has found the visitor's own row.
#[derive(Default)]
struct Owned {
    /// Without such a row the script has ended.
    certain: BTreeSet<String>,
    /// A later statement may depend on it by `when=`.
    possible: BTreeSet<String>,
}

impl Owned {
    fn add(&mut self, query: &Query, description: &Description) {
        let Tables::Known(reads) = &description.reads else { return };
        if !query.is_conditional() && matches!(query.kind, QueryKind::One | QueryKind::Require(_)) {
            self.certain.extend(reads.iter().cloned());
        }
        self.possible.extend(reads.iter().cloned());
    }

    /// Whether a statement about the table runs only for the row's owner.
    fn settle(&self, query: &Query, table: &str) -> bool {
        self.certain.contains(table) || query.is_conditional() && self.possible.contains(table)
    }
}

/// Whether a statement takes something of the visitor's, by itself or from an earlier result that did.
fn says_whose(script: &Script, query: &Query, own_results: &BTreeSet<usize>) -> bool {
    query.binds.iter().any(|bind| match &bind.source {
        Source::Server(at) => {
            matches!(script.server[*at], ServerValue::UserId | ServerValue::Visitor | ServerValue::SessionId)
        }
        Source::Column(slot, _) | Source::Value(slot) | Source::Changed(slot) => own_results.contains(slot),
        Source::Parameter(_) | Source::Computed(_) | Source::Element => false,
    })
}

/// Whether a statement is about a table: it names it, or reads it through a view. What a write only looks up for a
/// foreign key, or takes along by a cascade, it doesn't name.
fn touches(query: &Query, description: &Description, table: &str, dialect: Dialect) -> bool {
    let among = |tables: &Tables| matches!(tables, Tables::Known(names) if names.contains(table));
    (among(&description.reads) || among(&description.writes))
        && (description.read_only || offset_of_table(query, table, dialect).is_some())
}
