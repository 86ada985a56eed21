//! The messages of one connection: what is to be sent is gathered in a buffer, what comes is taken apart.
//!
//! It knows the frames of the protocol (PostgreSQL documentation, chapter "Frontend/Backend Protocol") and nothing of
//! what they mean. A future that is dropped here loses nothing: all that was read stays in the buffer.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::failure::{ServerError, Trouble};
use crate::database::Failure;

/// A way to the server: TCP, TLS over it, or a Unix socket.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Bytes that a buffer may keep between two uses of its connection.
const KEPT_BYTES: usize = 64 << 10;
/// Room for what arrives: most answers come whole with one call of the system.
const ROOM: usize = 8 << 10;

/// One connection's two directions.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    arrived: BytesMut,
    /// What [`Wire::flush`] will send.
    pub(super) outgoing: BytesMut,
    /// Bytes of the longest message that is read.
    longest: usize,
}

impl Wire {
    /// Over an open stream.
    pub(super) fn new(stream: Box<dyn Duplex>, longest: usize) -> Wire {
        Wire { stream, arrived: BytesMut::new(), outgoing: BytesMut::new(), longest }
    }

    /// Sends what was gathered. It reads meanwhile, because a server that can't get rid of its answers takes no more
    /// questions.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Wire { stream, arrived, outgoing, .. } = self;
        while !outgoing.is_empty() {
            poll_fn(|context| {
                if let Poll::Ready(sent) = Pin::new(&mut *stream).poll_write(context, outgoing) {
                    outgoing.advance(sent?);
                    return Poll::Ready(Ok(()));
                }
                match pin!(stream.read_buf(arrived)).poll(context) {
                    Poll::Ready(Ok(0)) => Poll::Ready(Err(closed())),
                    Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await?;
        }
        poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await?;
        if outgoing.capacity() > KEPT_BYTES {
            *outgoing = BytesMut::new();
        }
        Ok(())
    }

    /// The next message that answers something; notices and changed settings are passed over.
    pub(super) async fn receive(&mut self) -> Result<Message, Trouble> {
        loop {
            if let Some(header) = Header::parse(&self.arrived)?
                && usize::try_from(header.len()).unwrap_or(usize::MAX) > self.longest
            {
                // The connection can't be used on: what follows is not read.
                return Err(Trouble::Refused(Failure::TooLarge));
            }
            match Message::parse(&mut self.arrived)? {
                Some(
                    Message::NoticeResponse(_)
                    | Message::ParameterStatus(_)
                    | Message::NotificationResponse(_)
                    | Message::CloseComplete,
                ) => {}
                Some(Message::ErrorResponse(body)) => {
                    let error = ServerError::read(&body);
                    // The server ends the connection right after; there will be no `ReadyForQuery`.
                    if error.is_down() {
                        return Err(Trouble::Lost(error.message));
                    }
                    return Err(error.into());
                }
                Some(message) => return Ok(message),
                None => {
                    self.arrived.reserve(ROOM);
                    if self.stream.read_buf(&mut self.arrived).await? == 0 {
                        return Err(closed().into());
                    }
                }
            }
        }
    }

    /// Whether the server has closed the connection, as far as is known here without waiting.
    pub(super) fn is_closed(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match pin!(self.stream.read_buf(&mut self.arrived)).poll(&mut context) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return true,
                // The answer to a `commit`, a notice, or why it is about to close.
                Poll::Ready(Ok(_)) if self.arrived.len() > KEPT_BYTES => return true,
                Poll::Ready(Ok(_)) => {}
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the database closed the connection")
}
