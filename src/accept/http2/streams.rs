//! The streams of a connection that are not answered yet, and what of their requests' bodies waits to be read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::super::Handler;
use super::super::connection::Running;
use super::super::incoming::{Broken, Pipe};
use super::calls::{Caller, Calls};
use super::frame::{self, Code};
use crate::flow::Reply;

/// Bytes of a body that a client may send before anybody reads them: of one request, and of all on a connection. One
/// whose reader is slow leaves room for the others.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// An answer that is waited for.
pub(super) type Answering<'c, B> = Pin<Box<dyn Future<Output = Reply<B>> + 'c>>;

/// A request that was handed on.
pub(super) struct Asked {
    pub(super) id: u32,
    /// HEAD was asked: only the head is sent.
    pub(super) is_head: bool,
    /// The body, as long as something of it is still to be handed over.
    pub(super) upload: Option<Upload>,
}

/// A request that runs.
pub(super) struct Stream<'c, H: Handler> {
    pub(super) id: u32,
    pub(super) phase: Phase<'c, H::Body>,
    /// The body, as long as something of it is still to be handed over.
    pub(super) upload: Option<Upload>,
    /// HEAD was asked: only the head is sent.
    pub(super) is_head: bool,
    /// Bytes that the client allows; fewer than none when it took some back.
    pub(super) window: i64,
    /// There may be something to send, and no window for it.
    pub(super) stuck: bool,
    /// Since when it is so; a window that is opened counts only once something was sent.
    pub(super) waits_since: Option<Instant>,
    caller: Arc<Caller>,
    waker: Waker,
    _running: Running<H>,
}

/// How far a request has come.
pub(super) enum Phase<'c, B> {
    Answering(Answering<'c, B>),
    Sending(Sending<B>),
}

/// The rest of an answer's body.
pub(super) struct Sending<B> {
    pub(super) body: B,
    /// What it gave and wasn't sent yet.
    pub(super) piece: Bytes,
    /// Bytes that it is still to give, where that was announced.
    pub(super) left: Option<u64>,
    /// It has nothing for the moment, and will call.
    pub(super) asleep: bool,
}

impl<'c, H: Handler> Stream<'c, H> {
    pub(super) fn new(
        asked: Asked,
        phase: Phase<'c, H::Body>,
        calls: &Arc<Calls>,
        window: i64,
        running: Running<H>,
    ) -> Stream<'c, H> {
        let Asked { id, is_head, upload } = asked;
        let caller = calls.caller(id);
        let waker = Waker::from(caller.clone());
        let (stuck, waits_since) = (false, None);
        Stream { id, phase, upload, is_head, window, stuck, waits_since, caller, waker, _running: running }
    }

    /// Notes that it is to be looked at. Whether that is new.
    pub(super) fn call(&self) -> bool {
        self.caller.call()
    }

    /// Its calls are heard: it is looked at now.
    pub(super) fn heard(&mut self) {
        self.caller.heard();
        if let Phase::Sending(sending) = &mut self.phase {
            sending.asleep = false;
        }
    }

    /// Asks for the answer; `None` when it isn't there yet, or is being sent already.
    pub(super) fn answer(&mut self) -> Option<Reply<H::Body>> {
        let Phase::Answering(answering) = &mut self.phase else { return None };
        match answering.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        }
    }

    /// Hands over what has come of the body, if somebody waits for it.
    pub(super) fn feed(&mut self) -> Fed {
        match &mut self.upload {
            Some(upload) => upload.feed(&mut Context::from_waker(&self.waker)),
            None => Fed::Nothing,
        }
    }

    /// What polls its body.
    pub(super) fn sending(&mut self) -> Option<(&mut Sending<H::Body>, Context<'_>)> {
        match &mut self.phase {
            Phase::Sending(sending) => Some((sending, Context::from_waker(&self.waker))),
            Phase::Answering(_) => None,
        }
    }
}

/// The streams of a connection, in the order of their numbers, which only grow.
pub(super) struct Streams<'c, H: Handler>(Vec<Box<Stream<'c, H>>>);

