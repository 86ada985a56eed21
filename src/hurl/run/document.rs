//! XPath 1.0 over answers, and JSONPath (RFC 9535).
//!
//! HTML is parsed as browsers parse it, and its elements have no namespace. A `<tbody>` that the parser adds of its own
//! is taken out again when the source has none, because the stock hurl's parser adds none: `//table/tr` then finds
//! the same rows with both.

use std::collections::{BTreeMap, HashMap};

use scraper::{Html, Node};
use serde_json_path::JsonPath;
use sxd_document::dom::{self, ChildOfElement, ChildOfRoot, Element};
use sxd_document::{Package, parser};
use sxd_xpath::{Context, Factory};

use crate::hurl::value::Value;

/// How deep elements may nest. Evaluating XPath takes stack for each level.
const MAX_DEPTH: usize = 500;
/// The largest document that is parsed, in bytes; its tree takes many times that.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;
/// How long a path expression may be, and how deep its brackets may nest, for the same reason.
const MAX_EXPRESSION: usize = 4000;
const MAX_BRACKETS: usize = 40;

/// A parsed HTML or XML document.
pub(super) struct Document {
    package: Package,
    namespaces: BTreeMap<String, String>,
}

impl Document {
    /// Parses HTML; every text is HTML of some kind.
    pub(super) fn html(source: &str) -> Result<Document, String> {
        check_size(source)?;
        let package = Package::new();
        copy_html(&Html::parse_document(source), package.as_document(), contains_ignoring_case(source, "<tbody"))?;
        Ok(Document { package, namespaces: BTreeMap::new() })
    }

    /// Parses XML. Its namespaces may be named in expressions by the document's own prefixes, the first default
    /// namespace by `_`.
    pub(super) fn xml(source: &str) -> Result<Document, String> {
        check_size(source)?;
        let source = source.trim_start_matches('\u{feff}').trim_start();
        let package = parser::parse(source).map_err(|error| format!("the body is not valid XML: {error}"))?;
        let namespaces = namespaces(&package)?;
        Ok(Document { package, namespaces })
    }

    /// Evaluates an expression from the root: nodes are counted, other results are taken as they are.
    pub(super) fn evaluate(&self, expression: &str) -> Result<Value, String> {
        check_expression(expression)?;
        if let Some(prefix) = prefixes(expression).find(|prefix| !self.namespaces.contains_key(*prefix)) {
            return Err(format!("this document has no namespace with the prefix `{prefix}`"));
        }
        let built = Factory::new().build(expression).map_err(|error| format!("this XPath is not valid: {error}"))?;
        let xpath = built.ok_or("this XPath is empty")?;
        let mut context = Context::new();
        for (prefix, uri) in &self.namespaces {
            context.set_namespace(prefix, uri);
        }
        let document = self.package.as_document();
        match xpath.evaluate(&context, document.root()) {
            Ok(sxd_xpath::Value::Boolean(boolean)) => Ok(Value::Boolean(boolean)),
            Ok(sxd_xpath::Value::Number(number)) => Ok(Value::Float(number)),
            Ok(sxd_xpath::Value::String(text)) => Ok(Value::Text(text)),
            Ok(sxd_xpath::Value::Nodeset(nodes)) => Ok(Value::Nodes(nodes.size())),
            Err(error) => Err(format!("this XPath can't be evaluated: {error}")),
        }
    }
}

/// Copies a page into a document that XPath can be asked of. Every node's parent comes before it, so one walk in
/// document order is enough, without recursion.
fn copy_html(html: &Html, document: dom::Document<'_>, keeps_tbody: bool) -> Result<(), String> {
    let mut places: HashMap<_, (Option<Element<'_>>, usize)> = HashMap::new();
    places.insert(html.tree.root().id(), (None, 0));
    for node in html.tree.root().descendants().skip(1) {
        let place = node.parent().and_then(|parent| places.get(&parent.id()).copied());
        let Some((parent, depth)) = place else { continue };
        match (node.value(), parent) {
            (Node::Element(element), _) if element.name() == "tbody" && !keeps_tbody => {
                places.insert(node.id(), (parent, depth));
            }
            (Node::Element(_), _) if depth == MAX_DEPTH => {
                return Err(format!("this page nests deeper than {MAX_DEPTH} elements"));
            }
            (Node::Element(element), _) => {
                let copy = copy_element(element, document);
                match parent {
                    Some(parent) => parent.append_child(copy),
                    None => document.root().append_child(copy),
                }
                places.insert(node.id(), (Some(copy), depth + 1));
            }
            (Node::Text(text), Some(parent)) => parent.append_child(document.create_text(text)),
            (Node::Comment(comment), Some(parent)) => parent.append_child(document.create_comment(comment)),
            _ => {}
        }
    }
    Ok(())
}

fn copy_element<'d>(element: &scraper::node::Element, document: dom::Document<'d>) -> Element<'d> {
    let copy = document.create_element(element.name());
    for (name, value) in element.attrs() {
        copy.set_attribute_value(name, value);
    }
    copy
}

