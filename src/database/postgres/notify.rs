//! The notifier: tells the other nodes which tables this one changed, and hears the same from them.
//!
//! It has a thread and a connection of its own, so NOTIFY never stands in a site's transaction, where it would make
//! commits wait for each other. After a commit the tables are handed over ([`Shared::tell`]); what gathers while a NOTIFY
//! is under way goes with the next one, not more often than every [`PAUSE`]. Without changes a message says every
//! [`HEARTBEAT`] that the node lives.
//!
//! **What a visitor may see.** The node where something was written counts its own tables up before it answers. The
//! answer waits until the NOTIFY is committed, so the others are told by then and learn it as fast as the
//! server delivers. Nobody waits longer than [`ANSWER_WAIT`]: if the NOTIFY can't be sent, the others hear nothing at all
//! from this node, and a node trusts its counts only up to [`MAX_LAG`](crate::database::versions::MAX_LAG) after the
//! last word of each node (`news.rs`). Either way all
//! visitors of all nodes see a write at most that long after it was answered. The visitor who wrote must not see
//! anything older even for so long: the answer to an action sets a cookie that lives [`BYPASS`], with which every
//! node passes its cache by.
//!
//! **When the word is lost.** A gap in a node's numbers: all tables are counted up. Our own words stay away, or another
//! node's do: the lease on the counts runs out, also if this process was stopped meanwhile, and returns with the words,
//! which lost nothing on their way. The connection is lost: no trust, from that moment on, until a new one is proven by our own
//! word coming back; what was current before never is again. A node that fell silent and has no connection to
//! the database any more is forgotten, after all tables were counted up, because it may have committed what it told nobody
//! of; as long as it has connections, it may write, and so its silence is waited out without trust.
//! A server without LISTEN and NOTIFY (CockroachDB) never gives trust: pages are read anew each time.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postgres_protocol::message::backend::Message as Word;
use postgres_protocol::message::frontend;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use super::failure::Trouble;
use super::link::Link;
use super::news::{Effect, Message, Nodes, What};
use super::pool::pause;
use super::wire::Wire;
use super::{Plan, Role, triggers};
use crate::database::versions::{TableSet, Versions};
use crate::value::Value;

/// The shortest pause between two messages.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two messages.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long an answer waits for the NOTIFY at most.
const ANSWER_WAIT: Duration = Duration::from_millis(200);
/// The life of the cookie with which a visitor who wrote passes caches by: longer than any node may be behind.
pub const BYPASS: Duration = Duration::from_secs(2);
/// After so long without our own word the connection is given up.
const DEAF: Duration = Duration::from_secs(3);
/// How long a node may be silent before it is asked after.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two questions after silent nodes, and about tables without triggers.
const ERRANDS: Duration = Duration::from_millis(500);
/// Between two looks for tables that have no triggers yet.
const TENDING: Duration = Duration::from_secs(5);
/// How long the start waits for our own word.
const START_WAIT: Duration = Duration::from_secs(5);
/// How long the server may take for our last word.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// The first and the longest pause between two tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The name of the channel, for the schema that the site stands in, as SQL. A channel belongs to one database.
pub(super) const CHANNEL: &str = "('tableside_' || pg_catalog.left(pg_catalog.md5(pg_catalog.concat(\
    pg_catalog.current_database(), '/', pg_catalog.current_schema())), 8))";

/// Who is told what the operator should know.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// Who this process is among the nodes.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The channel that all nodes of the site hear.
    pub(super) channel: String,
    /// The node's name; another one with each start.
    pub(super) node: String,
}

impl Identity {
    /// What its connections add to their `application_name`, so that the others see which nodes are there and
    /// triggers know whom to pass over. The name as a whole must be no longer than 63 bytes.
    pub(super) fn suffix(&self) -> String {
        format!("#{}.{}", self.channel, self.node)
    }
}

/// What the notifier's thread and those who write share.
pub(super) struct Shared {
    versions: Arc<Versions>,
    pub(super) identity: Identity,
    gathered: Mutex<Gathered>,
    wake: Notify,
    tell: Tell,
    /// Messages that were sent.
    sent: AtomicU64,
}

/// What is to be told next.
#[derive(Default)]
struct Gathered {
    tables: Batch,
    /// There is no connection, and nobody needs to wait for one.
    deaf: bool,
    /// There will be none: nothing is gathered.
    mute: bool,
    stop: bool,
}

/// Tables for one message, and who waits until it was sent.
#[derive(Default)]
struct Batch {
    /// Any table may have changed.
    all: bool,
    names: BTreeSet<Arc<str>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    fn add(&mut self, tables: &TableSet) {
        match tables.names() {
            None => self.all = true,
            Some(names) => self.names.extend(names.cloned()),
        }
    }

    fn take_up(&mut self, other: Batch) {
        self.all |= other.all;
        self.names.extend(other.names);
        self.waiting.extend(other.waiting);
    }

    fn what(&self) -> What {
        match self.all {
            true => What::All,
            false => What::Tables(self.names.iter().map(ToString::to_string).collect()),
        }
    }
}

/// The notifier of one process for one database. Dropping it says goodbye to the others.
pub struct Notifier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Notifier")
    }
}