impl<'c, H: Handler> Streams<'c, H> {
    pub(super) fn new() -> Streams<'c, H> {
        Streams(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the newest.
    pub(super) fn add(&mut self, stream: Stream<'c, H>) {
        debug_assert!(self.0.last().is_none_or(|last| last.id < stream.id));
        self.0.push(Box::new(stream));
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream<'c, H>> {
        self.position(id).map(|position| &mut *self.0[position])
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Box<Stream<'c, H>>> {
        let stream = self.position(id).map(|position| self.0.remove(position));
        if self.0.is_empty() {
            // A connection at rest holds nothing.
            self.0 = Vec::new();
        }
        stream
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Stream<'c, H>> {
        self.0.iter_mut().map(|stream| &mut **stream)
    }

    /// The first one behind this that is being answered, or the first of all.
    pub(super) fn next_sending(&mut self, behind: u32) -> Option<&mut Stream<'c, H>> {
        let start = self.0.partition_point(|stream| stream.id <= behind);
        let count = self.0.len();
        let places = (start..count).chain(0..start);
        let place = places.into_iter().find(|place| self.0[*place].may_send())?;
        Some(&mut *self.0[place])
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl<H: Handler> Stream<'_, H> {
    /// Whether it has bytes to send, or may have, and a window for them.
    fn may_send(&self) -> bool {
        match &self.phase {
            Phase::Sending(sending) => !self.stuck && (!sending.asleep || !sending.piece.is_empty()),
            Phase::Answering(_) => false,
        }
    }
}

/// What became of bytes that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// Nothing was handed over.
    Nothing,
    /// So many bytes were; and whether as many more may come.
    Bytes(u32, bool),
    /// The client waits for leave to send any.
    Leave,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Upload {
    pipe: Arc<Pipe>,
    /// What came and wasn't handed over.
    inbox: BytesMut,
    /// Nothing more comes.
    ended: bool,
    /// The reader knows how it ended.
    told: bool,
    /// Bytes that are still to come, where that was announced.
    left: Option<u64>,
    /// The client waits for leave.
    expects: bool,
    pub(super) inflow: Inflow,
}

impl Upload {
    /// A body of which so many bytes are announced.
    pub(super) fn new(pipe: Arc<Pipe>, length: Option<u64>, expects: bool) -> Upload {
        Upload {
            pipe,
            inbox: BytesMut::new(),
            ended: false,
            told: false,
            left: length,
            expects,
            inflow: Inflow::new(STREAM_WINDOW),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes that nobody has read.
    pub(super) fn unread(&self) -> u32 {
        self.inbox.len() as u32
    }

    /// Takes a frame whose payload has so many bytes, its padding included. If that can't be, with which code it ends.
    pub(super) fn take_frame(&mut self, size: u32, bytes: &[u8], is_last: bool) -> Result<(), Code> {
        self.inflow.take(size).ok_or(Code::FlowControl)?;
        self.take(bytes, is_last).ok_or(Code::Protocol)
    }

    /// Takes what came. `None` when it isn't as long as it was announced.
    pub(super) fn take(&mut self, bytes: &[u8], is_last: bool) -> Option<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes.len() as u64)?;
            if is_last && *left > 0 {
                return None;
            }
        }
        self.expects = false;
        self.inbox.extend_from_slice(bytes);
        self.ended |= is_last;
        Some(())
    }

    fn feed(&mut self, context: &mut Context<'_>) -> Fed {
        if !self.inbox.is_empty() && self.pipe.is_given_up() {
            let size = self.unread();
            self.inbox = BytesMut::new();
            return Fed::Bytes(size, false);
        }
        let nothing = self.inbox.is_empty() && !self.ended && !self.expects;
        if nothing || self.told || self.pipe.poll_wanted(context).is_pending() {
            return Fed::Nothing;
        }
        if std::mem::take(&mut self.expects) {
            return Fed::Leave;
        }
        let piece = std::mem::take(&mut self.inbox).freeze();
        let size = piece.len() as u32;
        self.told = self.ended;
        self.pipe.give(Ok(piece), self.ended, context);
        Fed::Bytes(size, !self.ended)
    }
}

impl Drop for Upload {
    /// Who reads elsewhere must not wait for ever.
    fn drop(&mut self) {
        if !self.told {
            self.pipe.give(Err(Broken::Cut), true, &Context::from_waker(Waker::noop()));
        }
    }
}

/// What a client may send, of one body or of all (RFC 9113, 5.2).
#[derive(Debug)]
pub(super) struct Inflow {
    size: u32,
    left: u32,
    /// Bytes that were read and not yet allowed anew.
    read: u32,
}

impl Inflow {
    pub(super) fn new(size: u32) -> Inflow {
        Inflow { size, left: size, read: 0 }
    }

    /// So many bytes came. `None` when they were not allowed.
    pub(super) fn take(&mut self, bytes: u32) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// So many were read: the client is told once that is worth a frame.
    pub(super) fn give(&mut self, bytes: u32, out: &mut Vec<u8>, stream: u32) {
        self.read += bytes;
        if self.read >= self.size / 2 {
            frame::put_window(out, stream, self.read);
            self.left += self.read;
            self.read = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_given_back_as_it_is_read() {
        let (mut inflow, mut out) = (Inflow::new(100), Vec::new());
        assert_eq!(inflow.take(60), Some(()));
        assert_eq!(inflow.take(41), None);
        inflow.give(49, &mut out, 1);
        assert!(out.is_empty());
        inflow.give(1, &mut out, 1);
        assert_eq!(out, [0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 50]);
        assert_eq!(inflow.take(90), Some(()));
        assert_eq!(inflow.take(1), None);
    }

    #[test]
    fn a_body_is_as_long_as_announced() {
        let upload = |length| Upload::new(Arc::default(), length, false);
        assert_eq!(upload(None).take(b"abc", true), Some(()));
        assert_eq!(upload(Some(3)).take(b"abc", true), Some(()));
        assert_eq!(upload(Some(2)).take(b"abc", false), None);
        assert_eq!(upload(Some(4)).take(b"abc", true), None);
        assert_eq!(upload(Some(4)).take(b"abc", false), Some(()));
    }
}
