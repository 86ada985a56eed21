//! Frames (RFC 9113, 4 and 6): reads their heads, writes them. Pure.

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;

/// Bytes of a frame's payload at most, both ways: what every HTTP/2 allows.
pub(super) const MOST: usize = 16_384;

/// The greatest window, and the greatest number of a stream.
pub(super) const GREATEST: u32 = 0x7fff_ffff;

/// Kinds of frames.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(super) mod flag {
    pub(in super::super) const ACK: u8 = 1;
    pub(in super::super) const END_STREAM: u8 = 1;
    pub(in super::super) const END_HEADERS: u8 = 4;
    pub(in super::super) const PADDED: u8 = 8;
    pub(in super::super) const PRIORITY: u8 = 32;
}

/// Settings by their numbers (RFC 9113, 6.5.2).
pub(super) mod setting {
    pub(in super::super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in super::super) const ENABLE_PUSH: u16 = 2;
    pub(in super::super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in super::super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in super::super) const MAX_FRAME_SIZE: u16 = 5;
    pub(in super::super) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Why a stream or a connection ends (RFC 9113, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// With one stream: that alone ends.
    Stream(u32, Code),
    /// With the connection, for the log.
    Connection(Code, &'static str),
}

/// The connection's fault of a client that breaks the protocol.
pub(super) const fn broken(what: &'static str) -> Fault {
    Fault::Connection(Code::Protocol, what)
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// Reads a head; `None` when it isn't there whole.
    pub(super) fn read(bytes: &[u8]) -> Option<Head> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<HEAD>()?;
        Some(Head {
            length: usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
            kind: *kind,
            flags: *flags,
            // The first bit means nothing.
            stream: u32::from_be_bytes(*stream) & GREATEST,
        })
    }

    /// Whether a flag is set.
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The payload without its padding.
pub(super) fn unpadded<'p>(head: &Head, payload: &'p [u8]) -> Result<&'p [u8], Fault> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let (padding, rest) =
        payload.split_first().ok_or(Fault::Connection(Code::FrameSize, "a padding without length"))?;
    let size = rest.len().checked_sub(usize::from(*padding)).ok_or(broken("a padding longer than its frame"))?;
    Ok(&rest[..size])
}

/// A number of 31 bits; the first bit means nothing.
pub(super) fn number(payload: [u8; 4]) -> u32 {
    u32::from_be_bytes(payload) & GREATEST
}

/// Writes a frame's head.
pub(super) fn put_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Writes our settings.
pub(super) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (number, value) in settings {
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Tells that the client's settings hold.
pub(super) fn put_settings_heard(out: &mut Vec<u8>) {
    put_head(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// Writes a ping, or the answer to one.
pub(super) fn put_ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    put_head(out, 8, kind::PING, flags, 0);
    out.extend_from_slice(&payload);
}

/// Ends a stream.
pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    put_head(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Tells up to which stream requests are answered.
pub(super) fn put_goaway(out: &mut Vec<u8>, last: u32, code: Code) {
    put_head(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Allows so many bytes more.
pub(super) fn put_window(out: &mut Vec<u8>, stream: u32, more: u32) {
    put_head(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&more.to_be_bytes());
}

/// Writes a piece of a body.
pub(super) fn put_data(out: &mut Vec<u8>, stream: u32, piece: &[u8], is_last: bool) {
    let flags = if is_last { flag::END_STREAM } else { 0 };
    put_head(out, piece.len(), kind::DATA, flags, stream);
    out.extend_from_slice(piece);
}

/// Writes a header block, in as many frames as it takes.
pub(super) fn put_block(out: &mut Vec<u8>, stream: u32, is_last: bool, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let flags = if is_last { flag::END_STREAM } else { 0 };
    put_head(out, 0, kind::HEADERS, flags | flag::END_HEADERS, stream);
    put(out);
    let length = out.len() - start - HEAD;
    if length <= MOST {
        let [_, size @ ..] = (length as u32).to_be_bytes();
        out[start..start + 3].copy_from_slice(&size);
        return;
    }
    let block = out.split_off(start + HEAD);
    out.truncate(start);
    let mut pieces = block.chunks(MOST).peekable();
    let mut next = (kind::HEADERS, flags);
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        put_head(out, piece.len(), next.0, next.1 | end, stream);
        out.extend_from_slice(piece);
        next = (kind::CONTINUATION, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_head_comes_back(length in 0_usize..1 << 24, kind: u8, flags: u8, stream in 0..=GREATEST) {
            let mut out = Vec::new();
            put_head(&mut out, length, kind, flags, stream);
            prop_assert_eq!(Head::read(&out), Some(Head { length, kind, flags, stream }));
            prop_assert_eq!(Head::read(&out[..HEAD - 1]), None);
        }

        #[test]
        fn padding_is_taken_off(text in proptest::collection::vec(any::<u8>(), 0..50), padding: u8) {
            let padded = [&[padding], &text[..], &vec![0; padding.into()]].concat();
            let head = Head { length: padded.len(), kind: kind::DATA, flags: flag::PADDED, stream: 1 };
            prop_assert_eq!(unpadded(&head, &padded), Ok(&text[..]));
            prop_assert!(padding == 0 || unpadded(&head, &padded[..padding.into()]).is_err());
        }
    }

    #[test]
    fn a_long_block_goes_out_in_pieces() {
        for (length, frames) in [(0, 1), (1, 1), (MOST, 1), (MOST + 1, 2), (3 * MOST, 3)] {
            let block: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let mut out = b"before".to_vec();
            put_block(&mut out, 7, true, |out| out.extend_from_slice(&block));
            let (mut rest, mut kinds, mut read) = (&out[6..], Vec::new(), Vec::new());
            while let Some(head) = Head::read(rest) {
                kinds.push((head.kind, head.flags));
                read.extend_from_slice(&rest[HEAD..HEAD + head.length]);
                rest = &rest[HEAD + head.length..];
            }
            assert_eq!((read, kinds.len()), (block, frames));
            assert_eq!(kinds[0].1 & flag::END_STREAM, flag::END_STREAM);
            for (index, (kind, flags)) in kinds.iter().enumerate() {
                assert_eq!(*kind == kind::HEADERS, index == 0);
                assert_eq!(flags & flag::END_HEADERS != 0, index + 1 == frames);
            }
        }
    }
}
