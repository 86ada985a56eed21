//! The steps of one request, with their times: what the waterfall, `Server-Timing` and `--trace` show.
//!
//! A `Trace` is a plain value that the request carries from accept to log. Recording a step costs two readings of
//! the monotonic clock and a push to a small vector.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One step, from its start to its end.
#[derive(Clone, Debug)]
pub struct Step {
    /// One of the nine words of the way of a request (`route`, `database`, `render` …), or `query` for a part of
    /// `database`.
    pub name: &'static str,
    /// What the step worked on: a query's name, a template, a file. Empty where the name says it all.
    pub detail: Detail,
    began: Instant,
    ended: Instant,
}

impl Step {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.ended.saturating_duration_since(self.began)
    }
}

/// What a step worked on. Naming it copies nothing.
#[derive(Clone, Debug)]
pub enum Detail {
    /// A word of the server's own; mostly none.
    Word(&'static str),
    /// A name of the site's: of a query, a template.
    Name(Arc<str>),
}

impl From<&'static str> for Detail {
    fn from(word: &'static str) -> Detail {
        Detail::Word(word)
    }
}

impl From<Arc<str>> for Detail {
    fn from(name: Arc<str>) -> Detail {
        Detail::Name(name)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detail::Word(word) => out.write_str(word),
            Detail::Name(name) => out.write_str(name),
        }
    }
}

/// The steps of one request in the order in which they ended.
#[derive(Clone, Debug)]
pub struct Trace {
    began: Instant,
    /// When the last step ended.
    last: Instant,
    steps: Vec<Step>,
}

impl Trace {
    /// Starts the trace of a request that begins now.
    pub fn start() -> Trace {
        let began = Instant::now();
        Trace { began, last: began, steps: Vec::with_capacity(8) }
    }

    /// Runs `work` as the step `name`.
    pub fn step<T>(&mut self, name: &'static str, detail: impl Into<Detail>, work: impl FnOnce() -> T) -> T {
        let from = Instant::now();
        let result = work();
        self.record(name, detail, from);
        result
    }

    /// Records a step that began at `from` and ends now.
    pub fn record(&mut self, name: &'static str, detail: impl Into<Detail>, from: Instant) {
        self.push(name, detail, from, Instant::now());
    }

    /// Records a step that began when the last one ended, and ends now: one reading of the clock.
    pub fn record_next(&mut self, name: &'static str, detail: impl Into<Detail>) {
        self.push(name, detail, self.last, Instant::now());
    }

    /// Records a step that takes less than looking at the clock would.
    pub fn note(&mut self, name: &'static str, detail: impl Into<Detail>) {
        self.push(name, detail, self.last, self.last);
    }

    /// Records a step that began at `from` and took `took`.
    pub fn record_span(&mut self, name: &'static str, detail: impl Into<Detail>, from: Instant, took: Duration) {
        self.push(name, detail, from, from + took);
    }

    /// Moments are kept as they are, and counted from the start only when somebody wants to see them.
    fn push(&mut self, name: &'static str, detail: impl Into<Detail>, began: Instant, ended: Instant) {
        self.last = ended;
        self.steps.push(Step { name, detail: detail.into(), began, ended });
    }

    /// When the step that was recorded last has ended: where the next one follows at once, it begins then, and the clock
    /// need not be asked.
    pub fn last_end(&self) -> Instant {
        self.last
    }

    /// The steps so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// When a step began, counted from the start of the request.
    pub fn start_of(&self, step: &Step) -> Duration {
        step.began.saturating_duration_since(self.began)
    }

    /// What the cache said: `hit`, `revalidated`, `miss`, the table that had changed, or why nothing is kept. None where it
    /// was not asked.
    pub fn cache(&self) -> Option<&Detail> {
        self.steps.iter().rev().find(|step| step.name == "cache").map(|step| &step.detail)
    }

    /// The time since the request began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The value of a `Server-Timing` header (W3C Server Timing): each step's total in milliseconds, with `total` last.
    pub fn server_timing(&self) -> String {
        let mut totals: Vec<(&'static str, Duration)> = Vec::new();
        // Single queries stand inside of the step `database`, which is counted as a whole.
        for step in self.steps.iter().filter(|step| step.name != "query") {
            match totals.iter_mut().find(|(name, _)| *name == step.name) {
                Some((_, sum)) => *sum += step.took(),
                None => totals.push((step.name, step.took())),
            }
        }
        totals.push(("total", self.elapsed()));
        let entry = |(name, took): &(&'static str, Duration)| {
            let said = self.cache().filter(|_| *name == "cache").map_or(String::new(), |said| {
                // A quoted string holds neither of these (RFC 9110, 5.6.4).
                format!(";desc=\"{}\"", said.to_string().replace(['"', '\\'], "'"))
            });
            format!("{name}{said};dur={:.3}", took.as_secs_f64() * 1000.0)
        };
        totals.iter().map(entry).collect::<Vec<String>>().join(", ")
    }
}
