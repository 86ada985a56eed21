//! The notifier: tells the other nodes which tables this one changed, and hears the same from them.
//!
//! It has a thread and a connection of its own, so NOTIFY doesn't stand in a site's transaction, where it would make
//! commits wait for each other. After a commit the tables are handed over ([`Shared::tell`]); what gathers while a
//! NOTIFY is under way goes with the next one, not more often than every 2 ms. Without changes a message says every
//! 150 ms that the node lives.
//!
//! **What a visitor may see.** The node where something was written counts its own tables up before it answers. The
//! answer waits until the NOTIFY is committed, so the others are told by then and learn it as fast as the server
//! delivers. Nobody waits longer than [`ANSWER_WAIT`]: if the NOTIFY can't be sent, the others hear nothing at all from
//! this node, and a node trusts its counts only up to [`MAX_LAG`](crate::database::versions::MAX_LAG) after the last
//! word of each node (`news.rs`). Either way all visitors of all nodes see a write at most that long after it was
//! answered. The visitor who wrote must not see anything older even for so long: who keeps answers must send a cookie
//! that lives [`BYPASS`] with the answer to an action, and keep out of the way of visitors who bring it.
//!
//! **When the word is lost.** A gap in a node's numbers: all tables are counted up. Our own words stay away, or another
//! node's do: the lease on the counts runs out, also if this process was stopped meanwhile, and returns with the words,
//! which lost nothing on their way. The connection is lost: no trust, from that moment on, until a new one is proven
//! by our own word coming back; what was current before never is again. A node that fell silent and has no
//! connection to the database any more is forgotten, after all tables were counted up, because it may have committed
//! what it told nobody of; as long as it has connections, it may write, and so its silence is waited out without
//! trust. A server without LISTEN and NOTIFY (CockroachDB) never gives trust: pages are read anew each time.
//!
//! A node that nobody knows would be missed by nobody: before its first word, and while its line is down, when it may
//! have been forgotten. Only then its transactions say themselves what they change ([`Shared::word_within`]).
//!
//! All nodes of a site use the same role: the connections of others show whose they are only to their own.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::failure::Trouble;
use super::link::Link;
use super::news::{Message, What};
use super::{Plan, Role, line};
use crate::database::versions::{TableSet, Versions};
use crate::value::Value;

/// How long an answer waits for the NOTIFY at most.
const ANSWER_WAIT: Duration = Duration::from_millis(200);
/// The life of the cookie with which a visitor who wrote passes caches by: longer than any node may be behind.
pub const BYPASS: Duration = Duration::from_secs(2);
/// How long the start waits for our own word.
const START_WAIT: Duration = Duration::from_secs(5);

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
    pub(super) versions: Arc<Versions>,
    pub(super) identity: Identity,
    gathered: Mutex<Gathered>,
    /// Something was gathered, or the notifier is to end.
    pub(super) wake: Notify,
    pub(super) tell: Tell,
    /// Messages that were sent.
    pub(super) sent: AtomicU64,
    /// Whether this node has spoken on the connection of the moment: then the others know it and miss its word.
    pub(super) is_known: AtomicBool,
}

/// What is to be told next.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) tables: Batch,
    /// There is no connection, and nobody needs to wait for one.
    pub(super) deaf: bool,
    /// There will be none: nothing is gathered.
    pub(super) mute: bool,
    pub(super) stop: bool,
}

/// Tables for one message, and who waits until it was sent.
#[derive(Default)]
pub(super) struct Batch {
    /// Any table may have changed.
    all: bool,
    names: BTreeSet<Arc<str>>,
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
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

    pub(super) fn what(&self) -> What {
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
                let work = line::listen(&plan, &shared, watch_others, heard);
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
        Shared { versions, identity, gathered, wake, tell, sent, is_known: AtomicBool::new(false) }
    }

    pub(super) fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the notifier is to end and nothing is left to be told.
    pub(super) fn has_said_all(&self) -> bool {
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

    /// What a transaction must say itself, as SQL, because nobody would miss the word of this node: it has not spoken yet,
    /// or its line is down, and it may be forgotten.
    pub(super) fn word_within(&self, tables: &TableSet) -> Option<String> {
        if self.is_known.load(Ordering::SeqCst) || tables.is_empty() || self.gathered().mute {
            return None;
        }
        let mut batch = Batch::default();
        batch.add(tables);
        Some(self.notification(&Message { node: String::new(), number: 0, what: batch.what() }))
    }

    /// What sends a message, as SQL.
    pub(super) fn notification(&self, message: &Message) -> String {
        let text = message.write().replace('\'', "''");
        format!("select pg_catalog.pg_notify('{}', '{text}')", self.identity.channel)
    }

    /// There is no connection now. What was not sent is kept for the next one.
    pub(super) fn deaf(&self, unsent: Option<Batch>) {
        self.versions.distrust();
        self.is_known.store(false, Ordering::SeqCst);
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
