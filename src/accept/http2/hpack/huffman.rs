//! The Huffman code of HPACK (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: among codes of one length, a greater symbol has the next number. So all of it follows from the
//! lengths, and the tables are made from these when the program is compiled.

/// The symbol that ends a text; it is never sent.
const END: usize = 256;

/// Codes have no more bits.
const LONGEST: usize = 30;

/// Bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; END + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbols in the order of their codes.
const ORDER: [u16; END + 1] = order();

/// For each length the first code, the number of codes, and where their symbols begin in [`ORDER`].
const GROUPS: [Group; LONGEST + 1] = groups();

/// Code and length of each symbol.
static CODES: [(u32, u8); END + 1] = codes();

/// The symbol whose code these 8 bits begin with, and the code's length; 0 for codes that are longer.
static SHORT: [(u8, u8); 256] = short();

#[derive(Clone, Copy)]
struct Group {
    first: u32,
    count: u32,
    start: u32,
}

const fn order() -> [u16; END + 1] {
    let mut order = [0; END + 1];
    let (mut at, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol <= END {
            if LENGTHS[symbol] as usize == length {
                order[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    order
}

const fn groups() -> [Group; LONGEST + 1] {
    let mut groups = [Group { first: 0, count: 0, start: 0 }; LONGEST + 1];
    let (mut at, mut code, mut length) = (0, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        groups[length] = Group { first: code, count: 0, start: at as u32 };
        while at <= END && LENGTHS[ORDER[at] as usize] as usize == length {
            (at, code) = (at + 1, code + 1);
        }
        groups[length].count = code - groups[length].first;
        length += 1;
    }
    groups
}

const fn codes() -> [(u32, u8); END + 1] {
    let mut codes = [(0, 0); END + 1];
    let mut length = 1;
    while length <= LONGEST {
        let group = GROUPS[length];
        let mut index = 0;
        while index < group.count {
            codes[ORDER[(group.start + index) as usize] as usize] = (group.first + index, length as u8);
            index += 1;
        }
        length += 1;
    }
    codes
}

const fn short() -> [(u8, u8); 256] {
    let codes = codes();
    let mut short = [(0, 0); 256];
    let mut symbol = 0;
    while symbol < END {
        let (code, length) = codes[symbol];
        if length <= 8 {
            let first = (code << (8 - length)) as usize;
            let mut index = 0;
            while index < 1 << (8 - length) {
                short[first + index] = (symbol as u8, length);
                index += 1;
            }
        }
        symbol += 1;
    }
    short
}

/// Adds the text to `out`. `None` when it is none: it holds the symbol of the end, or its last bits are no padding.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.reserve(coded.len() * 8 / 5);
    // The next bits, the first of them topmost, and how many there are; below them are zeros.
    let (mut bits, mut held) = (0_u64, 0_u32);
    let mut rest = coded.iter();
    loop {
        if held < LONGEST as u32 {
            for byte in rest.by_ref().take(4) {
                bits |= u64::from(*byte) << (56 - held);
                held += 8;
            }
        }
        let (symbol, length) = match SHORT[(bits >> 56) as usize] {
            (_, 0) => long(bits)?,
            (symbol, length) => (symbol, u32::from(length)),
        };
        if length > held {
            // What remains is the beginning of the longest code: fewer than 8 ones.
            return (held < 8 && bits.leading_ones() >= held).then_some(());
        }
        out.push(symbol);
        bits <<= length;
        held -= length;
    }
}

/// The symbol of a code of more than 8 bits, and the code's length. What only zeros behind the end make a code of is
/// longer than what is held. `None` for the end.
fn long(bits: u64) -> Option<(u8, u32)> {
    for (length, group) in (9..).zip(&GROUPS[9..]) {
        let code = (bits >> (64 - length)) as u32;
        // A shorter code would have been found before.
        let index = code.wrapping_sub(group.first);
        if index < group.count {
            let symbol = ORDER[(group.start + index) as usize];
            return Some((u8::try_from(symbol).ok()?, length));
        }
    }
    None
}

/// How many bytes the text takes.
pub(super) fn coded_length(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(CODES[usize::from(*byte)].1)).sum();
    bits.div_ceil(8)
}

/// Adds the text to `out`, coded.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0_u64, 0_u32);
    for byte in text {
        let (code, length) = CODES[usize::from(*byte)];
        bits = bits << length | u64::from(code);
        held += u32::from(length);
        while held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        let padding = 8 - held;
        out.push((bits << padding) as u8 | ((1 << padding) - 1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(coded, &mut text).map(|()| text)
    }

    fn coded(text: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        encode(text, &mut coded);
        coded
    }

    #[test]
    fn the_code_is_that_of_the_standard() {
        // Some of appendix B, each of another length, and the last.
        let codes: [(usize, u32, u8); 10] = [
            (b'0'.into(), 0x0, 5),
            (b'%'.into(), 0x15, 6),
            (b'z'.into(), 0x7b, 7),
            (b'Z'.into(), 0xfd, 8),
            (b'?'.into(), 0x3fc, 10),
            (b'|'.into(), 0x7fc, 11),
            (b'\\'.into(), 0x7fff0, 19),
            (0, 0x1ff8, 13),
            (249, 0xffffffe, 28),
            (END, 0x3fffffff, 30),
        ];
        for (symbol, code, length) in codes {
            assert_eq!(CODES[symbol], (code, length), "{symbol}");
        }
        // No code is missing and none is the beginning of another.
        let share: u64 = LENGTHS.iter().map(|length| 1 << (32 - length)).sum();
        assert_eq!(share, 1 << 32);
    }

    #[test]
    fn only_ones_may_pad_and_fewer_than_eight() {
        assert_eq!(decoded(b""), Some(vec![]));
        assert_eq!(decoded(b"\x07"), Some(b"0".to_vec()));
        assert_eq!(decoded(b"\x06"), None);
        assert_eq!(decoded(b"\x07\xff"), None);
        assert_eq!(decoded(b"\xff"), None);
        assert_eq!(decoded(b"\xff\xff\xff\xff"), None, "the end");
        assert_eq!(decoded(b"\xff\xff\xff\xfc\x07"), None, "the end, then a digit");
    }

    proptest! {
        #[test]
        fn a_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let coded = coded(&text);
            prop_assert_eq!(coded.len(), coded_length(&text));
            prop_assert_eq!(decoded(&coded), Some(text));
        }

        #[test]
        fn what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(text) = decoded(&bytes) {
                prop_assert_eq!(coded(&text), bytes);
            }
        }
    }
}
