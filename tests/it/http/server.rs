//! A server on a free port of this machine, and a client that sends and reads raw bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use tableside::accept::{self, Ended, Handled, Handler, Incoming, Stopper};
use tableside::answer::static_file;
use tableside::flow::body::Sent;
use tableside::flow::{self, Answer, Head, Visit};
use tableside::log::{Format, Log};
use tableside::parse::{self, Address, NoUploads};
use tableside::problem::{Kind, Problem};
use tableside::respond::{self, Body};
use tableside::site::statics::{DefaultHeaders, Options, Statics};

/// What a test may wish of its server.
#[derive(Default)]
pub(super) struct Wish {
    pub(super) connections: accept::Limits,
    pub(super) requests: parse::Limits,
    pub(super) files: Options,
}

/// A running server; stops when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) log: Written,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<Ended, Problem>>>,
}

/// What was logged.
#[derive(Clone, Default)]
pub(super) struct Written(Arc<Mutex<Vec<u8>>>, Option<Log>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// Everything so far.
    pub(super) fn text(&self) -> String {
        assert!(self.1.as_ref().unwrap().flush(Duration::from_secs(10)));
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until something is logged; gives everything so far.
    pub(super) fn with(&self, expected: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = self.text();
            if text.contains(expected) {
                return text;
            }
            assert!(Instant::now() < deadline, "{expected:?} was not logged, but: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Static files first, at once but for those whose query says `later`; then `/echo`, `/slow`, `/panic`, `/long`.
struct Site {
    statics: Arc<Statics>,
    limits: parse::Limits,
    log: Log,
}

impl Site {
    async fn answer(&self, visit: &mut Visit, body: Incoming) -> Result<Answer, Problem> {
        if let Address::Collapsed(to) = parse::address(visit, &self.limits)? {
            return Ok(Answer::redirect(StatusCode::PERMANENT_REDIRECT, &to));
        }
        let found = self.statics.find(visit.path(), visit.query());
        if let Some(answer) = static_file::answer(&self.statics, found, visit)? {
            return Ok(answer);
        }
        match (visit.path(), &visit.method) {
            ("/echo", &Method::POST) => match parse::body(visit, body, &self.limits, &mut NoUploads).await? {
                Sent::Nothing => Ok(Answer::text("nothing")),
                Sent::Form(fields) => Ok(Answer::text(format!("{fields:?}"))),
                Sent::Json(value) => Ok(Answer::json(value.to_string())),
            },
            ("/echo", _) => Err(Problem::new(Kind::NoSuchMethod(vec!["POST", "OPTIONS"]), "Not so.")),
            ("/slow", _) => {
                tokio::time::sleep(Duration::from_millis(600)).await;
                Ok(Answer::text("slow"))
            }
            ("/never", _) => std::future::pending().await,
            ("/panic", _) => panic!("a fault of the site"),
            ("/long", _) => Ok(Answer::bytes("application/octet-stream", vec![b'x'; 50_000_000])),
            _ => Err(Problem::not_found()),
        }
    }
}

impl Site {
    /// A static file, as the server hands them out: without a future.
    fn file(&self, visit: &mut Visit) -> Option<Answer> {
        if !matches!(parse::address(visit, &self.limits), Ok(Address::Canonical)) || visit.query() == "later" {
            return None;
        }
        let found = self.statics.find(visit.path(), visit.query());
        static_file::answer(&self.statics, found, visit).ok().flatten()
    }

    async fn rest(&self, mut visit: Visit, body: Incoming) -> flow::Reply<Body> {
        let outcome = self.answer(&mut visit, body).await;
        self.reply(visit, outcome)
    }

    fn reply(&self, visit: Visit, outcome: Result<Answer, Problem>) -> flow::Reply<Body> {
        let (answer, problem) = match outcome {
            Ok(answer) => (answer, None),
            Err(problem) => (respond::problem(&problem, false), Some(problem)),
        };
        let mut reply = respond::respond(&visit, answer, &DefaultHeaders::default());
        let (log, status) = (self.log.clone(), reply.status);
        reply.body.on_end(Box::new(move |sent| log.visit(&visit, status, sent, problem.as_ref())));
        reply
    }
}

impl Handler for Site {
    type Body = Body;

    fn handle(
        &self,
        head: Head,
        body: Incoming,
        peer: SocketAddr,
    ) -> Handled<Body, impl Future<Output = flow::Reply<Body>> + Unpin> {
        let mut visit = Visit::begin(head, peer, false);
        match self.file(&mut visit) {
            Some(answer) => Handled::Now(self.reply(visit, Ok(answer))),
            None => Handled::Later(Box::pin(self.rest(visit, body))),
        }
    }

    fn panicked(&self, _: SocketAddr, what: &str) -> flow::Reply<Body> {
        self.log.note(tableside::log::Level::Error, what);
        let request = Request::new(()).into_parts().0;
        let visit = Visit::begin(request, ([0, 0, 0, 0], 0).into(), false);
        respond::respond(&visit, respond::problem(&Problem::broken(what), false), &DefaultHeaders::default())
    }

    fn refused(&self, peer: SocketAddr, what: &str) {
        self.log.note(tableside::log::Level::Warning, &format!("{}: {what}", peer.ip()));
    }
}

impl Server {
    /// Serves a folder.
    pub(super) fn of(folder: &Path, wish: Wish) -> Server {
        let (statics, faults) = Statics::open(folder, wish.files, None).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        Server::with(statics, wish.connections, wish.requests)
    }

    /// Serves no files.
    pub(super) fn bare(wish: Wish) -> Server {
        Server::with(Statics::none(), wish.connections, wish.requests)
    }

    fn with(statics: Statics, connections: accept::Limits, limits: parse::Limits) -> Server {
        let mut log = Written::default();
        let opened = Log::open(Format::Text, Box::new(log.clone()));
        log.1 = Some(opened.clone());
        let statics = Arc::new(statics);
        let listeners = accept::listen(&[([127, 0, 0, 1], 0).into()], 2).unwrap();
        let address = listeners.addresses()[0];
        let (stopper, stop) = accept::stop_pair();
        let thread = std::thread::spawn(move || {
            accept::run(listeners, &connections, stop, |_| {
                Ok(Site { statics: statics.clone(), limits: limits.clone(), log: opened.clone() })
            })
        });
        Server { address, log, stopper, thread: Some(thread) }
    }

    /// A connection.
    pub(super) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { stream, unread: Vec::new() }
    }

    /// Sends bytes on a connection of their own and reads one reply.
    pub(super) fn send(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect();
        client.write(bytes);
        client.reply()
    }

    /// A GET with more header lines.
    pub(super) fn get(&self, path: &str, lines: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"))
    }

    /// Pulls the stop.
    pub(super) fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits for the end.
    pub(super) fn ended(mut self) -> Ended {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok_and(|ended| ended.is_ok()));
        }
    }
}

/// A raw connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
}

