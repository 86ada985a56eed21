//! Runs `tests/cases/**/*.txt` against the real server: each file is a site, requests, and what must be answered.
//!
//! Each runs on SQLite and, if it has any SQL, on PostgreSQL. `CASE=name cargo test --test it cases` runs the files whose
//! path holds `name`. The format stands in `tests/cases/README.md`.

mod compare;
mod read;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::harness::{Answer, Client, Folder, Server, run};
use crate::postgres::quick_database;
use read::{Case, Exchange};

/// How many cases run at once: starting a server waits for the disk more than it computes.
const AT_ONCE: usize = 4;

#[test]
fn every_case_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let wanted = std::env::var("CASE").unwrap_or_default();
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.retain(|file| file.to_string_lossy().contains(&wanted));
    files.sort();
    assert!(!files.is_empty(), "no case is called {wanted:?}");
    let runs: Vec<(PathBuf, On)> =
        files.into_iter().flat_map(|file| [(file.clone(), On::Sqlite), (file, On::Postgres)]).collect();
    let (waiting, failures) = (Mutex::new(runs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((file, on)) = next(&waiting) {
                    let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
                    if let Err(why) = case(&file, on) {
                        failures.lock().unwrap().push(format!("── {name} on {on:?}\n{why}"));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

/// What a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Sqlite,
    Postgres,
}

/// The lock is held only while the next file is taken.
fn next(waiting: &Mutex<Vec<(PathBuf, On)>>) -> Option<(PathBuf, On)> {
    waiting.lock().unwrap().pop()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
}

fn case(file: &Path, on: On) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut case = read::case(&text)?;
    if on == On::Postgres {
        if !case.files.iter().any(|(path, _)| path.ends_with(".sql")) {
            return Ok(());
        }
        let settings = [format!("database.url={}", quick_database()), "database.allow_unsafe_durability=true".into()];
        case.settings.extend(settings.into_iter().flat_map(|setting| ["--set".into(), setting]));
        case.faults = case.faults_on_postgres.take().or(case.faults);
    }
    let folder = Folder::new(&[]);
    for (path, text) in &case.files {
        folder.write(path, text);
    }
    for (path, target) in &case.links {
        std::os::unix::fs::symlink(target, folder.file(path)).map_err(|error| error.to_string())?;
    }
    if let Some(expected) = &case.faults {
        let arguments = ["check".as_ref(), folder.path().as_os_str(), "--json".as_ref()];
        let found = run(arguments.into_iter().chain(case.settings.iter().map(OsStr::new)));
        compare::faults(expected, &found).map_err(|why| format!("check: {why}"))?;
    }
    if case.exchanges.is_empty() {
        return Ok(());
    }
    serve(&case, &folder)
}

fn serve(case: &Case, folder: &Folder) -> Result<(), String> {
    let mut arguments = vec!["--set", "server.threads=1"];
    arguments.extend(case.settings.iter().chain(&case.arguments).map(String::as_str));
    let server = Server::start_with(folder.path(), &case.verb, &arguments)
        .map_err(|said| format!("the server didn't start:\n{said}"))?;
    // A case that doesn't say which faults it has must have none, not even a warning.
    if case.faults.is_none() && server.complaints().contains("warning:") {
        return Err(format!("the site has faults:\n{}", server.complaints()));
    }
    let mut visitors: Vec<(String, Client)> = Vec::new();
    let mut captured: Vec<(String, String)> = vec![("host".into(), server.address().to_string())];
    for exchange in &case.exchanges {
        let at = match visitors.iter().position(|(name, _)| *name == exchange.visitor) {
            Some(at) => at,
            None => {
                visitors.push((exchange.visitor.clone(), server.client()));
                visitors.len() - 1
            }
        };
        let told = ask(exchange, &mut visitors[at].1, &mut captured);
        told.map_err(|why| format!("line {}: {}\n{why}\n{}", exchange.line, exchange.first_line, server.complaints()))?;
    }
    Ok(())
}

/// Sends one request and holds the answer against what is expected.
fn ask(exchange: &Exchange, visitor: &mut Client, captured: &mut Vec<(String, String)>) -> Result<(), String> {
    let request = exchange.request(captured)?;
    let answer = visitor.send(&request).map_err(|error| format!("no answer: {error}"))?;
    for capture in &exchange.captures {
        let value = capture
            .find(&answer.text())
            .ok_or_else(|| format!("nothing to capture as `{}`\n{}", capture.name, shown(&answer)))?;
        captured.push((capture.name.clone(), value));
    }
    compare::answer(exchange, &answer, captured).map_err(|why| format!("{why}\n{}", shown(&answer)))
}

/// An answer as the failure of a test shows it.
fn shown(answer: &Answer) -> String {
    let headers: String = answer.headers.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
    let body = answer.text();
    let lines: String = body.lines().take(60).map(|line| format!("  {line}\n")).collect();
    format!("  {}\n{headers}\n{lines}", answer.status)
}
