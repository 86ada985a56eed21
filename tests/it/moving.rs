//! `tableside move`: there and back, what stops it, and what is left behind then.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use tableside::clock::Clock;
use tableside::database::moving::{self, Order, Place};
use tableside::sqlfile::Dialect;

use crate::harness::{Folder, run};
use crate::postgres::{fresh_database, psql};

/// Moves with `--json`; what was told, or what was complained of.
fn moved(site: &Path, from: &str, to: &str) -> Result<Value, String> {
    let site = site.to_string_lossy();
    let ended = run(["move", &site, "--json", "--set", &format!("database.url={from}"), "--to", to]);
    match ended.code() {
        Some(0) => Ok(serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stdout))),
        _ => Err(format!("{}{}", ended.stdout, ended.stderr)),
    }
}

/// The tables with their rows and checksums, by name.
fn tables(report: &Value) -> Vec<(String, u64, String)> {
    let text = |table: &Value, name: &str| table[name].as_str().expect("a text").to_string();
    let row = |table: &Value| (text(table, "table"), table["rows"].as_u64().expect("rows"), text(table, "checksum"));
    let mut tables: Vec<_> = report["tables"].as_array().expect("tables").iter().map(row).collect();
    tables.sort();
    tables
}

fn rows(report: &Value, name: &str) -> u64 {
    tables(report).into_iter().find(|(table, ..)| table == name).map_or(u64::MAX, |(_, rows, _)| rows)
}

/// A site's database with its migrations; the path of the file and its URL.
fn migrated(site: &Path, file: &Path) -> (Connection, String) {
    let url = format!("sqlite:{}", file.display());
    let ended = run(["migrate", "apply", "--site", &site.to_string_lossy(), "--set", &format!("database.url={url}")]);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    (Connection::open(file).unwrap(), url)
}

fn all(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let read = |row: &rusqlite::Row<'_>| {
        let cells = (0..width).map(|at| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(at)?)));
        cells.collect::<rusqlite::Result<Vec<_>>>().map(|cells| cells.join(" "))
    };
    statement.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap()
}

/// How many tables the database has.
fn tables_there(url: &str) -> String {
    psql(url, "select count(*) from pg_tables where schemaname = 'public'")
}

#[test]
fn the_market_moves_there_and_back() {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/market");
    let folder = Folder::new(&[]);
    let (shop, from) = migrated(&site, &folder.file("shop.db"));
    shop.execute_batch(
        "delete from stickers where id = 7;
         update stickers set stock = stock - 1, name = 'Zebrafant' where id = 9;
         insert into _sessions (session_id, secret_hash, started_at, seen_day)
           values ('s1', x'00ff', '2026-01-31T08:09:10.123Z', null), ('s2', x'01', 'x', 'y');
         insert into _once values (x'0102', '{}', '2026-01-31T08:09:10.123Z');
         insert into uploads values ('u', 'cat.png', 'image/png', 5, 'ab', '2026-01-31T08:09:10.123Z');
         insert into cart_lines values ('s1', 1, 2, '2026-01-31T08:09:10.120Z'), ('s2', 9, 1, '2026-01-31T08:09:10Z');
         insert into orders values (41, 'A', 's1', 'Ä', 'a@b', 'x', '1', 'y', 'DE', null, 5, 1, '2026-01-31T08:09:10Z');
         insert into order_lines values (41, 1, 2, 160);",
    )
    .unwrap();
    let url = fresh_database();
    let there = moved(&site, &from, &url).unwrap();
    assert_eq!((rows(&there, "stickers"), rows(&there, "_sessions"), rows(&there, "cart_lines")), (2464, 2, 2));
    assert_eq!(there["source_changed"], Value::Bool(false), "{there}");
    assert_eq!(psql(&url, "select name from stickers where words @@ to_tsquery('simple', 'zebrafant')"), "Zebrafant");
    let next = "insert into orders select (jsonb_populate_record(o, jsonb_build_object('id', \
                nextval(pg_get_serial_sequence('orders', 'id')), 'code', 'B'))).* from orders o returning id";
    assert_eq!(psql(&url, next), "42");
    assert_eq!(
        psql(&url, "delete from orders where id = 42; select count(*) from pg_constraint where contype = 'f'"),
        "5"
    );

    let (back_file, before) = (folder.file("back.db"), tables(&there));
    let back = moved(&site, &url, &back_file.to_string_lossy()).unwrap();
    assert_eq!(tables(&back), before);
    let again = Connection::open(back_file).unwrap();
    for table in ["stickers", "orders", "_sessions", "_once", "uploads", "order_lines"] {
        let sql = format!("select * from {table} order by 1");
        let cut = |cells: Vec<String>| cells.join("\n").replace("10.000Z", "10Z");
        assert_eq!(cut(all(&again, &sql)), cut(all(&shop, &sql)), "{table}");
    }
    let search = "select rowid from sticker_words where sticker_words match 'zebrafant OR cat' order by rowid";
    assert!(all(&shop, search).len() > 5);
    assert_eq!(all(&again, search), all(&shop, search));
    assert!(back["notes"].to_string().contains("sticker_words: built again"), "{back}");
}

