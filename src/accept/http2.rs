//! HTTP/2 (RFC 9113): the requests of a connection, many at once.
//!
//! Why not hyper's: an answer that is ready should take no task, no entry of a table and no header map, and all that come
//! in with one look at the socket should go out with one write. What came in is read where it lies, in a buffer that all
//! connections of a core share, and what goes out is gathered in another; a connection that rests holds neither.

mod calls;
mod flood;
mod frame;
mod head;
mod hpack;
mod receiving;
mod sending;
mod streams;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;

use super::Handler;
use super::connection::{Core, End};
use super::marks::Marks;
use super::watch::Verdict;
use super::wire::Wire;
use calls::Calls;
use flood::{Flood, Resets};
use frame::{Code, GREATEST, setting};
use receiving::Block;
use streams::{CONNECTION_WINDOW, Inflow, STREAM_WINDOW, Streams};

/// What every HTTP/2 client sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window of a connection, and of each stream, before anybody changed it (RFC 9113, 6.9.2).
const USUAL_WINDOW: u32 = 65_535;

/// Bytes that are gathered before they go out. While so many wait, nothing more is read.
const GATHERED: usize = 64 * 1024;

/// Writes of a connection, one after the other, before others of its core have their turn.
const WRITES: usize = 8;

/// What the ping holds that goes out with the first goodbye.
const GOODBYE: [u8; 8] = *b"good bye";

/// Speaks HTTP/2 on a socket from which `first` was read already, the preface at its beginning.
pub(super) async fn serve<H: Handler>(
    core: Rc<Core<H>>,
    stream: TcpStream,
    mut first: BytesMut,
    peer: SocketAddr,
    marks: Rc<Marks>,
) -> End {
    first.advance(PREFACE.len());
    let session = Session::new(&core, peer, marks.clone());
    let mut connection = Connection { wire: Wire::new(stream, first, marks), session };
    let last = std::future::poll_fn(|context| connection.poll(context)).await;
    let Connection { wire, session } = connection;
    // What still runs is given up.
    drop(session);
    match last {
        Last::Gone => End::Quietly,
        Last::Said => {
            wire.close(false).await;
            End::Quietly
        }
        // The client probably sends on, and shall read why it shouldn't.
        Last::Fault(what) => {
            wire.close(true).await;
            End::Refused(format!("not HTTP/2: {what}"))
        }
        Last::CutOff(what) => End::Refused(what.into()),
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The client has hung up.
    Gone,
    /// Both sides know.
    Said,
    /// The client broke the protocol, and is told so.
    Fault(&'static str),
    /// The client took too long.
    CutOff(&'static str),
}

/// How far a server that wants to end a connection has come (RFC 9113, 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client was told to open no more streams; those that it opened before it knew are answered.
    Told,
    /// No other stream is answered than those that were open when this was said.
    Last,
}

/// A connection that speaks HTTP/2.
struct Connection<'c, H: Handler> {
    wire: Wire,
    session: Session<'c, H>,
}

/// What both sides of a connection have come to, without its socket.
struct Session<'c, H: Handler> {
    core: &'c Rc<Core<H>>,
    peer: SocketAddr,
    marks: Rc<Marks>,
    out: Out,
    streams: Streams<'c, H>,
    /// How streams call the connection, and which ones did.
    calls: Arc<Calls>,
    called: VecDeque<u32>,
    /// The stream whose body had its turn last.
    served: u32,
    decoder: hpack::Decoder,
    /// A header block that isn't whole yet.
    block: Option<Block>,
    /// The client's settings came.
    greeted: bool,
    /// The newest stream that the client has opened.
    last: u32,
    /// Bytes that the client allows: on the connection, and on a new stream.
    window: i64,
    first_window: i64,
    inflow: Inflow,
    /// The client allows fewer headers in its table than usual; and it doesn't know yet that we put none there.
    keeps_no_table: bool,
    owes_no_table: bool,
    /// Requests that were read in this turn.
    answered: u32,
    /// Frames wait that came already.
    has_more: bool,
    flood: Flood,
    resets: Resets,
    leaving: Leaving,
    /// The newest stream of which the client was told that it is answered.
    told_last: Option<u32>,
    /// Once all is written, this is the end.
    ended: Option<Last>,
}

/// Bytes to be written, and how many of them are.
#[derive(Debug, Default)]
struct Out {
    bytes: Vec<u8>,
    done: usize,
}

impl Out {
    fn is_full(&self) -> bool {
        self.bytes.len() >= GATHERED
    }
}

impl<H: Handler> Connection<'_, H> {
    /// One turn among the other connections of the core.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Last> {
        if let Some(last) = self.session.heed() {
            return Poll::Ready(last);
        }
        self.session.answered = 0;
        self.session.borrow_room();
        let polled = self.turn(context);
        self.session.return_room();
        self.session.mark_waiting();
        polled
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<Last> {
        for _ in 0..WRITES {
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Last::Gone),
                Poll::Pending => return Poll::Pending,
            }
            if self.session.has_answered_enough() {
                break;
            }
            self.read(context);
            self.session.go_on(context);
            if self.session.out.bytes.is_empty() && !self.session.has_more {
                return self.session.over().map_or(Poll::Pending, Poll::Ready);
            }
        }
        // Others have their turn first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes all that was gathered.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Out { bytes, done } = &mut self.session.out;
        if !bytes.is_empty() {
            ready!(self.wire.poll_write(context, bytes, b"", done))?;
            bytes.clear();
            *done = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and takes frames, until there are no more or enough were answered.
    fn read(&mut self, context: &mut Context<'_>) {
        let Connection { wire, session } = self;
        if session.has_more {
            wire.look(|bytes| (session.take(bytes), ()));
        }
        while session.ended.is_none() && !session.has_more {
            match wire.poll_read(context, |bytes| (session.take(bytes), ())) {
                Poll::Ready(Ok(Some(()))) => {}
                Poll::Ready(Ok(None) | Err(_)) => session.end(Last::Gone),
                Poll::Pending => return,
            }
        }
    }
}

