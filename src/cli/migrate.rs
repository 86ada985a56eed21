//! `tableside migrate`: the schema of a site's database.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, SettingArguments, report, running};
use crate::clock::Clock;
use crate::database::migrations::{self, State, Status};
use crate::problem::Problem;
use crate::site::{self, Mode};

/// Show or apply the migrations of a site's database.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside migrate status --site shop\n  tableside migrate apply --site shop")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell which migrations are applied, and which were edited since. Exits with 1 when something is wrong.
    Status(Place),
    /// Apply what is not applied yet, in order.
    Apply(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// The site's folder.
    #[arg(long = "site", value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let (place, apply) = match &arguments.verb {
        Verb::Status(place) => (place, false),
        Verb::Apply(place) => (place, true),
    };
    let loaded = site::load(&place.folder, &place.settings.settings, Mode::Serve, None)?;
    let (site, clock) = (&loaded.site, Clock::system());
    let database = running::open_database(site, &clock)?;
    let result = match apply {
        true => migrations::apply(&database, &site.migrations),
        false => migrations::status(&database, &site.migrations),
    };
    match result {
        Ok(status) => {
            print(&status, place.json);
            let well = status.iter().all(|row| matches!(row.state, State::Applied(_) | State::Pending));
            Ok(if well { Outcome::Success } else { Outcome::Faults })
        }
        Err(fault) => {
            report::print(&[*fault]);
            Ok(Outcome::Faults)
        }
    }
}

fn print(status: &[Status], as_json: bool) {
    if as_json {
        let rows: Vec<_> = status
            .iter()
            .map(|row| json!({"number": row.number, "file": &*row.path, "state": word(&row.state)}))
            .collect();
        return println!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
    }
    if status.is_empty() {
        return println!("no migrations");
    }
    for row in status {
        println!("{:<8} {}", word(&row.state), row.path);
    }
}

fn word(state: &State) -> &'static str {
    match state {
        State::Applied(_) => "applied",
        State::Pending => "pending",
        State::Edited => "edited",
        State::Missing => "missing",
        State::OutOfOrder => "disorder",
    }
}
