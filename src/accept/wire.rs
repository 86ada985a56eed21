//! The socket of a connection and the bytes that came in but were not used yet. A connection that rests holds
//! no buffer: what comes in is read into one that all connections of a core share.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustix::io::writev;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use super::marks::Marks;

/// Bytes that are read at once.
const AT_ONCE: usize = 64 * 1024;

/// How long and how much of an unread body is thrown away after the answer; see [`Wire::close`].
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Who has gone shows as an error, not as a signal. Where the system has no such flag, the signal is ignored.
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: SendFlags = SendFlags::empty();

thread_local! {
    /// Where bytes come in; used within one look at a socket, and never across two.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; AT_ONCE].into());
}

/// The socket of one connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// What came in and was not used yet.
    pub(super) unread: BytesMut,
    marks: Rc<Marks>,
}

impl Wire {
    /// A socket from which `unread` was read already.
    pub(super) fn new(stream: TcpStream, unread: BytesMut, marks: Rc<Marks>) -> Wire {
        Wire { stream, unread, marks }
    }

    /// Reads, and hands what came to `look` together with all that is unread. `look` says how many of these bytes it
    /// used; the others stay unread. Gives 0 bytes at the end of the connection.
    pub(super) fn poll_read<T>(
        &mut self,
        context: &mut Context<'_>,
        look: impl FnOnce(&[u8]) -> (usize, T),
    ) -> Poll<io::Result<Option<T>>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let whole = Some(scratch.len());
            let size = ready!(self.poll_call(context, Interest::READABLE, whole, |stream| {
                recv(stream, &mut scratch[..], RecvFlags::empty()).map(|(size, _)| size)
            }))?;
            let came = &scratch[..size];
            if came.is_empty() {
                return Poll::Ready(Ok(None));
            }
            if self.unread.is_empty() {
                let (used, seen) = look(came);
                self.unread.extend_from_slice(&came[used..]);
                return Poll::Ready(Ok(Some(seen)));
            }
            self.unread.extend_from_slice(came);
            Poll::Ready(Ok(Some(self.look(look))))
        })
    }

    /// Hands what is unread to `look`, which says how many of the bytes it used.
    pub(super) fn look<T>(&mut self, look: impl FnOnce(&[u8]) -> (usize, T)) -> T {
        let (used, seen) = look(&self.unread);
        if used == self.unread.len() {
            self.unread = BytesMut::new();
        } else {
            bytes::Buf::advance(&mut self.unread, used);
        }
        seen
    }

    /// Reads more to what is unread. Gives 0 at the end of the connection.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.unread.len();
        let came = ready!(self.poll_read(context, |_| (0, ())))?;
        Poll::Ready(Ok(came.map_or(0, |()| self.unread.len() - before)))
    }

    /// Writes all of `first`, then all of `second`, of which `done` bytes are written already.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
        done: &mut usize,
    ) -> Poll<io::Result<()>> {
        while *done < first.len() + second.len() {
            let whole = Some(first.len() + second.len() - *done);
            *done += ready!(self.poll_send(context, whole, |stream| match first.get(*done..) {
                // One slice is less work for the system than several of which all but one are empty.
                Some(rest) if second.is_empty() => send(stream, rest, NO_SIGNAL),
                Some(rest) => writev(stream, &[IoSlice::new(rest), IoSlice::new(second)]),
                None => send(stream, &second[*done - first.len()..], NO_SIGNAL),
            }))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all of a head, of which `done` bytes are written already. The system keeps it back until the bytes of a file
    /// follow, so that both go out together.
    #[cfg(target_os = "linux")]
    pub(super) fn poll_write_before_file(
        &mut self,
        context: &mut Context<'_>,
        head: &[u8],
        done: &mut usize,
    ) -> Poll<io::Result<()>> {
        while *done < head.len() {
            let more = SendFlags::MORE | NO_SIGNAL;
            let rest = &head[*done..];
            *done += ready!(self.poll_send(context, Some(rest.len()), |stream| send(stream, rest, more)))?;
        }
        Poll::Ready(Ok(()))
    }

    /// The same where the system has no such call.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn poll_write_before_file(
        &mut self,
        context: &mut Context<'_>,
        head: &[u8],
        done: &mut usize,
    ) -> Poll<io::Result<()>> {
        self.poll_write(context, head, b"", done)
    }

    /// Sends bytes of a file without a copy through this process; how many. What is sent is what the file holds while the
    /// system sends it (sendfile(2)).
    #[cfg(target_os = "linux")]
    pub(super) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        mut from: u64,
        size: usize,
    ) -> Poll<io::Result<usize>> {
        // Less than all may have other causes than a full socket.
        self.poll_send(context, None, |stream| rustix::fs::sendfile(stream, file, Some(&mut from), size))
    }

    /// Where the system doesn't say what is in its cache, files are read by the pool for blocking work.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        _: &File,
        _: u64,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Hands bytes to the system by one call, as soon as it takes any; how many it took.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        whole: Option<usize>,
        call: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let outcome = self.poll_call(context, Interest::WRITABLE, whole, call);
        self.marks.note_write(&outcome);
        outcome
    }

    /// Makes one call of the system as soon as it is of use; `whole` is how much there is room for, or to send. The C
    /// library's own calls can be cancelled by another thread, which costs each some atomic operations; these can't.
    fn poll_call(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
        whole: Option<usize>,
        mut call: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match interest {
                Interest::READABLE => self.stream.poll_read_ready(context),
                _ => self.stream.poll_write_ready(context),
            })?;
            let (stream, mut part) = (&self.stream, None);
            let outcome = stream.try_io(interest, || match call(stream)? {
                // Nothing more is there, or has room: the runtime is told to wait, which saves the call that finds it out.
                size if 0 < size && whole.is_some_and(|whole| size < whole) => {
                    part = Some(size);
                    Err(io::ErrorKind::WouldBlock.into())
                }
                size => Ok(size),
            });
            match (part, outcome) {
                (Some(part), _) => return Poll::Ready(Ok(part)),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                (None, outcome) => return Poll::Ready(outcome),
            }
        }
    }

    /// Tells a client that waits for leave to send its body (RFC 9110, 10.1.1).
    pub(super) fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<()> {
        const LEAVE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        // Nothing waits to be written before the answer, so there is room for all of it; a failure shows at the next
        // reading.
        self.poll_send(context, Some(LEAVE.len()), |stream| send(stream, LEAVE, NO_SIGNAL)).map(drop)
    }

    /// Ends the connection: says that nothing more is sent, and throws away what still comes in, for a while. To close
    /// a socket with unread bytes resets it, and the reset would overtake the answer (a 413, say) that tells the client
    /// why. `expected` tells that something probably comes.
    pub(super) async fn close(mut self, expected: bool) {
        self.unread = BytesMut::new();
        let shut = std::future::poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await;
        if shut.is_err() {
            return;
        }
        let thrown = async {
            let mut thrown = 0;
            while thrown < LINGER_BYTES {
                let lingers = expected || thrown > 0;
                let came =
                    std::future::poll_fn(|context| match self.poll_read(context, |bytes| (bytes.len(), bytes.len())) {
                        Poll::Pending if !lingers => Poll::Ready(Ok(None)),
                        poll => poll,
                    });
                match came.await {
                    Ok(Some(size)) => thrown += size,
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, thrown).await;
    }
}