const TYPES: &str = "
create table everything (
    id integer primary key autoincrement, flag boolean, small smallint, big bigint, ratio double precision, price numeric(12,2),
    exact numeric, word varchar(8), note text, at timestamptz, day date, hour time, code uuid, doc jsonb, raw BYTES,
    twice bigint generated always as (big * 2) stored
);
create table node (id integer primary key, parent bigint references node (id) on delete cascade, team bigint not null);
create table team (id integer primary key, leader bigint references node (id));
create table log (line text not null);
create table bare (id integer primary key);
create table \"Odd \"\"name\" (\"select\" text primary key, \"Größe\" integer);
";

/// A site that has all types, a ring of foreign keys and triggers, and whose migrations insert rows.
fn every_type() -> Folder {
    let start = |bytes: &str, ring: &str, trigger: &str| {
        format!(
            "{}{ring}{trigger}insert into team (id) values (1); insert into node (team) values (1);",
            TYPES.replace("BYTES", bytes)
        )
    };
    let sqlite = start(
        "blob",
        "create index by_team on node (team);",
        "create trigger logs after insert on node begin insert into log values ('node ' || new.id); end;",
    );
    let postgres = start(
        "bytea",
        "alter table node add constraint of_team foreign key (team) references team; \
         comment on constraint of_team on node is 'the team''s';",
        "create function logs() returns trigger language plpgsql as \
         $$ begin insert into log values ('node ' || new.id); return new; end $$;\
         create trigger logs after insert on node for each row execute function logs();\
         alter table node enable always trigger logs;",
    );
    Folder::new(&[
        ("migrations/0001_start.sql", &sqlite),
        ("migrations/0001_start.postgres.sql", &postgres),
        ("pages/index.html", "hello"),
    ])
}

