//! What the parser takes, what it refuses and where, and that no text makes it panic.

use proptest::prelude::*;

use super::parse;
use crate::hurl::syntax::*;

/// A file that uses every part of the grammar.
const EVERYTHING: &str = include_str!("everything.hurl");

fn parsed(source: &str) -> HurlFile {
    match parse("test.hurl", source) {
        Ok(file) => file,
        Err(fault) => panic!("{} at {:?}", fault.message, fault.place),
    }
}

/// Refused with a message that has `message`, at `line:column`.
fn refused(source: &str, message: &str, line: u32, column: u32) {
    let fault = match parse("test.hurl", source) {
        Ok(_) => panic!("this was taken:\n{source}"),
        Err(fault) => fault,
    };
    let place = fault.place.clone().expect("every fault of a file has a place");
    assert!(fault.message.contains(message), "{} (wanted: {message})\n{source}", fault.message);
    assert_eq!((place.line, place.column), (line, column), "{}\n{source}", fault.message);
}

fn text(template: &Template) -> String {
    let pieces = template.pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Hole(Hole { term: Term::Variable(name), .. }) => format!("<{name}>"),
        Piece::Hole(hole) => format!("<{:?}>", hole.term),
    });
    pieces.collect()
}

#[test]
fn the_whole_grammar_is_read() {
    let file = parsed(EVERYTHING);
    assert_eq!(file.entries(), 9);
    let asserts: usize =
        file.entries.iter().filter_map(|entry| entry.response.as_ref()).map(|response| response.asserts.len()).sum();
    assert_eq!(asserts, 83);
}

#[test]
fn windows_line_ends_are_read() {
    let file = parsed(&EVERYTHING.replace('\n', "\r\n"));
    assert_eq!(file.entries(), 9);
}

#[test]
fn nothing_and_comments_are_a_file() {
    for source in ["", "\n\n", "# only this", "  # a\n\t# b \n"] {
        assert_eq!(parsed(source).entries(), 0);
    }
}

#[test]
fn values_end_at_comments_and_blanks() {
    let file = parsed("GET {{ host }}/a?b=\\#c   # comment\nX-A: one  two  # three\nX-B:\n");
    let request = &file.entries[0].request;
    assert_eq!(text(&request.url), "<host>/a?b=#c");
    assert_eq!(text(&request.headers[0].value), "one  two");
    assert_eq!(text(&request.headers[1].value), "");
}

#[test]
fn escapes_are_undone() {
    let file = parsed("GET h\nHTTP 200\n[Asserts]\nbody == \"a\\\"b\\\\\\n\\u{e9}\\u{7b}\\u{7b}x}}{y}\"\n");
    let assert = &file.entries[0].response.as_ref().unwrap().asserts[0];
    let PredicateKind::Equal(Expected::Text(template)) = &assert.predicate.kind else { panic!("{assert:?}") };
    assert_eq!(text(template), "a\"b\\\né{{x}}{y}");
}

#[test]
fn json_keeps_its_text() {
    let file = parsed("POST h\n{ \"a\" : [1, -2.5e3,{{n}}], \"b\\u00e9{{c}}\": \"x\" }\n");
    let Some(Body { content: Content::Json(pieces), .. }) = &file.entries[0].request.body else { panic!() };
    let texts: Vec<String> = pieces.iter().map(|piece| format!("{piece:?}")).collect();
    assert_eq!(pieces.len(), 5, "{texts:?}");
    assert!(matches!(&pieces[0], JsonPiece::Source(source) if source == "{ \"a\" : [1, -2.5e3,"));
    assert!(matches!(&pieces[4], JsonPiece::Source(source) if source == "\": \"x\" }"));
}

#[test]
fn bytes_are_read() {
    let bytes = |body: &str| match &parsed(&format!("POST h\n{body}\n")).entries[0].request.body {
        Some(Body { content: Content::Bytes(bytes), .. }) => bytes.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes("hex, 68C3a9 ;"), "hé".as_bytes());
    assert_eq!(bytes("base64,aGk=;"), b"hi");
    assert_eq!(bytes("base64, a\n Gk ;"), b"hi");
    assert_eq!(bytes("base64,;"), b"");
}

