//! Takes an answer apart that comes in pieces: where its head ends, and when it is whole.

use httparse::{EMPTY_HEADER, Response, Status};

const MOST_FIELDS: usize = 64;
const LONGEST_HEAD: usize = 16 * 1024;

/// Why a request counts as failed although the server sent something.
pub type Failure = &'static str;

/// The answer that a connection is reading, or waits for.
pub enum Answer {
    /// What came of the head so far.
    Head(Vec<u8>),
    /// The body comes.
    Body {
        /// What the head said.
        said: Said,
        /// How many bytes haven't come yet.
        missing: u64,
    },
}

/// What an answer's head says about the answer and what comes after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// The answer's status.
    pub status: u16,
    /// Whether the server closes the connection behind it.
    pub closes: bool,
}

impl Answer {
    /// An answer of which nothing has come.
    pub fn awaited() -> Self {
        Self::Head(Vec::new())
    }

    /// Takes the next piece; what its head said as soon as the answer is whole. Then the next one is awaited.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<Said>, Failure> {
        match self {
            Self::Body { .. } => self.take_body(piece.len()),
            // Nearly always the whole head is in the first piece, which needn't be copied.
            Self::Head(kept) if kept.is_empty() => match parse(piece)? {
                Some(head) => self.begin_body(head, piece.len()),
                None => self.keep(piece.to_vec()),
            },
            Self::Head(kept) => {
                let mut kept = std::mem::take(kept);
                kept.extend_from_slice(piece);
                match parse(&kept)? {
                    Some(head) => self.begin_body(head, kept.len()),
                    None => self.keep(kept),
                }
            }
        }
    }

    fn keep(&mut self, part: Vec<u8>) -> Result<Option<Said>, Failure> {
        if part.len() > LONGEST_HEAD {
            return Err("its head is too long");
        }
        *self = Self::Head(part);
        Ok(None)
    }

    fn begin_body(&mut self, head: Head, came: usize) -> Result<Option<Said>, Failure> {
        *self = Self::Body { said: head.said, missing: head.content_length };
        self.take_body(came - head.length)
    }

    fn take_body(&mut self, came: usize) -> Result<Option<Said>, Failure> {
        let Self::Body { said, missing } = self else { return Ok(None) };
        *missing = missing.checked_sub(came as u64).ok_or("more came than its Content-Length says")?;
        if *missing > 0 {
            return Ok(None);
        }
        let said = *said;
        *self = Self::awaited();
        Ok(Some(said))
    }
}

struct Head {
    length: usize,
    content_length: u64,
    said: Said,
}

/// The head at the beginning of these bytes, if it is whole.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Failure> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut response = Response::new(&mut fields);
    let Status::Complete(length) = response.parse(bytes).map_err(|_| "its head isn't HTTP")? else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    let content_length = match status {
        ..200 => return Err("its status means that another answer follows"),
        // Such an answer has no body, whatever its fields say (RFC 9112, 6.3).
        204 | 304 => Some(0),
        _ => field(&response, "content-length").and_then(|value| value.parse().ok()),
    };
    let content_length = content_length.ok_or("it has no Content-Length")?;
    let asked_to_close = field(&response, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let closes = asked_to_close || response.version == Some(0);
    Ok(Some(Head { length, content_length, said: Said { status, closes } }))
}

fn field<'a>(response: &Response<'_, 'a>, name: &str) -> Option<&'a str> {
    let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nServer: s\r\n\r\nhello";
    const WHOLE: Said = Said { status: 200, closes: false };

    #[test]
    fn an_answer_is_whole_wherever_it_is_cut() {
        let mut answer = Answer::awaited();
        for first in 1..ANSWER.len() {
            for second in first..ANSWER.len() {
                assert_eq!(answer.take(&ANSWER[..first]), Ok(None));
                assert_eq!(answer.take(&ANSWER[first..second]), Ok(None), "cut at {first} and {second}");
                assert_eq!(answer.take(&ANSWER[second..]), Ok(Some(WHOLE)), "cut at {first} and {second}");
            }
        }
        assert_eq!(answer.take(ANSWER), Ok(Some(WHOLE)));
    }

    #[test]
    fn status_and_close_are_told() {
        let close = b"HTTP/1.1 503 Busy\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(Answer::awaited().take(close), Ok(Some(Said { status: 503, closes: true })));
        let old = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(Answer::awaited().take(old), Ok(Some(Said { status: 200, closes: true })));
    }

    #[test]
    fn an_unchanged_file_has_no_body() {
        let unchanged = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(Answer::awaited().take(unchanged), Ok(Some(Said { status: 304, closes: false })));
    }

    #[test]
    fn what_has_no_known_end_fails() {
        let failing: [&[u8]; 5] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
            b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
        ];
        for bytes in failing {
            assert!(Answer::awaited().take(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'a'; LONGEST_HEAD]].concat();
        assert!(Answer::awaited().take(&endless).is_err());
    }
}
