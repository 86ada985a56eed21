//! An empty database with all of a site's migrations, of the kind that the site runs on, to hold the site against.

use crate::check::{self, Schema};
use crate::clock::Clock;
use crate::database::postgres::{Keeper, Options};
use crate::database::{Database, migrations};
use crate::problem::{Fault, Problem};
use crate::site::Site;
use crate::sqlfile::Dialect;

/// See the top of this file.
pub(super) enum Scratch {
    /// A file in a temporary folder.
    Sqlite(Database),
    /// A database or schema on the server that `database.url` names.
    Postgres(Keeper),
}

impl Scratch {
    /// Makes it and applies the migrations.
    ///
    /// # Errors
    /// It can't be made. The inner error is the fault of a migration.
    pub(super) fn migrated(site: &Site) -> Result<Result<Scratch, Fault>, Problem> {
        let clock = Clock::system();
        let (scratch, applied) = match site.dialect {
            Dialect::Sqlite => {
                let database = Database::scratch(&clock)?;
                let applied = migrations::apply(&database, &site.migrations);
                (Scratch::Sqlite(database), applied)
            }
            Dialect::Postgres => {
                let keeper = Keeper::scratch(&Options::new(&*site.settings.database_url), &clock)?;
                let applied = keeper.apply(&site.migrations);
                (Scratch::Postgres(keeper), applied)
            }
        };
        Ok(match applied {
            Ok(_) => Ok(scratch),
            Err(fault) => Err(Scratch::explained(site, *fault)),
        })
    }

    /// A migration's fault with what to do about it.
    fn explained(site: &Site, mut fault: Fault) -> Fault {
        if fault.help.is_empty() {
            fault.help = check::help_for(site.dialect, &fault);
        }
        fault
    }

    /// What the site is held against.
    pub(super) fn schema(&self) -> &dyn Schema {
        match self {
            Scratch::Sqlite(database) => database,
            Scratch::Postgres(keeper) => keeper,
        }
    }

    /// What differs between the databases in texts that run on both.
    pub(super) fn differences(&self, site: &Site) -> Vec<Fault> {
        match self {
            Scratch::Sqlite(_) => Vec::new(),
            Scratch::Postgres(keeper) => check::differences(site, keeper),
        }
    }
}
