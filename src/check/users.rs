//! What query files do about accounts: what they may change of `users`, and words that mean something only in an action,
//! or only on a site that has accounts.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::queries::Known;
use crate::builtin;
use crate::database::{Description, Tables};
use crate::problem::{Fault, Place};
use crate::site::folder::Format;
use crate::site::{Action, Site};
use crate::sqlfile::tokens::{Token, TokenKind, tokenize};
use crate::sqlfile::{Dialect, Expression, Function, Query, Script};

/// How accounts come and go.
const WAYS: &str = "accounts are made by /register, by `tableside user` and by actions with `register:`; all others may \
                    change `name`";

/// What makes a site have accounts.
const SWITCH: &str = "set `register` in a section [users] of site.toml to \"open\", \"invited\" or \"closed\"";

pub(super) fn check(site: &Site, known: &Known, faults: &mut Vec<Fault>) {
    let data = site.endpoints.iter().flat_map(|endpoint| &endpoint.data);
    let data = data.filter(|(format, _)| matches!(format, Format::Json | Format::Csv));
    let downloads: HashSet<*const Script> = data.map(|(_, data)| Arc::as_ptr(&data.script)).collect();
    for script in readings(site) {
        only_actions_prove(script, faults);
        if !downloads.contains(&Arc::as_ptr(script)) {
            no_download(script, faults);
        }
    }
    for action in actions(site) {
        no_download(&action.script, faults);
        for script in action.scripts().filter(|script| is_own(&script.path)) {
            match site.settings.has_users() {
                true => writes_of(script, known, faults),
                false => without_accounts(site, script, faults),
            }
        }
    }
    let events = site.query_files.iter().filter(|file| file.path.starts_with("events/") && !site.settings.has_users());
    faults.extend(events.map(|file| {
        let place = Place::of_line(file.path.clone(), &file.source, 1);
        Fault::error("nobody logs in or registers: this site has no accounts", place).help(SWITCH)
    }));
}

/// Scripts of pages and data.
fn readings(site: &Site) -> impl Iterator<Item = &Arc<Script>> {
    let pages = site.endpoints.iter().filter_map(|endpoint| endpoint.page.as_ref()).chain(site.error_pages.values());
    let data = site.endpoints.iter().flat_map(|endpoint| &endpoint.data).map(|(_, data)| &data.script);
    pages.flat_map(|page| &page.scripts).chain(data).filter(|script| is_own(&script.path))
}

fn actions(site: &Site) -> impl Iterator<Item = &Arc<Action>> {
    site.endpoints.iter().flat_map(|endpoint| {
        let by_method = endpoint.actions.iter().map(|(_, action)| action);
        by_method.chain(&endpoint.visit)
    })
}

/// Whether a file is the site's.
fn is_own(file: &str) -> bool {
    !file.starts_with(builtin::ROOT)
}

/// A page can't count how often a password was tried.
fn only_actions_prove(script: &Script, faults: &mut Vec<Fault>) {
    for value in script.computed.iter().filter(|value| value.expression.is_proof()) {
        let fault = Fault::error(format!("only actions work `@{}` out", value.name), value.place.clone());
        faults.push(fault.help("move it to an action (`.post.sql`)"));
    }
}

/// `download:` belongs to data that a browser keeps as a file.
fn no_download(script: &Script, faults: &mut Vec<Fault>) {
    if let Some(name) = &script.directives.download {
        let fault = Fault::error("nothing is downloaded here", name.place.clone());
        faults.push(fault.help("`download:` stands in files that end in `.json.sql` or `.csv.sql`"));
    }
}

/// Words of accounts on a site that has none.
fn without_accounts(site: &Site, script: &Script, faults: &mut Vec<Fault>) {
    let directives = &script.directives;
    let mut tell = |what: &str, place: Place| {
        faults.push(Fault::error(format!("`{what}` means nothing: this site has no accounts"), place).help(SWITCH));
    };
    if let Some(login) = &directives.login {
        tell("login:", login.place.clone());
    }
    if let Some(register) = &directives.register {
        tell("register:", register.place.clone());
    }
    if directives.logout {
        tell("logout", place_of_logout(site, script));
    }
    for value in &script.computed {
        if let Some(name) = asks_accounts(&value.expression) {
            tell(name, value.place.clone());
        }
    }
}

