//! The examples' own tests on PostgreSQL; `./test` runs them on SQLite.

use std::path::Path;

use crate::harness::run;
use crate::postgres::quick_database;

#[test]
fn the_market_passes_its_tests_on_postgres() {
    let market = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/market");
    let url = format!("database.url={}", quick_database());
    let ended = run(["test".as_ref(), market.as_os_str(), "--set".as_ref(), url.as_ref()]);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
}
