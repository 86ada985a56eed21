//! What nodes tell each other, and what a node knows of the others by it. Nothing here sends or waits.
//!
//! A message names its sender, the sender's count of messages and the tables that changed since the one before.
//! PostgreSQL hands all messages of a database on in one order, that of their commits, and a node hears its own,
//! too. So a message that comes after one of our own was committed after that one was *sent*: a moment that is known by
//! our own clock, however late the message is read. That is how [`Nodes::fresh_until`] can promise what it does although
//! messages wait, processes are stopped and clocks differ.
//!
//! A message may also be long on its way *to* the server, and tells nothing of what its sender wrote meanwhile. But a
//! node sends the next one only when the one before is committed. So the next one tells of all that was acknowledged
//! before the one before was committed, and that is the moment which it brings.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::database::versions::MAX_LAG;

/// Bytes of a message at most: the server takes fewer than 8,000.
const MOST_BYTES: usize = 7_900;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Who sent it; empty for one who is no node: a program that a trigger speaks for, or a migration.
    pub(super) node: String,
    /// Counts the node's messages, from 1.
    pub(super) number: u64,
    /// What it tells.
    pub(super) what: What,
}

/// What a message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// These tables have changed; none means that the node lives.
    Tables(BTreeSet<String>),
    /// Any table may have changed.
    All,
    /// The node ends; it has told all.
    Goodbye,
}

impl Message {
    /// As it is sent. Too many tables become [`What::All`].
    pub(super) fn write(&self) -> String {
        let what = match &self.what {
            What::Tables(names) => json!(names),
            What::All => Json::Null,
            What::Goodbye => Json::Bool(false),
        };
        let text = json!([self.node, self.number, what]).to_string();
        if text.len() <= MOST_BYTES { text } else { json!([self.node, self.number, null]).to_string() }
    }

    /// Reads what was sent; `None` for what no node says.
    pub(super) fn read(text: &str) -> Option<Message> {
        let Ok(Json::Array(parts)) = serde_json::from_str(text) else { return None };
        let [Json::String(node), number, what] = &parts[..] else { return None };
        let what = match what {
            Json::Null => What::All,
            Json::Bool(false) => What::Goodbye,
            Json::Array(names) => {
                What::Tables(names.iter().map(|name| name.as_str().map(str::to_string)).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Message { node: node.clone(), number: number.as_u64()?, what })
    }
}

/// What is to be done about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// These tables are counted up.
    Tables(BTreeSet<String>),
    /// All tables are.
    All,
}

/// What a node knows of itself and the others.
#[derive(Debug)]
pub(super) struct Nodes {
    own: String,
    /// The number of our last message.
    number: u64,
    /// Our messages that have not come back yet, with the moments when they were sent.
    sent: VecDeque<(u64, Instant)>,
    /// No message that comes from now on was committed before this moment.
    floor: Instant,
    /// Whether one of our messages came back on this connection.
    hears_itself: bool,
    others: HashMap<String, Other>,
}

/// Another node.
#[derive(Debug)]
struct Other {
    /// The number of its last message; `None` if some may have been missed without harm.
    number: Option<u64>,
    /// All that it wrote before this moment is known.
    heard: Instant,
    /// Its last message was committed after this moment; `None` before its first.
    spoke: Option<Instant>,
}

impl Nodes {
    /// A node that has heard nothing yet.
    pub(super) fn new(own: String, now: Instant) -> Nodes {
        let (sent, others) = (VecDeque::new(), HashMap::new());
        Nodes { own, number: 0, sent, floor: now, hears_itself: false, others }
    }

    /// A new connection hears from `now` on; `present` are the nodes that have connections to the database.
    /// What was said before is lost, so the caller counts all tables up once it is heard again.
    pub(super) fn listen(&mut self, now: Instant, present: &BTreeSet<String>) {
        self.sent.clear();
        (self.floor, self.hears_itself) = (now, false);
        self.others.clear();
        for node in present.iter().filter(|node| **node != self.own) {
            self.others.insert(node.clone(), Other { number: None, heard: now, spoke: None });
        }
        // Our last message may still come, after those of this connection: they begin with a gap.
        self.number += u64::from(self.number > 0);
    }

