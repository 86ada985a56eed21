//! The notifier's connection: what comes over it, what goes, and what happens when it is lost. See `notify.rs`.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use postgres_protocol::message::backend::Message as Word;
use postgres_protocol::message::frontend;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout};

use super::failure::Trouble;
use super::link::Link;
use super::news::{Effect, Message, Nodes, What};
use super::notify::{Batch, Shared};
use super::pool::pause;
use super::wire::Wire;
use super::{Plan, Role, triggers};
use crate::value::Value;

/// The shortest pause between two messages.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest pause between two messages.
const HEARTBEAT: Duration = Duration::from_millis(150);
/// After so long without our own word the connection is given up.
const DEAF: Duration = Duration::from_secs(3);
/// How long a node may be silent before it is asked after.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two questions after silent nodes, and about tables without triggers.
const ERRANDS: Duration = Duration::from_millis(500);
/// Between two looks for tables that have no triggers yet.
const TENDING: Duration = Duration::from_secs(5);
/// How long the server may take for our last word.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// The first and the longest pause between two tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Hears and tells until stopped, on one connection after the other.
pub(super) async fn listen(plan: &Arc<Plan>, shared: &Shared, watch_others: bool, heard: oneshot::Sender<()>) {
    let mut nodes = Nodes::new(shared.identity.node.clone(), Instant::now());
    let mut heard = Some(heard);
    let (mut tries, mut told) = (0_u32, false);
    loop {
        let opened =
            tokio::select! { opened = Line::open(plan, shared, &mut nodes) => opened, () = stopped(shared) => return };
        let ended = match opened {
            Ok(line) => {
                line.work(watch_others, &mut || {
                    tries = 0;
                    if let Some(heard) = heard.take() {
                        let _ = heard.send(());
                    }
                    if std::mem::take(&mut told) {
                        (shared.tell)("the other nodes are heard again");
                    }
                })
                .await
            }
            Err(trouble) => Err(trouble),
        };
        shared.deaf(None);
        let Err(trouble) = ended else { return };
        if is_for_good(&trouble) {
            shared.gathered().mute = true;
            let cause = trouble.message();
            (shared.tell)(&format!("this server can't tell of what other nodes write ({cause}): nothing is kept"));
            return;
        }
        if !std::mem::replace(&mut told, true) {
            let cause = trouble.message();
            (shared.tell)(&format!("the other nodes can't be heard ({cause}): nothing is kept until they can"));
        }
        tries = tries.saturating_add(1);
        let rest = sleep(pause(PAUSES.0, tries, PAUSES.1));
        tokio::select! { () = rest => {}, () = stopped(shared) => return }
    }
}

/// Whether the server doesn't know LISTEN at all, or never lets us.
fn is_for_good(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Server(error) if matches!(&*error.code, "0A000" | "42601" | "42501"))
}

/// Waits until the notifier is to end.
async fn stopped(shared: &Shared) {
    while !shared.gathered().stop {
        shared.wake.notified().await;
    }
}

/// What is asked of the server beside the line, on a connection of its own.
type Errand = Pin<Box<dyn Future<Output = Result<Told, Trouble>>>>;

/// What an errand brought.
enum Told {
    /// The nodes that have connections to the database.
    Present(BTreeSet<String>),
    /// The tables and their triggers.
    Tended(triggers::Tended),
}

/// The connection that listens.
struct Line<'s> {
    plan: &'s Arc<Plan>,
    shared: &'s Shared,
    nodes: &'s mut Nodes,
    wire: Wire,
    /// What is under way.
    flight: Option<Batch>,
    sent_at: Instant,
    errand: Option<Errand>,
    errand_at: Instant,
    tended_at: Option<Instant>,
    tended: Option<triggers::Tended>,
    /// Silent nodes that were told of.
    named: BTreeSet<String>,
    trusts: bool,
}

