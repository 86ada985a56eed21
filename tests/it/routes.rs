//! Which page answers a path: the tree that the server asks, held against a plain reading of the rules over random
//! folders of pages and random paths.

use proptest::prelude::*;

use tableside::site::pattern::{Pattern, Segment, Tree};

/// How exact a segment names what it matched; smaller is more exact. A longer fixed end is more exact than a shorter.
fn rank(segment: &Segment) -> (u8, usize) {
    match segment {
        Segment::Exact(_) => (0, 0),
        Segment::Parameter { end, .. } => (1, usize::MAX - end.len()),
        Segment::Rest(_) => (2, 0),
    }
}

/// The values that a pattern gives its parameters for a path; `None` when it doesn't match.
fn matched(pattern: &Pattern, path: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = if path == "/" { Vec::new() } else { path[1..].split('/').collect() };
    let mut values = Vec::new();
    for (index, segment) in pattern.0.iter().enumerate() {
        match segment {
            Segment::Rest(_) => {
                let rest = parts.get(index..).filter(|rest| !rest.is_empty())?;
                values.push(rest.join("/"));
                return rest.iter().all(|part| !part.is_empty()).then_some(values);
            }
            Segment::Exact(text) => {
                parts.get(index).filter(|part| ***part == **text)?;
            }
            Segment::Parameter { end, .. } => {
                let value = parts.get(index)?.strip_suffix(&**end).filter(|value| !value.is_empty())?;
                values.push(value.to_string());
            }
        }
    }
    (parts.len() == pattern.0.len()).then_some(values)
}

/// Of all patterns that match, the one that is more exact in the first segment in which they differ.
fn specified(patterns: &[Pattern], path: &str) -> Option<(usize, Vec<String>)> {
    let all = patterns.iter().enumerate().filter_map(|(index, pattern)| Some((index, matched(pattern, path)?)));
    all.min_by_key(|(index, _)| patterns[*index].0.iter().map(rank).collect::<Vec<_>>())
}

/// Segments of a folder of pages: few names, so that paths meet them.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "a.xml", "x.y.xml"]).prop_map(String::from),
        2 => Just("[p]".to_string()),
        1 => Just("[p].xml".to_string()),
        1 => Just("[p].y.xml".to_string()),
    ]
}

/// The pattern of one page. Parameters are numbered, because a pattern has each name once.
fn page() -> impl Strategy<Value = String> {
    (prop::collection::vec(segment(), 0..4), prop::bool::weighted(0.25)).prop_map(|(segments, rest)| {
        let mut text = String::new();
        for (index, segment) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(&segment.replace("[p]", &format!("[p{index}]")));
        }
        if rest {
            text.push_str("/[...rest]");
        }
        if text.is_empty() { "/".into() } else { text }
    })
}

fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "d", "a.xml", "q.xml", ".xml", "q.y.xml", "x.y.xml", "é"]);
    prop::collection::vec(part, 0..5).prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_most_exact_page_answers(
        pages in prop::collection::vec(page(), 1..12),
        paths in prop::collection::vec(path(), 1..12),
    ) {
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut tree = Tree::default();
        for text in &pages {
            let pattern = Pattern::parse(text).unwrap();
            let claimed = patterns.iter().any(|known| known.claims_the_same(&pattern));
            prop_assert_eq!(tree.insert(&pattern, patterns.len()).is_err(), claimed, "{}", text);
            if !claimed {
                patterns.push(pattern);
            }
        }
        for path in &paths {
            let found = tree.find(path).map(|(index, values)| {
                (*index, values.into_iter().map(str::to_string).collect::<Vec<_>>())
            });
            prop_assert_eq!(found, specified(&patterns, path), "{} among {:?}", path, &pages);
        }
    }

    #[test]
    fn a_path_that_a_pattern_makes_leads_back_to_it(page in page(), values in prop::collection::vec("[^/\\\\\\p{Cc}]{1,8}", 4)) {
        let pattern = Pattern::parse(&page).unwrap();
        let names = pattern.parameters();
        let value = |name: &str| names.iter().position(|known| **known == *name).map(|at| values[at].clone());
        let path = pattern.path(value).unwrap();
        // A segment of dots is refused before any route is asked.
        prop_assume!(values.iter().all(|value| !value.chars().all(|c| c == '.')));
        let decoded = tableside::parse::decode_path(&path).unwrap().into_owned();
        let expected: Vec<String> = values.iter().take(names.len()).cloned().collect();
        prop_assert_eq!(matched(&pattern, &decoded), Some(expected));
    }
}
