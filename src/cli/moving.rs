//! `tableside move`: a site's data to another database.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Outcome, SiteArguments, report};
use crate::clock::Clock;
use crate::database::moving::{self, Order, Place, Progress, Report, Stopped};
use crate::problem::Problem;
use crate::site::{self, Mode, Site};
use crate::sqlfile::Dialect;

/// Move the data of a site to another database, and verify it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside move shop --to postgres://shop@db.example/shop\n  \
                  tableside move shop --to sqlite:shop.db --set database.url=postgres://shop@db.example/shop\n\n\
                  The data is read from the database that `database.url` names, which is not changed. The target must \
                  be empty; when the move fails it stays so, and the move can be made again.")]
pub(super) struct Arguments {
    #[command(flatten)]
    site: SiteArguments,
    /// The target: `postgres://…`, `sqlite:PATH` or `PATH.db`.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Print what was moved as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let Some(to) = target(&arguments.to) else {
        let message = format!("`--to {}` is no database: write postgres://…, sqlite:PATH or PATH.db", arguments.to);
        return Err(Problem::broken(message));
    };
    let folder = &arguments.site.folder;
    let flags = &arguments.site.settings.settings;
    let source = site::load(folder, flags, Mode::Serve, None)?;
    let flags: Vec<String> = flags.iter().cloned().chain([format!("database.url={to}")]).collect();
    let target = site::load(folder, &flags, Mode::Serve, None)?;
    if report::any_error(&target.faults) {
        report::print(&target.faults);
        return Ok(Outcome::Faults);
    }
    let (source, target) = (&source.site, &target.site);
    refuse(source, target)?;
    let clock = Clock::system();
    let order = Order {
        source: (place(source), (&source.migrations).into()),
        target: (place(target), (&target.migrations).into()),
        unsafe_is_fine: target.settings.allow_unsafe_durability,
        clock: &clock,
    };
    let mut terminal = Terminal { shown: std::io::stderr().is_terminal(), width: 0 };
    let result = moving::run(&order, &mut |progress| terminal.show(progress));
    terminal.clear();
    match result {
        Ok(report) if arguments.json => println!("{}", as_json(&report, &order)),
        Ok(report) => print(&report, &order, source),
        Err(stopped) => return tell(stopped, arguments.json),
    }
    Ok(Outcome::Success)
}

/// What `--to` means to `database.url`; `None` for what names no database.
fn target(to: &str) -> Option<String> {
    let is_file = || [".db", ".sqlite", ".sqlite3"].iter().any(|end| to.ends_with(end));
    match to.split_once(':') {
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Some(to.to_string()),
        Some(("sqlite", path)) if !path.is_empty() => Some(to.to_string()),
        _ if is_file() => Some(format!("sqlite:{to}")),
        _ => None,
    }
}

/// Refuses what other programs do better.
fn refuse(source: &Site, target: &Site) -> Result<(), Problem> {
    if source.plain {
        return Err(Problem::broken("this is a plain folder: it has no database"));
    }
    if source.dialect != target.dialect {
        return Ok(());
    }
    Err(Problem::broken(match source.dialect {
        Dialect::Sqlite => "both databases are SQLite: stop the server and copy the file",
        Dialect::Postgres => "both databases are PostgreSQL: use pg_dump and pg_restore",
    }))
}

/// The database of a site.
fn place(site: &Site) -> Place {
    let url = &site.settings.database_url;
    match site.dialect {
        Dialect::Postgres => Place::Postgres(url.clone()),
        Dialect::Sqlite => Place::Sqlite(match url.trim_start_matches("sqlite:") {
            "" => site.folder.join("data/site.db"),
            path => PathBuf::from(path),
        }),
    }
}

/// A database as people may see it: without its password.
fn shown(place: &Place) -> String {
    match place {
        Place::Sqlite(path) => format!("sqlite:{}", path.display()),
        Place::Postgres(url) => {
            let url = url.split('?').next().unwrap_or("");
            let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
            match rest.rsplit_once('@') {
                Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or("")),
                None => format!("{scheme}://{rest}"),
            }
        }
    }
}

