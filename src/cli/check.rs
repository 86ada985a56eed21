//! `tableside check`: every fault of a site, before it is served.

use clap::Args;

use super::{Outcome, SiteArguments, report, scratch};
use crate::check;
use crate::problem::{Fault, Problem};
use crate::site::{self, Mode, Site};

/// Find every fault of a site before a visitor does.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside check shop\n  tableside check shop --json\n  \
                  tableside check shop --database postgres://shop@db.example/shop\n\nExits with 1 when there \
                  are errors. The site's own database is not touched.")]
pub(super) struct Arguments {
    #[command(flatten)]
    site: SiteArguments,
    /// Check for this database: `postgres://…` makes a temporary database on that server and changes nothing else there.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print the faults as JSON, for editors.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let mut flags = arguments.site.settings.settings.clone();
    flags.extend(arguments.database.iter().map(|url| format!("database.url={url}")));
    let loaded = site::load(&arguments.site.folder, &flags, Mode::Serve, None)?;
    let mut faults = loaded.faults;
    if !loaded.site.plain {
        faults = check::joined(faults, on_scratch(&loaded.site)?);
    }
    if arguments.json {
        println!("{}", report::json(&faults));
    } else {
        report::print(&faults);
        print_overrides(&loaded.site);
        if !report::any_error(&faults) {
            println!("{} is sound: {}", arguments.site.folder.display(), extent(&loaded.site));
        }
    }
    Ok(if report::any_error(&faults) { Outcome::Faults } else { Outcome::Success })
}

/// The faults found with all migrations applied to an empty database.
fn on_scratch(site: &Site) -> Result<Vec<Fault>, Problem> {
    Ok(match scratch::migrated(site)? {
        Ok(scratch) => check::joined(check::differences(site, &scratch), check::check(site, &scratch)),
        Err(fault) => vec![fault],
    })
}

/// Which files are for one database only.
fn print_overrides(site: &Site) {
    for one in &site.overrides {
        let beside = if site.folder.join(&*one.replaces).exists() { "in place of" } else { "without" };
        println!("{}: for {} only, {beside} {}", one.file, one.dialect.name(), one.replaces);
    }
}

/// How much was checked.
fn extent(site: &Site) -> String {
    let queries: usize = site.query_files.iter().map(|file| file.statements.len()).sum();
    format!("{} routes, {queries} queries, {} static files", site.endpoints.len(), site.statics.sorted().len())
}
