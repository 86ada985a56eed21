//! Compressed headers (RFC 7541). Reading is bounded: the table takes 4 KiB, and a block gives as much as its bytes and
//! the table hold.
//!
//! Why not a library's: the fields of a request are kept in the table as what they are read into, and the headers of an
//! answer are compressed beforehand. Neither is to be had of those that stand alone, and h2's is not.

mod huffman;
mod table;
mod writing;

use table::{Name, OVERHEAD, Table};

pub(super) use table::Field;
pub(super) use writing::{NO_TABLE, is_of_connection, put_date, put_field, put_length, put_status, put_tag};

/// What can't be read. The connection's table isn't the client's any more then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// Reads the header blocks of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    /// Where texts are decoded.
    text: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { table: Table::new(), text: Vec::new() }
    }

    /// Reads a whole block. Each field is handed to `take`, with what it counts.
    pub(super) fn read(&mut self, mut block: &[u8], mut take: impl FnMut(Field, usize)) -> Result<(), Garbled> {
        let mut begun = false;
        while let Some(first) = block.first().copied() {
            let (field, size) = match first {
                0x80.. => self.table.field(number(&mut block, 7)?).ok_or(Garbled)?,
                0x40.. => {
                    let (field, size) = self.literal(&mut block, 6)?;
                    self.table.add(&field, size);
                    (field, size)
                }
                0x20.. if begun => return Err(Garbled),
                0x20.. => {
                    self.table.resize(number(&mut block, 5)?).ok_or(Garbled)?;
                    continue;
                }
                _ => self.literal(&mut block, 4)?,
            };
            begun = true;
            take(field, size);
        }
        // What a long text took isn't held on to.
        self.text = Vec::new();
        Ok(())
    }

    /// A field that says its value, and its name too where the number in the last `bits` is 0.
    fn literal(&mut self, block: &mut &[u8], bits: u32) -> Result<(Field, usize), Garbled> {
        let name = match number(block, bits)? {
            0 => Name::read(text(block, &mut self.text)?),
            index => self.table.name(index).ok_or(Garbled)?,
        };
        let value = text(block, &mut self.text)?;
        let size = name.len() + value.len() + OVERHEAD;
        Ok((Field::new(name, value), size))
    }
}

/// A number that begins in the last `bits` of a byte (RFC 7541, 5.1).
fn number(block: &mut &[u8], bits: u32) -> Result<usize, Garbled> {
    let mut next = || {
        let (first, rest) = block.split_first().ok_or(Garbled)?;
        *block = rest;
        Ok(usize::from(*first))
    };
    let most = (1 << bits) - 1;
    let mut number = next()? & most;
    if number < most {
        return Ok(number);
    }
    // Three more bytes reach further than any block.
    for shift in [0, 7, 14] {
        let byte = next()?;
        number += (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Garbled)
}

/// A text (RFC 7541, 5.2), decoded into `scratch` where it was coded.
fn text<'b: 't, 't>(block: &mut &'b [u8], scratch: &'t mut Vec<u8>) -> Result<&'t [u8], Garbled> {
    let is_coded = block.first().is_some_and(|first| *first >= 0x80);
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Garbled)?;
    *block = rest;
    if !is_coded {
        return Ok(text);
    }
    scratch.clear();
    huffman::decode(text, scratch).ok_or(Garbled)?;
    Ok(scratch)
}

#[cfg(test)]
mod tests;
