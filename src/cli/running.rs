//! What `serve`, `dev` and `test` share: from a folder to a server that listens.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accept::{self, Listeners, Stop};
use crate::app::App;
use crate::check;
use crate::clock::Clock;
use crate::database::migrations;
use crate::database::{self, Database, postgres};
use crate::log::{Format, Level, Log};
use crate::problem::{Fault, Kind, Problem};
use crate::serve::Server;
use crate::settings::{LogFormat, Settings};
use crate::site::{self, Mode, Site};
use crate::sqlfile::Dialect;
use crate::uploads::{self, Bucket, Place, Uploads};
use crate::value::{Kind as ValueKind, Value};

use super::sweeping::Sweeper;
use super::{report, scratch};

/// A site that was read, with its data.
pub(super) struct Opened {
    pub(super) site: Site,
    /// `None` for a plain folder.
    pub(super) data: Option<(Database, Uploads)>,
    /// What was found on the way; no errors.
    pub(super) faults: Vec<Fault>,
}

/// Why a site can't be opened.
pub(super) enum Refusal {
    /// It has errors.
    Faults(Vec<Fault>),
    /// The folder, the database or a setting.
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal::Problem(problem)
    }
}

impl Refusal {
    /// Tells it in the terminal; the outcome of the command.
    pub(super) fn tell(self) -> Result<super::Outcome, Problem> {
        match self {
            Refusal::Faults(faults) => {
                report::print(&faults);
                Ok(super::Outcome::Faults)
            }
            Refusal::Problem(problem) => Err(problem),
        }
    }
}

/// Reads and checks a site, opens its database, applies its migrations. The live database is touched only once the
/// site was found sound with all its migrations applied elsewhere.
pub(super) fn open(folder: &Path, flags: &[String], mode: Mode, clock: &Clock) -> Result<Opened, Refusal> {
    open_at(folder, &folder.join("data"), flags, mode, clock)
}

/// The same with the uploads in another folder than `data/`.
pub(super) fn open_at(
    folder: &Path,
    data: &Path,
    flags: &[String],
    mode: Mode,
    clock: &Clock,
) -> Result<Opened, Refusal> {
    #[cfg(debug_assertions)]
    if let Some(time) = Settings::commits_are_held() {
        database::versions::hold_commits(time);
    }
    let loaded = site::load(folder, flags, mode, None)?;
    let mut faults = loaded.faults;
    let site = loaded.site;
    if site.plain {
        return if report::any_error(&faults) {
            Err(Refusal::Faults(faults))
        } else {
            Ok(Opened { site, data: None, faults })
        };
    }
    let database = await_database(&site, clock)?;
    faults = check::joined(faults, checked(&site, &database)?);
    if report::any_error(&faults) {
        return Err(Refusal::Faults(faults));
    }
    if let Err(fault) = migrations::apply(&database, &site.migrations) {
        faults.push(*fault);
        return Err(Refusal::Faults(faults));
    }
    let uploads = open_uploads(&site.settings, data)?;
    Ok(Opened { site, data: Some((database, uploads)), faults })
}

/// The faults of a site's queries and templates, found on its own database where that is up to date, else on a scratch
/// one with all migrations.
pub(super) fn checked(site: &Site, database: &Database) -> Result<Vec<Fault>, Refusal> {
    match migrations::are_applied(database, &site.migrations) {
        Ok(true) => return Ok(check::check(site, database)),
        Ok(false) => {}
        Err(fault) => return Ok(vec![*fault]),
    }
    Ok(match scratch::migrated(site)? {
        Ok(scratch) => check::check(site, &scratch),
        Err(fault) => vec![fault],
    })
}

/// The site's database once there is one: a server may start later than this one. Whoever sends a signal ends the
/// waiting and the process.
pub(super) fn await_database(site: &Site, clock: &Clock) -> Result<Database, Problem> {
    let mut told: Option<Instant> = None;
    loop {
        match open_database(site, clock) {
            Err(problem) if problem.kind == Kind::Busy => {
                if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    eprintln!("tableside: {problem}; waiting for it");
                    told = Some(Instant::now());
                }
                std::thread::sleep(TRY_AGAIN);
            }
            decided => return decided,
        }
    }
}

/// Between two lines about a database server that can't be reached.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// Between two tries to reach it.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The site's database: `data/site.db`, or what `database.url` names.
///
/// # Errors
/// A database server that can't be reached is a [`Kind::Busy`].
pub(super) fn open_database(site: &Site, clock: &Clock) -> Result<Database, Problem> {
    let settings = &site.settings;
    if site.dialect == Dialect::Postgres {
        return Database::connect(&postgres_options(settings), clock);
    }
    let path = match settings.database_url.trim_start_matches("sqlite:") {
        "" => site.folder.join("data/site.db"),
        path => PathBuf::from(path),
    };
    Database::open(&database::Options {
        clock: clock.clone(),
        limits: database_limits(settings),
        ..database::Options::new(path)
    })
}

/// How the server of `database.url` is spoken with.
pub(super) fn postgres_options(settings: &Settings) -> postgres::Options {
    postgres::Options {
        limits: database_limits(settings),
        statement_time: settings.query_time,
        connections: settings.database_connections as usize,
        waiting: settings.max_waiting_actions as usize,
        unsafe_is_fine: settings.allow_unsafe_durability,
        ..postgres::Options::new(&*settings.database_url)
    }
}

