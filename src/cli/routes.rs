//! `tableside routes`: what is served, who may, and which tables it reads and writes.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;

use super::{Outcome, SiteArguments, report, scratch};
use crate::check::{self, RouteLine};
use crate::database::Tables;
use crate::problem::Problem;
use crate::site::{self, Mode};

/// Show what is served, who may, and which tables it reads and writes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside routes shop\n  tableside routes shop --json")]
pub(super) struct Arguments {
    #[command(flatten)]
    site: SiteArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show the server's own pages, too, such as /login.
    #[arg(long)]
    builtin: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let loaded = site::load(&arguments.site.folder, &arguments.site.settings.settings, Mode::Serve, None)?;
    let scratch = match scratch::migrated(&loaded.site)? {
        Ok(scratch) => scratch,
        Err(fault) => {
            report::print(&[fault]);
            return Ok(Outcome::Faults);
        }
    };
    let mut lines = check::routes(&loaded.site, &scratch);
    lines.retain(|line| arguments.builtin || !line.is_builtin());
    match arguments.json {
        true => println!("{}", as_json(&lines)),
        false => print!("{}", aligned(&lines)),
    }
    if report::any_error(&loaded.faults) {
        report::print(&loaded.faults);
        return Ok(Outcome::Faults);
    }
    Ok(Outcome::Success)
}

fn names(tables: &Tables, because: &[String]) -> String {
    match tables {
        Tables::Known(names) => shown(names).join(" "),
        Tables::Unknown if because.is_empty() => "unknown".into(),
        Tables::Unknown => format!("unknown: {}", because.join(", ")),
    }
}

/// The tables without SQLite's own: that a key was counted up is nothing that anybody reads here.
fn shown(names: &BTreeSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).filter(|name| *name != "sqlite_sequence").collect()
}

fn as_json(lines: &[RouteLine]) -> String {
    let list = |tables: &Tables| match tables {
        Tables::Known(names) => json!(shown(names)),
        Tables::Unknown => json!(null),
    };
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut row = json!({
                "route": line.route, "method": line.method, "who": line.who, "file": line.file,
                "reads": list(&line.reads), "writes": list(&line.writes), "parameters": line.parameters,
            });
            // Only where there is something to say.
            if !line.because.is_empty() {
                row["because"] = json!(line.because);
            }
            row
        })
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}

/// The lines in columns that are as wide as their widest cell.
fn aligned(lines: &[RouteLine]) -> String {
    let header = ["ROUTE", "METHOD", "WHO", "READS", "WRITES", "PARAMETERS"].map(str::to_string);
    let rows = lines.iter().map(|line| {
        [
            line.route.clone(),
            line.method.to_string(),
            line.who.clone(),
            names(&line.reads, &line.because),
            names(&line.writes, &line.because),
            line.parameters.join(", "),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