#[test]
fn faults_point_at_what_is_wrong() {
    for (source, message, line, column) in [
        ("get http://h", "expected a request", 1, 1),
        ("GET", "an address", 1, 4),
        ("GET  # nothing", "an address", 1, 6),
        ("GET http://h\thello", "the end of the line", 1, 14),
        ("GET {{host", "`{{` without", 1, 5),
        ("GET {{a b}}/", "not the name of a variable", 1, 7),
        ("GET h\nHTTP/4 200", "1.0, 1.1, 2 or 3", 2, 6),
        ("GET h\nHTTP OK", "a status", 2, 6),
        ("GET h\nHTTP 20000", "three digits", 2, 6),
        ("GET h\nHTTP", "a blank and a status", 2, 5),
        ("GET h\nX: a\\qb", "unknown escape", 2, 5),
        ("GET h\n[Asserts]\nstatus == 200", "an `HTTP` line must stand before", 2, 1),
        ("GET h\n[Fom]\na: b", "no section [Fom]", 2, 1),
        ("GET h\nHTTP 200\n[Form]\na: b", "before its `HTTP` line", 3, 1),
        ("GET h\n[Query]\na: b\n[QueryStringParams]", "already", 4, 1),
        ("GET h\n[Form]\na: b\n`x`", "not several", 3, 1),
        ("GET h\n```\nx\n```\n[Form]\na: b", "expected a request", 5, 1),
        ("GET h\nCookie: a=1\n[Cookies]\nb: 2", "a header `Cookie` or [Cookies]", 2, 1),
        ("GET h\n[BasicAuth]\na: b\nc: d", "one line", 4, 1),
        ("GET h\n{\"a\": 1,}", "no comma after", 2, 8),
        ("GET h\n{\"a\": }", "a JSON value", 2, 7),
        ("GET h\n[1, 02]", "not a JSON number", 2, 5),
        ("GET h\n\"\\ud800\"", "whole code point", 2, 2),
        ("GET h\n\"never closed", "no `\"` at its end", 2, 1),
        ("GET h\n`never closed", "no ` at its end", 2, 1),
        ("GET h\n```\nnever closed", "never closed", 2, 1),
        ("GET h\n```yaml\nx\n```", "`yaml`", 2, 4),
        ("GET h\n```x```", "`x`", 2, 4),
        ("GET h\nhex,abc;", "one is missing", 2, 5),
        ("GET h\nhex,ab", "`;`", 2, 7),
        ("GET h\nbase64,a;", "not valid Base64", 2, 8),
        ("GET h\nfile,;", "the name of a file", 2, 6),
    ] {
        refused(source, message, line, column);
    }
}

#[test]
fn faults_of_asserts_point_at_what_is_wrong() {
    for (assert, message, column) in [
        ("statuss == 200", "no query `statuss`", 1),
        ("status", "a blank and a predicate", 7),
        ("status = 200", "a predicate", 8),
        ("status == 0200", "no zeros", 11),
        ("status == yes", "a value", 11),
        ("status == 200 300", "the end of the line", 15),
        ("status equals 200", "no filter or predicate `equals`", 8),
        ("body == \"a", "no \" at its end", 9),
        ("body > true", "numbers and texts", 8),
        ("body startsWith 1", "`startsWith` takes", 17),
        ("body matches 1", "`matches` takes", 14),
        ("body matches /a(/", "not valid", 14),
        ("body matches /a", "no `/` at its end", 14),
        ("header Location exists", "between \" and \"", 8),
        ("header \"a\"exists", "a blank and a predicate", 11),
        ("cookie \"a[Colour]\" exists", "no attribute of a cookie", 11),
        ("jsonpath \"$\" nth x == 1", "a whole number", 18),
        ("regex abc exists", "a regular expression", 7),
    ] {
        refused(&format!("GET h\nHTTP 200\n[Asserts]\n{assert}\n"), message, 4, column);
    }
}

