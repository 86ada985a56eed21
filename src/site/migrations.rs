//! Reads `migrations/`: `0001_start.sql`, `0002_cities.csv`.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Override;
use crate::database::migrations::{Content, Migration};
use crate::problem::{Fault, Place};
use crate::sqlfile::tokens::{Token, TokenKind};
use crate::sqlfile::{Dialect, tokens, without_dialect};

/// The migrations of a site's folder in order, for one database. Names that can't be read, and numbers that occur
/// twice, are faults. Files that are for one database only are written down in `overrides`.
pub(super) fn read(
    folder: &Path,
    dialect: Dialect,
    overrides: &mut Vec<Override>,
    faults: &mut Vec<Fault>,
) -> Vec<Migration> {
    let root = folder.join("migrations");
    let Ok(entries) = fs::read_dir(&root) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // Notes may lie beside the migrations.
    names.retain(|name| name.ends_with(".sql") || name.ends_with(".csv"));
    names.sort();
    overrides.extend(names.iter().filter_map(|name| Override::of(&format!("migrations/{name}"))));
    let mut migrations: Vec<Migration> = Vec::new();
    for name in &names {
        let stem = name.trim_end_matches(".sql");
        let replaced = names.contains(&format!("{stem}.{}.sql", dialect.word()));
        let other = without_dialect(name).1.is_some_and(|only| only != dialect);
        if other || name.ends_with(".sql") && replaced {
            continue;
        }
        match read_one(&root, name, dialect) {
            Ok(migration) => match migrations.iter().find(|other| other.number == migration.number) {
                Some(other) => faults.push(Fault::everywhere(format!(
                    "two migrations have the number {}: `{}` and `migrations/{name}`",
                    migration.number, other.path
                ))),
                None => migrations.push(migration),
            },
            Err(message) => faults.push(Fault::everywhere(format!("`migrations/{name}`: {message}"))),
        }
    }
    migrations.sort_by_key(|migration| migration.number);
    migrations
}

/// Migrations that make a table of a name that the server keeps for its own, also by `if not exists`, which would pass
/// them by.
pub(super) fn taken(list: &[Migration], dialect: Dialect, accounts: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for migration in list {
        let Content::Sql(sql) = &migration.content else { continue };
        let tokens: Vec<Token> = tokens::tokenize(sql, dialect).into_iter().filter(Token::is_significant).collect();
        for (token, name) in made(sql, &tokens) {
            let help = match &*name {
                "users" if accounts => {
                    "the server makes it; for more about a user, make a table whose key is the user's id"
                }
                "outbox" => "the server makes it, and sends what your actions write into it",
                "uploads" => "the server makes it, for the files of `file` parameters",
                _ => continue,
            };
            let place = Place::of(migration.path.clone(), sql, token.from, token.to);
            faults.push(Fault::error(format!("`{name}` is a table of the server"), place).help(help));
        }
    }
    faults
}

/// The names of the tables and views that a migration makes.
fn made<'t>(sql: &str, tokens: &'t [Token]) -> Vec<(&'t Token, String)> {
    const BETWEEN: [&str; 8] = ["temp", "temporary", "unlogged", "virtual", "materialized", "if", "not", "exists"];
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(sql, word));
    let skip = |mut at: usize| {
        while BETWEEN.iter().any(|word| is(at, word)) {
            at += 1;
        }
        at
    };
    let name = |at: usize| {
        let kind = skip(at + 1);
        let named = skip(kind + 1);
        let qualified = tokens.get(named + 1).is_some_and(|token| token.kind == TokenKind::Dot);
        let token = tokens.get(if qualified { named + 2 } else { named })?;
        let text = token.text(sql).trim_matches(['"', '`', '[', ']']).to_lowercase();
        (is(at, "create") && (is(kind, "table") || is(kind, "view"))).then_some((token, text))
    };
    (0..tokens.len()).filter_map(name).collect()
}

fn read_one(root: &Path, name: &str, dialect: Dialect) -> Result<Migration, String> {
    let digits = name.split('_').next().unwrap_or("");
    let number: u32 = digits
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or("a migration's name begins with its number, such as 0001_start.sql")?;
    let text = fs::read_to_string(root.join(name)).map_err(|error| format!("can't be read: {error}"))?;
    let path = format!("migrations/{name}").into();
    if let Some(stem) = name.strip_suffix(".csv") {
        let table = stem[digits.len()..].trim_start_matches('_').to_string();
        if table.is_empty() {
            return Err("the name of a CSV file tells its table, such as 0002_cities.csv".into());
        }
        let fingerprint = Sha256::digest(text.as_bytes()).into();
        return Ok(Migration {
            number,
            path,
            fingerprint,
            content: Content::Csv { table: table.into(), text: text.into() },
        });
    }
    let fingerprint = tokens::fingerprint(&text, dialect);
    Ok(Migration { number, path, fingerprint, content: Content::Sql(text.into()) })
}
