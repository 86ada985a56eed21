//! `tableside test`: the site's own tests against the real server, each file on a fresh database.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Outcome, SiteArguments, report, running, scratch};
use crate::accept;
use crate::app::App;
use crate::clock::Clock;
use crate::database::Database;
use crate::hurl::{self, Report, Variables};
use crate::problem::{Fault, Problem};
use crate::site::{self, Mode};
use crate::sqlfile::Dialect;

/// Run the site's own tests on a fresh database.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tableside test shop\n  tableside test shop --only cart\n\nThe files in tests/ are \
                  in Hurl's own format; addresses begin with {{host}}:\n\n  GET {{host}}/cart\n  HTTP 200"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    site: SiteArguments,
    /// Run only the files whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let folder = &arguments.site.folder;
    let files = test_files(&folder.join("tests"), arguments.only.as_deref())?;
    if files.is_empty() {
        return Err(Problem::broken(format!("`{}` holds no test: *.hurl", folder.join("tests").display())));
    }
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        match run_file(folder, file, &arguments.site.settings.settings)? {
            Ok(report) if report.passed() => {
                passed += 1;
                println!("ok    {} ({} requests)", shown(folder, file), report.entries);
            }
            Ok(report) => {
                failed += 1;
                println!("FAIL  {}", shown(folder, file));
                report::print(&report.failures);
            }
            Err(faults) => {
                failed += 1;
                println!("FAIL  {}", shown(folder, file));
                report::print(&faults);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { Outcome::Success } else { Outcome::Faults })
}

fn shown(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).display().to_string()
}

/// The test files, sorted.
fn test_files(folder: &Path, only: Option<&str>) -> Result<Vec<PathBuf>, Problem> {
    let entries =
        fs::read_dir(folder).map_err(|error| Problem::broken(format!("can't read `{}`: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hurl"))
        .filter(|path| only.is_none_or(|text| path.to_string_lossy().contains(text)))
        .collect();
    files.sort();
    Ok(files)
}

/// Serves the site with a database and uploads of its own, and runs one file against it.
fn run_file(folder: &Path, file: &Path, flags: &[String]) -> Result<Result<Report, Vec<Fault>>, Problem> {
    let source = fs::read_to_string(file)
        .map_err(|error| Problem::broken(format!("can't read `{}`: {error}", file.display())))?;
    let parsed = match hurl::parse(shown(folder, file), source) {
        Ok(parsed) => parsed,
        Err(fault) => return Ok(Err(vec![*fault])),
    };
    let scratch = Scratch::new()?;
    let mut flags = flags.to_vec();
    flags.push("server.listen=127.0.0.1:0".into());
    flags.push("server.threads=1".into());
    // Never the store of visitors.
    flags.push("uploads.store=".into());
    let clock = Clock::system();
    let loaded = site::load(folder, &flags, Mode::Serve, None)?.site;
    // On a server the database is there as long as this is.
    let beside = match loaded.dialect {
        Dialect::Sqlite => None,
        Dialect::Postgres => Some(scratch::migrated(&loaded)?),
    };
    let beside = match beside.transpose() {
        Ok(beside) => beside,
        Err(fault) => return Ok(Err(vec![fault])),
    };
    match beside.as_ref().and_then(Database::keeper) {
        None => flags.push(format!("database.url={}", scratch.0.join("site.db").display())),
        Some(keeper) => {
            flags.push(format!("database.url={}", keeper.url()));
            flags.push("database.allow_unsafe_durability=true".into());
        }
    }
    let opened = match running::open_at(folder, &scratch.0, &flags, Mode::Serve, &clock) {
        Ok(opened) => opened,
        Err(running::Refusal::Faults(faults)) => return Ok(Err(faults)),
        Err(running::Refusal::Problem(problem)) => return Err(problem),
    };
    let listeners = running::listen(&opened.site.settings)?;
    let address = listeners.addresses().first().copied();
    let address = address.ok_or_else(|| Problem::broken("the server listens nowhere"))?;
    let log = crate::log::Log::open(crate::log::Format::Text, Box::new(std::io::sink()));
    let mut app = App::new(opened.site, opened.data, log, clock);
    // A test follows the links of messages.
    app.shows_mail = true;
    let app = Arc::new(app);
    let (stopper, stop) = accept::stop_pair();
    let server = std::thread::spawn({
        let app = app.clone();
        move || running::serve(&app, listeners, stop)
    });
    let report = client(&parsed, &format!("http://{address}"), &folder.join("tests"))?;
    stopper.stop();
    let ended = server.join().map_err(|_| Problem::broken("the server's thread panicked"))?;
    ended?;
    if let Some(database) = app.database() {
        database.close();
    }
    app.log.flush(Duration::from_secs(1));
    Ok(Ok(report))
}

fn client(file: &hurl::HurlFile, host: &str, folder: &Path) -> Result<Report, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::broken(format!("can't start the test client: {error}")))?;
    let variables = Variables::new().with("host", host);
    Ok(runtime.block_on(hurl::run(file, &variables, folder)))
}

/// A folder that is gone when the test file is done.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Problem> {
        let folder = std::env::temp_dir().join(format!("tableside-test-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder)
            .map_err(|error| Problem::broken(format!("can't make `{}`: {error}", folder.display())))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays in the system's folder for temporary files is cleared by the system.
        let _ = fs::remove_dir_all(&self.0);
    }
}
