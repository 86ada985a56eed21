//! The command line: `peer SITE --listen ADDRESS --database FILE|postgres://…
//! [--synchronous full|normal] [--together N] [--access-log]`.

use std::path::PathBuf;

use crate::Fault;

/// How durable a commit is, in SQLite's words
/// (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
#[derive(Clone, Copy)]
pub enum Synchronous {
    /// Every commit is on the disk before it is answered.
    Full,
    /// In WAL mode a commit may be lost by a power cut, but nothing gets corrupt.
    Normal,
}

/// What the program was started with.
pub struct Settings {
    /// The site folder, of which `public/` is served.
    pub site: PathBuf,
    /// Address and port.
    pub listen: String,
    /// SQLite's file, created when it isn't there, or PostgreSQL's URL.
    pub database: String,
    /// Of the writer's connection.
    pub synchronous: Synchronous,
    /// How many waiting writes may share a commit.
    pub together: usize,
    /// Whether each request gets a line on standard output.
    pub access_log: bool,
}

impl Settings {
    /// Reads the arguments (without the program's name).
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let mut site = None;
        let mut database = None;
        let mut listen = "127.0.0.1:3001".to_owned();
        let mut synchronous = Synchronous::Full;
        let mut together = 1;
        let mut access_log = false;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--listen" => listen = value()?,
                "--database" => database = Some(value()?),
                "--synchronous" => synchronous = synchronous_named(&value()?)?,
                "--together" => together = value()?.parse()?,
                "--access-log" => access_log = true,
                other if other.starts_with('-') => return Err(format!("unknown {other}").into()),
                folder => site = Some(PathBuf::from(folder)),
            }
        }
        Ok(Self {
            site: site.ok_or("the site folder is missing")?,
            database: database.ok_or("--database is missing")?,
            listen,
            synchronous,
            together,
            access_log,
        })
    }
}

fn synchronous_named(name: &str) -> Result<Synchronous, Fault> {
    match name {
        "full" => Ok(Synchronous::Full),
        "normal" => Ok(Synchronous::Normal),
        other => Err(format!("--synchronous is full or normal, not {other}").into()),
    }
}
