//! What `dev` does with messages: none is sent, each becomes a file in `data/mail/` that a mail program opens.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::database::{Database, Snapshot, Tables};
use crate::log::Level;
use crate::outbox::{self, Row};
use crate::problem::Problem;

/// Between two looks at the outbox.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// So long after the last look there is another one, because other programs write, too.
const LOOK_ANYWAY: Duration = Duration::from_secs(3);
/// Messages that are kept at once; of more, the newest.
const AT_ONCE: usize = 100;
/// How long the database may take to tell them.
const READ_TIME: Duration = Duration::from_secs(5);

/// Keeps messages until the process ends.
pub(super) fn keep(app: &App, folder: &Path) {
    let Some(database) = app.database() else { return };
    let tables = database.versions().tables(&Tables::Known(["outbox".into()].into()));
    let mut keeper = Keeper { app, database, folder, last: 0, failed: false };
    loop {
        let seen = database.versions().current(&tables);
        let looked = Instant::now();
        keeper.look();
        std::thread::sleep(LOOK_EVERY);
        while database.versions().is_current(&seen) && looked.elapsed() < LOOK_ANYWAY {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

struct Keeper<'k> {
    app: &'k App,
    database: &'k Database,
    folder: &'k Path,
    /// The number of the last message that was kept.
    last: i64,
    /// Whether the last look failed: that is told once.
    failed: bool,
}

impl Keeper<'_> {
    fn look(&mut self) {
        let found: Result<Vec<Row>, Problem> =
            self.database.read_and_wait(READ_TIME, async move |snapshot: &mut Snapshot<'_>| {
                Ok(outbox::newest(snapshot, AT_ONCE).await?)
            });
        match found {
            Ok(rows) => {
                self.failed = false;
                rows.iter().rev().filter(|row| row.id > self.last).for_each(|row| self.put(row));
                self.last = rows.first().map_or(0, |row| row.id);
            }
            Err(problem) if !self.failed => {
                self.failed = true;
                self.app.log.note(Level::Warning, &format!("the outbox can't be read: {problem}"));
            }
            Err(_) => {}
        }
    }

    /// Writes the message of a row beside the others.
    fn put(&self, row: &Row) {
        let site = self.app.site();
        let base = super::running::address(site.settings.listen);
        let path = self.folder.join(file_name(row));
        let put = outbox::message(&site.mails, &site.settings, &base, row).and_then(|message| {
            fs::create_dir_all(self.folder)
                .and_then(|()| fs::write(&path, message.eml()))
                .map_err(|error| Problem::broken(format!("can't write `{}`: {error}", path.display())))
        });
        match put {
            Ok(()) => self.app.log.note(Level::Info, &format!("mail to {}: {}", row.recipient, path.display())),
            Err(problem) => self.app.log.note(Level::Error, &problem.to_string()),
        }
    }
}

/// `7-welcome.eml`. The template is named by a row, which may hold anything.
fn file_name(row: &Row) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let template: String = row.template.chars().take(60).map(safe).collect();
    format!("{}-{template}.eml", row.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_template_leads_out_of_the_folder() {
        let row = |template: &str| Row { id: 7, template: template.into(), ..Row::default() };
        assert_eq!(file_name(&row("shop/receipt")), "7-shop-receipt.eml");
        assert_eq!(file_name(&row("../../etc/x")), "7-------etc-x.eml");
    }
}