/// One line on stderr that changes, where somebody sees it.
struct Terminal {
    shown: bool,
    /// Characters of the line.
    width: usize,
}

impl Terminal {
    fn show(&mut self, progress: &Progress<'_>) {
        if !self.shown {
            return;
        }
        let Progress { step, table, rows, all } = progress;
        let line = format!("{step} {table}: {rows} of {all} rows");
        let length = line.chars().count();
        eprint!("\r{line}{}", " ".repeat(self.width.saturating_sub(length)));
        // A terminal that is gone misses nothing.
        let _ = std::io::stderr().flush();
        self.width = length;
    }

    fn clear(&mut self) {
        if self.width > 0 {
            eprint!("\r{}\r", " ".repeat(self.width));
        }
    }
}

fn as_json(report: &Report, order: &Order<'_>) -> String {
    let tables: Vec<_> = report
        .tables
        .iter()
        .map(|moved| json!({"table": moved.table, "rows": moved.rows, "checksum": checksum(moved.checksum)}))
        .collect();
    let all = json!({
        "from": shown(&order.source.0),
        "to": shown(&order.target.0),
        "tables": tables,
        "notes": report.notes,
        "source_changed": report.source_changed,
    });
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

fn checksum(sum: u128) -> String {
    format!("{sum:032x}")
}

fn print(report: &Report, order: &Order<'_>, site: &Site) {
    let name = report.tables.iter().map(|moved| moved.table.chars().count()).max().unwrap_or(0).max(5);
    println!("{:<name$}  {:>10}  CHECKSUM", "TABLE", "ROWS");
    for moved in &report.tables {
        println!("{:<name$}  {:>10}  {}", moved.table, moved.rows, checksum(moved.checksum));
    }
    let rows: u64 = report.tables.iter().map(|moved| moved.rows).sum();
    let (tables, from, to) = (report.tables.len(), shown(&order.source.0), shown(&order.target.0));
    println!("\nmoved {rows} rows of {tables} tables from {from} to {to}: all equal on both sides");
    for note in &report.notes {
        println!("note: {note}");
    }
    println!("uploaded files stay where they are, in {}", site.folder.join("data/uploads").display());
    if report.source_changed {
        println!(
            "warning: the source was written to during the move; what was written then is NOT at the target. Stop the \
             server, empty the target and move again."
        );
    } else {
        println!(
            "next: stop the old server first, because what it writes from now on stays behind; set database.url to the \
             target; start again"
        );
    }
}

fn tell(stopped: Stopped, as_json: bool) -> Result<Outcome, Problem> {
    match stopped {
        Stopped::Fault(fault) => report::print(&[*fault]),
        Stopped::Refused(message) => return Err(Problem::broken(message)),
        Stopped::Wrong(wrong) if as_json => {
            let rows = wrong
                .iter()
                .map(|one| json!({"table": one.table, "row": one.row, "column": one.column, "message": one.message}));
            let all = json!({"wrong": rows.collect::<Vec<_>>()});
            println!("{}", serde_json::to_string_pretty(&all).unwrap_or_default());
        }
        Stopped::Wrong(wrong) => {
            eprintln!("these values don't fit the target (the first {}); nothing was moved:", wrong.len());
            wrong.iter().for_each(|one| eprintln!("  {one}"));
        }
    }
    Ok(Outcome::Faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_known_by_their_form() {
        assert_eq!(target("postgres://db/shop").as_deref(), Some("postgres://db/shop"));
        assert_eq!(target("sqlite:shop").as_deref(), Some("sqlite:shop"));
        assert_eq!(target("new/shop.db").as_deref(), Some("sqlite:new/shop.db"));
        assert_eq!([target("mysql://x"), target("shop"), target("sqlite:")], [None, None, None]);
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |url: &str| shown(&Place::Postgres(url.into()));
        assert_eq!(shown("postgres://shop:secret@db:5432/shop?password=x"), "postgres://shop@db:5432/shop");
        assert_eq!(shown("postgres:///shop"), "postgres:///shop");
    }
}
