//! The socket of an HTTP/2 connection. What is written is gathered and goes out in one write at the end of the
//! connection's turn: hyper's HTTP/2 writes each piece of a body by itself, and a call to the system costs more than all
//! the rest of a small answer.

use std::cell::{Cell, RefCell, RefMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::accept::marks::Marks;

/// What is gathered at most, in bytes; then it goes out.
const GATHERED: usize = 64 * 1024;

/// A write of at least so many bytes isn't gathered: to copy it would cost more than a write of its own.
const LARGE: usize = 8 * 1024;

/// The connection's end of the socket.
#[derive(Debug)]
pub(super) struct Wire {
    stream: RefCell<TcpStream>,
    /// Bytes that wait to be written, from `sent` on.
    out: RefCell<Vec<u8>>,
    sent: Cell<usize>,
    marks: Rc<Marks>,
}

impl Wire {
    /// A socket whose passing bytes are noted.
    pub(super) fn new(stream: TcpStream, marks: Rc<Marks>) -> Wire {
        Wire { stream: RefCell::new(stream), out: RefCell::default(), sent: Cell::new(0), marks }
    }

    /// Gathers in the room that all connections of the core share, unless something waits still.
    pub(super) fn borrow_room(&self, room: &Cell<Vec<u8>>) {
        let mut out = self.out.borrow_mut();
        if out.capacity() == 0 {
            *out = room.take();
        }
    }

    /// Gives the room back, unless something waits still.
    pub(super) fn return_room(&self, room: &Cell<Vec<u8>>) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            room.set(std::mem::take(&mut *out));
        }
    }

    /// Writes out what was gathered.
    pub(super) fn poll_write_out(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.out.borrow_mut();
        while self.sent.get() < out.len() {
            let outcome = Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, &out[self.sent.get()..]);
            self.marks.note_write(&outcome);
            let written = ready!(outcome)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent.set(self.sent.get() + written);
        }
        out.clear();
        self.sent.set(0);
        Poll::Ready(Ok(()))
    }

    /// Gathers these bytes, or writes what is there with as much of them as the system takes.
    fn poll_take(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let size = slices.iter().map(|slice| slice.len()).sum();
        let mut out = self.out.borrow_mut();
        if size < LARGE && out.len() + size <= GATHERED {
            slices.iter().for_each(|slice| out.extend_from_slice(slice));
            return Poll::Ready(Ok(size));
        }
        if size < LARGE {
            drop(out);
            ready!(self.poll_write_out(context))?;
            return self.poll_take(context, slices);
        }
        self.poll_write_with(context, out, slices)
    }

    fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        mut out: RefMut<'_, Vec<u8>>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let waiting = out.len() - self.sent.get();
            // An empty one at the end does no harm.
            let mut all = [IoSlice::new(b""); 8];
            all[0] = IoSlice::new(&out[self.sent.get()..]);
            all[1..].iter_mut().zip(slices).for_each(|(place, slice)| *place = *slice);
            let outcome = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(context, &all);
            self.marks.note_write(&outcome);
            let written = ready!(outcome)?;
            if written > waiting {
                out.clear();
                self.sent.set(0);
                return Poll::Ready(Ok(written - waiting));
            }
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent.set(self.sent.get() + written);
        }
    }
}

/// Hyper's end of the socket.
#[derive(Debug)]
pub(super) struct Socket {
    wire: Rc<Wire>,
    /// Bytes read before hyper took over.
    first: Bytes,
}

impl Socket {
    /// A socket from which `first` was read already.
    pub(super) fn new(wire: Rc<Wire>, first: Bytes) -> Socket {
        Socket { wire, first }
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
        ready!(Pin::new(&mut *self.wire.stream.borrow_mut()).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.wire.marks.head_begun.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_take(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_take(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was gathered goes out at the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.wire.poll_write_out(context))?;
        Pin::new(&mut *self.wire.stream.borrow_mut()).poll_shutdown(context)
    }
}
