//! The examples' own tests on PostgreSQL; `./test` runs them on SQLite.

use std::path::Path;

use crate::harness::run;
use crate::postgres::quick_database;

#[test]
fn the_market_passes_its_tests_on_postgres() {
    passes_its_tests("market");
}

#[test]
fn the_bank_passes_its_tests_on_postgres() {
    passes_its_tests("bank");
}

fn passes_its_tests(example: &str) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let url = format!("database.url={}", quick_database());
    let ended = run(["test".as_ref(), example.as_os_str(), "--set".as_ref(), url.as_ref()]);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
}
