//! Sends an answer: its head, then its body in the length that was announced, or in chunks.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http_body::Body;

use super::super::Handler;
use super::super::watch::Verdict;
use super::super::wire::Wire;
use super::{Connection, poll_gone};
use crate::flow::{Outgoing as _, Reply, Stretch};
use crate::parcel::put_line;

/// A body of at most so many bytes is copied behind its head: less work than to hand the system two pieces.
const COPIED: usize = 2 * 1024;

/// What an answer says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// What is usual: it stays open.
    Unsaid,
    /// It stays open, as an HTTP/1.0 client asked.
    KeepAlive,
    /// This is the last answer.
    Close,
}

/// An answer to be sent.
pub(super) struct Outgoing<B> {
    pub(super) reply: Reply<B>,
    /// HEAD was asked: only the head is sent.
    pub(super) is_head: bool,
    pub(super) is_http11: bool,
    pub(super) word: Word,
}

/// How the sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All is sent.
    Whole,
    /// All is sent, and its end is the connection's.
    LastOfAll,
    /// Something went wrong; nothing more can be sent.
    Broken,
    /// The watch has cut it off.
    Refused(&'static str),
}

/// How the client finds the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// There is none by the status, or because the head alone was asked for.
    NoBody,
    /// It is announced.
    Exact(u64),
    /// It says so itself.
    Chunked,
    /// By the end of the connection.
    Open,
}

impl<H: Handler> Connection<H> {
    /// Sends an answer whole.
    pub(super) async fn send(&mut self, outgoing: Outgoing<H::Body>) -> Sent {
        let mut out = self.core.out.take();
        let sent = self.send_by(outgoing, &mut out).await;
        // Another connection may have made one of its own meanwhile; either will do.
        out.clear();
        self.core.out.set(out);
        sent.unwrap_or_else(|ended| ended)
    }

    async fn send_by(&mut self, outgoing: Outgoing<H::Body>, out: &mut Vec<u8>) -> Result<Sent, Sent> {
        let length = length(&outgoing);
        put_head(out, &outgoing, length, self.core.date.borrow().text());
        let mut body = outgoing.reply.body;
        let mut left = match length {
            Length::NoBody => return self.write(out, b"").await.map(|()| Sent::Whole),
            Length::Exact(length) => length,
            Length::Chunked | Length::Open => u64::MAX,
        };
        loop {
            let itself = self.send_files(&mut body, out, length).await?;
            left = left.checked_sub(itself).ok_or(Sent::Broken)?;
            if let (Length::Exact(_), Some(held)) = (length, body.held()) {
                left = left.checked_sub(held.len() as u64).ok_or(Sent::Broken)?;
                self.write(out, &held).await?;
                break;
            }
            let Some(piece) = self.next_piece(&mut body).await? else { break };
            left = left.checked_sub(piece.len() as u64).ok_or(Sent::Broken)?;
            if length == Length::Chunked {
                let _ = write!(out, "{:x}\r\n", piece.len());
            }
            self.write(out, &piece).await?;
            if length == Length::Chunked {
                out.extend_from_slice(b"\r\n");
            }
        }
        match length {
            Length::Exact(_) if left > 0 => return Err(Sent::Broken),
            Length::Exact(_) if out.is_empty() => return Ok(Sent::Whole),
            Length::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
            _ => {}
        }
        self.write(out, b"").await?;
        Ok(if length == Length::Open { Sent::LastOfAll } else { Sent::Whole })
    }

    /// Sends what the body has of files that the system may send by itself. How many bytes that was.
    async fn send_files(&mut self, body: &mut H::Body, out: &mut Vec<u8>, length: Length) -> Result<u64, Sent> {
        let mut sent = 0;
        if !matches!(length, Length::Exact(_)) {
            return Ok(0);
        }
        while let Some(Stretch { file, from, size }) = body.stretch().map_err(|_| Sent::Broken)? {
            let mut done = 0;
            self.heeding(|wire, context| wire.poll_write_before_file(context, out, &mut done)).await?;
            out.clear();
            let went = self.heeding(|wire, context| wire.poll_send_file(context, &file, from, size)).await?;
            if went == 0 {
                return Err(Sent::Broken);
            }
            body.sent(went as u64);
            sent += went as u64;
        }
        Ok(sent)
    }