/// The prefixes that a document declares; the error is about its depth.
fn namespaces(package: &Package) -> Result<BTreeMap<String, String>, String> {
    let mut namespaces = BTreeMap::new();
    let roots = package.as_document().root().children().into_iter().filter_map(ChildOfRoot::element);
    let mut waiting: Vec<(Element<'_>, usize)> = roots.map(|root| (root, 1)).collect();
    while let Some((element, depth)) = waiting.pop() {
        if depth > MAX_DEPTH {
            return Err(format!("this document nests deeper than {MAX_DEPTH} elements"));
        }
        if let Some(uri) = element.default_namespace_uri() {
            namespaces.entry("_".to_string()).or_insert_with(|| uri.to_string());
        }
        for namespace in element.namespaces_in_scope() {
            namespaces.insert(namespace.prefix().to_string(), namespace.uri().to_string());
        }
        let children = element.children().into_iter().filter_map(ChildOfElement::element);
        let first = waiting.len();
        waiting.extend(children.map(|child| (child, depth + 1)));
        // The last is taken first: this keeps document order.
        waiting[first..].reverse();
    }
    Ok(namespaces)
}

/// Evaluates a JSONPath: nothing, the one value that it finds, or the list of several.
pub(super) fn jsonpath(json: &serde_json::Value, expression: &str) -> Result<Option<Value>, String> {
    check_expression(expression)?;
    let path = JsonPath::parse(expression).map_err(|error| format!("this JSONPath is not valid: {error}"))?;
    let mut found = path.query(json).all();
    Ok(match found.len() {
        0 => None,
        1 => found.pop().map(Value::of_json),
        _ => Some(Value::List(found.into_iter().map(Value::of_json).collect())),
    })
}

fn check_size(source: &str) -> Result<(), String> {
    if source.len() > MAX_DOCUMENT {
        return Err(format!("XPath is asked of documents up to {} MiB; this one is larger", MAX_DOCUMENT >> 20));
    }
    Ok(())
}

fn check_expression(expression: &str) -> Result<(), String> {
    if expression.len() > MAX_EXPRESSION {
        return Err(format!("this expression is longer than {MAX_EXPRESSION} bytes"));
    }
    let mut depth = 0usize;
    for c in expression.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Err(format!("this expression nests deeper than {MAX_BRACKETS} brackets"));
        }
    }
    Ok(())
}

/// The prefixes of the names in an XPath. `sxd-xpath` panics at one that it doesn't know.
fn prefixes(expression: &str) -> impl Iterator<Item = &str> {
    // An axis ends in two colons, a prefix in one.
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    unquoted(expression).into_iter().flat_map(move |piece| {
        piece.match_indices(':').filter_map(move |(at, _)| {
            let is_axis = piece[at + 1..].starts_with(':') || piece[..at].ends_with(':');
            let name = piece[..at].rsplit(|c: char| !is_name(c)).next().unwrap_or("");
            (!is_axis).then_some(name)
        })
    })
}

