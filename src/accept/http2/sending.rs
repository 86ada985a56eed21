//! Sends answers: their heads, and their bodies a frame of each in turn, as far as the client's windows go.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame};
use tokio::time::Instant;

use super::super::Handler;
use super::super::connection::Running;
use super::Session;
use super::frame::{self, Code};
use super::hpack;
use super::streams::{Asked, Fed, Phase, Sending, Stream};
use crate::flow::{Outgoing, Reply};

/// What came of a look at a stream that has something to send.
enum Step {
    /// A frame was written; more may follow.
    Sent,
    /// All was sent.
    Over,
    /// It broke off: it isn't what was announced.
    Broken,
    /// It has nothing for the moment, or no window.
    Waits,
}

impl<'c, H: Handler> Session<'c, H> {
    /// Sends an answer that is there at once. What doesn't go out whole becomes a stream that waits for its turn.
    pub(super) fn send_now(&mut self, asked: Asked, reply: Reply<H::Body>, running: Running<H>) {
        let step = match self.put_answer(asked.id, asked.is_head, reply) {
            None => Step::Over,
            Some(mut sending) => match self.send_small(asked.id, &mut sending) {
                Step::Waits => {
                    let phase = Phase::Sending(sending);
                    return self.streams.add(Stream::new(asked, phase, &self.calls, self.first_window, running));
                }
                step => step,
            },
        };
        match step {
            Step::Broken => self.put_reset(asked.id, Code::Internal),
            _ if asked.upload.is_some_and(|upload| !upload.has_ended()) => self.put_reset(asked.id, Code::NoError),
            _ => {}
        }
    }

    /// Sends a body that is there whole and fits into a frame and the windows. Anything else is left for its turn.
    fn send_small(&mut self, id: u32, sending: &mut Sending<H::Body>) -> Step {
        let room = self.window.min(self.first_window).min(frame::MOST as i64);
        let fits = sending.left.is_some_and(|left| i64::try_from(left).is_ok_and(|left| left <= room));
        if !fits || self.out.is_full() {
            return Step::Waits;
        }
        if let Some(held) = sending.body.held() {
            if sending.left != Some(held.len() as u64) {
                return Step::Broken;
            }
            frame::put_data(&mut self.out.bytes, id, &held, true);
            self.window -= held.len() as i64;
            return Step::Over;
        }
        // If it has nothing yet, it is asked again with the waker of its stream.
        let mut context = Context::from_waker(Waker::noop());
        if let Err(step) = sending.ask(&mut context) {
            sending.asleep = false;
            return step;
        }
        if sending.left != Some(0) || !sending.body.is_end_stream() {
            return Step::Waits;
        }
        frame::put_data(&mut self.out.bytes, id, &sending.piece, true);
        self.window -= sending.piece.len() as i64;
        Step::Over
    }

    /// Looks at the streams that called, or of whose bodies something came.
    pub(super) fn look_at_called(&mut self) {
        if self.streams.is_empty() {
            self.called = VecDeque::new();
            return;
        }
        let mut called = std::mem::take(&mut self.called);
        while !self.out.is_full()
            && let Some(id) = called.pop_front()
        {
            self.look_at(id);
        }
        // Those that are left come first when there is room again.
        called.append(&mut self.called);
        self.called = called;
    }

    fn look_at(&mut self, id: u32) {
        let Some(stream) = self.streams.get(id) else { return };
        stream.heard();
        loop {
            if let Some(reply) = stream.answer() {
                let is_head = stream.is_head;
                match self.put_answer(id, is_head, reply) {
                    None => return self.close(id),
                    Some(sending) => {
                        let Some(stream) = self.streams.get(id) else { return };
                        stream.phase = Phase::Sending(sending);
                        return;
                    }
                }
            }
            match stream.feed() {
                Fed::Nothing => return,
                Fed::Leave => frame::put_block(&mut self.out.bytes, id, false, |out| {
                    hpack::put_status(out, StatusCode::CONTINUE);
                }),
                Fed::Bytes(bytes, more) => {
                    self.inflow.give(bytes, &mut self.out.bytes, 0);
                    if let Some(upload) = stream.upload.as_mut().filter(|_| more) {
                        upload.inflow.give(bytes, &mut self.out.bytes, id);
                    }
                }
            }
        }
    }

    /// Sends of the bodies a frame each in turn, until there is no room or no window, or nothing to send.
    pub(super) fn send_bodies(&mut self) {
        while !self.out.is_full()
            && let Some(stream) = self.streams.next_sending(self.served)
        {
            let id = stream.id;
            self.served = id;
            match step(stream, &mut self.window, &mut self.out.bytes) {
                Step::Sent => self.flood.progress(),
                Step::Waits => {}
                Step::Over => self.close(id),
                Step::Broken => self.reset(id, Code::Internal),
            }
        }
    }

