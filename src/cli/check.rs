//! `tableside check`: every fault of a site, before it is served.

use clap::Args;

use super::{Outcome, SiteArguments, report};
use crate::check;
use crate::clock::Clock;
use crate::database::Database;
use crate::database::migrations;
use crate::problem::{Fault, Problem};
use crate::site::{self, Mode, Site};

/// Find every fault of a site before a visitor does.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside check shop\n  tableside check shop --json\n\nExits with 1 when there \
                  are errors. The site's own database is not touched.")]
pub(super) struct Arguments {
    #[command(flatten)]
    site: SiteArguments,
    /// Print the faults as JSON, for editors.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let loaded = site::load(&arguments.site.folder, &arguments.site.settings.settings, Mode::Serve, None)?;
    let mut faults = loaded.faults;
    if !loaded.site.plain {
        faults = check::joined(faults, on_scratch(&loaded.site)?);
    }
    if arguments.json {
        println!("{}", report::json(&faults));
    } else {
        report::print(&faults);
        if !report::any_error(&faults) {
            println!("{} is sound: {}", arguments.site.folder.display(), extent(&loaded.site));
        }
    }
    Ok(if report::any_error(&faults) { Outcome::Faults } else { Outcome::Success })
}

/// The faults found with all migrations applied to an empty database.
fn on_scratch(site: &Site) -> Result<Vec<Fault>, Problem> {
    let scratch = Database::scratch(&Clock::system())?;
    Ok(match migrations::apply(&scratch, &site.migrations) {
        Ok(_) => check::check(site, &scratch),
        Err(fault) => vec![*fault],
    })
}

/// How much was checked.
fn extent(site: &Site) -> String {
    let queries: usize = site.query_files.iter().map(|file| file.statements.len()).sum();
    format!("{} routes, {queries} queries, {} static files", site.endpoints.len(), site.statics.addresses().len())
}
