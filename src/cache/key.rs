//! Keys: parts of a request, one behind the other. Most are so short that they need no memory of their own.

use std::hash::{Hash, Hasher};

/// Bytes that stand in the key itself.
const SHORT: usize = 62;

/// What distinguishes one answer from another: parts of a request, each with its length, so that no two requests whose
/// parts differ have one key.
#[derive(Clone)]
pub struct Key(Text);

#[derive(Clone)]
enum Text {
    Short { size: u8, bytes: [u8; SHORT] },
    Long(Vec<u8>),
}

impl Default for Key {
    fn default() -> Key {
        Key(Text::Short { size: 0, bytes: [0; SHORT] })
    }
}

impl Key {
    /// Adds a number as a part that always has the same length.
    pub fn push_number(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    /// Adds a part.
    pub fn push(&mut self, part: &[u8]) {
        if let (Text::Short { size, bytes }, true) = (&mut self.0, part.len() < 0x80)
            && let Some((length, room)) =
                bytes[usize::from(*size)..].get_mut(..=part.len()).and_then(<[u8]>::split_first_mut)
        {
            *length = part.len() as u8;
            room.copy_from_slice(part);
            *size += 1 + part.len() as u8;
            return;
        }
        let mut left = part.len();
        while left >= 0x80 {
            self.put(&[0x80 | left as u8]);
            left >>= 7;
        }
        self.put(&[left as u8]);
        self.put(part);
    }

    fn put(&mut self, part: &[u8]) {
        match &mut self.0 {
            Text::Long(text) => text.extend_from_slice(part),
            Text::Short { size, bytes } => {
                let from = usize::from(*size);
                match bytes.get_mut(from..from + part.len()) {
                    Some(room) => {
                        room.copy_from_slice(part);
                        *size += part.len() as u8;
                    }
                    None => {
                        let mut text = Vec::with_capacity((from + part.len()).max(2 * SHORT));
                        text.extend_from_slice(&bytes[..from]);
                        text.extend_from_slice(part);
                        self.0 = Text::Long(text);
                    }
                }
            }
        }
    }

    /// That of these parts.
    #[cfg(test)]
    pub fn of(parts: &[&str]) -> Key {
        let mut key = Key::default();
        parts.iter().for_each(|part| key.push(part.as_bytes()));
        key
    }

    /// All parts with their lengths.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { size, bytes } => &bytes[..usize::from(*size)],
            Text::Long(text) => text,
        }
    }

    /// The bytes of memory that it takes beside itself.
    pub fn beside(&self) -> usize {
        match &self.0 {
            Text::Short { .. } => 0,
            Text::Long(text) => text.capacity(),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Its end can be told from the lengths within.
        state.write(self.bytes());
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({})", self.bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_all_of_its_parts() {
        let parts: Vec<String> = [0, 1, 61, 62, 63, 127, 128, 300, 20_000].map(|size| "x".repeat(size)).into();
        let all: Vec<&str> = parts.iter().map(String::as_str).collect();
        for from in 0..all.len() {
            let (one, other) = (Key::of(&all[from..]), Key::of(&all[from..]));
            assert!(one == other && one.bytes().len() > all[from..].iter().map(|part| part.len()).sum());
            assert_ne!(Key::of(&all[..from]), Key::of(&all));
        }
        assert!(Key::of(&["a"]).beside() == 0 && Key::of(&all).beside() > 20_000);
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
        assert_ne!(Key::of(&["a", ""]), Key::of(&["a"]));
    }

    proptest::proptest! {
        #[test]
        fn two_rows_of_parts_have_one_key_only_if_they_are_the_same(
            one in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6), 0..5),
            two in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..6), 0..5),
        ) {
            let of = |parts: &[Vec<u8>]| {
                let mut key = Key::default();
                parts.iter().for_each(|part| key.push(part));
                key
            };
            proptest::prop_assert_eq!(of(&one) == of(&two), one == two);
            // Also where they differ only in how they are cut.
            let joined = [one.concat()];
            proptest::prop_assert_eq!(of(&one) == of(&joined), one == joined);
        }
    }
}