impl<'s> Line<'s> {
    async fn open(plan: &'s Arc<Plan>, shared: &'s Shared, nodes: &'s mut Nodes) -> Result<Line<'s>, Trouble> {
        let mut link = Link::open(plan, Role::Listener).await?;
        let now = Instant::now();
        let rows = link.simple(&format!("{}; listen {}", present(shared), shared.identity.channel)).await?;
        nodes.listen(now, &names_of(&rows.cells));
        shared.gathered().deaf = false;
        Ok(Line {
            plan,
            shared,
            nodes,
            wire: link.wire,
            flight: None,
            sent_at: now - HEARTBEAT,
            errand: None,
            errand_at: now,
            tended_at: None,
            tended: None,
            named: BTreeSet::new(),
            trusts: false,
        })
    }

    /// Works until the connection is lost, or the notifier is stopped. `healed` is called once, when our own word came
    /// back.
    async fn work(mut self, watch_others: bool, healed: &mut dyn FnMut()) -> Result<(), Trouble> {
        let ended = self.go_on(watch_others, healed).await;
        if ended.is_err() {
            self.shared.deaf(self.flight.take());
        }
        ended
    }

    async fn go_on(&mut self, watch_others: bool, healed: &mut dyn FnMut()) -> Result<(), Trouble> {
        loop {
            if self.flight.is_none() && self.shared.has_said_all() {
                return self.say_goodbye().await;
            }
            if self.flight.is_none() && self.due() <= Instant::now() {
                self.send().await?;
            }
            self.run_errands(watch_others);
            let due = if self.flight.is_some() { self.deaf_at() } else { self.due() };
            tokio::select! {
                // What waits to be read is read first: after a stop of this process nothing is missing yet.
                biased;
                word = self.wire.hear() => self.take(word?, healed),
                told = brought(&mut self.errand) => self.brought(told),
                () = self.shared.wake.notified() => {}
                () = sleep_until(due.into()) => {
                    if self.deaf_at() <= Instant::now() {
                        return Err(Trouble::Lost("no word of our own came back".into()));
                    }
                }
            }
        }
    }

    /// When the connection is given up, if nothing comes: our oldest message that has not come back tells.
    fn deaf_at(&self) -> Instant {
        let sent_at = self.flight.as_ref().map_or_else(Instant::now, |_| self.sent_at);
        self.nodes.unheard_since().unwrap_or(sent_at) + DEAF
    }

    /// When the next message is to be sent.
    fn due(&self) -> Instant {
        let gathered = self.shared.gathered();
        self.sent_at + if gathered.tables.is_empty() && !gathered.stop { HEARTBEAT } else { PAUSE }
    }

    async fn send(&mut self) -> Result<(), Trouble> {
        let batch = std::mem::take(&mut self.shared.gathered().tables);
        let what = batch.what();
        self.flight = Some(batch);
        self.say(what).await
    }

    /// Sends one message. What the server answers is read by [`Line::take`].
    async fn say(&mut self, what: What) -> Result<(), Trouble> {
        self.sent_at = Instant::now();
        let sql = self.shared.notification(&self.nodes.next(what, self.sent_at));
        frontend::query(&sql, &mut self.wire.outgoing)?;
        timeout(DEAF, self.wire.flush()).await.map_err(|_| Trouble::Lost("the server takes nothing".into()))??;
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn say_goodbye(&mut self) -> Result<(), Trouble> {
        self.say(What::Goodbye).await?;
        let end = async {
            while !matches!(self.wire.hear().await?, Word::ReadyForQuery(_)) {}
            Ok(())
        };
        timeout(GOODBYE_WAIT, end).await.unwrap_or(Ok(()))
    }

    /// Takes what the server sent.
    fn take(&mut self, word: Word, healed: &mut dyn FnMut()) {
        match word {
            // The message is committed: who waited for it may answer.
            Word::ReadyForQuery(_) => {
                self.shared.is_known.store(true, Ordering::SeqCst);
                for waits in self.flight.take().into_iter().flat_map(|batch| batch.waiting) {
                    // An answer that waited too long is gone already.
                    let _ = waits.send(());
                }
            }
            Word::NotificationResponse(body) => {
                let text = body.message().unwrap_or_default();
                let effect = Message::read(text).map_or(Effect::All, |message| self.nodes.hear(message));
                let versions = &self.shared.versions;
                match effect {
                    Effect::Nothing => {}
                    Effect::Tables(names) => versions.bump(&versions.known(names.iter().map(String::as_str))),
                    Effect::All => versions.bump_all(),
                }
                if let Some(until) = self.nodes.fresh_until() {
                    versions.lease_until(until);
                    // Only now: with the lease of the connection before, nothing was proven.
                    if !std::mem::replace(&mut self.trusts, true) {
                        versions.trust();
                        healed();
                    }
                }
            }
            _ => {}
        }
    }

    /// Goes to ask what is to be asked from time to time.
    fn run_errands(&mut self, watch_others: bool) {
        let now = Instant::now();
        if self.errand.is_some() || now < self.errand_at {
            return;
        }
        let silent = self.nodes.silent(SILENCE);
        let is_due = |at: Instant| watch_others && now.saturating_duration_since(at) >= TENDING;
        let tend = self.tended_at.is_none_or(is_due);
        let plan = Arc::clone(self.plan);
        if !silent.is_empty() {
            let sql = present(self.shared);
            self.errand = Some(Box::pin(async move {
                let mut link = Link::open(&plan, Role::Keeper).await?;
                Ok(Told::Present(names_of(&link.simple(&sql).await?.cells)))
            }));
        } else if tend {
            self.tended_at = Some(now);
            let channel = self.shared.identity.channel.clone();
            self.errand =
                Some(Box::pin(async move { triggers::tend(&plan, &channel, watch_others).await.map(Told::Tended) }));
        }
        self.errand_at = now + ERRANDS;
    }

    fn brought(&mut self, told: Result<Told, Trouble>) {
        self.errand = None;
        match told {
            // It is asked again.
            Err(_) => {}
            Ok(Told::Present(present)) => {
                for node in self.nodes.silent(SILENCE) {
                    if !present.contains(&node) {
                        self.nodes.forget(&node);
                        self.shared.versions.bump_all();
                        self.named.remove(&node);
                    } else if self.named.insert(node.clone()) {
                        let line =
                            "is silent and still connected to the database: nothing is kept until it speaks or goes";
                        (self.shared.tell)(&format!("node {node} {line}"));
                    }
                }
            }
            Ok(Told::Tended(tended)) => {
                if tended.missed(self.tended.as_ref()) {
                    self.shared.versions.bump_all();
                }
                if let Some(trouble) = tended.trouble(self.tended.as_ref()) {
                    (self.shared.tell)(trouble);
                }
                self.tended = Some(tended);
            }
        }
    }
}

/// The nodes that have connections, as SQL.
fn present(shared: &Shared) -> String {
    format!(
        "select distinct pg_catalog.split_part(pg_catalog.split_part(application_name, '#', 2), '.', 2) \
         from pg_catalog.pg_stat_activity where datname = pg_catalog.current_database() \
         and application_name like '%#{}.%'",
        shared.identity.channel.replace('_', "\\_")
    )
}

fn names_of(cells: &[Value]) -> BTreeSet<String> {
    cells.iter().filter_map(|cell| cell.as_str().map(str::to_string)).collect()
}

/// Waits for an errand, for ever if there is none.
async fn brought(errand: &mut Option<Errand>) -> Result<Told, Trouble> {
    match errand {
        Some(errand) => errand.await,
        None => std::future::pending().await,
    }
}