impl<'c, H: Handler> Session<'c, H> {
    fn new(core: &'c Rc<Core<H>>, peer: SocketAddr, marks: Rc<Marks>) -> Session<'c, H> {
        let mut session = Session {
            core,
            peer,
            marks,
            out: Out::default(),
            streams: Streams::new(),
            calls: Calls::new(),
            called: VecDeque::new(),
            served: 0,
            decoder: hpack::Decoder::new(),
            block: None,
            greeted: false,
            last: 0,
            window: USUAL_WINDOW.into(),
            first_window: USUAL_WINDOW.into(),
            inflow: Inflow::new(CONNECTION_WINDOW),
            keeps_no_table: false,
            owes_no_table: false,
            answered: 0,
            // Something came together with the preface.
            has_more: true,
            flood: Flood::default(),
            resets: Resets::default(),
            leaving: Leaving::No,
            told_last: None,
            ended: None,
        };
        session.greet();
        session
    }

    fn greet(&mut self) {
        let limits = &self.core.limits;
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, limits.streams),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, u32::try_from(limits.head_bytes).unwrap_or(u32::MAX)),
        ];
        frame::put_settings(&mut self.out.bytes, &settings);
        frame::put_window(&mut self.out.bytes, 0, CONNECTION_WINDOW - USUAL_WINDOW);
    }

    /// Heeds what the watch has come to. An end, where that is one.
    fn heed(&mut self) -> Option<Last> {
        if self.marks.waiting.get() && self.end_waiting() {
            return Some(Last::CutOff("the client stopped taking its answer"));
        }
        match self.marks.verdict.take()? {
            Verdict::Fine => None,
            Verdict::Refuse(what) => Some(Last::CutOff(what)),
            Verdict::Stop => {
                self.say_goodbye();
                None
            }
            Verdict::Close if self.leaving == Leaving::Last => Some(Last::Gone),
            // Between two looks there was time enough to hear of it.
            Verdict::Close if self.leaving == Leaving::Told => {
                self.leave();
                None
            }
            Verdict::Close => {
                self.say_goodbye();
                None
            }
        }
    }

    /// Tells the client to open no more streams. What it opens before it knows is answered: it knows when it answers the
    /// ping.
    fn say_goodbye(&mut self) {
        if self.leaving == Leaving::No && self.ended.is_none() {
            self.leaving = Leaving::Told;
            frame::put_goaway(&mut self.out.bytes, GREATEST, Code::NoError);
            frame::put_ping(&mut self.out.bytes, 0, GOODBYE);
        }
    }

    fn goodbye_was_heard(&mut self, payload: [u8; 8]) {
        if self.leaving == Leaving::Told && payload == GOODBYE {
            self.leave();
        }
    }

    /// From here on no other streams are answered.
    fn leave(&mut self) {
        self.leaving = Leaving::Last;
        self.told_last = Some(self.last);
        frame::put_goaway(&mut self.out.bytes, self.last, Code::NoError);
    }

    /// Ends the connection of a client that broke the protocol.
    fn fail(&mut self, code: Code, what: &'static str) {
        let last = *self.told_last.get_or_insert(self.last);
        frame::put_goaway(&mut self.out.bytes, last, code);
        self.end(Last::Fault(what));
    }

    /// Nothing more is read or answered.
    fn end(&mut self, last: Last) {
        self.ended = Some(last);
        self.has_more = false;
        self.block = None;
        self.streams.clear();
    }

    /// Whether others of the core have their turn before it answers more.
    fn has_answered_enough(&self) -> bool {
        self.answered >= self.core.limits.streams.max(1)
    }

    /// How the connection ends, now that nothing waits to be written.
    fn over(&self) -> Option<Last> {
        let has_left = self.leaving == Leaving::Last && self.streams.is_empty();
        self.ended.or(has_left.then_some(Last::Said))
    }

    /// Goes on with the streams that called, and sends what there is.
    fn go_on(&mut self, context: &Context<'_>) {
        if self.streams.is_empty() {
            return;
        }
        self.calls.hear(context.waker(), &mut self.called);
        self.look_at_called();
        self.send_bodies();
    }

    /// Gathers in the room that all connections of the core share, unless something waits still.
    fn borrow_room(&mut self) {
        if self.out.bytes.capacity() == 0 {
            self.out.bytes = self.core.out.take();
        }
    }

    /// Gives the room back, unless something waits still. Of two, the core keeps the larger one.
    fn return_room(&mut self) {
        if self.out.bytes.is_empty() {
            let (own, shared) = (std::mem::take(&mut self.out.bytes), self.core.out.take());
            self.core.out.set(if own.capacity() > shared.capacity() { own } else { shared });
        }
    }

    /// The watch has the connection look after answers that the client gives no window for.
    fn mark_waiting(&mut self) {
        let waiting = !self.streams.is_empty() && self.streams.all().any(|stream| stream.waits_since.is_some());
        self.marks.waiting.set(waiting);
    }
}
