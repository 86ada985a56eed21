//! Address patterns (`/products/[slug]`, `/docs/[...path]`) and the tree that finds the one for a path.
//!
//! A pattern comes from a file's place below `pages/`. Pure logic: no files, no HTTP.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This very text.
    Exact(Arc<str>),
    /// `[name]`, perhaps with a fixed end as in `[name].xml`: any one segment that isn't empty.
    Parameter {
        /// The parameter's name.
        name: Arc<str>,
        /// What the segment must end with; mostly empty.
        end: Arc<str>,
    },
    /// `[...name]`: one or more segments; always the last.
    Rest(Arc<str>),
}

/// The address of a route, as it follows from a file's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(pub Arc<[Segment]>);

impl Pattern {
    /// Reads a pattern such as `/products/[slug]`; `/` is the empty pattern.
    ///
    /// # Errors
    /// What is wrong with a segment.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let mut segments = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let segment = segment(part)?;
            if matches!(segment, Segment::Rest(_)) && index + 1 < parts.len() {
                return Err(format!("`{part}` must be the last segment"));
            }
            segments.push(segment);
        }
        let pattern = Pattern(segments.into());
        let names = pattern.parameters();
        match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            Some((_, name)) => Err(format!("the parameter `{name}` occurs twice")),
            None => Ok(pattern),
        }
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> Vec<Arc<str>> {
        self.0
            .iter()
            .filter_map(|segment| match segment {
                Segment::Exact(_) => None,
                Segment::Parameter { name, .. } | Segment::Rest(name) => Some(name.clone()),
            })
            .collect()
    }

    /// Whether the two match the same paths: they differ at most in the names of their parameters.
    pub fn claims_the_same(&self, other: &Pattern) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(other.0.iter()).all(|pair| match pair {
                (Segment::Exact(a), Segment::Exact(b)) => a == b,
                (Segment::Parameter { end: a, .. }, Segment::Parameter { end: b, .. }) => a == b,
                (Segment::Rest(_), Segment::Rest(_)) => true,
                _ => false,
            })
    }

    /// The path for given parameters, percent-encoded; `None` when one is missing or empty.
    pub fn path(&self, value: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut path = String::new();
        for segment in self.0.iter() {
            path.push('/');
            match segment {
                Segment::Exact(text) => path.push_str(&encode(text)),
                Segment::Parameter { name, end } => {
                    path.push_str(&encode(&value(name).filter(|text| !text.is_empty())?));
                    path.push_str(&encode(end));
                }
                Segment::Rest(name) => {
                    let rest = value(name).filter(|text| !text.is_empty())?;
                    let parts: Vec<String> = rest.split('/').map(encode).collect();
                    path.push_str(&parts.join("/"));
                }
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        Some(path)
    }
}

/// One segment from its text.
fn segment(part: &str) -> Result<Segment, String> {
    let Some(inside) = part.strip_prefix('[') else {
        return match part.contains(['[', ']']) {
            true => Err(format!("`{part}`: a parameter takes a whole segment, such as [slug]")),
            false => Ok(Segment::Exact(part.into())),
        };
    };
    let Some((name, end)) = inside.split_once(']') else {
        return Err(format!("`{part}` has no closing bracket"));
    };
    let (rest, name) = match name.strip_prefix("...") {
        Some(name) => (true, name),
        None => (false, name),
    };
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match (rest, sound) {
        (_, false) => Err(format!("`{part}`: a parameter's name has letters, digits and _")),
        (true, true) if end.is_empty() => Ok(Segment::Rest(name.into())),
        (false, true) if end.is_empty() || end.starts_with('.') => {
            Ok(Segment::Parameter { name: name.into(), end: end.into() })
        }
        _ => Err(format!("`{part}`: a parameter takes a whole segment, such as [slug]")),
    }
}

/// Percent-encodes what can't stand in one segment of a path (RFC 3986 section 3.3).
pub fn encode(text: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SEGMENT: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'/')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("/");
        }
        for segment in self.0.iter() {
            match segment {
                Segment::Exact(text) => write!(out, "/{text}")?,
                Segment::Parameter { name, end } => write!(out, "/[{name}]{end}")?,
                Segment::Rest(name) => write!(out, "/[...{name}]")?,
            }
        }
        Ok(())
    }
}

/// Finds the most exact pattern for a path: an exact segment before a parameter, a parameter before a rest, decided
/// segment by segment from the left.
#[derive(Debug)]
pub struct Tree<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    /// The names are the site's own: nobody from outside can make them collide.
    exact: HashMap<Arc<str>, Node<T>, foldhash::fast::FixedState>,
    /// By the fixed end; longer ends first.
    parameters: Vec<(Arc<str>, Node<T>)>,
    rest: Option<T>,
    here: Option<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node { exact: HashMap::default(), parameters: Vec::new(), rest: None, here: None }
    }
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Tree { root: Node::default() }
    }
}

impl<T> Tree<T> {
    /// Puts a value at a pattern; gives it back when another has that place already.
    ///
    /// # Errors
    /// The value that found no place.
    pub fn insert(&mut self, pattern: &Pattern, value: T) -> Result<(), T> {
        let mut node = &mut self.root;
        for segment in pattern.0.iter() {
            node = match segment {
                Segment::Exact(text) => node.exact.entry(text.clone()).or_default(),
                Segment::Parameter { end, .. } => node.parameter(end),
                Segment::Rest(_) => return fill(&mut node.rest, value),
            };
        }
        fill(&mut node.here, value)
    }