    /// Our next message, sent `now`.
    pub(super) fn next(&mut self, what: What, now: Instant) -> Message {
        self.number += 1;
        self.sent.push_back((self.number, now));
        Message { node: self.own.clone(), number: self.number, what }
    }

    /// A message came.
    pub(super) fn hear(&mut self, message: Message) -> Effect {
        let Message { node, number, what } = message;
        if node == self.own {
            self.hear_own(number);
            return Effect::Nothing;
        }
        let effect = match what {
            What::Tables(names) if names.is_empty() => Effect::Nothing,
            What::Tables(names) => Effect::Tables(names),
            What::All => Effect::All,
            What::Goodbye => {
                let known = self.others.remove(&node);
                return if known.is_some_and(|other| other.follows(number)) { Effect::Nothing } else { Effect::All };
            }
        };
        if node.is_empty() {
            return effect;
        }
        let floor = self.floor;
        let follows = match self.others.get_mut(&node) {
            Some(other) => other.says(number, floor),
            // A node speaks for the first time before it writes anything.
            None => {
                self.others.insert(node, Other { number: Some(number), heard: floor, spoke: Some(floor) });
                number == 1
            }
        };
        if follows { effect } else { Effect::All }
    }

    fn hear_own(&mut self, number: u64) {
        while let Some((sent, at)) = self.sent.pop_front_if(|(sent, _)| *sent <= number) {
            if sent == number {
                (self.floor, self.hears_itself) = (at, true);
            }
        }
    }

    /// When the oldest of our messages that have not come back was sent.
    pub(super) fn unheard_since(&self) -> Option<Instant> {
        self.sent.front().map(|(_, at)| *at)
    }

    /// Up to when all that others wrote is known at most [`MAX_LAG`] after they were acknowledged; `None` before the
    /// connection is proven.
    pub(super) fn fresh_until(&self) -> Option<Instant> {
        let oldest = self.others.values().map(|other| other.heard).fold(self.floor, Instant::min);
        self.hears_itself.then_some(oldest + MAX_LAG)
    }

    /// The nodes that have said nothing for so long, while we heard ourselves.
    pub(super) fn silent(&self, time: Duration) -> BTreeSet<String> {
        let is_silent =
            |other: &Other| self.floor.saturating_duration_since(other.spoke.unwrap_or(other.heard)) >= time;
        self.others.iter().filter(|(_, other)| is_silent(other)).map(|(node, _)| node.clone()).collect()
    }

    /// Forgets a node that will write nothing any more. What it wrote at last, it may not have told: the caller counts
    /// all tables up.
    pub(super) fn forget(&mut self, node: &str) {
        self.others.remove(node);
    }
}

impl Other {
    /// It has spoken. Tells whether nothing was missed since it did so before.
    fn says(&mut self, number: u64, floor: Instant) -> bool {
        let follows = self.follows(number);
        if follows {
            self.heard = self.spoke.unwrap_or(self.heard);
        }
        // One that comes late, of a connection before, says nothing of the moment.
        let is_late = self.number.is_some_and(|last| number <= last);
        (self.number, self.spoke) = (Some(number), (!is_late).then_some(floor));
        follows
    }