/// The function of accounts that an expression calls.
fn asks_accounts(expression: &Expression) -> Option<&'static str> {
    let Expression::Call(function, inputs) = expression else { return None };
    match function {
        Function::PasswordOk => Some("password_ok"),
        Function::CodeOk => Some("code_ok"),
        Function::PasskeyOk => Some("passkey_ok"),
        Function::NewPasskey => Some("new_passkey"),
        _ => inputs.iter().find_map(asks_accounts),
    }
}

fn place_of_logout(site: &Site, script: &Script) -> Place {
    let source = site.query_files.iter().find(|file| file.path == script.path).map_or("", |file| &*file.source);
    let is_it =
        |line: &str| line.trim().strip_prefix("--").is_some_and(|rest| rest.trim_matches([' ', ':']) == "logout");
    let line = source.lines().position(is_it).unwrap_or(0) + 1;
    Place::of_line(script.path.clone(), source, line)
}

/// What the statements of a script do to `users`.
fn writes_of(script: &Arc<Script>, known: &Known, faults: &mut Vec<Fault>) {
    for (index, query) in script.queries.iter().enumerate().filter(|(_, query)| is_own(&query.place.file)) {
        let found = changes(&query.sql, script.dialect);
        let unlawful = found.iter().filter_map(|change| change.fault(script.directives.register.is_some()));
        faults.extend(unlawful.map(|(message, at)| Fault::error(message, query.place_of(at)).help(WAYS)));
        if found.is_empty() && known.get(script, index).is_some_and(touches_users) {
            faults.push(by_others(query));
        }
    }
}

fn touches_users(description: &Description) -> bool {
    matches!(&description.writes, Tables::Known(names) if names.contains("users"))
}

fn by_others(query: &Query) -> Fault {
    let message = format!("`{}` changes `users` through a view, a trigger or a foreign key", query.name);
    Fault::error(message, query.place.clone()).help(WAYS)
}

/// What a statement says to do to `users`, and at which byte.
#[derive(Debug, PartialEq)]
enum Change {
    Insert(usize),
    Delete(usize),
    /// Columns that are set.
    Update(Vec<(String, usize)>),
}

impl Change {
    /// What is wrong with it, if it may not be.
    fn fault(&self, registers: bool) -> Option<(String, usize)> {
        match self {
            Change::Insert(_) if registers => None,
            Change::Insert(at) => Some(("this action makes no accounts".into(), *at)),
            Change::Delete(at) => Some(("actions delete no accounts".into(), *at)),
            Change::Update(columns) => {
                let (name, at) = columns.iter().find(|(name, _)| name != "name")?;
                Some((format!("actions don't change `{name}` of `users`"), *at))
            }
        }
    }
}

/// Every change of `users` that the text of a statement names.
fn changes(sql: &str, dialect: Dialect) -> Vec<Change> {
    let tokens: Vec<Token> = tokenize(sql, dialect).into_iter().filter(Token::is_significant).collect();
    let reader = Reader { sql, tokens: &tokens };
    (0..tokens.len()).filter_map(|at| reader.change(at)).collect()
}

struct Reader<'s> {
    sql: &'s str,
    tokens: &'s [Token],
}