fn database_limits(settings: &Settings) -> database::Limits {
    database::Limits {
        waiting_actions: settings.max_waiting_actions as usize,
        action_time: settings.action_time,
        ..database::Limits::default()
    }
}

/// The upload store: `uploads/` of the data's folder, or what `uploads.store` names.
///
/// # Errors
/// The setting makes no sense; the folder can't be made.
pub(super) fn open_uploads(settings: &Settings, data: &Path) -> Result<Uploads, Problem> {
    let place = match settings.uploads_store.as_str() {
        "" => Place::Folder(data.join("uploads")),
        store => match store.split_once("://") {
            Some(("s3", bucket)) => Place::Bucket(bucket_of(settings, bucket)?),
            Some(_) => return Err(wrong_store(store)),
            None => Place::Folder(PathBuf::from(store)),
        },
    };
    Uploads::open(&place)
}

fn bucket_of(settings: &Settings, bucket: &str) -> Result<Bucket, Problem> {
    let (name, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
    if name.is_empty() {
        return Err(wrong_store(&settings.uploads_store));
    }
    Ok(Bucket {
        name: name.into(),
        prefix: prefix.trim_matches('/').into(),
        endpoint: settings.uploads_endpoint.clone(),
        region: settings.uploads_region.clone(),
        access_key: settings.uploads_access_key.clone(),
        secret_key: settings.uploads_secret_key.clone(),
        environment: settings.aws.clone(),
        memory: usize::try_from(settings.uploads_memory.0).unwrap_or(usize::MAX),
        time: settings.uploads_time,
    })
}

fn wrong_store(store: &str) -> Problem {
    Problem::broken(format!("`uploads.store` is `{store}`, but must be a folder or s3://BUCKET/PREFIX"))
}

/// Removes the files that crashes left in the store, on a thread of its own: nobody waits for it.
fn sweep(app: &Arc<App>) {
    let app = app.clone();
    let work = move || {
        let (Some(database), Some(uploads)) = (app.database(), app.uploads()) else { return };
        match uploads.sweep(app.clock.millis(), |ids| with_rows(database, ids)) {
            Ok(0) => {}
            Ok(count) => app.log.note(Level::Info, &format!("{count} left-over files of uploads were swept")),
            Err(problem) => app.log.note(Level::Warning, &format!("left-over uploads were not swept: {problem}")),
        }
    };
    // Without a thread to spare the next start sweeps.
    let _ = std::thread::Builder::new().name("sweep".into()).spawn(work);
}

/// Which of some uploads have a row.
fn with_rows(database: &Database, ids: &[String]) -> Result<HashSet<String>, Problem> {
    let places: Vec<String> = (1..=uploads::BATCH).map(|place| format!("${place}")).collect();
    let sql = format!("select id from uploads where id in ({})", places.join(", "));
    // One statement for any number: the last id stands for those that are missing.
    let binds: Vec<Value> = (0..uploads::BATCH)
        .map(|place| Value::from(ids.get(place).or(ids.last()).map_or("", String::as_str)))
        .collect();
    let found = database.read_and_wait(Duration::from_secs(60), async move |snapshot| {
        snapshot.only(&sql, &[ValueKind::Text.one(); uploads::BATCH], &binds, uploads::BATCH).await
    });
    Ok(found?.cells.iter().map(ToString::to_string).collect())
}

/// The log of a server.
pub(super) fn open_log(settings: &Settings) -> Log {
    let format = match settings.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    Log::open(format, Box::new(std::io::stdout()))
}

/// The number of threads that serve.
pub(super) fn threads(settings: &Settings) -> usize {
    match settings.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads as usize,
    }
}

/// Opens the sockets.
pub(super) fn listen(settings: &Settings) -> Result<Listeners, Problem> {
    accept::listen(&[settings.listen], threads(settings))
}

/// Serves until stopped.
pub(super) fn serve(app: &Arc<App>, listeners: Listeners, stop: Stop) -> Result<accept::Ended, Problem> {
    let settings = app.site().settings.clone();
    if let Some(database) = app.database() {
        let log = app.log.clone();
        database.on_outage(move |cause| match cause {
            Some(cause) => log.note(Level::Error, &format!("the database can't be reached: {cause}")),
            None => log.note(Level::Info, "the database can be reached again"),
        });
        let log = app.log.clone();
        database.listen(settings.watch_other_programs, move |note| log.note(Level::Warning, note))?;
    }
    let limits = accept::Limits {
        connections: settings.max_connections as usize,
        head_bytes: usize::try_from(settings.max_headers.0).unwrap_or(usize::MAX),
        head_count: settings.max_header_count as usize,
        head_time: settings.header_time,
        idle: settings.idle,
        write_pause: settings.pause,
        drain: settings.drain,
        ..accept::Limits::default()
    };
    if !app.is_broken() {
        sweep(app);
    }
    let _sweeper = Sweeper::begin(app);
    accept::run(listeners, &limits, stop, |_core| Ok(Server::new(app.clone())))
}

/// Where people open the site.
pub(super) fn address(listen: SocketAddr) -> String {
    match listen.ip().is_unspecified() {
        true => format!("http://localhost:{}", listen.port()),
        false => format!("http://{listen}"),
    }
}