/// The parts of an XPath outside its quoted texts.
fn unquoted(expression: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = expression;
    while let Some(open) = rest.find(['\'', '"']) {
        pieces.push(&rest[..open]);
        let quote = &rest[open..=open];
        let inside = &rest[open + 1..];
        rest = inside.find(quote).map_or("", |close| &inside[close + 1..]);
    }
    pieces.push(rest);
    pieces
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(source: &str, expression: &str) -> Value {
        Document::html(source).unwrap().evaluate(expression).unwrap()
    }

    #[test]
    fn html_is_found_as_browsers_see_it() {
        let page = "<!doctype html><title>Shop</title><P class='a b'>One<p>Two &amp; three<br><svg><path d=x /></svg>";
        assert_eq!(html(page, "string(//title)"), Value::Text("Shop".into()));
        assert_eq!(html(page, "count(//p)"), Value::Integer(2));
        assert_eq!(html(page, "//p"), Value::Nodes(2));
        assert_eq!(html(page, "string(//p[2])"), Value::Text("Two & three".into()));
        assert_eq!(html(page, "contains(//p/@class, 'b')"), Value::Boolean(true));
        assert_eq!(html(page, "string(/html/body//svg/path/@d)"), Value::Text("x".into()));
    }

    #[test]
    fn rows_are_children_of_their_table_unless_the_source_says_otherwise() {
        assert_eq!(html("<table><tr><td>1<tr><td>2</table>", "//table/tr"), Value::Nodes(2));
        assert_eq!(html("<table><TBODY><tr><td>1</table>", "//table/tbody/tr"), Value::Nodes(1));
        assert_eq!(html("<table><tbody><tr><td>1</table>", "//table/tr"), Value::Nodes(0));
    }

    #[test]
    fn a_feed_is_asked_by_its_namespaces() {
        let feed = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" \
                    xmlns:m=\"urn:m\"><title>T</title><entry><m:x>1</m:x></entry></feed>";
        let feed = Document::xml(feed).unwrap();
        assert_eq!(feed.evaluate("string(/_:feed/_:title)"), Ok(Value::Text("T".into())));
        assert_eq!(feed.evaluate("count(//m:x)"), Ok(Value::Integer(1)));
        assert_eq!(feed.evaluate("//*[local-name()='entry']"), Ok(Value::Nodes(1)));
        assert_eq!(feed.evaluate("count(//_:entry[m:x = 'a:b'])"), Ok(Value::Integer(0)));
        assert!(feed.evaluate("//nobody:x").is_err_and(|error| error.contains("`nobody`")));
        assert!(feed.evaluate("//child::nobody:x['m:']").is_err());
    }

    #[test]
    fn what_is_no_xml_or_nests_too_deep_is_told() {
        for source in ["", "no xml", "<a>", "<a></b>", "<a/><b/>x"] {
            assert!(Document::xml(source).is_err(), "{source}");
        }
        assert!(Document::xml(&format!("{}{}", "<a>".repeat(600), "</a>".repeat(600))).is_err());
        assert!(Document::html(&"<div>".repeat(2000)).is_err());
        assert!(Document::html(&" ".repeat(MAX_DOCUMENT + 1)).is_err());
    }

    #[test]
    fn broken_expressions_are_told() {
        let page = Document::html("<p>").unwrap();
        for expression in ["", "//p[", "foo(", "nothing()", "$x", &"(".repeat(100_000), &"-".repeat(100_000)] {
            assert!(page.evaluate(expression).is_err(), "{}", &expression[..expression.len().min(20)]);
        }
        let json = serde_json::json!({"a": [1, 2]});
        for expression in ["", "a", "$[", "$..", &"$[?(".repeat(10_000)] {
            assert!(jsonpath(&json, expression).is_err(), "{}", &expression[..expression.len().min(20)]);
        }
    }

    #[test]
    fn one_node_of_a_jsonpath_is_the_value_itself() {
        let json = serde_json::json!({"a": [{"b": 1}, {"b": 2}], "c": []});
        assert_eq!(jsonpath(&json, "$.a[*].b"), Ok(Some(Value::List(vec![Value::Integer(1), Value::Integer(2)]))));
        assert_eq!(jsonpath(&json, "$.a[?@.b==2].b"), Ok(Some(Value::Integer(2))));
        assert_eq!(jsonpath(&json, "$.c"), Ok(Some(Value::List(vec![]))));
        assert_eq!(jsonpath(&json, "$.d"), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_an_expression_panic(
            expression in "[a-d_:@/.*()\\[\\]'\"$|=<>+0-9 -]{0,24}|(//)?(p|b|@a|_:p)(\\[[0-9.a-z()@=' ]{0,9}\\])?(/text\\(\\))?",
            source in "(<[a-c/!?:]{0,3}[ a-c='\"]{0,6}>|&[a-z#;]{0,5}|[a-z \\]]{0,4}|<!--|-->|<\\?|<!\\[CDATA\\[){0,12}",
        ) {
            let feed = Document::xml("<p xmlns='u'>x<b a='1'/></p>");
            for document in [Document::html(&source), Document::xml(&source), feed].into_iter().flatten() {
                let _ = document.evaluate(&expression);
            }
            let _ = jsonpath(&serde_json::json!({"a": [1, {"b": null}]}), &expression);
        }
    }
}
