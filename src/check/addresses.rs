//! What an address in a template could mean among all that a site serves, found without going through all of it.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::site::pattern::Segment;
use crate::site::statics::Statics;
use crate::site::{Endpoint, Site};

/// Stands for a template expression inside an address.
pub(super) const HOLE: char = '\u{0}';

/// Everything that a site serves, by address.
pub(super) struct Addresses<'s> {
    site: &'s Site,
    /// Of the static files, sorted; only for addresses with holes.
    statics: OnceCell<Vec<&'s str>>,
    root: Node<'s>,
}

/// What stands at one depth of addresses.
#[derive(Default)]
struct Node<'s> {
    exact: BTreeMap<&'s str, Node<'s>>,
    parameters: BTreeMap<&'s str, Node<'s>>,
    /// Places in [`Site::endpoints`]: those that end here, and those of which the rest is free.
    here: Vec<usize>,
    rest: Vec<usize>,
}

impl<'s> Addresses<'s> {
    /// Those of a site.
    pub(super) fn of(site: &'s Site) -> Addresses<'s> {
        let mut root = Node::default();
        for (index, endpoint) in site.endpoints.iter().enumerate() {
            root.insert(&endpoint.pattern.0, index);
        }
        Addresses { site, statics: OnceCell::new(), root }
    }

    /// Whether a path, perhaps with holes, could be the address of a static file.
    pub(super) fn has_file(&self, path: &str) -> bool {
        let Some((start, _)) = path.split_once(HOLE) else { return self.site.statics.at(path).is_some() };
        let statics = self.statics.get_or_init(|| self.site.statics.sorted());
        let from = statics.partition_point(|address| *address < start);
        let near = statics[from..].iter().take_while(|address| address.starts_with(start));
        near.into_iter().any(|address| fits_text(path, address))
    }

    /// The endpoints that a path, perhaps with holes, could lead to. A data endpoint also answers with its ending.
    pub(super) fn endpoints(&self, path: &str) -> Vec<&'s Endpoint> {
        let mut found = Vec::new();
        let trimmed = [".json", ".csv"].iter().find_map(|end| path.strip_suffix(end));
        for path in [Some(path), trimmed].into_iter().flatten() {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            let mut near = Vec::new();
            self.root.collect(&parts, &mut near);
            let near = near.into_iter().map(|index| &*self.site.endpoints[index]);
            found.extend(near.filter(|endpoint| segments_fit(&parts, &endpoint.pattern.0)));
        }
        found
    }

    /// Every address that there is, for suggestions.
    pub(super) fn all(&self) -> Vec<String> {
        let patterns = self.site.endpoints.iter().map(|endpoint| endpoint.pattern.to_string());
        patterns.chain(self.site.statics.sorted().into_iter().map(str::to_string)).collect()
    }

    /// The static files of the site.
    pub(super) fn statics(&self) -> &'s Statics {
        &self.site.statics
    }
}

impl<'s> Node<'s> {
    fn insert(&mut self, segments: &'s [Segment], index: usize) {
        match segments.split_first() {
            None => self.here.push(index),
            Some((Segment::Exact(text), left)) => self.exact.entry(text).or_default().insert(left, index),
            Some((Segment::Parameter { end, .. }, left)) => {
                self.parameters.entry(end).or_default().insert(left, index);
            }
            Some((Segment::Rest(_), _)) => self.rest.push(index),
        }
    }

    /// All that could be meant, and perhaps more: whoever asks looks at each once again.
    fn collect(&self, parts: &[&str], found: &mut Vec<usize>) {
        found.extend(&self.rest);
        let Some((part, left)) = parts.split_first() else { return found.extend(&self.here) };
        match part.split_once(HOLE) {
            None => {
                self.exact.get(part).into_iter().for_each(|node| node.collect(left, found));
                let ending = self.parameters.iter().filter(|(end, _)| part.ends_with(**end));
                ending.for_each(|(_, node)| node.collect(left, found));
            }
            Some((start, _)) => {
                // A hole may hold nothing at all.
                found.extend(&self.here);
                let near = self.exact.range(start..).take_while(|(text, _)| text.starts_with(start));
                near.chain(&self.parameters).for_each(|(_, node)| node.collect(left, found));
            }
        }
    }
}

