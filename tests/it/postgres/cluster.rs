//! A private PostgreSQL cluster for the tests of this process: in a temporary folder, on a free port, as an
//! unprivileged user. It is stopped and removed when this process ends, however it ends: a shell that watches a pipe
//! from it does so.
//!
//! `TABLESIDE_TEST_POSTGRES` names another server instead (`postgres://user@host:port`); its user must be allowed to
//! create databases.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts the server, says so, and stops it when nobody holds the other end of its input any more.
const WATCH: &str = r#"
"$1/pg_ctl" start -w -s -D "$2/data" -l "$2/log" -o "$3" || { cat "$2/log"; exit 1; }
echo ready
read -r word
"$1/pg_ctl" stop -w -s -m immediate -D "$2/data"
[ "$word" = keep ] || rm -rf "$2"
"#;

/// Roles that must show how they are known.
const ACCESS: &str = "host all by_scram 127.0.0.1/32 scram-sha-256
host all by_md5 127.0.0.1/32 md5
host all by_password 127.0.0.1/32 password
";

/// A new, empty database; its URL. It lives as long as the tests of this process run.
pub(crate) fn fresh_database() -> String {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    match CLUSTER.get_or_init(|| std::env::var_os("TABLESIDE_TEST_POSTGRES").is_none().then(Cluster::start)) {
        Some(cluster) => cluster.fresh_database(),
        None => create_database(&std::env::var("TABLESIDE_TEST_POSTGRES").expect("a URL in UTF-8")),
    }
}

/// The same on a server that doesn't wait for its disk: for many small tests that are not about that.
pub(crate) fn quick_database() -> String {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let start = || std::env::var_os("TABLESIDE_TEST_POSTGRES").is_none().then(|| Cluster::start_with("-c fsync=off"));
    match CLUSTER.get_or_init(start) {
        Some(cluster) => cluster.fresh_database(),
        None => fresh_database(),
    }
}

/// A cluster. Dropping it stops its server.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    options: &'static str,
    /// `None` while it is stopped.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    shell: Child,
    /// The end of the pipe that the shell watches.
    watched: ChildStdin,
}

impl Cluster {
    /// A new cluster whose server runs.
    pub(crate) fn start() -> Cluster {
        Cluster::start_with("")
    }

    /// The same with further options of the server.
    pub(crate) fn start_with(options: &'static str) -> Cluster {
        let folder =
            tempfile::Builder::new().prefix("tableside-postgres-").tempdir().expect("a temporary folder").keep();
        if let Some((user, group)) = unprivileged() {
            chown(&folder, Some(user), Some(group)).expect("the folder can be given away");
        }
        let output = as_unprivileged(programs().join("initdb"))
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .current_dir(&folder)
            .output()
            .expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        make_certificates(&folder);
        let access = folder.join("data/pg_hba.conf");
        let rules = fs::read_to_string(&access).expect("rules of access");
        fs::write(&access, format!("{ACCESS}{rules}")).expect("the rules can be written");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let mut cluster = Cluster { folder, port, options, running: None };
        cluster.run();
        cluster
    }

    /// Stops the server as a crash would, and keeps its data.
    pub(crate) fn stop(&mut self) {
        self.end(b"keep\n");
    }

    fn end(&mut self, word: &[u8]) {
        let Some(Running { mut shell, mut watched }) = self.running.take() else { return };
        watched.write_all(word).expect("the shell listens");
        drop(watched);
        shell.wait().expect("the shell ends");
    }

    /// Starts the server.
    pub(crate) fn run(&mut self) {
        let options = format!(
            "-p {} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200 -c shared_buffers=32MB \
             -c ssl=on -c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key {}",
            self.port,
            self.options,
            folder = self.folder.display()
        );
        let mut shell = as_unprivileged("sh")
            .args(["-c", WATCH, "sh"])
            .args([programs().as_path(), &self.folder, Path::new(&options)])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let mut said = String::new();
        let mut output = BufReader::new(shell.stdout.take().expect("a pipe"));
        output.read_line(&mut said).expect("the shell says something");
        assert_eq!(said, "ready\n", "the server does not start");
        let watched = shell.stdin.take().expect("a pipe");
        self.running = Some(Running { shell, watched });
    }

    /// The certificate that the server's comes from; the server's names 127.0.0.1 and nothing else.
    pub(crate) fn root_certificate(&self) -> PathBuf {
        self.folder.join("root.crt")
    }

    /// A new, empty database; its URL.
    pub(crate) fn fresh_database(&self) -> String {
        create_database(&format!("postgres://postgres@127.0.0.1:{}", self.port))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(b"remove\n");
    }
}

/// Makes a root and the server's certificate by `openssl`, which Debian's PostgreSQL brings along.
fn make_certificates(folder: &Path) {
    let make = |name: &str, more: &[&str]| {
        let output = as_unprivileged("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "30",
            ])
            .args(["-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")])
            .args(more)
            .current_dir(folder)
            .output()
            .expect("openssl runs");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    };
    make("root", &[]);
    let names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    make("server", &[&["-CA", "root.crt", "-CAkey", "root.key"], &names[..]].concat());
}

/// Runs SQL by `psql`; what it prints, without alignment.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    let output = Command::new(programs().join("psql"))
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .expect("psql runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_string()
}

fn create_database(server: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    psql(
        &format!("{server}/postgres"),
        &format!("create database {name} template template0 lc_collate 'C' lc_ctype 'C'"),
    );
    format!("{server}/{name}")
}

/// The folder of the newest server's programs that is installed.
fn programs() -> PathBuf {
    let version = |folder: &PathBuf| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse::<u32>().ok())
    };
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest =
        folders.map(|entry| entry.path()).filter(|folder| folder.join("bin/initdb").exists()).max_by_key(version);
    newest.expect("PostgreSQL is installed (apt-get install postgresql)").join("bin")
}

/// The user and group that the server runs as, where this process is root's: it refuses to be root's.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

fn as_unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}
