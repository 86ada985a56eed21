//! One core: its runtime, its listeners, its connections, and how they end.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::connection::{self, Core};
use super::{Ended, Handler, Limits, Stop, stop_pair};
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
    let runtime = builder.enable_all().max_blocking_threads(BLOCKING_THREADS).build().map_err(broken)?;
    let local = LocalSet::new();
    let ended = local.block_on(&runtime, async {
        let listeners =
            sockets.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>().map_err(broken)?;
        let core = Rc::new(Core { handler: handler()?, limits: limits.clone(), running: Cell::new(0), open });
        Ok(serve(core, listeners, stops).await)
    });
    // What still runs is dropped here, inside the runtime it belongs to.
    let entered = runtime.enter();
    drop(local);
    drop(entered);
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve<H: Handler>(core: Rc<Core<H>>, listeners: Vec<TcpListener>, [mut stop, mut failed]: [Stop; 2]) -> Ended {
    let (stopper, own_stop) = stop_pair();
    let mut connections = JoinSet::new();
    {
        let accepting = std::pin::pin!(accept_all(&core, &listeners, &own_stop, &mut connections));
        tokio::select! {
            () = accepting => {}
            () = stop.wait() => {}
            () = failed.wait() => {}
        }
    }
    // From here on the kernel refuses new connections.
    drop(listeners);
    stopper.stop();
    let ending = async {
        while connections.join_next().await.is_some() {}
        core.handler.ended().await;
    };
    let in_time = tokio::time::timeout(core.limits.drain, ending).await.is_ok();
    Ended { cut: if in_time { 0 } else { core.running.get() } }
}

/// Accepts connections for ever.
async fn accept_all<H: Handler>(core: &Rc<Core<H>>, listeners: &[TcpListener], stop: &Stop, tasks: &mut JoinSet<()>) {
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
                let serving = connection::serve(core.clone(), stream, peer, stop.clone());
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