#[test]
fn every_type_moves_there_and_back() {
    let folder = every_type();
    let (source, from) = migrated(folder.path(), &folder.file("data/site.db"));
    source
        .execute_batch(
            "delete from node; delete from team; delete from log;
             insert into everything (id, flag, small, big, ratio, price, exact, word, note, at, day, hour, code, doc, raw)
             values (3, 1, -32768, 4611686018427387903, 0.1, 12.5, 1e20, 'größe', 'a' || char(9, 10, 13, 92) || '\\N',
               '2026-01-31T08:09:10.123Z', '2026-01-31', '08:09:10', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
               '{\"b\": [1, 2.50, null], \"a\": \"ä\\\\\"}', x'00ff5c'),
             (4, 0, 32767, -4611686018427387904, 1e300, -0.05, 5, '', '\\N', '2026-01-31T08:09:10.123456Z', null, '23:59',
               null, '5', x''), (5, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
             update sqlite_sequence set seq = 77 where name = 'everything';
             insert into node values (1, 2, 10), (2, 1, 11), (3, 3, 10); insert into team values (10, 3), (11, null);
             delete from log; insert into log values ('twice'), ('twice'), ('once');
             insert into \"Odd \"\"name\" values ('a''b', 5);",
        )
        .unwrap();
    let url = fresh_database();
    let there = moved(folder.path(), &from, &url).unwrap();
    assert_eq!((rows(&there, "everything"), rows(&there, "log"), rows(&there, "node")), (3, 3, 3));
    assert_eq!(
        psql(&url, "select flag, exact, doc->'b'->1, raw, twice from everything where id = 3"),
        "t|100000000000000000000|2.50|\\x00ff5c|9223372036854775806"
    );
    assert_eq!(psql(&url, "select note = E'a\\t\\n\\r\\\\\\\\N' from everything where id = 3"), "t");
    assert_eq!(psql(&url, "insert into everything default values returning id"), "78");
    assert_eq!(psql(&url, "insert into bare default values returning id"), "1");
    // Everything is back in its place.
    assert_eq!(psql(&url, "select tgenabled from pg_trigger where tgname = 'logs'"), "A");
    let comment = "select obj_description(oid) from pg_constraint where conname = 'of_team'";
    assert_eq!(psql(&url, comment), "the team's");
    psql(&url, "delete from everything where id = 78; delete from bare");

    let back = moved(folder.path(), &url, &format!("sqlite:{}", folder.file("back.db").display())).unwrap();
    assert_eq!(tables(&back), tables(&there));
    let again = Connection::open(folder.file("back.db")).unwrap();
    let texts =
        "select id, flag, small, big, ratio, price, exact, word, note, at, day, code, raw, twice from everything";
    assert_eq!(all(&again, texts), all(&source, texts));
    for sql in ["select * from node", "select * from team", "select * from log order by 1"] {
        assert_eq!(all(&again, sql), all(&source, sql), "{sql}");
    }
    assert_eq!(all(&again, "select seq from sqlite_sequence where name = 'everything'"), ["Integer(78)"]);
    again.execute("insert into node values (9, null, 10)", []).unwrap();
    assert_eq!(all(&again, "select * from log where line like 'node%'"), ["Text(\"node 9\")"]);
}

#[test]
fn values_that_do_not_fit_are_all_told_and_nothing_is_moved() {
    let folder = every_type();
    let (source, from) = migrated(folder.path(), &folder.file("data/site.db"));
    source
        .execute_batch(
            "insert into everything (id, note) values (11, 'a' || char(0) || 'b'), (12, cast(x'ff' as text));
             insert into everything (id, big) values (13, 'many');
             insert into everything (id, small) values (14, 32768);
             insert into everything (id, flag) values (15, 2);
             insert into everything (id, at) values (16, 'tomorrow');
             insert into everything (id, price) values (17, 1.234);
             insert into everything (id, word, doc) values (18, 'far too long', '{');
             insert into everything (id, raw) values (19, 'text'), (20, 5);",
        )
        .unwrap();
    let url = fresh_database();
    let told = moved(folder.path(), &from, &url).unwrap_err();
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
    let wrong = told["wrong"].as_array().unwrap();
    let places: Vec<String> = wrong
        .iter()
        .map(|one| format!("{} {}", one["row"].as_str().unwrap(), one["column"].as_str().unwrap()))
        .collect();
    let expected = [
        "id = 11 note",
        "id = 12 note",
        "id = 13 big",
        "id = 14 small",
        "id = 15 flag",
        "id = 16 at",
        "id = 17 price",
        "id = 18 doc",
        "id = 18 word",
        "id = 19 raw",
        "id = 20 raw",
    ];
    assert_eq!(places, expected);
    assert_eq!(tables_there(&url), "0");
    // What SQLite can't keep is told in the same way.
    let (url, set) = (fresh_database(), |url: &str| format!("database.url={url}"));
    let applied = run(["migrate", "apply", "--site", &folder.path().to_string_lossy(), "--set", &set(&url)]);
    assert_eq!(applied.code(), Some(0), "{}", applied.stderr);
    psql(
        &url,
        "insert into everything (id, ratio, exact, at) values (1, 'NaN', null, 'infinity'),
         (2, null, 1234567890.12345678901234567890, null)",
    );
    let back = folder.file("back.db");
    let told = moved(folder.path(), &url, &back.to_string_lossy()).unwrap_err();
    for expected in ["NaN, which SQLite can't keep", "`infinity` where a datetime belongs", "too exact for SQLite"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(all(&Connection::open(&back).unwrap(), "select name from sqlite_schema").is_empty());
    // Never more than twenty.
    source.execute_batch("insert into everything (flag) select 3 from sqlite_schema a, sqlite_schema b").unwrap();
    let ended = run(["move", &folder.path().to_string_lossy(), "--to", &fresh_database()]);
    assert_eq!(ended.code(), Some(1));
    assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("  everything, row id = ")).count(), 20);
    assert!(ended.stderr.contains("column note: the character NUL"), "{}", ended.stderr);
}