    fn follows(&self, number: u64) -> bool {
        self.number.is_none_or(|last| last + 1 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn tables(names: &[&str]) -> What {
        What::Tables(names.iter().map(ToString::to_string).collect())
    }

    fn say(node: &str, number: u64, what: What) -> Message {
        Message { node: node.into(), number, what }
    }

    /// A node that hears itself, and the moment from which on it does.
    fn node() -> (Nodes, Instant) {
        let now = Instant::now();
        let mut nodes = Nodes::new("own".into(), now);
        nodes.listen(now, &["own".to_string()].into());
        let first = nodes.next(tables(&[]), now);
        assert_eq!((nodes.fresh_until(), nodes.unheard_since()), (None, Some(now)));
        assert_eq!((nodes.hear(first), nodes.unheard_since()), (Effect::Nothing, None));
        assert_eq!(nodes.fresh_until(), Some(now + MAX_LAG));
        (nodes, now)
    }

    /// We say something at a moment and hear it.
    fn beat(nodes: &mut Nodes, now: Instant) {
        let message = nodes.next(tables(&[]), now);
        nodes.hear(message);
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        for what in [tables(&[]), tables(&["orders", "a \"b\",\n"]), What::All, What::Goodbye] {
            let message = say("n1", 7, what);
            assert_eq!(Message::read(&message.write()), Some(message));
        }
        for text in ["", "[]", "7", "[\"n\",1]", "[\"n\",-1,[]]", "[\"n\",1,[2]]", "[\"n\",1,true]", "[1,1,[]]"] {
            assert_eq!(Message::read(text), None, "{text}");
        }
    }

    #[test]
    fn too_many_tables_are_all() {
        let names: BTreeSet<String> = (0..1000).map(|number| format!("table_{number}")).collect();
        let text = say("n1", 7, What::Tables(names)).write();
        assert!(text.len() < 8_000);
        assert_eq!(Message::read(&text).unwrap().what, What::All);
    }

    #[test]
    fn a_gap_means_that_anything_may_have_changed() {
        let (mut nodes, _) = node();
        let mut hear = |number, what| nodes.hear(say("a", number, what));
        assert_eq!(hear(1, tables(&[])), Effect::Nothing);
        assert_eq!(hear(2, tables(&["orders"])), Effect::Tables(["orders".to_string()].into()));
        assert_eq!(hear(4, tables(&["orders"])), Effect::All);
        assert_eq!(hear(5, tables(&[])), Effect::Nothing);
        assert_eq!(hear(7, tables(&[])), Effect::All);
        assert_eq!(hear(8, What::All), Effect::All);
        assert_eq!(hear(9, What::Goodbye), Effect::Nothing);
        // Somebody of whom we know no beginning.
        assert_eq!(nodes.hear(say("b", 9, tables(&[]))), Effect::All);
        assert_eq!(nodes.hear(say("b", 11, What::Goodbye)), Effect::All);
    }

    #[test]
    fn who_is_no_node_tells_tables_only() {
        let (mut nodes, now) = node();
        assert_eq!(nodes.hear(say("", 0, tables(&["orders"]))), Effect::Tables(["orders".to_string()].into()));
        assert_eq!(nodes.hear(say("", 0, What::All)), Effect::All);
        beat(&mut nodes, now + 20 * STEP);
        assert!(nodes.silent(STEP).is_empty());
    }

    #[test]
    fn the_word_of_a_node_is_as_old_as_our_own_before_it() {
        let (mut nodes, now) = node();
        nodes.hear(say("a", 1, tables(&[])));
        beat(&mut nodes, now + 3 * STEP);
        assert_eq!(nodes.fresh_until(), Some(now + MAX_LAG));
        nodes.hear(say("a", 2, tables(&[])));
        assert_eq!(nodes.fresh_until(), Some(now + MAX_LAG));
        nodes.hear(say("a", 3, tables(&[])));
        assert_eq!(nodes.fresh_until(), Some(now + 3 * STEP + MAX_LAG));
        // It waited to be read for who knows how long: its moment isn't that of our reading.
        beat(&mut nodes, now + 9 * STEP);
        assert_eq!(nodes.fresh_until(), Some(now + 3 * STEP + MAX_LAG));
        assert_eq!((nodes.silent(7 * STEP), nodes.silent(6 * STEP)), (BTreeSet::new(), ["a".to_string()].into()));
        nodes.forget("a");
        assert_eq!(nodes.fresh_until(), Some(now + 9 * STEP + MAX_LAG));
    }

    #[test]
    fn a_word_that_was_long_on_its_way_tells_nothing_of_what_was_written_meanwhile() {
        let (mut nodes, now) = node();
        nodes.hear(say("a", 1, tables(&[])));
        beat(&mut nodes, now + STEP);
        nodes.hear(say("a", 2, tables(&[])));
        // The third was sent soon after the second, and came to the server late.
        beat(&mut nodes, now + 50 * STEP);
        nodes.hear(say("a", 3, tables(&[])));
        assert_eq!(nodes.fresh_until(), Some(now + STEP + MAX_LAG));
        // The fourth was sent when the third had come there: it tells of all before that.
        nodes.hear(say("a", 4, tables(&["orders"])));
        assert_eq!(nodes.fresh_until(), Some(now + 50 * STEP + MAX_LAG));
    }

    #[test]
    fn a_word_of_a_connection_before_gives_no_trust() {
        let (mut nodes, now) = node();
        nodes.hear(say("a", 1, tables(&[])));
        // Its line was lost, and so one number is left out.
        beat(&mut nodes, now + 20 * STEP);
        assert_eq!(nodes.hear(say("a", 4, tables(&[]))), Effect::All);
        beat(&mut nodes, now + 40 * STEP);
        assert_eq!(nodes.hear(say("a", 2, tables(&["orders"]))), Effect::All);
        assert_eq!(nodes.fresh_until(), Some(now + MAX_LAG));
        assert_eq!(nodes.hear(say("a", 5, tables(&[]))), Effect::All);
        assert_eq!(nodes.fresh_until(), Some(now + MAX_LAG));
        assert_eq!(nodes.hear(say("a", 6, tables(&[]))), Effect::Nothing);
        assert_eq!(nodes.fresh_until(), Some(now + 40 * STEP + MAX_LAG));
        // And so do we.
        let before = nodes.next(tables(&[]), now).number;
        nodes.listen(now, &BTreeSet::new());
        assert_eq!(nodes.next(tables(&[]), now).number, before + 2);
    }

    #[test]
    fn a_stopped_sender_is_no_gap() {
        let (mut nodes, now) = node();
        nodes.hear(say("a", 1, tables(&[])));
        beat(&mut nodes, now + 100 * STEP);
        assert_eq!(nodes.silent(MAX_LAG).len(), 1);
        assert_eq!(nodes.hear(say("a", 2, tables(&[]))), Effect::Nothing);
        assert_eq!(nodes.hear(say("a", 3, tables(&[]))), Effect::Nothing);
        assert_eq!(nodes.fresh_until(), Some(now + 100 * STEP + MAX_LAG));
    }

    #[test]
    fn a_new_connection_knows_who_is_there_and_expects_no_number() {
        let (mut nodes, now) = node();
        nodes.hear(say("a", 1, tables(&[])));
        let later = now + 50 * STEP;
        let lost = nodes.next(tables(&["orders"]), later);
        nodes.listen(later, &["own".to_string(), "a".into(), "b".into()].into());
        nodes.hear(lost);
        assert_eq!(nodes.fresh_until(), None, "a message of the connection before proves nothing");
        beat(&mut nodes, later + STEP);
        assert_eq!(nodes.hear(say("a", 40, tables(&[]))), Effect::Nothing);
        assert_eq!(nodes.fresh_until(), Some(later + MAX_LAG), "b has not spoken yet");
        assert_eq!(nodes.hear(say("b", 7, What::Goodbye)), Effect::Nothing);
        assert_eq!(nodes.hear(say("a", 41, tables(&[]))), Effect::Nothing);
        assert_eq!(nodes.fresh_until(), Some(later + STEP + MAX_LAG));
    }
}
