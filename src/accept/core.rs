//! One core: its runtime, its listeners, its connections, and how they end.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::{self, Core};
use super::{Ended, Handler, Limits, Stop, watch};
use crate::clock::HttpDate;
use crate::problem::Problem;

/// Threads for reading files, for each core; more wait in line.
const BLOCKING_THREADS: usize = 32;

/// How long accepting rests when there are too many connections or open files.
const REST: Duration = Duration::from_millis(10);

/// Serves on this thread until stopped.
pub(super) fn run<H: Handler>(
    sockets: Vec<std::net::TcpListener>,
    limits: &Limits,
    stops: [Stop; 2],
    open: Arc<AtomicUsize>,
    handler: impl FnOnce() -> Result<H, Problem>,
) -> Result<Ended, Problem> {
    let broken = |error: io::Error| Problem::broken(format!("a core could not start: {error}"));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let builder = builder.enable_all().max_blocking_threads(BLOCKING_THREADS);
    let runtime = builder.build_local(LocalOptions::default()).map_err(broken)?;
    let ended = runtime.block_on(async {
        let listeners =
            sockets.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>().map_err(broken)?;
        let core = Core {
            handler: handler()?,
            limits: limits.clone(),
            running: Cell::new(0),
            open,
            watches: RefCell::default(),
            stopping: Cell::new(false),
            out: Cell::default(),
            date: RefCell::new(HttpDate::default()),
        };
        Ok(serve(Rc::new(core), listeners, stops).await)
    });
    // What still runs is dropped inside the runtime it belongs to.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve<H: Handler>(core: Rc<Core<H>>, listeners: Vec<TcpListener>, [mut stop, mut failed]: [Stop; 2]) -> Ended {
    let mut connections = JoinSet::new();
    let watching = tokio::task::spawn_local(watch_all(core.clone()));
    {
        let accepting = std::pin::pin!(accept_all(&core, &listeners, &mut connections));
        tokio::select! {
            () = accepting => {}
            () = stop.wait() => {}
            () = failed.wait() => {}
        }
    }
    // From here on the kernel refuses new connections.
    drop(listeners);
    core.stopping.set(true);
    core.watches.borrow().iter().for_each(watch::Watch::stop);
    let ending = async {
        while connections.join_next().await.is_some() {}
        core.handler.ended().await;
    };
    let in_time = tokio::time::timeout(core.limits.drain, ending).await.is_ok();
    watching.abort();
    Ended { cut: if in_time { 0 } else { core.running.get() } }
}

/// Looks after the connections' time for ever.
async fn watch_all<H: Handler>(core: Rc<Core<H>>) {
    let mut ticks = tokio::time::interval(watch::tick(&core.limits));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        let mut watches = core.watches.borrow_mut();
        watches.retain_mut(|watch| {
            let lives = !watch.is_over();
            if lives {
                watch.tell(now, core.stopping.get());
            }
            lives
        });
    }
}

/// Accepts connections for ever.
async fn accept_all<H: Handler>(core: &Rc<Core<H>>, listeners: &[TcpListener], tasks: &mut JoinSet<()>) {
    let mut told = None;
    let mut turn = 0_usize;
    loop {
        // Tasks that ended give their memory back.
        while tasks.try_join_next().is_some() {}
        if core.open.load(Relaxed) >= core.limits.connections {
            tokio::time::sleep(REST).await;
            continue;
        }
        turn = turn.wrapping_add(1);
        match accept(listeners, turn).await {
            Ok((stream, peer)) => {
                let opened = Open::new(core.open.clone());
                // Only Linux hands on what was set for the listener.
                #[cfg(not(target_os = "linux"))]
                let _ = stream.set_nodelay(true);
                let serving = connection::serve(core.clone(), stream, peer);
                tasks.spawn_local(async move {
                    serving.await;
                    drop(opened);
                });
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tell(&mut told, || core.handler.troubled(&format!("connections can't be accepted: {error}")));
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// The next connection; each time another listener is asked first.
async fn accept(listeners: &[TcpListener], turn: usize) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        for index in 0..listeners.len() {
            let listener = &listeners[(turn.wrapping_add(index)) % listeners.len()];
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// A connection that broke before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Says something at most once a second.
fn tell(last: &mut Option<Instant>, say: impl FnOnce()) {
    let now = Instant::now();
    if last.is_none_or(|last| now - last >= Duration::from_secs(1)) {
        *last = Some(now);
        say();
    }
}

/// One more connection of the server, as long as this lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: Arc<AtomicUsize>) -> Open {
        count.fetch_add(1, Relaxed);
        Open(count)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
