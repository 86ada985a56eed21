//! `tableside dev`: for the site's author.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::Args;
use notify::{RecursiveMode, Watcher};

use super::serve::{Serving, close, fresh, watch_signals};
use super::{Outcome, report, running};
use crate::accept;
use crate::app::App;
use crate::clock::Clock;
use crate::log::Level;
use crate::problem::{Fault, Problem};
use crate::site::{self, Mode};

/// Serve a site to its author: reload on save, errors that show file and line.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside dev shop\n  tableside dev shop --trace")]
pub(super) struct Arguments {
    #[command(flatten)]
    serving: Serving,
    /// Print the steps of every request with their times.
    #[arg(long)]
    trace: bool,
}

/// Saving a file makes several events; what comes within this time is one change.
const SETTLE: Duration = Duration::from_millis(60);

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let clock = Clock::system();
    let folder = &arguments.serving.folder;
    let flags = arguments.serving.flags();
    let (app, faults) = start(folder, &flags, arguments.trace, &clock)?;
    let listeners = running::listen(&app.site().settings)?;
    report::print(&faults);
    app.set_faults(faults);
    let app = Arc::new(app);
    // The watcher stops when it is dropped, so it lives as long as the server.
    let (_watcher, changes) = watch(folder)?;
    let watched = app.clone();
    let work = move || {
        while let Some(()) = next_change(&changes) {
            reload(&watched, &flags);
        }
    };
    std::thread::Builder::new()
        .name("reload".into())
        .spawn(work)
        .map_err(|error| Problem::broken(format!("can't start the thread that reloads: {error}")))?;
    keep_mails(&app, folder.join("data/mail"))?;
    let (stopper, stop) = accept::stop_pair();
    watch_signals(stopper, || {})?;
    for address in listeners.addresses() {
        eprintln!("Developing {} on {}", folder.display(), running::address(*address));
    }
    running::serve(&app, listeners, stop)?;
    close(&app);
    Ok(Outcome::Success)
}

/// The state for a site that may be broken still: its author mends it while it is served.
fn start(folder: &Path, flags: &[String], trace: bool, clock: &Clock) -> Result<(App, Vec<Fault>), Problem> {
    let loaded = site::load(folder, flags, Mode::Develop, None)?;
    let (site, mut faults) = (loaded.site, loaded.faults);
    let mut data = None;
    if !site.plain {
        let database = running::await_database(&site, clock)?;
        match running::checked(&site, &database) {
            Ok(found) => faults = crate::check::joined(faults, found),
            Err(running::Refusal::Faults(found)) => faults.extend(found),
            Err(running::Refusal::Problem(problem)) => return Err(problem),
        }
        let uploads = running::open_uploads(&site.settings, &site.folder.join("data"))?;
        if !report::any_error(&faults)
            && let Err(fault) = crate::database::migrations::apply(&database, &site.migrations)
        {
            faults.push(*fault);
        }
        data = Some((database, uploads));
    }
    let log = running::open_log(&site.settings);
    let mut app = App::new(site, data, log, clock.clone());
    app.develop = true;
    app.shows_mail = true;
    app.show_steps = trace;
    Ok((app, faults))
}

/// Watches the folders that make a site; `data/` changes with every action and is left out.
fn watch(folder: &Path) -> Result<(notify::RecommendedWatcher, Receiver<PathBuf>), Problem> {
    let broken = |error: notify::Error| Problem::broken(format!("can't watch `{}`: {error}", folder.display()));
    let (sender, receiver) = channel();
    let root = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let data = root.join("data");
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if event.kind.is_access() {
            return;
        }
        for path in event.paths {
            if !path.starts_with(&data) {
                let _ = sender.send(path);
            }
        }
    })
    .map_err(broken)?;
    watcher.watch(&root, RecursiveMode::NonRecursive).map_err(broken)?;
    for name in ["pages", "public", "migrations", "mail"] {
        if root.join(name).is_dir() {
            watcher.watch(&root.join(name), RecursiveMode::Recursive).map_err(broken)?;
        }
    }
    Ok((watcher, receiver))
}

/// Puts each message of the outbox into a file, on a thread of its own that ends with the process.
fn keep_mails(app: &Arc<App>, folder: PathBuf) -> Result<(), Problem> {
    let app = app.clone();
    let work = move || super::mails::keep(&app, &folder);
    let thread = std::thread::Builder::new().name("mail".into()).spawn(work);
    thread.map(drop).map_err(|error| Problem::broken(format!("can't start the thread that keeps mails: {error}")))
}

/// Waits for a change, then until nothing more comes.
fn next_change(changes: &Receiver<PathBuf>) -> Option<()> {
    changes.recv().ok()?;
    while changes.recv_timeout(SETTLE).is_ok() {}
    Some(())
}

/// Reads the folder anew and tells browsers; faults are shown until they are mended.
fn reload(app: &App, flags: &[String]) {
    match fresh(app, flags, Mode::Develop) {
        Ok(site) => {
            app.replace(site);
            app.set_faults(Vec::new());
            app.log.note(Level::Info, "reloaded");
        }
        Err(running::Refusal::Faults(faults)) => {
            report::print(&faults);
            app.set_faults(faults);
        }
        Err(running::Refusal::Problem(problem)) => app.log.note(Level::Error, &problem.to_string()),
    }
}