/// One reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// Writes bytes; a connection that the server closed meanwhile is no error.
    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Says that nothing more is sent.
    pub(super) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one reply to GET or POST: its body ends by `Content-Length`, chunks or the connection's end.
    pub(super) fn reply(&mut self) -> Reply {
        let mut reply = self.head().expect("the connection was closed without a reply");
        if matches!(reply.status, 204 | 304) {
            return reply;
        }
        reply.body = match reply.header("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()),
            None if reply.header("transfer-encoding").is_some() => self.chunks(),
            None => self.rest(),
        };
        reply
    }

    /// Reads the head of a reply; `None` at the end of the connection.
    pub(super) fn head(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                assert!(self.unread.is_empty(), "half a head: {:?}", String::from_utf8_lossy(&self.unread));
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
        Some(Reply { status, headers, body: Vec::new() })
    }

    /// Everything until the connection ends.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the connection is closed, with nothing unread.
    pub(super) fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Whether so many bytes come before the connection ends.
    pub(super) fn has(&mut self, size: usize) -> bool {
        while self.unread.len() < size {
            if !self.more() {
                return false;
            }
        }
        true
    }

    /// So many bytes.
    pub(super) fn exactly(&mut self, size: usize) -> Vec<u8> {
        while self.unread.len() < size {
            assert!(self.more(), "the connection ended within a body");
        }
        self.unread.drain(..size).collect()
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                assert!(self.more(), "the connection ended within a chunk");
            };
            let line = self.exactly(end + 2);
            let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
            let chunk = self.exactly(size + 2);
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
    }

    /// Reads more; `false` at the end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(size) => {
                self.unread.extend_from_slice(&buffer[..size]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

impl Reply {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
