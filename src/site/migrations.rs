//! Reads `migrations/`: `0001_start.sql`, `0002_cities.csv`.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::database::migrations::{Content, Migration};
use crate::problem::Fault;
use crate::sqlfile::{Dialect, tokens};

/// The migrations of a site's folder in order. Names that can't be read, and numbers that occur twice, are faults.
pub(super) fn read(folder: &Path, faults: &mut Vec<Fault>) -> Vec<Migration> {
    let root = folder.join("migrations");
    let Ok(entries) = fs::read_dir(&root) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let mut migrations: Vec<Migration> = Vec::new();
    for name in &names {
        // Notes may lie beside the migrations.
        if !(name.ends_with(".sql") || name.ends_with(".csv")) || name.ends_with(".postgres.sql") {
            continue;
        }
        if name.ends_with(".sql") && !name.ends_with(".sqlite.sql") {
            let replacement = format!("{}.sqlite.sql", name.trim_end_matches(".sql"));
            if names.contains(&replacement) {
                continue;
            }
        }
        match read_one(&root, name) {
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

fn read_one(root: &Path, name: &str) -> Result<Migration, String> {
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
    let fingerprint = tokens::fingerprint(&text, Dialect::Sqlite);
    Ok(Migration { number, path, fingerprint, content: Content::Sql(text.into()) })
}