#[test]
fn a_failure_leaves_the_target_as_it_was_and_the_move_can_be_made_again() {
    let folder = Folder::new(&[
        (
            "migrations/0001_start.sql",
            "create table a (id integer primary key, n integer);\
          create table b (a_id integer references a (id) deferrable initially deferred);",
        ),
        (
            "migrations/0001_start.postgres.sql",
            "create table a (id integer primary key, n integer constraint small check (n < 5));\
          create table b (a_id bigint references a (id) deferrable initially deferred);",
        ),
        ("migrations/0002_a.csv", "id,n\n1,1\n2,2\n"),
        ("pages/index.html", "hello"),
    ]);
    let (source, from) = migrated(folder.path(), &folder.file("data/site.db"));
    source
        .execute_batch("pragma foreign_keys = off; insert into a values (3, 7); insert into b values (1), (8)")
        .unwrap();
    let url = fresh_database();
    let told = moved(folder.path(), &from, &url).unwrap_err();
    assert!(told.contains("\"small\"") && told.contains("Failing row contains (3, 7)"), "{told}");
    assert_eq!(tables_there(&url), "0");
    source.execute_batch("update a set n = 4 where id = 3").unwrap();
    let told = moved(folder.path(), &from, &url).unwrap_err();
    assert!(told.contains("b_a_id_fkey") && told.contains("(a_id)=(8)"), "{told}");
    assert_eq!(tables_there(&url), "0");
    source.execute_batch("delete from b where a_id = 8").unwrap();
    let there = moved(folder.path(), &from, &url).unwrap();
    assert_eq!((rows(&there, "a"), rows(&there, "b")), (3, 1));
    assert_eq!(psql(&url, "insert into a (n) values (0) returning id"), "4");

    // And on the way back: a rule that only SQLite has.
    folder.write("migrations/0003_strict.sql", "create unique index one_n on a (n);");
    folder.write("migrations/0003_strict.postgres.sql", "create index one_n on a (n);");
    let set = format!("database.url={url}");
    let applied = run(["migrate", "apply", "--site", &folder.path().to_string_lossy(), "--set", &set]);
    assert_eq!(applied.code(), Some(0), "{}", applied.stderr);
    psql(&url, "insert into a values (90, 0)");
    let back = folder.file("back.db");
    let told = moved(folder.path(), &url, &back.to_string_lossy()).unwrap_err();
    assert!(told.contains("a, row id = 90: UNIQUE constraint failed: a.n"), "{told}");
    assert!(all(&Connection::open(&back).unwrap(), "select name from sqlite_schema").is_empty());
    psql(&url, "delete from a where id = 90");
    assert_eq!(rows(&moved(folder.path(), &url, &back.to_string_lossy()).unwrap(), "a"), 4);
}

