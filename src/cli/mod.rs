//! The command line: one file a command. Exit codes: 0 success, 1 faults found, 2 wrong use.

mod access;
mod check;
mod dev;
mod mails;
mod migrate;
mod moving;
mod new;
mod report;
mod routes;
mod running;
mod scratch;
mod serve;
mod sweeping;
mod test;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Serve whole web sites out of a folder: static files, pages filled by SQL, forms that are checked.
#[derive(Debug, Parser)]
#[command(name = "tableside", version, about, after_help = "Begin with:  tableside new shop && tableside dev shop")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a small working site to start from.
    New(new::Arguments),
    /// Serve a site to its author: reload on save, errors that show file and line.
    Dev(dev::Arguments),
    /// Serve a site to its visitors. Checks it first.
    Serve(serve::Arguments),
    /// Find every fault of a site before a visitor does.
    Check(check::Arguments),
    /// Show what is served, who may, and which tables it reads and writes.
    Routes(routes::Arguments),
    /// Show who may do what on a site, and why.
    Access(access::Arguments),
    /// Show or apply the migrations of a site's database.
    Migrate(migrate::Arguments),
    /// Move the data of a site to another database, and verify it.
    Move(moving::Arguments),
    /// Run the site's own tests on a fresh database.
    Test(test::Arguments),
    /// Add, change and show the accounts of a site.
    User(user::Arguments),
}

/// What all commands about a site take.
#[derive(Clone, Debug, Args)]
struct SiteArguments {
    /// The site's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    settings: SettingArguments,
}

/// Settings on the command line.
#[derive(Clone, Debug, Args)]
struct SettingArguments {
    /// Set any setting: `--set limits.body=2MB`. It wins over site.toml and the environment.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All is well.
    Success,
    /// Faults were found and told.
    Faults,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    take_small_pages();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::New(arguments) => new::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Access(arguments) => access::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Move(arguments) => moving::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::User(arguments) => user::run(&arguments),
    };
    match outcome {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::Faults) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("tableside: {problem}");
            ExitCode::from(1)
        }
    }
}

/// Memory comes in pages of the usual size. A huge one costs two megabytes where a thread needs some kilobytes, and the
/// time to clear them: half of what a small site takes, for no request that would be faster.
fn take_small_pages() {
    // Where the kernel can't be told, it costs memory and nothing else.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
