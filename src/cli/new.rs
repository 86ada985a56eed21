//! `tableside new`: a small working site to start from.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Outcome;
use crate::problem::Problem;

/// Make a small working site to start from.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tableside new guestbook && tableside dev guestbook")]
pub(super) struct Arguments {
    /// The folder to make; it must not exist yet, or be empty.
    #[arg(value_name = "NAME")]
    folder: PathBuf,
}

/// The files of the starter, as they stand in `starter/`.
const FILES: &[(&str, &str)] = &[
    ("site.toml", include_str!("../../starter/site.toml")),
    ("public/app.css", include_str!("../../starter/public/app.css")),
    ("pages/_layout.html", include_str!("../../starter/pages/_layout.html")),
    ("pages/_404.html", include_str!("../../starter/pages/_404.html")),
    ("pages/index.html", include_str!("../../starter/pages/index.html")),
    ("pages/index.sql", include_str!("../../starter/pages/index.sql")),
    ("pages/index.post.sql", include_str!("../../starter/pages/index.post.sql")),
    ("migrations/0001_start.sql", include_str!("../../starter/migrations/0001_start.sql")),
    ("tests/guestbook.hurl", include_str!("../../starter/tests/guestbook.hurl")),
    (".gitignore", "data/\n"),
];

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Problem> {
    let folder = &arguments.folder;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(Problem::broken(format!("`{}` is there already and not empty", folder.display())));
    }
    for (name, text) in FILES {
        write(&folder.join(name), text)?;
    }
    let shown = folder.display();
    println!("Made {shown}. Look at it while you change it:\n\n  tableside dev {shown}\n");
    println!("Then:\n\n  tableside check {shown}\n  tableside test {shown}");
    Ok(Outcome::Success)
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let broken = |error: std::io::Error| Problem::broken(format!("can't write `{}`: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(broken)?;
    }
    fs::write(path, text).map_err(broken)
}
