//! Rows in bulk: `copy … from stdin` and `copy … to stdout` in their text format (PostgreSQL documentation, "COPY",
//! "File Formats", and chapter "Frontend/Backend Protocol", "COPY Operations").

use std::borrow::Cow;

use bytes::Bytes;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend::{self, CopyData};

use super::connect::unexpected;
use super::failure::Trouble;
use super::link::Link;

impl Link {
    /// Begins to send rows.
    pub(super) async fn begin_copy_in(&mut self, sql: &str) -> Result<(), Trouble> {
        frontend::query(sql, &mut self.wire.outgoing)?;
        self.send().await?;
        match self.wire.receive().await {
            Ok(Message::CopyInResponse(_)) => Ok(()),
            Ok(_) => Err(unexpected()),
            Err(trouble) => self.recover(trouble).await,
        }
    }

    /// Sends whole rows. Why the server refused one is told at the end: until then it passes over the others.
    pub(super) async fn copy_in(&mut self, rows: &[u8]) -> Result<(), Trouble> {
        CopyData::new(rows)?.write(&mut self.wire.outgoing);
        Ok(self.wire.flush().await?)
    }

    /// Ends the rows.
    pub(super) async fn end_copy_in(&mut self) -> Result<(), Trouble> {
        frontend::copy_done(&mut self.wire.outgoing);
        self.wire.flush().await?;
        self.end_copy().await
    }

    /// Begins to receive rows.
    pub(super) async fn begin_copy_out(&mut self, sql: &str) -> Result<(), Trouble> {
        frontend::query(sql, &mut self.wire.outgoing)?;
        self.send().await?;
        match self.wire.receive().await {
            Ok(Message::CopyOutResponse(_)) => Ok(()),
            Ok(_) => Err(unexpected()),
            Err(trouble) => self.recover(trouble).await,
        }
    }

    /// The next row; `None` at the end.
    pub(super) async fn copy_out(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self.wire.receive().await {
            Ok(Message::CopyData(body)) => Ok(Some(body.into_bytes())),
            Ok(Message::CopyDone) => self.end_copy().await.map(|()| None),
            Ok(_) => Err(unexpected()),
            Err(trouble) => self.recover(trouble).await,
        }
    }

    async fn end_copy(&mut self) -> Result<(), Trouble> {
        loop {
            match self.wire.receive().await {
                Ok(Message::CommandComplete(_)) => {}
                Ok(Message::ReadyForQuery(body)) => {
                    self.ready(body.status());
                    return Ok(());
                }
                Ok(_) => return Err(unexpected()),
                Err(trouble) => return self.recover(trouble).await,
            }
        }
    }
}

/// Writes one value of a row.
pub(super) fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.push(*byte),
        }
    }
}

/// Writes bytes as the text of a `bytea`.
pub(super) fn escape_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\\\x");
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
}

/// The values of one row; `None` is null.
pub(super) fn values(row: &[u8]) -> impl Iterator<Item = Option<Cow<'_, [u8]>>> {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    row.split(|byte| *byte == b'\t').map(|value| match value {
        b"\\N" => None,
        value if value.contains(&b'\\') => Some(Cow::Owned(unescaped(value))),
        value => Some(Cow::Borrowed(value)),
    })
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match (byte, if *byte == b'\\' { bytes.next() } else { None }) {
            (_, Some(letter)) => out.push(match letter {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                other => *other,
            }),
            (byte, None) => out.push(*byte),
        }
    }
    out
}

/// The bytes in the text of a `bytea`: `\x00ff`.
pub(super) fn bytes_of(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"\\x")?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        let mut row = Vec::new();
        let texts: [&[u8]; 4] = [b"a\tb\\N\r\n", b"", b"\\N", "é\u{b}\u{8}".as_bytes()];
        for text in texts {
            escape(text, &mut row);
            row.push(b'\t');
        }
        row.extend_from_slice(b"\\N\n");
        let read: Vec<_> = values(&row).map(|value| value.map(Cow::into_owned)).collect();
        let mut expected: Vec<_> = texts.iter().map(|text| Some(text.to_vec())).collect();
        expected.push(None);
        assert_eq!(read, expected);
        assert_eq!(values(b"\\v\\b\\f\\x").next().flatten().as_deref(), Some(&b"\x0b\x08\x0cx"[..]));
    }

    #[test]
    fn bytes_come_back_as_they_went() {
        let mut row = Vec::new();
        escape_bytes(b"\0\xff\x7f", &mut row);
        let value = values(&row).next().flatten().unwrap();
        assert_eq!((&*value, bytes_of(&value)), (&b"\\x00ff7f"[..], Some(b"\0\xff\x7f".to_vec())));
        assert_eq!((bytes_of(b"\\x0"), bytes_of(b"00"), bytes_of(b"\\x")), (None, None, Some(vec![])));
    }
}