impl Notifier {
    /// Starts to hear the others and returns when it does, or when it is known that this takes longer. To be called
    /// once, before the first action: the others must know a node before it writes. `watch_others` tells whether
    /// triggers shall tell of other programs' writes.
    ///
    /// # Errors
    /// A text for the operator: the server can't be reached.
    pub(super) fn start(plan: &Arc<Plan>, watch_others: bool, tell: Tell) -> Result<Notifier, String> {
        let (opened, opens) = mpsc::channel();
        let plan = Arc::clone(plan);
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(opened.send(Err(error.to_string()))),
            };
            runtime.block_on(async {
                let identity = match identify(&plan).await {
                    Ok(identity) => identity,
                    Err(trouble) => return drop(opened.send(Err(trouble.message()))),
                };
                let shared = Arc::new(Shared::new(Arc::clone(&plan.versions), identity, tell));
                // Only the first notifier of a database counts.
                let _ = plan.nodes.set(Arc::clone(&shared));
                let (heard, hears) = oneshot::channel();
                let work = listen(&plan, &shared, watch_others, heard);
                let report = async {
                    let _ = timeout(START_WAIT, hears).await;
                    let _ = opened.send(Ok(Arc::clone(&shared)));
                };
                tokio::join!(work, report);
            });
        };
        let thread = std::thread::Builder::new().name("nodes".into()).spawn(run).map_err(|error| error.to_string())?;
        let shared = opens.recv().unwrap_or_else(|_| Err("the notifier ended".into()))?;
        Ok(Notifier { shared, thread: Some(thread) })
    }

    /// The channel that all nodes hear.
    pub fn channel(&self) -> &str {
        &self.shared.identity.channel
    }

    /// How many messages were sent.
    pub fn messages(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.shared.gathered().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to say.
            let _ = thread.join();
        }
        self.shared.gathered().mute = true;
        self.shared.versions.distrust();
    }
}

impl Shared {
    fn new(versions: Arc<Versions>, identity: Identity, tell: Tell) -> Shared {
        let (gathered, wake, sent) = (Mutex::default(), Notify::new(), AtomicU64::new(0));
        Shared { versions, identity, gathered, wake, tell, sent }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the notifier is to end and nothing is left to be told.
    fn has_said_all(&self) -> bool {
        let gathered = self.gathered();
        gathered.stop && gathered.tables.is_empty()
    }

    /// Tells the others that tables have changed. They are handed over at once; the future waits until the message
    /// was sent, if that is soon.
    pub(super) fn tell(&self, tables: &TableSet) -> impl Future<Output = ()> + use<> {
        let mut sent = None;
        let mut gathered = self.gathered();
        if !tables.is_empty() && !gathered.mute {
            gathered.tables.add(tables);
            if !gathered.deaf {
                let (tell, told) = oneshot::channel();
                gathered.tables.waiting.push(tell);
                sent = Some(told);
            }
            drop(gathered);
            self.wake.notify_one();
        }
        async move {
            if let Some(sent) = sent {
                let _ = timeout(ANSWER_WAIT, sent).await;
            }
        }
    }

    /// There is no connection now. What was not sent is kept for the next one.
    fn deaf(&self, unsent: Option<Batch>) {
        self.versions.distrust();
        let mut gathered = self.gathered();
        gathered.deaf = true;
        if let Some(unsent) = unsent {
            gathered.tables.take_up(unsent);
        }
        // They waited for what may take long now.
        gathered.tables.waiting.clear();
    }
}

/// Asks the server what the channel is called.
async fn identify(plan: &Arc<Plan>) -> Result<Identity, Trouble> {
    let mut link = Link::open(plan, Role::Keeper).await?;
    let rows = link.simple(&format!("select {CHANNEL}")).await?;
    let channel = rows.cells.first().and_then(Value::as_str).unwrap_or("tableside").to_string();
    let node = uuid::Uuid::new_v4().simple().to_string()[..12].to_string();
    Ok(Identity { channel, node })
}

/// Hears and tells until stopped, on one connection after the other.
async fn listen(plan: &Arc<Plan>, shared: &Shared, watch_others: bool, heard: oneshot::Sender<()>) {
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
    /// When our own word last came back.
    heard_at: Instant,
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
            heard_at: now,
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
            let due = if self.flight.is_some() { self.heard_at + DEAF } else { self.due() };
            tokio::select! {
                // What waits to be read is read first: after a stop of this process nothing is missing yet.
                biased;
                word = self.wire.hear() => self.take(word?, healed),
                told = brought(&mut self.errand) => self.brought(told),
                () = self.shared.wake.notified() => {}
                () = sleep_until(due.into()) => {
                    if self.heard_at.elapsed() > DEAF {
                        return Err(Trouble::Lost("no word of our own came back".into()));
                    }
                }
            }
        }
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
        let text = self.nodes.next(what, self.sent_at).write().replace('\'', "''");
        let sql = format!("select pg_catalog.pg_notify('{}', '{text}')", self.shared.identity.channel);
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
                for waits in self.flight.take().into_iter().flat_map(|batch| batch.waiting) {
                    // An answer that waited too long is gone already.
                    let _ = waits.send(());
                }
            }
            Word::NotificationResponse(body) => {
                let text = body.message().unwrap_or_default();
                let effect = Message::read(text).map_or(Effect::All, |message| self.hear(message));
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

    fn hear(&mut self, message: Message) -> Effect {
        if message.node == self.shared.identity.node {
            self.heard_at = Instant::now();
        }
        self.nodes.hear(message)
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