#[test]
fn what_must_not_be_overwritten_is_refused() {
    let folder =
        Folder::new(&[("migrations/0001_start.sql", "create table a (n integer);"), ("pages/index.html", "x")]);
    let site = folder.path();
    let (source, from) = migrated(site, &folder.file("data/site.db"));
    source.execute_batch("insert into a values (1)").unwrap();
    let url = fresh_database();
    psql(&url, "create table other (n int); insert into other values (1)");
    let told = moved(site, &from, &url).unwrap_err();
    assert!(told.contains("the target is not empty: its table `other` has 1 rows"), "{told}");
    psql(&url, "drop table other");
    moved(site, &from, &url).unwrap();
    assert!(moved(site, &from, &url).unwrap_err().contains("its table `a` has 1 rows"));
    // Migrated and empty is fine, unless the migrations were others.
    psql(&url, "truncate a");
    let to = url.replace("postgres@", "postgres:secret@");
    let ended = run(["move", &site.to_string_lossy(), "--to", &to]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    for expected in
        ["moved 1 rows of 6 tables from sqlite:", "all equal on both sides", "uploaded files stay", "next: stop"]
    {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("secret") && ended.stderr.is_empty(), "{}{}", ended.stdout, ended.stderr);
    psql(&url, "truncate a; update _migrations set fingerprint = '' where source = 'site'");
    let told = moved(site, &from, &url).unwrap_err();
    assert!(told.contains("has been edited since"), "{told}");

    for (to, expected) in [
        ("postgres://nobody@127.0.0.1:1/x", "cannot open the database"),
        ("sqlite:other.db", "both databases are SQLite"),
        ("mysql://x", "is no database"),
    ] {
        let told = moved(site, &from, to).unwrap_err();
        assert!(told.contains(expected), "{told}");
    }
    assert!(moved(site, "sqlite:/nowhere/at.db", &fresh_database()).unwrap_err().contains("no such file"));
    folder.write("migrations/0002_more.sql", "create table b (n integer);");
    assert!(moved(site, &from, &fresh_database()).unwrap_err().contains("0002_more.sql is not applied"), "pending");
    // A table that only one database has is no reason to lose its rows.
    let ended = run(["migrate", "apply", "--site", &site.to_string_lossy()]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    source.execute_batch("insert into b values (1)").unwrap();
    folder.write("migrations/0002_more.postgres.sql", "create table c (n integer);");
    let told = moved(site, &from, &fresh_database()).unwrap_err();
    assert!(told.contains("no place for") && told.contains("`b` with 1 rows"), "{told}");
}

#[test]
fn large_tables_move_and_what_is_written_meanwhile_is_told() {
    let start = "create table n (id integer primary key, word text not null, at timestamptz);";
    let folder = Folder::new(&[("migrations/0001_start.sql", start), ("pages/index.html", "x")]);
    let (source, _) = migrated(folder.path(), &folder.file("data/site.db"));
    source
        .execute_batch(
            "insert into n with recursive i(i) as (select 1 union all select i + 1 from i where i < 63000)
             select i, 'word ' || i, '2026-01-31T08:09:10.123Z' from i",
        )
        .unwrap();
    let migrations = |dialect| {
        let sql: std::sync::Arc<str> = start.into();
        let fingerprint = tableside::sqlfile::tokens::fingerprint(&sql, dialect);
        let content = tableside::database::migrations::Content::Sql(sql);
        let path = "migrations/0001_start.sql".into();
        [tableside::database::migrations::Migration { number: 1, path, content, fingerprint }]
    };
    let (sqlite, postgres) = (migrations(Dialect::Sqlite), migrations(Dialect::Postgres));
    let url = fresh_database();
    let (file, server) = (Place::Sqlite(folder.file("data/site.db")), Place::Postgres(url.clone()));
    let clock = Clock::system();
    let mut seen = Vec::new();
    let there = Order {
        source: (file, (&sqlite).into()),
        target: (server.clone(), (&postgres).into()),
        unsafe_is_fine: true,
        clock: &clock,
    };
    let report = moving::run(&there, &mut |progress| {
        seen.push((progress.step, progress.rows, progress.all));
        if progress.rows == 5000 && progress.step == "copying" {
            source.execute_batch("insert into n (word) values ('late'); delete from n where id = 62999").unwrap();
        }
    });
    let report = report.unwrap_or_else(|stopped| panic!("{stopped:?}"));
    let moved = report.tables.iter().find(|moved| moved.table == "n").unwrap();
    assert_eq!((moved.rows, report.source_changed), (63_000, true));
    assert!(seen.contains(&("copying", 63_000, 63_000)) && seen.contains(&("comparing", 0, 63_000)), "{seen:?}");

    let back = |name: &str, sql: Option<&str>| {
        let target = (Place::Sqlite(folder.file(name)), (&sqlite).into());
        let order =
            Order { source: (server.clone(), (&postgres).into()), target, unsafe_is_fine: false, clock: &clock };
        let mut sql = sql;
        let report = moving::run(&order, &mut |_| drop(sql.take().map(|sql| psql(&url, sql))));
        report.unwrap_or_else(|stopped| panic!("{stopped:?}"))
    };
    let quiet = back("quiet.db", None);
    assert_eq!((quiet.tables.contains(moved), quiet.source_changed), (true, false));
    assert!(back("updated.db", Some("update n set word = 'late' where id = 5")).source_changed);
    assert!(back("deleted.db", Some("delete from n where id = 5")).source_changed);
}

#[test]
fn a_source_is_left_as_it_was() {
    let folder =
        Folder::new(&[("migrations/0001_start.sql", "create table a (n integer);"), ("pages/index.html", "x")]);
    let (source, from) = migrated(folder.path(), &folder.file("data/site.db"));
    source.execute_batch("insert into a values (1)").unwrap();
    drop(source);
    let before = std::fs::read(folder.file("data/site.db")).unwrap();
    moved(folder.path(), &from, &fresh_database()).unwrap();
    let there = std::fs::read_dir(folder.file("data")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(there.collect::<Vec<_>>(), ["site.db"]);
    assert!(std::fs::read(folder.file("data/site.db")).unwrap() == before);
}
