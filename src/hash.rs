//! Maps whose keys the site's author writes: names of templates, addresses of files, texts of statements.
//!
//! Visitors choose what is looked for, never what is kept, so nobody can fill such a map with texts that fall together,
//! and a hash that is merely fast will do. What visitors' data is kept under must not be kept so.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by texts of the site's author.
pub type TextMap<K, V> = HashMap<K, V, BuildHasherDefault<TextHasher>>;

/// Hashes texts eight bytes at a time; it need not withstand chosen texts.
#[derive(Debug, Default)]
pub struct TextHasher(u64);

impl TextHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let rest = rest.iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        self.add(rest ^ (bytes.len() as u64) << 56);
    }

    /// What marks the end of a text; its length is in the hash already.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        let texts = ["", "a", "b", "ab", "ba", "\0", "\0\0", "pages/a.html", "pages/b.html", "pages/a.html\0main"];
        let map: TextMap<&str, usize> = texts.iter().enumerate().map(|(place, text)| (*text, place)).collect();
        assert!(texts.iter().enumerate().all(|(place, text)| map.get(text) == Some(&place)));
        assert_eq!(map.get("pages/c.html"), None);
    }
}
