//! Reads `Range` (RFC 9110, 14.2). Pure.

/// What part of a body is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: nothing was asked, or something that a server may ignore (another unit, garbage, several parts).
    Whole,
    /// The bytes `from..to`; never empty.
    Bytes {
        /// The first byte.
        from: u64,
        /// After the last byte.
        to: u64,
    },
    /// Bytes that don't exist.
    Unsatisfiable,
}

/// Reads a `Range` value for a body of `length` bytes.
pub(super) fn part(value: &[u8], length: u64) -> Part {
    let text = std::str::from_utf8(value).unwrap_or("");
    let Some((unit, spec)) = text.split_once('=') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        (Some(from), Some(last)) if from > last => Part::Whole,
        (Some(from), _) if from >= length => existing(last),
        (Some(from), Some(last)) => Part::Bytes { from, to: last.saturating_add(1).min(length) },
        (Some(from), None) if last.is_empty() => Part::Bytes { from, to: length },
        (None, Some(count)) if first.is_empty() => match count.min(length) {
            0 => Part::Unsatisfiable,
            count => Part::Bytes { from: length - count, to: length },
        },
        _ => Part::Whole,
    }
}

/// Past the end: unsatisfiable, unless what follows the dash is garbage.
fn existing(last: &str) -> Part {
    if last.is_empty() || number(last).is_some() { Part::Unsatisfiable } else { Part::Whole }
}

/// Digits only. A number too large for 64 bits lies past every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(from: u64, to: u64) -> Part {
        Part::Bytes { from, to }
    }

    #[test]
    fn ranges_are_read() {
        let cases = [
            ("bytes=0-0", bytes(0, 1)),
            ("bytes=0-4", bytes(0, 5)),
            ("bytes=5-", bytes(5, 10)),
            ("bytes=-3", bytes(7, 10)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=9-99", bytes(9, 10)),
            ("bytes=0-18446744073709551615", bytes(0, 10)),
            ("bytes=0-99999999999999999999999", bytes(0, 10)),
            ("Bytes = 1-2 ", bytes(1, 3)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-11", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=4-2", Part::Whole),
            ("bytes=20-12", Part::Whole),
            ("bytes=20-x", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=1--2", Part::Whole),
            ("bytes", Part::Whole),
            ("", Part::Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(part(value.as_bytes(), 10), expected, "{value}");
        }
        assert_eq!(part(b"bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(part(b"bytes=-1", 0), Part::Unsatisfiable);
        assert_eq!(part(b"bytes=\xff-", 10), Part::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within(value in "(bytes=)?[0-9]{0,22}-?[0-9,-]{0,22}", length in any::<u64>()) {
            if let Part::Bytes { from, to } = part(value.as_bytes(), length) {
                prop_assert!(from < to && to <= length);
            }
        }

        #[test]
        fn any_bytes_are_survived(value in prop::collection::vec(any::<u8>(), 0..40), length in any::<u64>()) {
            part(&value, length);
        }

        #[test]
        fn a_well_formed_range_is_met(length in 1_u64..1000, a in 0_u64..2000, b in 0_u64..2000) {
            let (first, last) = (a.min(b), a.max(b));
            let expected = if first >= length { Part::Unsatisfiable } else { bytes(first, (last + 1).min(length)) };
            prop_assert_eq!(part(format!("bytes={first}-{last}").as_bytes(), length), expected);
        }
    }
}
