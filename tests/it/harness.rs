//! The one helper of all integration tests: a site in a temporary folder, the real binary, a real client.
//!
//! Nothing here sleeps to wait for something: the server says on stderr that it listens, processes are waited for, and
//! every read from a socket has a limit so that a hang is a failure.

mod client;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(crate) use client::{Answer, Client, Request};

/// Longer than anything takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A site in a folder of its own, which is gone with this value.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a temporary folder"));
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    /// Writes a file, making the folders above it.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.0.path().join(path);
        fs::create_dir_all(file.parent().expect("a file stands in a folder")).expect("a folder of the site");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The site's database, opened beside the server's own connections.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.file("data/site.db")).expect("the site's database");
        connection.busy_timeout(LONG).expect("a timeout can be set");
        connection
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// Everything it printed.
    pub(crate) stdout: String,
    /// Everything it complained about.
    pub(crate) stderr: String,
}

impl Ended {
    /// The exit code; a death by signal has none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// The binary, without the settings that the tester's own environment holds.
pub(crate) fn tableside() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tableside"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("TABLESIDE_") || name.starts_with("AWS_") || name == "PORT" || name == "DATABASE_URL" {
            command.env_remove(&*name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command of the binary to its end.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ended {
    finished(tableside().args(arguments))
}

/// Runs a prepared command to its end.
pub(crate) fn finished(command: &mut Command) -> Ended {
    let output = command.output().expect("the binary can be run");
    Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What a process wrote, kept as it comes.
#[derive(Debug, Default)]
struct Lines {
    written: Mutex<Written>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    text: String,
    /// Nothing more will come.
    ended: bool,
}

impl Lines {
    /// Reads a stream to its end on a thread of its own, line by line.
    fn follow(stream: impl Read + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        let kept = lines.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                kept.change(|written| written.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            kept.change(|written| written.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.written.lock().expect("no reader panics"));
        self.grown.notify_all();
    }

    fn text(&self) -> String {
        self.written.lock().expect("no reader panics").text.clone()
    }

    /// Waits until something is found in the text; `None` when the stream ended, or too much time went by.
    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + LONG;
        let mut written = self.written.lock().expect("no reader panics");
        loop {
            let found = find(&written.text);
            let left = until.saturating_duration_since(Instant::now());
            if found.is_some() || written.ended || left.is_zero() {
                return found;
            }
            written = self.grown.wait_timeout(written, left).expect("no reader panics").0;
        }
    }

    /// Waits for the end of the stream.
    fn wait_for_end(&self) {
        self.wait_for(|_| None::<()>);
    }
}

/// A server that runs as a process of its own, killed with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Server {
    /// `tableside serve` of a folder; panics with what the server said when it doesn't start.
    pub(crate) fn start(folder: &Folder) -> Server {
        Server::start_with(folder.path(), "serve", &[])
            .unwrap_or_else(|said| panic!("the server didn't start:\n{said}"))
    }

    /// `tableside serve` or `dev` with further arguments; what it said when it ended instead of listening.
    pub(crate) fn start_with(folder: &Path, verb: &str, arguments: &[&str]) -> Result<Server, String> {
        let mut command = tableside();
        command.arg(verb).arg(folder).args(["--listen", "127.0.0.1:0"]).args(arguments);
        Server::spawn(&mut command)
    }

    /// `tableside serve`, which is told by an error when a file may not grow, and not killed.
    pub(crate) fn start_with_limits(folder: &Folder) -> Server {
        let plain = tableside();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(plain.get_program());
        command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
        plain.get_envs().for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Server::spawn(&mut command).unwrap_or_else(|said| panic!("the server didn't start:\n{said}"))
    }

    /// Has no file grow beyond so many bytes from now on.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("the server still runs");
    }

    /// Starts a prepared command and waits until it says that it listens.
    pub(crate) fn spawn(command: &mut Command) -> Result<Server, String> {
        let mut child = command.spawn().expect("the binary can be run");
        let stdout = Lines::follow(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Lines::follow(child.stderr.take().expect("stderr is a pipe"));
        match stderr.wait_for(address_in) {
            Some(address) => Ok(Server { child, address, stdout, stderr }),
            None => {
                let status = child.kill().and_then(|()| child.wait());
                stdout.wait_for_end();
                Err(format!("{}{}({status:?})", stdout.text(), stderr.text()))
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new visitor.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// What it said on stderr so far.
    pub(crate) fn complaints(&self) -> String {
        self.stderr.text()
    }

    /// Waits until its log holds a text; gives the log.
    pub(crate) fn wait_for_log(&self, wanted: &str) -> String {
        let found = self.stdout.wait_for(|log| log.contains(wanted).then(|| log.to_string()));
        found.unwrap_or_else(|| {
            panic!("the log never said {wanted:?}:\n{}\nstderr:\n{}", self.stdout.text(), self.stderr.text());
        })
    }

    /// Bytes of memory that it holds now.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server still runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("a process has an id"), signal).expect("the server still runs");
    }

    /// Waits for its end; gives all it said.
    pub(crate) fn wait(mut self) -> Ended {
        let status = self.child.wait().expect("the server can be waited for");
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        Ended { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the server still runs");
        self.child.wait().expect("the server can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.stdout.text();
            let troubles = log.lines().filter(|line| line.contains("problem=")).collect::<Vec<_>>();
            let last = &troubles[troubles.len().saturating_sub(20)..];
            eprintln!("the last troubles in the server's log:\n{}\n{}", last.join("\n"), self.stderr.text());
        }
    }
}

/// The address in `Serving DIR on http://127.0.0.1:41234`.
fn address_in(text: &str) -> Option<SocketAddr> {
    let line = text.split_inclusive('\n').find(|line| {
        (line.starts_with("Serving ") || line.starts_with("Developing "))
            && line.contains(" on http://")
            && line.ends_with('\n')
    })?;
    line.trim_end().rsplit("http://").next()?.parse().ok()
}
