//! The body of a response: nothing, bytes, or a file that is read while it is sent, from the disk or an object store.
//! Counts what goes out.

mod cached;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::flow::{Held, Outgoing, Sent, Stretch};
use crate::parcel::Parcel;
use crate::problem::Problem;
use crate::site::statics::Stamp;
use crate::uploads::{Pieces, Remote};

/// Bytes read from a file at once: large enough that handing them over costs nothing, small enough for many streams.
const PIECE: u64 = 128 * 1024;

/// Bytes of a file that a connection sends by itself at once: few enough that others on its core hardly wait.
const STRETCH: u64 = 512 * 1024;

/// The last bytes of a file, which no connection sends by itself: they are held against the promised state before they go
/// out, so that a file which changed meanwhile is never taken for whole.
const LAST: u64 = 16 * 1024;

/// The body of a response.
pub struct Body {
    content: Content,
    sent: u64,
    ended: Option<Box<dyn FnOnce(Sent)>>,
}

enum Content {
    /// Nothing, or nothing more.
    Empty,
    Whole(Bytes),
    /// Bytes of a parcel from so many on, up to so many.
    Parcel(Arc<Parcel>, usize, usize),
    /// In a box, as all that is large and seldom: a body is handed on many times.
    File(Box<FileStream>),
    /// A part of a file that is still to be asked for.
    Asked(Box<Remote>, u64, u64),
    /// Its pieces as they come, and bytes not yet handed out.
    Coming(Pieces, u64),
}

/// A part of a file, read piece by piece on the pool for blocking work, one piece ahead.
struct FileStream {
    file: Arc<File>,
    stamp: Stamp,
    /// Where the next reading begins.
    at: u64,
    /// Where the part ends.
    end: u64,
    /// Bytes not yet handed out.
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Up to where the connection may send by itself.
    granted: u64,
    /// The connection asks for stretches.
    sends_itself: bool,
}

impl Body {
    /// No body.
    pub fn empty() -> Body {
        Body::of(Content::Empty)
    }

    /// Bytes.
    pub fn whole(bytes: Bytes) -> Body {
        Body::of(if bytes.is_empty() { Content::Empty } else { Content::Whole(bytes) })
    }

    /// The bytes `from..to` of a parcel.
    pub(super) fn parcel(parcel: &Arc<Parcel>, from: usize, to: usize) -> Body {
        Body::of(if from < to { Content::Parcel(parcel.clone(), from, to) } else { Content::Empty })
    }

    /// The bytes `from..to` of a file whose state was `stamp`.
    pub(super) fn file(file: File, stamp: Stamp, from: u64, to: u64) -> Body {
        if from >= to {
            return Body::empty();
        }
        let (file, left) = (Arc::new(file), to - from);
        let stream =
            FileStream { file, stamp, at: from, end: to, left, reading: None, granted: 0, sends_itself: false };
        Body::of(Content::File(Box::new(stream)))
    }

    /// The bytes `from..to` of a file of an object store, once it was opened.
    pub(super) fn remote(remote: Remote, from: u64, to: u64) -> Body {
        Body::of(if from < to { Content::Asked(Box::new(remote), from, to) } else { Content::Empty })
    }

    /// Asks for the file that is to be sent, where it isn't at hand.
    ///
    /// # Errors
    /// The object store doesn't answer; then something else must be sent.
    pub async fn open(&mut self) -> Result<(), Problem> {
        if let Content::Asked(..) = self.content
            && let Content::Asked(remote, from, to) = std::mem::replace(&mut self.content, Content::Empty)
        {
            self.content = Content::Coming(Box::pin(remote.open(from, to)).await?, to - from);
        }
        Ok(())
    }

    fn of(content: Content) -> Body {
        Body { content, sent: 0, ended: None }
    }

