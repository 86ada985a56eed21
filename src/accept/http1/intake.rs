//! Takes the body of an HTTP/1 request out of the bytes that come in (RFC 9112, 6.3 and 7.1). Pure.

use bytes::{Buf, Bytes, BytesMut};

use super::head::Framing;

/// Bytes of chunk extensions and of trailers, which nobody reads, that one body may send.
const MOST_EXTRA: usize = 16 * 1024;

/// Where in a body the bytes stand.
#[derive(Debug)]
pub(super) struct Intake {
    state: State,
    /// Bytes of extensions and trailers so far.
    extra: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are left.
    Length(u64),
    /// The size of a chunk so far, and its digits.
    Size(u64, u32),
    /// Behind the semicolon that ends a chunk's size.
    Extension(u64),
    /// The line of a chunk's size ends.
    SizeEnd(u64),
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// The line end behind a chunk: so many bytes of it were there.
    ChunkEnd(u8),
    /// The beginning of a line behind the last chunk.
    Trailers,
    /// Within such a line.
    Trailer,
    /// The last line of all ends.
    End,
    Done,
    /// It was no body. Where the next request begins can't be known.
    Broken(&'static str),
}

/// What the bytes gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A piece of the body, and whether it is the last one; it may be empty then.
    Piece(Bytes, bool),
    /// More bytes are needed.
    More,
    /// This is no body.
    Fault(&'static str),
}

impl Intake {
    pub(super) fn new(framing: Framing) -> Intake {
        let state = match framing {
            Framing::Nothing => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(0, 0),
        };
        Intake { state, extra: 0 }
    }

    /// Whether all of the body was taken.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether so many bytes hold a body whose length is known.
    pub(super) fn is_whole(&self, bytes: usize) -> bool {
        matches!(self.state, State::Length(left) if left > 0 && left <= bytes as u64)
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> Taken {
        loop {
            match self.state {
                State::Done => return Taken::Piece(Bytes::new(), true),
                State::Broken(what) => return Taken::Fault(what),
                _ if bytes.is_empty() => return Taken::More,
                State::Length(left) => {
                    let (piece, left) = split(bytes, left);
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Taken::Piece(piece, left == 0);
                }
                State::Chunk(left) => {
                    let (piece, left) = split(bytes, left);
                    self.state = if left == 0 { State::ChunkEnd(0) } else { State::Chunk(left) };
                    return Taken::Piece(piece, false);
                }
                state => match self.step(state, bytes.get_u8()) {
                    Ok(next) => self.state = next,
                    Err(what) => self.state = State::Broken(what),
                },
            }
        }
    }

    /// Where a byte between pieces leads to.
    fn step(&mut self, state: State, byte: u8) -> Result<State, &'static str> {
        Ok(match (state, byte) {
            (State::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                // 15 digits are more than any disk holds, and never too many for the number.
                if digits == 15 {
                    return Err("a chunk is too large");
                }
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                State::Size(size * 16 + u64::from(digit), digits + 1)
            }
            (State::Size(_, 0), _) => return Err("the size of a chunk"),
            (State::Size(size, _) | State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Size(size, _), b';') => State::Extension(size),
            (State::Size(..), _) => return Err("the size of a chunk"),
            (State::Extension(_), b'\n') => return Err("the extension of a chunk"),
            (State::Extension(_), _) => return self.count(state),
            (State::SizeEnd(0), b'\n') => State::Trailers,
            (State::SizeEnd(size), b'\n') => State::Chunk(size),
            (State::ChunkEnd(0), b'\r') => State::ChunkEnd(1),
            (State::ChunkEnd(1), b'\n') => State::Size(0, 0),
            (State::Trailers, b'\r') => State::End,
            (State::Trailer, b'\n') => State::Trailers,
            (State::Trailers | State::Trailer, _) => return self.count(State::Trailer),
            (State::End, b'\n') => State::Done,
            _ => return Err("the end of a line in its body"),
        })
    }

    /// Counts a byte that nobody reads.
    fn count(&mut self, next: State) -> Result<State, &'static str> {
        self.extra += 1;
        if self.extra > MOST_EXTRA { Err("too much beside its body") } else { Ok(next) }
    }
}

/// Takes at most `left` bytes; what is left of them then.
fn split(bytes: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let size = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (bytes.split_to(size).freeze(), left - size as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a body holds, fed in pieces of this size; and how many bytes are left behind it.
    fn body(framing: Framing, bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), Option<&'static str>> {
        let (mut intake, mut unread, mut body) = (Intake::new(framing), BytesMut::new(), Vec::new());
        let mut coming = bytes.chunks(step);
        loop {
            match intake.take(&mut unread) {
                Taken::Piece(piece, last) => {
                    body.extend_from_slice(&piece);
                    if last {
                        return Ok((body, unread.len() + coming.map(<[u8]>::len).sum::<usize>()));
                    }
                }
                Taken::More => unread.extend_from_slice(coming.next().ok_or(None)?),
                Taken::Fault(what) => return Err(Some(what)),
            }
        }
    }

    #[test]
    fn chunks_are_put_together() {
        let bytes = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n000\r\nA: b\r\nC: d\r\n\r\nGET";
        for step in 1..bytes.len() {
            assert_eq!(body(Framing::Chunked, bytes, step), Ok((b"abc0123456789".to_vec(), 3)), "{step}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let bad: [&[u8]; 12] = [
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b" 3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"\r\nabc\r\n0\r\n\r\n",
            b"3;a\nb\r\nabc\r\n0\r\n\r\n",
            b"1234567890abcdef\r\n",
            b"3\rabc\r\n0\r\n\r\n",
            b"0\r\n\rX",
        ];
        for bytes in bad {
            let outcome = body(Framing::Chunked, bytes, 100);
            assert!(matches!(outcome, Err(Some(_))), "{:?}: {outcome:?}", String::from_utf8_lossy(bytes));
        }
        let endless = [b"0\r\n".to_vec(), b"A: b\r\n".repeat(10_000)].concat();
        assert!(matches!(body(Framing::Chunked, &endless, 1000), Err(Some(_))));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), step in 1_usize..40) {
            let mut sent = Vec::new();
            for piece in &pieces {
                sent.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                sent.extend_from_slice(piece);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\nrest");
            prop_assert_eq!(body(Framing::Chunked, &sent, step), Ok((pieces.concat(), 4)));
            let plain = pieces.concat();
            let framing = Framing::Length(plain.len() as u64);
            prop_assert_eq!(body(framing, &[&plain[..], b"rest"].concat(), step), Ok((plain.clone(), 4)));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), step in 1_usize..40) {
            let _ = body(Framing::Chunked, &bytes, step);
        }
    }
}
