//! The passwords that guessers try first. Where the list is from stands in `common_passwords.LICENSE`.

/// One a line, in lower case, sorted by bytes.
const LIST: &str = include_str!("../common_passwords.txt");

/// Whether a password is on the list, whatever its case.
pub fn is_common(password: &str) -> bool {
    let wanted = password.to_lowercase();
    let (mut low, mut high) = (0, LIST.len());
    // Both ends stay at the beginning of a line.
    while low < high {
        let middle = low + (high - low) / 2;
        let start = LIST[..middle].rfind('\n').map_or(0, |at| at + 1).max(low);
        let line = LIST[start..].split('\n').next().unwrap_or("");
        match line.cmp(&wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = start + line.len() + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_folded() {
        let lines: Vec<&str> = LIST.lines().collect();
        assert!(lines.len() > 10_000);
        assert!(lines.is_sorted_by(|a, b| a < b));
        assert!(lines.iter().all(|line| line.len() >= 6 && line.is_ascii() && *line == line.to_lowercase()));
    }

    #[test]
    fn every_line_is_found_and_nothing_else() {
        for line in LIST.lines() {
            assert!(is_common(line), "{line}");
        }
        for other in
            ["", "a", "\n", "zzzzzzzzzzzzzz", "~", "\u{10ffff}", "password\n", "passwordz", "correct horse battery"]
        {
            assert!(!is_common(other), "{other}");
        }
        assert!(is_common("PassWord1"));
    }
}