    /// Has `ended` called once, when the body was handed to the connection or given up.
    pub fn on_end(&mut self, ended: Box<dyn FnOnce(Sent)>) {
        self.ended = Some(ended);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Body").field("size", &http_body::Body::size_hint(self).exact()).finish()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended(Sent { bytes: self.sent, complete: matches!(self.content, Content::Empty) });
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Empty => return Poll::Ready(None),
            Content::Whole(bytes) => bytes,
            Content::Parcel(parcel, from, to) => parcel.piece(from, to),
            Content::File(mut stream) => {
                let outcome = stream.poll_piece(context);
                let more = stream.left > 0 || !matches!(outcome, Poll::Ready(Ok(_)));
                if more {
                    self.content = Content::File(stream);
                }
                match ready!(outcome) {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            Content::Asked(..) => return Poll::Ready(Some(Err(io::Error::other("a file that nobody asked for")))),
            Content::Coming(mut pieces, left) => {
                let outcome = poll_coming(&mut pieces, left, context);
                let left = match &outcome {
                    Poll::Ready(Ok(piece)) => left - piece.len() as u64,
                    _ => left,
                };
                if left > 0 {
                    self.content = Content::Coming(pieces, left);
                }
                match ready!(outcome) {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        self.sent += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.content {
            Content::Empty => 0,
            Content::Whole(bytes) => bytes.len() as u64,
            Content::Parcel(_, from, to) => (to - from) as u64,
            Content::File(stream) => stream.left,
            Content::Asked(_, from, to) => to - from,
            Content::Coming(_, left) => *left,
        })
    }
}

impl Outgoing for Body {
    fn held(&mut self) -> Option<Held> {
        let Content::Parcel(..) = self.content else { return None };
        let Content::Parcel(parcel, from, to) = std::mem::replace(&mut self.content, Content::Empty) else {
            return None;
        };
        self.sent += (to - from) as u64;
        Some(Held::new(parcel, from, to))
    }

    fn stretch(&mut self) -> io::Result<Option<Stretch>> {
        match &mut self.content {
            Content::Parcel(parcel, from, to) => {
                let file = parcel.file().cloned();
                Ok(file.map(|file| Stretch { file, from: *from as u64, size: *to - *from }))
            }
            Content::File(stream) => stream.stretch(),
            _ => Ok(None),
        }
    }

    fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        match &mut self.content {
            Content::Parcel(_, from, to) if *from + bytes as usize == *to => self.content = Content::Empty,
            Content::Parcel(_, from, _) => *from += bytes as usize,
            Content::File(stream) => {
                stream.at += bytes;
                stream.left -= bytes;
            }
            _ => {}
        }
    }
}

impl FileStream {
    /// What the connection may send by itself: all but the last bytes, as far as it is in the system's cache.
    fn stretch(&mut self) -> io::Result<Option<Stretch>> {
        self.sends_itself = true;
        let end = self.end.saturating_sub(LAST);
        if self.reading.is_some() || self.at >= end {
            return Ok(None);
        }
        if self.at >= self.granted {
            check_same(&self.file, &self.stamp)?;
            let size = STRETCH.min(end - self.at);
            if !cached::is_there(&self.file, self.at, size) {
                return Ok(None);
            }
            self.granted = self.at + size;
        }
        Ok(Some(Stretch { file: self.file.clone(), from: self.at, size: (self.granted - self.at) as usize }))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                // The end of a file that the connection has sent needs no other thread.
                if self.sends_itself
                    && self.left <= LAST
                    && let Some(piece) = cached::read(&self.file, self.at, self.left)
                {
                    self.left = 0;
                    return Poll::Ready(check_same(&self.file, &self.stamp).map(|()| piece));
                }
                let first = self.read_next();
                self.reading.insert(first)
            }
        };
        let outcome = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other);
        self.reading = None;
        let piece = outcome.flatten()?;
        self.left -= piece.len() as u64;
        // A connection that sends files by itself finds what is left in the system's cache.
        if self.left > 0 && !self.sends_itself {
            self.reading = Some(self.read_next());
        }
        Poll::Ready(Ok(piece))
    }

    fn read_next(&mut self) -> JoinHandle<io::Result<Bytes>> {
        let (file, stamp, at) = (self.file.clone(), self.stamp, self.at);
        let size = PIECE.min(self.end - at);
        self.at += size;
        spawn_blocking(move || {
            let mut piece = vec![0; size as usize];
            file.read_exact_at(&mut piece, at)?;
            check_same(&file, &stamp).map(|()| Bytes::from(piece))
        })
    }
}

/// The next bytes of an object store's file, never more than are `left`.
fn poll_coming(pieces: &mut Pieces, left: u64, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    Poll::Ready(match ready!(pieces.poll_next(context)) {
        Some(Ok(piece)) if piece.len() as u64 <= left => Ok(piece),
        Some(Ok(_)) => Err(io::Error::other("the store gave more than it was asked for")),
        Some(Err(error)) => Err(error),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    })
}