    /// Writes the head of an answer. What is to follow; `None` when nothing is.
    fn put_answer(&mut self, id: u32, is_head: bool, reply: Reply<H::Body>) -> Option<Sending<H::Body>> {
        let status = reply.status;
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || status.is_informational();
        let has_body = !is_head && !bodiless;
        let length = reply.body.size_hint().exact();
        let is_over = !has_body || length == Some(0);
        self.put_answer_head(id, is_over, &reply, length.filter(|_| has_body), has_body);
        self.flood.progress();
        (!is_over).then_some(Sending { body: reply.body, piece: Bytes::new(), left: length, asleep: false })
    }

    fn put_answer_head(&mut self, id: u32, is_over: bool, reply: &Reply<H::Body>, length: Option<u64>, has_body: bool) {
        let date = self.core.date.borrow();
        let no_table = std::mem::take(&mut self.owes_no_table);
        frame::put_block(&mut self.out.bytes, id, is_over, |out| {
            if no_table {
                out.push(hpack::NO_TABLE);
            }
            hpack::put_status(out, reply.status);
            hpack::put_date(out, date.text());
            out.extend_from_slice(reply.packed(hpack::put_field));
            if let Some(tag) = reply.tag() {
                hpack::put_tag(out, tag);
            }
            for (name, value) in reply.headers().iter() {
                // A length is told by the handler where no body follows.
                if !has_body || *name != CONTENT_LENGTH {
                    hpack::put_field(out, name, value);
                }
            }
            if let Some(length) = length {
                hpack::put_length(out, length);
            }
        });
    }

    /// Ends a stream whose answer is sent. A client that still sends its request's body is told that nobody reads it (RFC
    /// 9113, 8.1).
    fn close(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(id) else { return };
        self.forget_body(&stream);
        if stream.upload.as_ref().is_some_and(|upload| !upload.has_ended()) {
            self.put_reset(id, Code::NoError);
        }
    }

    /// Ends a stream before its time.
    pub(super) fn reset(&mut self, id: u32, code: Code) {
        if let Some(stream) = self.streams.remove(id) {
            self.forget_body(&stream);
        }
        self.put_reset(id, code);
    }

    /// What nobody will read any more leaves room for others.
    pub(super) fn forget_body(&mut self, stream: &Stream<'c, H>) {
        if let Some(upload) = &stream.upload {
            self.inflow.give(upload.unread(), &mut self.out.bytes, 0);
        }
    }

    fn put_reset(&mut self, id: u32, code: Code) {
        self.resets.note(id);
        frame::put_reset(&mut self.out.bytes, id, code);
    }

    /// Ends streams whose clients have allowed nothing for too long. `true` when that holds for the whole connection.
    pub(super) fn end_waiting(&mut self) -> bool {
        let now = Instant::now();
        let is_late = |since: Option<Instant>| since.is_some_and(|since| now - since >= self.core.limits.write_pause);
        if self.window <= 0 && self.streams.all().any(|stream| is_late(stream.waits_since)) {
            return true;
        }
        let late: Vec<u32> =
            self.streams.all().filter(|stream| is_late(stream.waits_since)).map(|stream| stream.id).collect();
        late.into_iter().for_each(|id| self.reset(id, Code::Cancel));
        false
    }
}

impl<B: Outgoing> Sending<B> {
    /// Takes what the body gave; trailers are nobody's. More than was announced is none.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Step> {
        self.piece = frame.into_data().unwrap_or_default();
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(self.piece.len() as u64).ok_or(Step::Broken)?;
        }
        Ok(())
    }

    /// Asks for the next piece, when there is none.
    fn ask(&mut self, context: &mut Context<'_>) -> Result<(), Step> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => self.take(frame),
            Poll::Ready(None) if self.left.is_none_or(|left| left == 0) => Err(Step::Over),
            Poll::Ready(_) => Err(Step::Broken),
            Poll::Pending => {
                self.asleep = true;
                Err(Step::Waits)
            }
        }
    }
}

/// Sends a frame of a body.
fn step<H: Handler>(stream: &mut Stream<'_, H>, connection: &mut i64, out: &mut Vec<u8>) -> Step {
    let (id, window) = (stream.id, stream.window.min(*connection));
    let Some((sending, mut context)) = stream.sending() else { return Step::Waits };
    // What can't be sent isn't asked for; but a body that announced no length tells by itself where it ends.
    if sending.piece.is_empty() && (window > 0 || sending.left.is_none()) {
        match sending.ask(&mut context) {
            Ok(()) => {}
            Err(Step::Over) => {
                frame::put_data(out, id, b"", true);
                return Step::Over;
            }
            Err(step) => return step,
        }
    }
    if window <= 0 {
        stream.stuck = true;
        stream.waits_since.get_or_insert_with(Instant::now);
        return Step::Waits;
    }
    let size = sending.piece.len().min(frame::MOST).min(usize::try_from(window).unwrap_or(frame::MOST));
    let piece = sending.piece.split_to(size);
    let is_over = sending.piece.is_empty() && sending.body.is_end_stream();
    if is_over && sending.left.is_some_and(|left| left > 0) {
        return Step::Broken;
    }
    if size > 0 || is_over {
        frame::put_data(out, id, &piece, is_over);
    }
    stream.window -= size as i64;
    *connection -= size as i64;
    stream.waits_since = None;
    if is_over { Step::Over } else { Step::Sent }
}
