//! Looks at bytes one by one, several at once.

/// Whether all bytes fit. `fits` has no branches (`&` and `|` instead of `&&` and `||`), so that the compiler makes one
/// comparison of sixteen.
#[inline]
pub fn all(bytes: &[u8], fits: impl Fn(u8) -> bool) -> bool {
    let all_of = |bytes: &[u8; 16]| bytes.iter().fold(true, |all, byte| all & fits(*byte));
    let (blocks, rest) = bytes.as_chunks();
    match bytes.last_chunk() {
        // The last sixteen may have been looked at in part.
        Some(last) => blocks.iter().all(all_of) && (rest.is_empty() || all_of(last)),
        None => rest.iter().all(|byte| fits(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_counts() {
        for size in 0..70 {
            let mut bytes = vec![b'a'; size];
            assert!(all(&bytes, |byte| byte == b'a'), "{size}");
            for place in 0..size {
                bytes[place] = b'b';
                assert!(!all(&bytes, |byte| byte == b'a'), "{place} of {size}");
                bytes[place] = b'a';
            }
        }
    }
}