/// Whether the bytes read belong to the state that was promised. A file that only grew (a log) still has them.
fn check_same(file: &File, stamp: &Stamp) -> io::Result<()> {
    let now = Stamp::of(file)?;
    match now == *stamp || now.size > stamp.size {
        true => Ok(()),
        false => Err(io::Error::other("the file changed while it was sent")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;
    use std::rc::Rc;

    use http_body_util::BodyExt;

    use super::*;

    fn file(size: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    fn watched(mut body: Body) -> (Body, Rc<Cell<Option<Sent>>>) {
        let seen = Rc::new(Cell::new(None));
        let writer = seen.clone();
        body.on_end(Box::new(move |sent| writer.set(Some(sent))));
        (body, seen)
    }

    #[tokio::test]
    async fn a_part_of_a_file_is_sent() {
        let (file, bytes) = file(400_000);
        let stamp = Stamp::of(file.as_file()).unwrap();
        let (body, seen) = watched(Body::file(file.reopen().unwrap(), stamp, 10, 399_990));
        let sent = body.collect().await.unwrap().to_bytes();
        assert!(sent == bytes[10..399_990]);
        assert_eq!(seen.get(), Some(Sent { bytes: 399_980, complete: true }));
    }

    #[tokio::test]
    async fn a_file_that_shrinks_or_changes_breaks_off() {
        for change in [|file: &File| file.set_len(200_000), |file: &File| file.write_all_at(b"x", 0)] {
            let (file, _) = file(400_000);
            let stamp = Stamp::of(file.as_file()).unwrap();
            let (mut body, seen) = watched(Body::file(file.reopen().unwrap(), stamp, 0, 400_000));
            let mut broke = false;
            // The write must not fall into the same instant as the first one.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(file.as_file()).unwrap();
            while let Some(frame) = body.frame().await {
                broke = frame.is_err();
                if broke {
                    break;
                }
            }
            assert!(broke);
            drop(body);
            assert!(!seen.get().unwrap().complete);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_large_parcel_goes_by_itself_as_far_as_it_can() {
        let bytes: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
        let parcel = Arc::new(Parcel::lasting(bytes.clone(), crate::fields::Fields::new()));
        let (mut body, seen) = watched(Body::parcel(&parcel, 10, 90_000));
        let Stretch { file, from, size } = body.stretch().unwrap().unwrap();
        assert_eq!((from, size), (10, 89_990));
        let mut sent = vec![0; 30_000];
        file.read_exact_at(&mut sent, from).unwrap();
        body.sent(30_000);
        assert_eq!(body.stretch().unwrap().map(|next| (next.from, next.size)), Some((30_010, 59_990)));
        sent.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        assert!(sent == bytes[10..90_000] && body.stretch().unwrap().is_none());
        drop(body);
        assert_eq!(seen.get(), Some(Sent { bytes: 89_990, complete: true }));
        let mut body = Body::parcel(&parcel, 10, 90_000);
        body.sent(89_990);
        assert!(http_body::Body::is_end_stream(&body) && body.stretch().unwrap().is_none());
    }

    #[tokio::test]
    async fn what_lies_in_memory_is_handed_out_as_it_is() {
        let parcel = Arc::new(Parcel::new(Bytes::from_static(b"hello"), crate::fields::Fields::new()));
        let (mut body, seen) = watched(Body::parcel(&parcel, 1, 4));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        let held = body.held().unwrap();
        assert!(*held == *b"ell" && http_body::Body::is_end_stream(&body) && body.held().is_none());
        drop(body);
        assert_eq!(seen.get(), Some(Sent { bytes: 3, complete: true }));
        let mut body = Body::parcel(&parcel, 1, 4);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ell");
        assert!(body.held().is_none() && http_body::Body::is_end_stream(&Body::parcel(&parcel, 2, 2)));
        assert!(Body::whole(Bytes::from_static(b"hello")).held().is_none());
    }

    #[tokio::test]
    async fn a_body_that_is_given_up_is_not_complete() {
        let (body, seen) = watched(Body::whole(Bytes::from_static(b"hello")));
        drop(body);
        assert_eq!(seen.get(), Some(Sent { bytes: 0, complete: false }));
        let (body, seen) = watched(Body::whole(Bytes::new()));
        drop(body);
        assert_eq!(seen.get(), Some(Sent { bytes: 0, complete: true }));
    }
}