#[test]
fn faults_of_options_point_at_what_is_wrong() {
    for (option, message, column) in [
        ("loction: true", "no option `loction`", 1),
        ("location: yes", "true or false", 11),
        ("repeat: -2", "from 0", 9),
        ("repeat: 1000000", "from 0 to 10000", 9),
        ("retry: 1.5", "a whole number", 8),
        ("delay: 5 s", "the end of the line", 10),
        ("delay: 5d", "no unit", 8),
        ("delay: 99999999999999999h", "too long", 8),
        ("variable: =1", "the name of a variable", 11),
        ("variable: newUuid=1", "is a function", 11),
        ("variable: day=2026-05-01", "begins like a number", 15),
        ("variable: yes=trueish", "begins like a number", 15),
    ] {
        refused(&format!("GET h\n[Options]\n{option}\n"), message, 3, column);
    }
}

#[test]
fn what_lies_outside_the_subset_is_named() {
    for (source, message) in [
        ("GET h\n<a/>", "a bare XML body"),
        ("GET h\n```graphql\nx\n```", "a GraphQL body"),
        ("GET h\n[Options]\ninsecure: true", "the option `insecure`"),
        ("GET h\n[Options]\nretry: -1", "trying without end"),
        ("GET {{getEnv}}", "`getEnv`"),
        ("GET h\nHTTP 200\n[Captures]\na: body redact", "`redact`"),
        ("GET h\nHTTP 200\n[Asserts]\nmd5 exists", "the query `md5`"),
        ("GET h\nHTTP 200\n[Asserts]\ncertificate \"Subject\" exists", "the query `certificate`"),
        ("GET h\nHTTP 200\n[Asserts]\nbody toDate \"%Y\" exists", "the filter `toDate`"),
    ] {
        let fault = parse("test.hurl", source).expect_err(source);
        assert!(fault.message.contains(message), "{}", fault.message);
        assert!(fault.message.contains("not supported by `tableside test`"), "{}", fault.message);
    }
}

#[test]
fn misspellings_get_a_suggestion() {
    for (source, help) in [
        ("GET h\nHTTP 200\n[Assert]\nstatus == 200", "`Asserts`"),
        ("GET h\nHTTP 200\n[Asserts]\njsonPath \"$\" exists", "`jsonpath`"),
        ("GET h\nHTTP 200\n[Asserts]\nbody contain \"a\"", "`contains`"),
        ("GET h\n[Options]\nmax-redirects: 1", "`max-redirs`"),
    ] {
        let fault = parse("test.hurl", source).expect_err(source);
        assert!(fault.help.contains(help), "{}: {}", fault.message, fault.help);
    }
}

#[test]
fn json_that_nests_without_end_is_refused() {
    refused(&format!("POST h\n{}", "[".repeat(100_000)), "nests deeper", 2, 129);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(source in "\\PC*") {
        let _ = parse("test.hurl", source);
    }

    /// Lines of the grammar in any order, cut and joined anywhere: nearer to real mistakes than random characters.
    #[test]
    fn no_mixture_of_lines_makes_the_parser_panic(
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..30)
    ) {
        let lines: Vec<&str> = EVERYTHING.lines().collect();
        let mut source = String::from("GET {{host}}/\n");
        for (line, cut, whole) in picks {
            let line = line.get(&lines);
            let characters: Vec<char> = line.chars().collect();
            let end = if whole || characters.is_empty() { characters.len() } else { cut.index(characters.len()) };
            source.extend(&characters[..end]);
            if whole { source.push('\n'); }
        }
        if let Err(fault) = parse("test.hurl", source.as_str()) {
            prop_assert!(!fault.message.is_empty());
            let place = fault.place.expect("every fault has a place");
            prop_assert!(place.line as usize <= source.split('\n').count());
        }
    }

    /// A file cut off anywhere is refused or read, never a panic.
    #[test]
    fn no_cut_makes_the_parser_panic(cut in any::<prop::sample::Index>(), inserted in "\\PC{0,3}") {
        let at = EVERYTHING.char_indices().map(|(at, _)| at).nth(cut.index(EVERYTHING.chars().count())).unwrap_or(0);
        let _ = parse("test.hurl", format!("{}{inserted}", &EVERYTHING[..at]));
        let _ = parse("test.hurl", format!("{}{inserted}{}", &EVERYTHING[..at], &EVERYTHING[at..]));
    }
}
