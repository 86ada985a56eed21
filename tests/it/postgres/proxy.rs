//! A TCP proxy before a server that can cut the connection at the worst moment: while a commit is on its way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What happens to the next `commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It goes through.
    Never = 0,
    /// It is swallowed, and both connections are closed.
    Before = 1,
    /// It reaches the server, whose answer is swallowed.
    After = 2,
    /// As [`Cut::After`], and no new connection is let through from then on.
    ForGood = 3,
    /// As [`Cut::Before`], and no new connection is let through until something else is said.
    AndWait = 5,
    /// Nothing comes through any more, in any direction, and nobody is told, until something else is said.
    Silent = 6,
    /// Each reaches the server, and its answer comes late, until something else is said.
    Late = 7,
    /// As [`Cut::After`], but nobody is hung up on: the answer never comes.
    Lost = 8,
}

/// A proxy. Its threads end with the test process.
pub(crate) struct Proxy {
    port: u16,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    /// A proxy before the server of a URL; the URL by way of it.
    pub(crate) fn before(url: &str) -> (Proxy, String) {
        let (start, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy { port, cut: Arc::default() };
        let (server, cut) = (server.to_string(), Arc::clone(&proxy.cut));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if cut.load(Ordering::SeqCst) == BROKEN {
                    continue;
                }
                let (server, cut) = (TcpStream::connect(&server).unwrap(), Arc::clone(&cut));
                std::thread::spawn(move || pass(&client, &server, &cut));
            }
        });
        let url = format!("{start}@127.0.0.1:{}/{database}?sslmode=disable", proxy.port);
        (proxy, url)
    }

    /// Whether a connection was cut, and no new one is let through.
    pub(crate) fn is_shut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == BROKEN
    }

    /// Whether a commit has reached the server whose answer will never come.
    pub(crate) fn is_held(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == HELD
    }

    /// Cuts the next commit.
    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }
}

/// The connection was cut for good.
const BROKEN: u8 = 4;

/// A commit is done, and its answer will never come.
const HELD: u8 = 9;

/// How late the answer to a commit is that comes late.
const LATE: std::time::Duration = std::time::Duration::from_millis(10);

/// Holds on while nothing may come through.
fn wait(cut: &AtomicU8) {
    while cut.load(Ordering::SeqCst) == Cut::Silent as u8 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn pass(client: &TcpStream, server: &TcpStream, cut: &AtomicU8) {
    let close = || {
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    };
    let swallow = std::sync::atomic::AtomicBool::new(false);
    let (late, lost) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 4096];
            while let (length @ 1.., mut to) = ((&*server).read(&mut bytes).unwrap_or(0), client) {
                wait(cut);
                if late.swap(false, Ordering::SeqCst) {
                    std::thread::sleep(LATE);
                }
                if lost.load(Ordering::SeqCst) {
                    cut.store(HELD, Ordering::SeqCst);
                    continue;
                }
                if swallow.load(Ordering::SeqCst) || to.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            close();
        });
        let mut bytes = [0; 4096];
        while let (length @ 1.., mut to) = ((&*client).read(&mut bytes).unwrap_or(0), server) {
            wait(cut);
            let sent = &bytes[..length];
            if sent.windows(7).any(|part| part == b"commit\0") {
                match cut.swap(0, Ordering::SeqCst) {
                    7 => {
                        late.store(true, Ordering::SeqCst);
                        let _ = cut.compare_exchange(0, Cut::Late as u8, Ordering::SeqCst, Ordering::SeqCst);
                    }
                    8 => lost.store(true, Ordering::SeqCst),
                    1 => break,
                    2 => swallow.store(true, Ordering::SeqCst),
                    5 => {
                        cut.store(BROKEN, Ordering::SeqCst);
                        break;
                    }
                    3 => {
                        swallow.store(true, Ordering::SeqCst);
                        cut.store(BROKEN, Ordering::SeqCst);
                    }
                    _ => {}
                }
            }
            if to.write_all(sent).is_err() {
                break;
            }
        }
        close();
    });
}
