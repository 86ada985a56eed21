//! Path patterns of `_redirects` and `_headers`: `/news/*`, `/blog/:year/:slug`.

/// One pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    /// It ends in `*`: any rest, the empty one too, is the splat.
    splat: bool,
}

#[derive(Debug)]
enum Segment {
    Exact(Box<str>),
    Named(Box<str>),
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        let Some(inner) = text.strip_prefix('/') else { return Err("a path begins with a slash".into()) };
        let (inner, splat) = match inner.strip_suffix('*') {
            Some(rest) if rest.is_empty() || rest.ends_with('/') => (rest.strip_suffix('/').unwrap_or(rest), true),
            Some(_) => return Err("`*` stands for whole segments: write `/folder/*`".into()),
            None => (inner, false),
        };
        if inner.contains('*') {
            return Err("`*` may only be the last segment".into());
        }
        if splat && inner.is_empty() {
            return Ok(Pattern { segments: Vec::new(), splat });
        }
        let segments = inner.split('/').map(|segment| match segment.strip_prefix(':') {
            Some(name) => Segment::Named(name.into()),
            None => Segment::Exact(segment.into()),
        });
        Ok(Pattern { segments: segments.collect(), splat })
    }

    /// Whether it matches one path only.
    pub(super) fn is_exact(&self) -> bool {
        !self.splat && self.segments.iter().all(|segment| matches!(segment, Segment::Exact(_)))
    }

    /// The names that it captures.
    pub(super) fn names(&self) -> Vec<&str> {
        let named = self.segments.iter().filter_map(|segment| match segment {
            Segment::Named(name) => Some(&**name),
            Segment::Exact(_) => None,
        });
        named.chain(self.splat.then_some("splat")).collect()
    }

    /// What its names stand for in a path; `None` when it doesn't match.
    pub(super) fn capture<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut captured = Vec::new();
        let mut rest = Some(path.strip_prefix('/')?);
        for segment in &self.segments {
            let (part, after) = match rest?.split_once('/') {
                Some((part, after)) => (part, Some(after)),
                None => (rest?, None),
            };
            match segment {
                Segment::Exact(text) if **text == *part => {}
                Segment::Named(name) if !part.is_empty() => captured.push((&**name, part)),
                _ => return None,
            }
            rest = after;
        }
        match (self.splat, rest) {
            (true, rest) => captured.push(("splat", rest.unwrap_or(""))),
            (false, Some(_)) => return None,
            (false, None) => {}
        }
        Some(captured)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn capture(pattern: &str, path: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let captured = pattern.capture(path)?;
        Some(captured.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn patterns_match() {
        let cases = [
            ("/a/b", "/a/b", Some("")),
            ("/a/b", "/a/b/", None),
            ("/a/b", "/a", None),
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/*", "/", Some("splat=")),
            ("/*", "/a/b", Some("splat=a/b")),
            ("/a/*", "/a", Some("splat=")),
            ("/a/*", "/a/", Some("splat=")),
            ("/a/*", "/a/b/c", Some("splat=b/c")),
            ("/a/*", "/ab", None),
            ("/blog/:year/:slug", "/blog/2024/hello", Some("year=2024 slug=hello")),
            ("/blog/:year/:slug", "/blog/2024", None),
            ("/blog/:year/:slug", "/blog//x", None),
            ("/:a/*", "/x/y/z", Some("a=x splat=y/z")),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(capture(pattern, path).as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for pattern in ["", "a", "/a*", "/*/b", "/a/**"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
