//! The socket of one connection, with marks of what passes through it. The connection's watch reads the marks now and
//! then, so that limits on time cost a request nothing.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How long and how much of an unread body is thrown away after the answer; see [`Socket::poll_linger`].
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// What passes through a connection.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Requests that run, their answers' bodies included.
    pub(super) running: Cell<usize>,
    /// Requests that began, ever.
    pub(super) begun: Cell<u64>,
    /// Bytes came in since the last request began: the head of the next one.
    pub(super) head_begun: Cell<bool>,
    /// Bytes wait to be written, and the client takes none.
    pub(super) stalled: Cell<bool>,
    /// Writes that succeeded, ever.
    pub(super) writes: Cell<u64>,
    /// The last request had a body, which may be unread.
    pub(super) had_body: Cell<bool>,
}

/// The socket of one connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// Bytes read before hyper took over.
    first: Bytes,
    marks: Rc<Marks>,
    shut: bool,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Socket {
    /// A socket from which `first` was read already.
    pub(super) fn new(stream: TcpStream, first: Bytes, marks: Rc<Marks>) -> Socket {
        marks.head_begun.set(!first.is_empty());
        Socket { stream, first, marks, shut: false, linger: None }
    }

    fn note_write(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Pending => self.marks.stalled.set(true),
            Poll::Ready(_) => {
                self.marks.stalled.set(false);
                self.marks.writes.set(self.marks.writes.get() + 1);
            }
        }
    }

    /// Throws away what still comes in after our last byte went out, for a while. To close a socket with unread bytes
    /// resets it, and the reset would overtake the answer (a 413, say) that tells the client why.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let outcome = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            let read = buffer.filled().len();
            match outcome {
                Poll::Ready(Ok(())) if read > 0 => {
                    let (_, thrown) = self.lingering();
                    *thrown += read;
                    if *thrown > LINGER_BYTES {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.linger.is_none() && !self.marks.had_body.get() => return Poll::Ready(()),
                Poll::Pending => return self.lingering().0.as_mut().poll(context),
            }
        }
    }

    fn lingering(&mut self) -> &mut (Pin<Box<Sleep>>, usize) {
        self.linger.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), 0))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let size = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..size]);
            self.first.advance(size);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.marks.head_begun.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_write(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.shut = true;
        }
        self.poll_linger(context).map(Ok)
    }
}