    /// The next bytes of a body. A client that goes while there are none is noticed.
    async fn next_piece(&mut self, body: &mut H::Body) -> Result<Option<Bytes>, Sent> {
        std::future::poll_fn(|context| {
            loop {
                match Pin::new(&mut *body).poll_frame(context) {
                    Poll::Ready(None) => return Poll::Ready(Ok(None)),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(piece) if !piece.is_empty() => return Poll::Ready(Ok(Some(piece))),
                        _ => {}
                    },
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Sent::Broken)),
                    Poll::Pending => {
                        ready!(poll_gone(&mut self.wire, context));
                        return Poll::Ready(Err(Sent::Broken));
                    }
                }
            }
        })
        .await
    }

    /// Writes what is in `out`, then `piece`; `out` is empty then.
    pub(super) async fn write(&mut self, out: &mut Vec<u8>, piece: &[u8]) -> Result<(), Sent> {
        let (mut done, mut piece) = (0, piece);
        if piece.len() <= COPIED {
            out.extend_from_slice(std::mem::take(&mut piece));
        }
        self.heeding(|wire, context| wire.poll_write(context, out, piece, &mut done)).await?;
        out.clear();
        Ok(())
    }

    /// Writes until it is done or the watch cuts it off.
    async fn heeding<T>(
        &mut self,
        mut write: impl FnMut(&mut Wire, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, Sent> {
        std::future::poll_fn(|context| {
            if let Poll::Ready(written) = write(&mut self.wire, context) {
                return Poll::Ready(written.map_err(|_| Sent::Broken));
            }
            match self.marks.verdict.take() {
                Some(Verdict::Refuse(what)) => Poll::Ready(Err(Sent::Refused(what))),
                // What has begun is finished; that the server stops is asked afterwards.
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// How the end of an answer's body is told (RFC 9112, 6.3).
fn length<B: Body>(outgoing: &Outgoing<B>) -> Length {
    let status = outgoing.reply.status;
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || status.is_informational();
    if outgoing.is_head || bodiless {
        return Length::NoBody;
    }
    match outgoing.reply.body.size_hint().exact() {
        Some(length) => Length::Exact(length),
        None if outgoing.is_http11 => Length::Chunked,
        None => Length::Open,
    }
}

/// Writes a head.
fn put_head<B>(out: &mut Vec<u8>, outgoing: &Outgoing<B>, length: Length, date: &[u8; 29]) {
    let Outgoing { reply, word, .. } = outgoing;
    put_status(out, reply.status, date);
    out.extend_from_slice(reply.lines());
    if let Some(tag) = reply.tag() {
        put_line(out, "etag", tag);
    }
    for (name, value) in reply.headers().iter() {
        // These are the connection's own to say; a length is told by the handler where no body follows.
        let own = *name == CONNECTION || *name == TRANSFER_ENCODING || *name == DATE;
        if own || (*name == CONTENT_LENGTH && length != Length::NoBody) {
            continue;
        }
        put_line(out, name.as_str(), value.as_bytes());
    }
    match length {
        Length::Exact(length) => put_line(out, "content-length", itoa::Buffer::new().format(length).as_bytes()),
        Length::Chunked => put_line(out, "transfer-encoding", b"chunked"),
        Length::NoBody | Length::Open => {}
    }
    match word {
        Word::Close => put_line(out, "connection", b"close"),
        _ if length == Length::Open => put_line(out, "connection", b"close"),
        Word::KeepAlive => put_line(out, "connection", b"keep-alive"),
        Word::Unsaid => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the answer to what was no request.
pub(super) fn put_refusal(out: &mut Vec<u8>, status: StatusCode, date: &[u8; 29]) {
    put_status(out, status, date);
    out.extend_from_slice(b"content-length: 0\r\nconnection: close\r\n\r\n");
}

fn put_status(out: &mut Vec<u8>, status: StatusCode, date: &[u8; 29]) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ndate: ");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        out.extend_from_slice(b"\r\ndate: ");
    }
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}