/// Whether a path with holes could be one that a pattern matches.
fn segments_fit(parts: &[&str], segments: &[Segment]) -> bool {
    // A hole may hold several segments, or none at all: then only what stands before it can be held against the route.
    if let Some(at) = parts.iter().position(|part| part.contains(HOLE)) {
        let exact = parts[..at].iter().zip(segments).all(|(part, segment)| segment_fits(part, segment));
        let whole = parts.len() == segments.len()
            && parts.iter().zip(segments).all(|(part, segment)| segment_fits(part, segment));
        let ends_in_hole = at + 1 == parts.len() && parts[at].starts_with(HOLE) && segments.len() == at;
        let rest = segments.iter().position(|segment| matches!(segment, Segment::Rest(_)));
        return whole || exact && (ends_in_hole || rest.is_some_and(|rest| rest <= at));
    }
    match segments.iter().position(|segment| matches!(segment, Segment::Rest(_))) {
        Some(rest) => parts.len() > rest && parts.iter().zip(&segments[..rest]).all(|(p, s)| segment_fits(p, s)),
        None => {
            parts.len() == segments.len()
                && parts.iter().zip(segments).all(|(part, segment)| segment_fits(part, segment))
        }
    }
}

fn segment_fits(part: &str, segment: &Segment) -> bool {
    match segment {
        Segment::Exact(text) => fits_text(part, text),
        Segment::Parameter { end, .. } => end.is_empty() || part.contains(HOLE) || part.ends_with(&**end),
        Segment::Rest(_) => true,
    }
}

/// Whether a text with holes could be this one.
fn fits_text(holed: &str, text: &str) -> bool {
    if !holed.contains(HOLE) {
        return holed == text;
    }
    let (start, rest) = holed.split_once(HOLE).unwrap_or((holed, ""));
    let end = rest.rsplit(HOLE).next().unwrap_or("");
    text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::pattern::Pattern;

    const PATTERNS: [&str; 12] = [
        "/",
        "/search",
        "/products",
        "/products/[slug]",
        "/products/new",
        "/docs/[...path]",
        "/feeds/[name].xml",
        "/feeds/[name]",
        "/a/b/c",
        "/a/[b]/d",
        "/[page]",
        "/[...all]",
    ];

    /// The patterns that a path (with `…` for its holes) could lead to, found by way of the nodes.
    fn found(path: &str) -> Vec<&'static str> {
        let patterns: Vec<Pattern> = PATTERNS.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let mut root = Node::default();
        patterns.iter().enumerate().for_each(|(index, pattern)| root.insert(&pattern.0, index));
        let path = path.replace('…', "\0");
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut near = Vec::new();
        root.collect(&parts, &mut near);
        near.retain(|index| segments_fit(&parts, &patterns[*index].0));
        near.sort_unstable();
        near.dedup();
        near.into_iter().map(|index| PATTERNS[index]).collect()
    }

    #[test]
    fn holes_fit_what_could_be_meant() {
        let fits = |path: &str, pattern: &str| found(path).contains(&pattern);
        assert!(fits("/products/…", "/products/[slug]"));
        assert!(fits("/products/cat-…", "/products/[slug]"));
        assert!(fits("/products…", "/products"));
        assert!(fits("/docs/…", "/docs/[...path]"));
        assert!(fits("/search…", "/search"));
        assert!(fits("/search/…", "/search"));
        assert!(!fits("/product/…", "/products/[slug]"));
        assert!(!fits("/products/…/edit", "/products/[slug]"));
        assert!(!fits("/about", "/"));
    }

    #[test]
    fn none_is_missed() {
        let pieces =
            ["", "a", "b", "c", "products", "new", "docs", "feeds", "x.xml", "…", "a…", "…c", "pro…", "…x…", "s…h"];
        let of = |one: &str, two: &str, three: &str| format!("/{one}/{two}/{three}");
        for path in pieces
            .iter()
            .flat_map(|one| pieces.iter().map(move |two| (one, two)))
            .flat_map(|(one, two)| pieces.iter().map(move |three| of(one, two, three)))
        {
            let holed = path.replace('…', "\0");
            let parts: Vec<&str> = holed.split('/').filter(|part| !part.is_empty()).collect();
            let fits = |text: &&&str| segments_fit(&parts, &Pattern::parse(text).unwrap().0);
            let one_by_one: Vec<&str> = PATTERNS.iter().filter(fits).copied().collect();
            assert_eq!(found(&path), one_by_one, "{path}");
        }
    }
}
