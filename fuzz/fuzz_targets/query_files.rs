//! Any text as a query file, in both dialects: `cargo +nightly fuzz run query_files`.
//!
//! Tokens must cover the text, and reading, joining and splitting must end without a panic.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tableside::sqlfile::tokens::tokenize;
use tableside::sqlfile::{Dialect, Script, parse, split};

fuzz_target!(|source: &str| {
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let tokens = tokenize(source, dialect);
        let covered: String = tokens.iter().map(|token| token.text(source)).collect();
        assert_eq!(covered, source);
        for range in split(source, dialect) {
            assert!(!source[range].is_empty());
        }
        let (file, _) = parse("pages/fuzz.sql", source, dialect);
        let file = Arc::new(file);
        let (script, _) = Script::build(&file, &["slug".into()], &mut |_| Some(file.clone()));
        for query in &script.queries {
            for offset in 0..=query.sql.len() {
                query.place_of(offset);
            }
        }
    }
});
