//! An empty database with all of a site's migrations, of the kind that the site runs on, to hold the site against.

use crate::check;
use crate::clock::Clock;
use crate::database::{Database, migrations};
use crate::problem::{Fault, Problem};
use crate::site::Site;
use crate::sqlfile::Dialect;

use super::running;

/// An empty database: a file in a temporary folder, or a database or schema on the server that `database.url` names.
///
/// # Errors
/// It can't be made.
pub(super) fn empty(site: &Site) -> Result<Database, Problem> {
    let clock = Clock::system();
    match site.dialect {
        Dialect::Sqlite => Database::scratch(&clock),
        Dialect::Postgres => Database::scratch_on(&running::postgres_options(&site.settings), &clock),
    }
}

/// The same with the migrations applied.
///
/// # Errors
/// As [`empty`]. The inner error is the fault of a migration, with what to do about it.
pub(super) fn migrated(site: &Site) -> Result<Result<Database, Fault>, Problem> {
    let scratch = empty(site)?;
    Ok(match migrations::apply(&scratch, &site.migrations) {
        Ok(_) => Ok(scratch),
        Err(mut fault) => {
            if fault.help.is_empty() {
                fault.help = check::help_for(site.dialect, &fault);
            }
            Err(*fault)
        }
    })
}