impl Reader<'_> {
    fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word(self.sql, word))
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// A name without its quotes, in lower case.
    fn name(&self, at: usize) -> String {
        let text = self.tokens.get(at).map_or("", |token| token.text(self.sql));
        text.trim_matches(['"', '`', '[', ']']).to_lowercase()
    }

    /// The place of the table's own name, behind `only` and the name of a schema.
    fn table(&self, at: usize) -> usize {
        let at = if self.is(at, "only") { at + 1 } else { at };
        if self.kind(at + 1) == Some(TokenKind::Dot) { at + 2 } else { at }
    }

    /// The place of `users` at or behind `at`, where a table is named.
    fn users(&self, at: usize) -> Option<usize> {
        let at = self.table(at);
        (self.name(at) == "users").then_some(at)
    }

    fn change(&self, at: usize) -> Option<Change> {
        let byte = |at: usize| self.tokens[at].from;
        if self.is(at, "into") {
            return self.users(at + 1).map(|at| Change::Insert(byte(at)));
        }
        if self.is(at, "delete") && self.is(at + 1, "from") {
            return self.users(at + 2).map(|at| Change::Delete(byte(at)));
        }
        if self.is(at, "update") {
            // `update or ignore users`
            let from = if self.is(at + 1, "or") { at + 3 } else { at + 1 };
            return self.users(from).map(|at| Change::Update(self.columns(at + 1)));
        }
        None
    }

    /// The columns that `set a = …, (b, c) = …` sets, behind the table and its other name.
    fn columns(&self, from: usize) -> Vec<(String, usize)> {
        let Some(set) = (from..self.tokens.len()).find(|at| self.is(*at, "set")) else { return Vec::new() };
        let (mut columns, mut depth, mut begins) = (Vec::new(), 0_usize, true);
        let _ = (set + 1..self.tokens.len()).try_for_each(|at| {
            match self.tokens[at].kind {
                // A list of columns counts as their beginnings do.
                TokenKind::Open if begins => {}
                TokenKind::Open => depth += 1,
                TokenKind::Close if depth == 0 && !self.closes_columns(at) => return ControlFlow::Break(()),
                TokenKind::Close => depth = depth.saturating_sub(1),
                TokenKind::Comma if depth == 0 => begins = true,
                TokenKind::Word if depth == 0 && self.ends_list(at) => return ControlFlow::Break(()),
                TokenKind::Word | TokenKind::QuotedName if depth == 0 && begins => {
                    columns.push((self.name(at), self.tokens[at].from));
                    begins = false;
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        columns
    }

    /// Whether a word ends what is set; the `from` of `is distinct from` doesn't.
    fn ends_list(&self, at: usize) -> bool {
        self.is(at, "where") || self.is(at, "returning") || self.is(at, "from") && !self.is(at - 1, "distinct")
    }

    /// Whether a bracket ends a list of columns: `=` follows.
    fn closes_columns(&self, at: usize) -> bool {
        self.tokens.get(at + 1).is_some_and(|token| token.text(self.sql) == "=")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns that are set, `+` for an insert, `-` for a delete.
    fn found(sql: &str) -> String {
        let one = |change: &Change| match change {
            Change::Insert(_) => "+".to_string(),
            Change::Delete(_) => "-".to_string(),
            Change::Update(columns) => columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(","),
        };
        changes(sql, Dialect::Postgres).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn changes_of_users_are_found() {
        assert_eq!(found("insert into users (email) values ('x')"), "+");
        assert_eq!(found("INSERT INTO public.\"users\" select 1"), "+");
        assert_eq!(found("delete from only users where id = 1"), "-");
        assert_eq!(found("update users set name = 'a' where id = (select 1)"), "name");
        assert_eq!(found("update users as u set name = coalesce(x, y), email = 'e' from t where a = b"), "name,email");
        assert_eq!(found("update users set (name, \"Email\") = (1, 2), id = 3"), "name,email,id");
        assert_eq!(found("with a as (update users set email = f(1, 2) returning id) select * from a, b"), "email");
        assert_eq!(found("with a as (update users set email = 1) update t set x = 1, y = 2"), "email");
        assert_eq!(found("update users set name = a is distinct from b, email = 1"), "name,email");
        assert_eq!(found("update or ignore users set id = 1"), "id");
    }

    #[test]
    fn other_statements_are_left_alone() {
        for sql in [
            "select * from users for update of users",
            "insert into orders (user_id) select id from users on conflict do update set users = 1",
            "update orders set name = 1 from users where users.id = 1",
            "delete from orders using users",
            "select 'insert into users' -- delete from users",
        ] {
            assert_eq!(found(sql), "", "{sql}");
        }
    }
}
