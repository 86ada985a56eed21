//! `tableside serve`: production.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Outcome, SettingArguments, report, running};
use crate::accept::{self, Stopper};
use crate::app::App;
use crate::clock::Clock;
use crate::log::Level;
use crate::problem::Problem;
use crate::site::{self, Mode};

/// Serve a site to its visitors.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tableside serve shop\n  tableside serve shop --listen 0.0.0.0:8080\n  \
                  tableside serve photos --listing\n\nSIGHUP reads the folder anew; a broken site is told and the old \
                  one stays. SIGTERM and Ctrl+C finish running requests, then exit.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) serving: Serving,
}

/// What `serve` and `dev` take.
#[derive(Clone, Debug, Args)]
pub(super) struct Serving {
    /// The site's folder, or any folder of static files.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(super) folder: std::path::PathBuf,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Show a list of files where a plain folder has no index.html.
    #[arg(long)]
    listing: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

impl Serving {
    /// All flags as settings.
    pub(super) fn flags(&self) -> Vec<String> {
        let listen = self.listen.iter().map(|address| match address.parse::<u16>() {
            Ok(port) => format!("server.listen=127.0.0.1:{port}"),
            Err(_) => format!("server.listen={address}"),
        });
        let listing = self.listing.then(|| "server.listing=true".to_string());
        listen.chain(listing).chain(self.settings.settings.iter().cloned()).collect()
    }
}

/// What is no fault of the site, but of where it is served.
fn warn(app: &App) {
    let settings = &app.site().settings;
    if settings.has_users() && settings.site_url.is_empty() {
        let lost = "site.url is not set: links in mails lead to this machine alone";
        app.log.note(Level::Warning, lost);
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let clock = Clock::system();
    let flags = arguments.serving.flags();
    let opened = match running::open(&arguments.serving.folder, &flags, Mode::Serve, &clock) {
        Ok(opened) => opened,
        Err(refusal) => return refusal.tell(),
    };
    report::print(&opened.faults);
    let listeners = running::listen(&opened.site.settings)?;
    let log = running::open_log(&opened.site.settings);
    let app = Arc::new(App::new(opened.site, opened.data, log, clock));
    let (stopper, stop) = accept::stop_pair();
    watch_signals(stopper, {
        let app = app.clone();
        move || reload(&app, &flags)
    })?;
    // Said only now: whoever reads it may send a signal at once.
    for address in listeners.addresses() {
        eprintln!("Serving {} on {}", arguments.serving.folder.display(), running::address(*address));
    }
    warn(&app);
    let ended = running::serve(&app, listeners, stop)?;
    if ended.cut > 0 {
        app.log.note(Level::Warning, &format!("stopped; {} requests did not finish in time", ended.cut));
    }
    close(&app);
    Ok(Outcome::Success)
}

/// Finishes what waits for the disk.
pub(super) fn close(app: &App) {
    if let Some(database) = app.database() {
        database.close();
    }
    if let Some(uploads) = app.uploads() {
        uploads.close(Duration::from_secs(2));
    }
    app.log.flush(Duration::from_secs(2));
}

/// SIGTERM and Ctrl+C stop, SIGHUP reloads; a second Ctrl+C ends at once.
pub(super) fn watch_signals(stopper: Stopper, reload: impl Fn() + Send + 'static) -> Result<(), Problem> {
    use tokio::signal::unix::{SignalKind, signal};
    let broken = |error: std::io::Error| Problem::broken(format!("can't watch signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _inside = runtime.enter();
        let watch = |kind| signal(kind).map_err(broken);
        (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?, watch(SignalKind::hangup())?)
    };
    let work = move || {
        runtime.block_on(async {
            let mut stopping = false;
            loop {
                tokio::select! {
                    _ = terminate.recv() => stopper.stop(),
                    _ = interrupt.recv() => {
                        if stopping {
                            std::process::exit(130);
                        }
                        stopping = true;
                        stopper.stop();
                    }
                    _ = hangup.recv() => reload(),
                }
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(work).map_err(broken)?;
    Ok(())
}

/// Reads the folder anew. A broken site leaves the old one serving.
fn reload(app: &App, flags: &[String]) {
    let before = app.site();
    let outcome = fresh(app, flags, Mode::Serve);
    match outcome {
        Ok(site) => {
            if site.settings.listen != before.settings.listen {
                app.log.note(Level::Warning, "server.listen changed; that takes a restart");
            }
            app.replace(site);
            app.log.note(Level::Info, "reloaded");
        }
        Err(running::Refusal::Faults(faults)) => {
            report::print(&faults);
            let summary = report::summary(&faults).unwrap_or_default();
            app.log.note(Level::Error, &format!("not reloaded, the old site goes on: {summary}"));
        }
        Err(running::Refusal::Problem(problem)) => {
            app.log.note(Level::Error, &format!("not reloaded, the old site goes on: {problem}"));
        }
    }
}

/// A fresh snapshot of the folder, checked, its migrations applied.
pub(super) fn fresh(app: &App, flags: &[String], mode: Mode) -> Result<site::Site, running::Refusal> {
    let before = app.site();
    let loaded = site::load(&before.folder, flags, mode, Some(&before))?;
    let mut faults = loaded.faults;
    let site = loaded.site;
    if site.plain != before.plain {
        return Err(Problem::broken("the folder became another kind of site; that takes a restart").into());
    }
    if let Some(database) = app.database() {
        faults = crate::check::joined(faults, running::checked(&site, database)?);
        if !report::any_error(&faults)
            && let Err(fault) = crate::database::migrations::apply(database, &site.migrations)
        {
            faults.push(*fault);
        }
    }
    if report::any_error(&faults) { Err(running::Refusal::Faults(faults)) } else { Ok(site) }
}
