//! What a server does beside serving: it removes rows whose time is over, at its start and then every hour, on a thread
//! of its own and in small batches, so that nobody waits for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::accounts::sweeping;
use crate::app::App;
use crate::database::{Database, Failure};
use crate::log::Level;
use crate::site::Site;

/// Between the end of one sweep and the next.
const EVERY: Duration = Duration::from_secs(3600);
/// Between two batches.
const PAUSE: Duration = Duration::from_millis(50);

/// The thread; it ends with this value.
pub(super) struct Sweeper {
    /// `None` once it is told to stop.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Begins. Without a thread to spare nothing is swept until the next start.
    pub(super) fn begin(app: &Arc<App>) -> Sweeper {
        let (alive, gone) = channel();
        let app = app.clone();
        let work = move || loop {
            sweep(&app, &gone);
            if !rests(&gone, EVERY) {
                return;
            }
        };
        let thread = std::thread::Builder::new().name("sweep rows".into()).spawn(work);
        Sweeper { alive: Some(alive), thread: thread.ok() }
    }
}

impl Drop for Sweeper {
    /// Waits for the batch that is under way.
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits; false when the server ends.
fn rests(gone: &Receiver<()>, time: Duration) -> bool {
    gone.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

fn sweep(app: &App, gone: &Receiver<()>) {
    let Some(database) = app.database().filter(|_| !app.is_broken()) else { return };
    match sweep_now(app, database, gone) {
        Ok(0) => {}
        Ok(count) => app.log.note(Level::Info, &format!("{count} rows whose time was over were swept")),
        Err(failure) => app.log.note(Level::Warning, &format!("rows whose time is over were not swept: {failure}")),
    }
}

fn sweep_now(app: &App, database: &Database, gone: &Receiver<()>) -> Result<u64, Failure> {
    let site = app.site();
    let list = sweeping::rests(&site.settings, longest_limit(&site), app.clock.now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::broken(error.to_string()))?;
    LocalSet::new().block_on(&runtime, async {
        let swept = sweeping::sweep(database, &list, || rests(gone, PAUSE)).await;
        // No connection to a server is kept for an hour.
        database.finish().await;
        swept
    })
}

/// The longest time that a `limit:` of the site counts over.
fn longest_limit(site: &Site) -> Duration {
    let actions = site.endpoints.iter().flat_map(|endpoint| {
        let by_method = endpoint.actions.iter().map(|(_, action)| action);
        by_method.chain(&endpoint.visit)
    });
    let limits = actions.flat_map(|action| &action.script.directives.limits);
    limits.map(|limit| limit.per).max().unwrap_or_default()
}
