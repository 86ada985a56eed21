//! What stands at the other end: asked once, before anything is served.
//!
//! PostgreSQL documentation, chapter "Reliability and the Write-Ahead Log": an acknowledged action is durable only with
//! `fsync`, `full_page_writes` and `synchronous_commit`.

use super::failure::Trouble;
use super::link::Link;
use crate::value::Value;

/// What the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `version()`: `PostgreSQL 15.3 on x86_64 …`.
    pub version: String,
    /// `150003` for 15.3.
    pub number: u32,
    /// Whether it is PostgreSQL itself.
    pub engine: Engine,
    /// How the database sorts texts: `C`, `en_US.utf8`.
    pub collation: String,
    /// Whether it only repeats what another server does: then it takes no writes.
    pub follows: bool,
}

/// Programs that speak PostgreSQL's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// CockroachDB.
    Cockroach,
    /// YugabyteDB.
    Yugabyte,
    /// One that is not known here.
    Other,
}

/// The oldest version: it must tell the fate of transactions by their 64-bit numbers.
const OLDEST: u32 = 130_000;

const QUESTION: &str = "select version(), current_setting('server_version_num', true), current_setting('fsync', true), \
    current_setting('full_page_writes', true), current_setting('synchronous_commit', true), \
    current_setting('server_encoding', true), pg_catalog.pg_is_in_recovery(), \
    (select datcollate from pg_catalog.pg_database where datname = current_database())";

/// Asks the server, and refuses one that would lose what it has acknowledged, unless `unsafe_is_fine`.
///
/// # Errors
/// A text for the operator.
pub(super) async fn examine(link: &mut Link, unsafe_is_fine: bool) -> Result<Server, String> {
    let rows = link.simple(QUESTION).await.map_err(|trouble: Trouble| trouble.message())?;
    let cell = |column: usize| rows.row(0).get(column).and_then(Value::as_str).unwrap_or("").to_string();
    let server = Server {
        version: cell(0),
        number: cell(1).parse().unwrap_or(0),
        engine: engine(&cell(0)),
        collation: cell(7),
        follows: cell(6) == "t",
    };
    if server.engine == Engine::Postgres && server.number < OLDEST {
        return Err(format!("PostgreSQL 13 or newer is needed, this is {}", server.version));
    }
    if !matches!(&*cell(5), "UTF8" | "") {
        return Err(format!("the database's encoding is {}, not UTF8", cell(5)));
    }
    let settings = [("fsync", cell(2)), ("full_page_writes", cell(3)), ("synchronous_commit", cell(4))];
    match settings.iter().find(|(_, value)| value == "off") {
        Some((name, _)) if !unsafe_is_fine => Err(format!(
            "the server runs with {name}=off: it may lose what it has acknowledged; \
                 database.allow_unsafe_durability lets it"
        )),
        _ => Ok(server),
    }
}

fn engine(version: &str) -> Engine {
    if version.contains("CockroachDB") {
        Engine::Cockroach
    } else if version.contains("-YB-") || version.contains("Yugabyte") {
        Engine::Yugabyte
    } else if version.starts_with("PostgreSQL ") {
        Engine::Postgres
    } else {
        Engine::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_known_by_their_version() {
        assert_eq!(engine("PostgreSQL 15.3 (Debian 15.3-0) on x86_64-pc-linux-gnu"), Engine::Postgres);
        assert_eq!(engine("CockroachDB CCL v23.1.0 (x86_64-pc-linux-gnu)"), Engine::Cockroach);
        assert_eq!(engine("PostgreSQL 11.2-YB-2.18.0.0-b0 on x86_64"), Engine::Yugabyte);
        assert_eq!(engine("EnterpriseThing 9"), Engine::Other);
    }
}
