//! Takes frames, each for what it is (RFC 9113, 6), and makes requests of header blocks. Whoever breaks the protocol is
//! told so by the code of the standard; whoever sends much that is of no use loses the connection.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::super::connection::{Running, guarded};
use super::super::incoming::{Incoming, Pipe};
use super::super::{Handled, Handler};
use super::frame::{self, Code, Fault, GREATEST, Head, broken, flag, kind, setting};
use super::head::{self, Room, Taken, Unfit};
use super::streams::{Asked, Phase, Stream, Upload};
use super::{Leaving, Session, hpack};

/// A header block that isn't whole yet.
#[derive(Debug)]
pub(super) struct Block {
    stream: u32,
    is_last: bool,
    bytes: Vec<u8>,
}

impl<H: Handler> Session<'_, H> {
    /// Takes frames from the beginning of what came, as long as there is room for what they lead to. How many bytes it
    /// used.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        self.has_more = false;
        while self.ended.is_none()
            && let Some(head) = Head::read(&bytes[used..])
        {
            if self.out.is_full() || self.has_answered_enough() {
                self.has_more = true;
                break;
            }
            let taken = match bytes[used + frame::HEAD..].get(..head.length) {
                _ if head.length > frame::MOST => Err(Fault::Connection(Code::FrameSize, "a frame is too large")),
                Some(payload) => self.take_frame(head, payload),
                None => break,
            };
            used += frame::HEAD + head.length;
            match taken {
                Ok(()) => {}
                Err(Fault::Stream(stream, code)) => self.fault_of_stream(stream, code),
                Err(Fault::Connection(code, what)) => self.fail(code, what),
            }
        }
        // Nothing behind a fault is looked at.
        if self.ended.is_some() { bytes.len() } else { used }
    }

    /// Ends a stream for what its client did. Work that it begins and has us end again is bounded, too.
    fn fault_of_stream(&mut self, stream: u32, code: Code) {
        self.reset(stream, code);
        if let Err(Fault::Connection(code, what)) = self.flood.reset() {
            self.fail(code, what);
        }
    }

    fn take_frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if !self.greeted && head.kind != kind::SETTINGS {
            return Err(broken("its first frame is no SETTINGS"));
        }
        if self.block.is_some() && head.kind != kind::CONTINUATION {
            return Err(broken("a frame within a header block"));
        }
        match head.kind {
            kind::HEADERS => self.take_headers(head, payload),
            kind::CONTINUATION => self.take_continuation(head, payload),
            kind::DATA => self.take_data(head, payload),
            kind::WINDOW_UPDATE => self.take_window(head.stream, exactly(payload)?),
            kind::RST_STREAM => self.take_reset(head.stream, exactly(payload)?),
            kind::SETTINGS => self.take_settings(head, payload),
            kind::PING => self.take_ping(head, exactly(payload)?),
            kind::PRIORITY if head.stream == 0 => Err(broken("a priority of no stream")),
            kind::PRIORITY if payload.len() != 5 => {
                Err(Fault::Connection(Code::FrameSize, "a priority of a wrong size"))
            }
            kind::PRIORITY => self.flood.nuisance(),
            kind::PUSH_PROMISE => Err(broken("a client pushes")),
            kind::GOAWAY if head.stream != 0 => Err(broken("GOAWAY of a stream")),
            // It will open no others, and hangs up when it has the answers that it waits for.
            kind::GOAWAY => self.flood.nuisance(),
            // What isn't known means nothing (RFC 9113, 5.5).
            _ => self.flood.nuisance(),
        }
    }

    fn take_headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(broken("a request on a stream that is not the client's"));
        }
        let mut bytes = frame::unpadded(&head, payload)?;
        if head.has(flag::PRIORITY) {
            bytes = bytes.get(5..).ok_or(Fault::Connection(Code::FrameSize, "HEADERS too short for a priority"))?;
        }
        let is_last = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.take_block(head.stream, is_last, bytes);
        }
        self.block = Some(Block { stream: head.stream, is_last, bytes: bytes.to_vec() });
        Ok(())
    }

    fn take_continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.flood.nuisance()?;
        let block = self.block.as_mut().filter(|block| block.stream == head.stream);
        let block = block.ok_or(broken("a CONTINUATION of nothing"))?;
        // What is somewhat too large is still read, so that it can be answered.
        if block.bytes.len() + payload.len() > 2 * self.core.limits.head_bytes.max(frame::MOST) {
            return Err(Fault::Connection(Code::EnhanceYourCalm, "the head of a request is far too large"));
        }
        block.bytes.extend_from_slice(payload);
        match self.block.take_if(|_| head.has(flag::END_HEADERS)) {
            Some(block) => self.take_block(block.stream, block.is_last, &block.bytes),
            None => Ok(()),
        }
    }

    /// Takes a whole header block. Whatever becomes of it, it is read, because the next one builds on it.
    fn take_block(&mut self, id: u32, is_last: bool, block: &[u8]) -> Result<(), Fault> {
        let limits = &self.core.limits;
        let mut taken = Taken::new(Room { bytes: limits.head_bytes, headers: limits.head_count });
        let garbled = |_| Fault::Connection(Code::Compression, "a header block is garbled");
        self.decoder.read(block, |field, size| taken.take(field, size)).map_err(garbled)?;
        if id <= self.last {
            return self.take_trailers(id, is_last, taken);
        }
        self.last = id;
        // The client may try these again, here or elsewhere (RFC 9113, 8.7).
        let is_refused = self.leaving == Leaving::Last || self.streams.len() >= self.core.limits.streams as usize;
        if is_refused {
            return Err(Fault::Stream(id, Code::RefusedStream));
        }
        self.flood.begin();
        match taken.request(is_last) {
            Ok(head) => {
                self.begin(id, is_last, head);
                Ok(())
            }
            Err(Unfit::Malformed) => Err(Fault::Stream(id, Code::Protocol)),
            Err(Unfit::TooLarge) => {
                self.put_refusal(id, is_last, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
                Ok(())
            }
        }
    }

    /// A second header block of a stream stands behind its body.
    fn take_trailers(&mut self, id: u32, is_last: bool, taken: Taken) -> Result<(), Fault> {
        let Some(stream) = self.streams.get(id) else {
            // What we have ended may still be on its way.
            return match self.resets.has(id) {
                true => self.flood.nuisance(),
                false => Err(Fault::Connection(Code::StreamClosed, "a header block of a stream that has ended")),
            };
        };
        let Some(upload) = stream.upload.as_mut().filter(|upload| !upload.has_ended()) else {
            return Err(Fault::Stream(id, Code::StreamClosed));
        };
        if !is_last || taken.trailers().is_err() || upload.take(b"", true).is_none() {
            return Err(Fault::Stream(id, Code::Protocol));
        }
        self.call(id);
        Ok(())
    }

    /// Has a request answered.
    fn begin(&mut self, id: u32, is_last: bool, head: head::Head) {
        self.answered += 1;
        let is_head = head.request.method == Method::HEAD;
        let running = Running::begin(self.core.clone(), self.marks.clone());
        let (upload, incoming) = match is_last {
            true => (None, Incoming::nothing()),
            false => {
                let pipe = Arc::<Pipe>::default();
                (Some(Upload::new(pipe.clone(), head.length, head.expects)), Incoming::through(pipe))
            }
        };
        let asked = Asked { id, is_head, upload };
        match guarded(self.core, head.request, incoming, self.peer) {
            Handled::Now(reply) => self.send_now(asked, reply, running),
            Handled::Later(answering) => {
                let phase = Phase::Answering(Box::pin(answering));
                self.streams.add(Stream::new(asked, phase, &self.calls, self.first_window, running));
                self.call(id);
            }
        }
    }

    fn take_data(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let id = head.stream;
        if id == 0 || id > self.last {
            return Err(broken("DATA of a stream that was never opened"));
        }
        let bytes = frame::unpadded(&head, payload)?;
        // Padding takes of the windows, too.
        let size = payload.len() as u32;
        let too_much = Fault::Connection(Code::FlowControl, "more DATA than allowed");
        self.inflow.take(size).ok_or(too_much)?;
        let upload = self.streams.get(id).map(|stream| stream.upload.as_mut().filter(|upload| !upload.has_ended()));
        let Some(upload) = upload.flatten() else {
            self.inflow.give(size, &mut self.out.bytes, 0);
            self.flood.nuisance()?;
            return if self.resets.has(id) { Ok(()) } else { Err(Fault::Stream(id, Code::StreamClosed)) };
        };
        let is_last = head.has(flag::END_STREAM);
        match bytes.is_empty() && !is_last {
            true => self.flood.nuisance()?,
            false => self.flood.progress(),
        }
        if let Err(code) = upload.take_frame(size, bytes, is_last) {
            self.inflow.give(size, &mut self.out.bytes, 0);
            return Err(Fault::Stream(id, code));
        }
        let padding = size - bytes.len() as u32;
        self.inflow.give(padding, &mut self.out.bytes, 0);
        upload.inflow.give(padding, &mut self.out.bytes, id);
        self.call(id);
        Ok(())
    }

    fn take_window(&mut self, id: u32, payload: [u8; 4]) -> Result<(), Fault> {
        self.flood.nuisance()?;
        let more = i64::from(frame::number(payload));
        if id == 0 {
            if more == 0 {
                return Err(broken("a window opened by nothing"));
            }
            let was_closed = self.window <= 0;
            self.window += more;
            if self.window > i64::from(GREATEST) {
                return Err(Fault::Connection(Code::FlowControl, "a window is too large"));
            }
            if was_closed {
                self.unstick();
            }
            return Ok(());
        }
        if id > self.last {
            return Err(broken("a window of a stream that was never opened"));
        }
        let connection = self.window;
        let Some(stream) = self.streams.get(id) else { return Ok(()) };
        if more == 0 {
            return Err(Fault::Stream(id, Code::Protocol));
        }
        stream.window += more;
        if stream.window > i64::from(GREATEST) {
            return Err(Fault::Stream(id, Code::FlowControl));
        }
        stream.stuck &= stream.window <= 0 || connection <= 0;
        Ok(())
    }

    /// Streams that have a window again go on.
    fn unstick(&mut self) {
        let connection = self.window;
        self.streams.all().for_each(|stream| stream.stuck &= stream.window <= 0 || connection <= 0);
    }

    fn take_reset(&mut self, id: u32, _code: [u8; 4]) -> Result<(), Fault> {
        if id == 0 || id > self.last {
            return Err(broken("a reset of a stream that was never opened"));
        }
        if let Some(stream) = self.streams.remove(id) {
            self.forget_body(&stream);
        }
        self.flood.reset()
    }

    fn take_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let wrong_size = Fault::Connection(Code::FrameSize, "SETTINGS of a wrong size");
        if head.stream != 0 {
            return Err(broken("SETTINGS of a stream"));
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() { self.flood.nuisance() } else { Err(wrong_size) };
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(wrong_size);
        }
        if self.greeted {
            self.flood.nuisance()?;
        }
        self.greeted = true;
        let mut first_window = self.first_window;
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                // We keep nothing in its table, and say so where it gets smaller.
                setting::HEADER_TABLE_SIZE if value < 4096 && !self.keeps_no_table => {
                    (self.keeps_no_table, self.owes_no_table) = (true, true);
                }
                setting::ENABLE_PUSH if value > 1 => return Err(broken("ENABLE_PUSH is neither 0 nor 1")),
                setting::INITIAL_WINDOW_SIZE if value > GREATEST => {
                    return Err(Fault::Connection(Code::FlowControl, "the first window is too large"));
                }
                setting::INITIAL_WINDOW_SIZE => first_window = i64::from(value),
                setting::MAX_FRAME_SIZE if !(frame::MOST as u32..1 << 24).contains(&value) => {
                    return Err(broken("MAX_FRAME_SIZE out of its bounds"));
                }
                // Others change nothing of what we send.
                _ => {}
            }
        }
        self.change_windows(first_window)?;
        frame::put_settings_heard(&mut self.out.bytes);
        Ok(())
    }

    /// The first window of streams changes, and with it that of those which are open (RFC 9113, 6.9.2).
    fn change_windows(&mut self, first_window: i64) -> Result<(), Fault> {
        let change = first_window - std::mem::replace(&mut self.first_window, first_window);
        if change != 0 {
            self.streams.all().for_each(|stream| stream.window += change);
            if self.streams.all().any(|stream| stream.window > i64::from(GREATEST)) {
                return Err(Fault::Connection(Code::FlowControl, "a window is too large"));
            }
            self.unstick();
        }
        Ok(())
    }

    fn take_ping(&mut self, head: Head, payload: [u8; 8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(broken("PING of a stream"));
        }
        self.flood.nuisance()?;
        match head.has(flag::ACK) {
            false => frame::put_ping(&mut self.out.bytes, flag::ACK, payload),
            true => self.goodbye_was_heard(payload),
        }
        Ok(())
    }

    fn put_refusal(&mut self, id: u32, is_last: bool, status: StatusCode) {
        let date = self.core.date.borrow();
        frame::put_block(&mut self.out.bytes, id, true, |out| {
            hpack::put_status(out, status);
            hpack::put_date(out, date.text());
            hpack::put_length(out, 0);
        });
        drop(date);
        if !is_last {
            self.resets.note(id);
            frame::put_reset(&mut self.out.bytes, id, Code::NoError);
        }
    }

    /// The stream is looked at in this turn.
    fn call(&mut self, id: u32) {
        if self.streams.get(id).is_some_and(|stream| stream.call()) {
            self.called.push_back(id);
        }
    }
}

/// A payload that has always the same size.
fn exactly<const SIZE: usize>(payload: &[u8]) -> Result<[u8; SIZE], Fault> {
    payload.try_into().map_err(|_| Fault::Connection(Code::FrameSize, "a frame of a wrong size"))
}
