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
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::marks::Marks;

/// Bytes that are read at once.
const AT_ONCE: usize = 64 * 1024;

/// How long and how much of an unread body is thrown away after the answer; see [`Wire::close`].
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

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
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let came = buffer.filled();
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
            let outcome = match first.get(*done..) {
                // One slice is less work for the system than several of which all but one are empty.
                Some(rest) if second.is_empty() => Pin::new(&mut self.stream).poll_write(context, rest),
                Some(rest) => {
                    let rest = [IoSlice::new(rest), IoSlice::new(second)];
                    Pin::new(&mut self.stream).poll_write_vectored(context, &rest)
                }
                None => Pin::new(&mut self.stream).poll_write(context, &second[*done - first.len()..]),
            };
            self.marks.note_write(&outcome);
            *done += ready!(outcome)?;
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
        use rustix::net::{SendFlags, send};
        while *done < head.len() {
            let more = SendFlags::MORE | SendFlags::NOSIGNAL;
            *done += ready!(self.poll_once(context, |stream| send(stream, &head[*done..], more)))?;
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
        self.poll_once(context, |stream| rustix::fs::sendfile(stream, file, Some(&mut from), size))
    }

    /// Hands bytes to the system by one call, as soon as it takes any; how many it took.
    #[cfg(target_os = "linux")]
    fn poll_once(
        &mut self,
        context: &mut Context<'_>,
        mut call: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let readiness = self.stream.poll_write_ready(context);
            if readiness.is_pending() {
                self.marks.note_write(&Poll::Pending);
            }
            ready!(readiness)?;
            let stream = &self.stream;
            let sent = stream.try_io(Interest::WRITABLE, || call(stream).map_err(io::Error::from));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => {
                    let outcome = Poll::Ready(sent);
                    self.marks.note_write(&outcome);
                    return outcome;
                }
            }
        }
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

    /// Tells a client that waits for leave to send its body (RFC 9110, 10.1.1).
    pub(super) fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<()> {
        const LEAVE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        // Nothing waits to be written before the answer, so there is room for all of it; a failure shows at the next
        // reading.
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(context, LEAVE));
        self.marks.note_write(&Poll::Ready(outcome));
        Poll::Ready(())
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