    /// The value at a pattern, whatever the names of its parameters.
    pub fn at(&self, pattern: &Pattern) -> Option<&T> {
        let mut node = &self.root;
        for segment in pattern.0.iter() {
            node = match segment {
                Segment::Exact(text) => node.exact.get(text)?,
                Segment::Parameter { end, .. } => &node.parameters.iter().find(|(known, _)| known == end)?.1,
                Segment::Rest(_) => return node.rest.as_ref(),
            };
        }
        node.here.as_ref()
    }

    /// The value for a decoded path, with the path's parameters in the order of the pattern.
    pub fn find<'p>(&self, path: &'p str) -> Option<(&T, Vec<&'p str>)> {
        let mut values = Vec::new();
        let rest = path.strip_prefix('/')?;
        let found = self.root.find(rest, &mut values)?;
        Some((found, values))
    }
}

/// Fills an empty place.
fn fill<T>(place: &mut Option<T>, value: T) -> Result<(), T> {
    match place {
        Some(_) => Err(value),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

impl<T> Node<T> {
    fn parameter(&mut self, end: &Arc<str>) -> &mut Node<T> {
        let at = match self.parameters.iter().position(|(known, _)| known == end) {
            Some(at) => at,
            None => {
                let at = self.parameters.partition_point(|(known, _)| known.len() > end.len());
                self.parameters.insert(at, (end.clone(), Node::default()));
                at
            }
        };
        &mut self.parameters[at].1
    }

    /// `path` is what is left, without its leading slash. Values are pushed on the way down and taken back on a dead end.
    fn find<'p>(&self, path: &'p str, values: &mut Vec<&'p str>) -> Option<&T> {
        if path.is_empty() {
            return self.here.as_ref();
        }
        let (segment, left) = path.split_once('/').unwrap_or((path, ""));
        // A slash at the end is another path; the route step redirects it.
        if segment.len() + 1 == path.len() {
            return None;
        }
        if let Some(found) = self.exact.get(segment).and_then(|node| node.find(left, values)) {
            return Some(found);
        }
        for (end, node) in &self.parameters {
            let Some(value) = segment.strip_suffix(&**end).filter(|value| !value.is_empty()) else { continue };
            let depth = values.len();
            values.push(value);
            if let Some(found) = node.find(left, values) {
                return Some(found);
            }
            values.truncate(depth);
        }
        let rest = self.rest.as_ref()?;
        if path.split('/').any(str::is_empty) {
            return None;
        }
        values.push(path);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[&str]) -> Tree<String> {
        let mut tree = Tree::default();
        for text in patterns {
            tree.insert(&Pattern::parse(text).unwrap(), text.to_string()).unwrap();
        }
        tree
    }

    #[test]
    fn the_most_exact_pattern_wins() {
        let tree = tree(&["/", "/products/[slug]", "/products/new", "/docs/[...path]", "/[page]", "/feeds/[name].xml"]);
        let find = |path| tree.find(path).map(|(found, values)| (found.as_str(), values));
        assert_eq!(find("/"), Some(("/", vec![])));
        assert_eq!(find("/products/new"), Some(("/products/new", vec![])));
        assert_eq!(find("/products/cat"), Some(("/products/[slug]", vec!["cat"])));
        assert_eq!(find("/docs/a/b"), Some(("/docs/[...path]", vec!["a/b"])));
        assert_eq!(find("/docs"), Some(("/[page]", vec!["docs"])));
        assert_eq!(find("/feeds/news.xml"), Some(("/feeds/[name].xml", vec!["news"])));
        assert_eq!(find("/products/"), None);
        assert_eq!(find("/products/a/b"), None);
    }

    #[test]
    fn a_value_is_found_by_its_pattern() {
        let tree = tree(&["/", "/products/[slug]", "/products/new", "/docs/[...path]", "/feeds/[name].xml"]);
        let at = |text| tree.at(&Pattern::parse(text).unwrap()).map(String::as_str);
        assert_eq!(at("/"), Some("/"));
        assert_eq!(at("/products/[other]"), Some("/products/[slug]"));
        assert_eq!(at("/products/new"), Some("/products/new"));
        assert_eq!(at("/docs/[...rest]"), Some("/docs/[...path]"));
        assert_eq!(at("/feeds/[x].xml"), Some("/feeds/[name].xml"));
        assert_eq!(at("/feeds/[x]"), None);
        assert_eq!(at("/products"), None);
    }

    #[test]
    fn a_dead_end_goes_back() {
        let tree = tree(&["/a/b/c", "/[x]/b/d", "/[...all]"]);
        assert_eq!(tree.find("/a/b/d").unwrap().1, vec!["a"]);
        assert_eq!(tree.find("/a/b/e").unwrap().1, vec!["a/b/e"]);
    }

    #[test]
    fn patterns_are_checked() {
        assert!(Pattern::parse("/[...a]/b").is_err());
        assert!(Pattern::parse("/[a]/[a]").is_err());
        assert!(Pattern::parse("/a[b]").is_err());
        assert!(Pattern::parse("/[b").is_err());
        let (a, b) = (Pattern::parse("/[a]/x").unwrap(), Pattern::parse("/[b]/x").unwrap());
        assert!(a.claims_the_same(&b));
    }

    #[test]
    fn paths_are_made_from_parameters() {
        let pattern = Pattern::parse("/a/[b]/[...c]").unwrap();
        let path = pattern.path(|name| Some(if name == "b" { "x y/z".into() } else { "p/q".into() }));
        assert_eq!(path.as_deref(), Some("/a/x%20y%2Fz/p/q"));
        assert_eq!(pattern.path(|_| None), None);
    }
}
