//! `tableside access`: who may do what, why, and the lock that keeps it so.

mod explain;

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::{Outcome, SiteArguments, report};
use crate::check::{self, Served};
use crate::problem::{Fault, Problem};
use crate::settings::AccessRule;
use crate::site::rules::{RESERVED, Verdict, Who};
use crate::site::{self, ACCESS_LOCK, Mode, Site};

/// Show who may do what on a site, and why.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside access shop\n  tableside access shop --json\n  \
                  tableside access shop --explain /staff/orders --method POST --as editor\n  \
                  tableside access shop --lock\n\nThe column of a role is about users with this role alone, whose \
                  address is confirmed.")]
pub(super) struct Arguments {
    #[command(flatten)]
    site: SiteArguments,
    /// Print JSON.
    #[arg(long, conflicts_with_all = ["explain", "lock"])]
    json: bool,
    /// Tell what a path leads to, and which rules decide who may.
    #[arg(long, value_name = "PATH", conflicts_with = "lock")]
    explain: Option<String>,
    /// The method of the request to explain.
    #[arg(long, value_name = "METHOD", default_value = "GET", requires = "explain")]
    method: String,
    /// Who asks: `anonymous`, `users`, `confirmed`, or roles.
    #[arg(long = "as", value_name = "WHO", default_value = "anonymous", requires = "explain")]
    who: Vec<String>,
    /// Show the server's own pages, too, such as /login.
    #[arg(long)]
    builtin: bool,
    /// Write who may do what into access.lock, which `check` holds the site against.
    #[arg(long)]
    lock: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let folder = &arguments.site.folder;
    let loaded = site::load(folder, &arguments.site.settings.settings, Mode::Serve, None)?;
    if report::any_error(&loaded.faults) {
        report::print(&loaded.faults);
        return Ok(Outcome::Faults);
    }
    let site = loaded.site;
    if let Some(path) = &arguments.explain {
        return explain::run(&Arc::new(site), path, &arguments.method, &arguments.who);
    }
    if arguments.lock {
        return write_lock(&site);
    }
    let (mut served, roles) = (check::served(&site), roles(&site));
    served.retain(|line| arguments.builtin || !line.is_builtin());
    match arguments.json {
        true => println!("{}", as_json(&served, &roles)),
        false => print!("{}", aligned(&served, &roles)),
    }
    Ok(Outcome::Success)
}

/// Writes `access.lock`, the rules being sound: a slip in them must not be what is kept.
fn write_lock(site: &Site) -> Result<Outcome, Problem> {
    let faults: Vec<Fault> = check::rules(site);
    if site.plain || report::any_error(&faults) {
        report::print(&faults);
        if site.plain {
            eprintln!("a plain folder has no access rules, so there is nothing to lock");
        }
        return Ok(Outcome::Faults);
    }
    let (file, text) = (site.folder.join(ACCESS_LOCK), check::lock(site));
    std::fs::write(&file, &text)
        .map_err(|error| Problem::broken(format!("can't write `{}`: {error}", file.display())))?;
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    println!("{} says who may do what in {lines} lines. Commit it with the site.", file.display());
    Ok(Outcome::Success)
}

/// Every role that some rule names.
fn roles(site: &Site) -> Vec<Arc<str>> {
    let words = site.settings.access.iter().flat_map(|rule| &rule.allow);
    let roles: BTreeSet<&str> = words.map(String::as_str).filter(|word| !RESERVED.contains(word)).collect();
    roles.into_iter().map(Arc::from).collect()
}

/// The columns: visitors of each kind with their names.
fn columns(roles: &[Arc<str>]) -> Vec<(&str, Who<'_>)> {
    let mut columns = vec![
        ("anonymous", Who::Anonymous),
        ("users", Who::User { confirmed: false, roles: &[] }),
        ("confirmed", Who::User { confirmed: true, roles: &[] }),
    ];
    let of_role = |role| Who::User { confirmed: true, roles: std::slice::from_ref(role) };
    columns.extend(roles.iter().map(|role| (&**role, of_role(role))));
    columns
}

/// The word of a verdict in JSON.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "yes",
        Verdict::LoginNeeded => "login",
        Verdict::ConfirmNeeded => "confirm",
        Verdict::Refused => "no",
        Verdict::Hidden => "hidden",
    }
}

/// A rule in one line: `/account/** GET, POST: users or editor, hidden`.
fn rule_text(rule: &AccessRule) -> String {
    let methods = if rule.methods.is_empty() { String::new() } else { format!(" {}", rule.methods.join(", ")) };
    let hidden = if rule.hide { ", hidden from others" } else { "" };
    format!("{}{methods}: {}{hidden}", rule.path, rule.allow.join(" or "))
}

fn as_json(served: &[Served], roles: &[Arc<str>]) -> String {
    let columns = columns(roles);
    let rule = |rule: &AccessRule| {
        json!({
            "path": rule.path, "methods": rule.methods, "allow": rule.allow, "hide": rule.hide,
            "file": &*rule.place.file, "line": rule.place.line,
        })
    };
    let route = |line: &Served| {
        let allowed: serde_json::Map<String, serde_json::Value> =
            columns.iter().map(|(name, who)| (name.to_string(), word(line.verdict(*who)).into())).collect();
        let mut row = json!({
            "route": line.route, "method": line.method, "file": line.file, "who": line.policy().to_string(),
            "rule": line.rules.iter().map(rule).collect::<Vec<_>>(), "allowed": allowed,
        });
        if !line.addresses.is_empty() {
            row["addresses"] = json!(line.addresses);
        }
        row
    };
    let routes: Vec<_> = served.iter().map(route).collect();
    let roles: Vec<&str> = roles.iter().map(|role| &**role).collect();
    serde_json::to_string_pretty(&json!({ "roles": roles, "routes": routes })).unwrap_or_default()
}

/// The lines in columns that are as wide as their widest cell.
fn aligned(served: &[Served], roles: &[Arc<str>]) -> String {
    let columns = columns(roles);
    let mut header = vec!["ROUTE".to_string(), "METHOD".to_string()];
    header.extend(columns.iter().map(|(name, _)| name.to_string()));
    let rows = served.iter().map(|line| {
        let mut row = vec![route_text(line), line.method.to_string()];
        row.extend(columns.iter().map(|(_, who)| cell(line.verdict(*who)).to_string()));
        row
    });
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn route_text(line: &Served) -> String {
    match line.addresses.len() {
        0 => line.route.clone(),
        1 => format!("{} (file)", line.route),
        number => format!("{} ({number} files)", line.route),
    }
}

/// The word of a verdict in the table.
fn cell(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "yes",
        Verdict::Hidden => "hidden",
        Verdict::LoginNeeded | Verdict::ConfirmNeeded | Verdict::Refused => "no",
    }
}
