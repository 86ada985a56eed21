//! Runs a Hurl file: entry by entry, until one fails. An entry is one request, with the redirects that it follows,
//! and what is expected of the last answer.

mod address;
mod client;
mod cookie;
mod document;
mod expectation;
mod filter;
mod predicate;
mod query;
mod reply;
mod request;
mod scope;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::client::Reply;
use self::cookie::Jar;
use self::query::Evidence;
use self::request::Prepared;
use self::scope::Scope;
use self::settings::Settings;
use super::syntax::{Entry, HurlFile, Wrong};
use super::value::Variables;
use crate::problem::Fault;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the file.
    pub file: Arc<str>,
    /// How many entries were run, repetitions counted; the failing one is the last of them.
    pub entries: usize,
    /// How many asserts were judged: versions, statuses, headers and bodies behind an `HTTP` line, and `[Asserts]`.
    pub asserts: usize,
    /// What failed; empty when all is well. All of them belong to the last entry that was run.
    pub failures: Vec<Fault>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs a file. `variables` are what its `{{holes}}` may name from the start; `folder` is where `file,…;` looks, and
/// never leaves. An entry that fails ends the run, because those behind it build on it.
pub async fn run(file: &HurlFile, variables: &Variables, folder: &Path) -> Report {
    let started = Instant::now();
    let mut run =
        Run { variables: variables.clone(), folder: folder.to_path_buf(), jar: Jar::default(), entries: 0, asserts: 0 };
    let mut failures = Vec::new();
    for entry in &file.entries {
        failures = run.entry(entry).await;
        if !failures.is_empty() {
            break;
        }
    }
    Report {
        file: file.name.clone(),
        entries: run.entries,
        asserts: run.asserts,
        failures: failures.into_iter().map(|wrong| wrong.fault(&file.name, &file.source)).collect(),
        took: started.elapsed(),
    }
}

/// What goes from one entry to the next.
struct Run {
    variables: Variables,
    folder: PathBuf,
    jar: Jar,
    entries: usize,
    asserts: usize,
}

impl Run {
    /// Runs one entry as often as its options say.
    async fn entry(&mut self, entry: &Entry) -> Vec<Wrong> {
        let mut done = 0;
        loop {
            let settings = match Settings::evaluate(&entry.request.options, &mut self.variables, &self.folder) {
                Ok(settings) => settings,
                Err(wrong) => return vec![wrong],
            };
            if settings.skip || done >= settings.repeat {
                return Vec::new();
            }
            tokio::time::sleep(settings.delay).await;
            let failures = self.with_retries(entry, &settings).await;
            self.entries += 1;
            if !failures.is_empty() {
                return failures;
            }
            done += 1;
        }
    }

    /// Runs an entry until it holds or its retries are used up; only the last try counts.
    async fn with_retries(&mut self, entry: &Entry, settings: &Settings) -> Vec<Wrong> {
        let asserts = self.asserts;
        for _ in 0..settings.retry {
            if self.once(entry, settings).await.is_empty() {
                return Vec::new();
            }
            self.asserts = asserts;
            tokio::time::sleep(settings.retry_interval).await;
        }
        self.once(entry, settings).await
    }

    async fn once(&mut self, entry: &Entry, settings: &Settings) -> Vec<Wrong> {
        let replies = match self.ask(entry, settings).await {
            Ok(replies) => replies,
            Err(wrong) => return vec![wrong],
        };
        match (&entry.response, Evidence::new(&replies)) {
            (Some(response), Some(evidence)) => {
                let (asserts, failures) = expectation::check(response, &evidence, &mut self.variables, &self.folder);
                self.asserts += asserts;
                failures
            }
            _ => Vec::new(),
        }
    }

    /// Sends the request and follows redirects; the last answer is the one that counts.
    async fn ask(&mut self, entry: &Entry, settings: &Settings) -> Result<Vec<Reply>, Wrong> {
        let scope = Scope { variables: &self.variables, folder: &self.folder };
        let mut prepared = Prepared::build(&entry.request, settings, scope)?;
        let at = |error: String| Wrong::new(entry.request.url.span, error);
        let mut replies: Vec<Reply> = Vec::new();
        loop {
            let jar = self.jar.header(&prepared.address);
            let reply = client::send(&prepared, jar, settings.max_time).await.map_err(at)?;
            for cookie in reply.cookies() {
                self.jar.take(&prepared.address, &cookie);
            }
            let next = if settings.follow { redirect(&reply).map_err(at)? } else { None };
            let status = reply.status;
            replies.push(reply);
            let Some(next) = next else { return Ok(replies) };
            if replies.len() as u64 > settings.max_redirects {
                return Err(at(format!("more than {} redirects; the next leads to {next}", settings.max_redirects)));
            }
            prepared = prepared.redirected(status, next);
        }
    }
}

/// Where an answer redirects to.
fn redirect(reply: &Reply) -> Result<Option<address::Address>, String> {
    match reply.header("location").first() {
        Some(location) if (300..400).contains(&reply.status) => reply.address.join(location).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
