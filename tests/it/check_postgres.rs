//! A site on PostgreSQL before it runs there: what its statements depend on, how its migrations go, what `check
//! --database` tells.

use std::collections::BTreeSet;

use tableside::clock::Clock;
use tableside::database::migrations::{Content, Migration, State};
use tableside::database::postgres::{Keeper, Options};
use tableside::database::{Description, Tables};
use tableside::value::{Declared, Kind};

use crate::harness::Folder;
use crate::postgres::{fresh_database, psql};

fn keeper(url: &str) -> Keeper {
    Keeper::open(&Options { unsafe_is_fine: true, ..Options::new(url) }, &Clock::fixed(1_700_000_000_000)).unwrap()
}

fn migration(number: u32, sql: &str) -> Migration {
    let path = format!("migrations/{number:04}_test.sql").into();
    let fingerprint = tableside::sqlfile::tokens::fingerprint(sql, tableside::sqlfile::Dialect::Postgres);
    Migration { number, path, content: Content::Sql(sql.into()), fingerprint }
}

/// The same database for another role.
fn as_role(url: &str, role: &str) -> String {
    let rest = url.split_once("://").unwrap().1;
    format!("postgres://{role}@{}", rest.split_once('@').map_or(rest, |(_, rest)| rest))
}

/// A database of its own with a schema.
fn with_schema(schema: &str) -> Keeper {
    let keeper = keeper(&fresh_database());
    keeper.apply(&[migration(1, schema)]).unwrap_or_else(|fault| panic!("{fault:?}"));
    keeper
}

fn described(keeper: &Keeper, sql: &str) -> Description {
    keeper.describe(sql, &[]).unwrap_or_else(|fault| panic!("{sql}: {fault:?}"))
}

fn names(tables: &Tables) -> String {
    match tables {
        Tables::Known(names) => names.iter().cloned().collect::<Vec<_>>().join(" "),
        Tables::Unknown => "?".into(),
    }
}

const SCHEMA: &str = "
create table a (id integer primary key, n text not null, at timestamptz);
create table b (id integer primary key, a_id bigint references a on delete cascade, note text default 'x');
create table c (b_id bigint references b on delete set null on update cascade, k bigint primary key);
create table d (c_k bigint references c on update cascade);
create view v as select * from a where n <> '';
create view w as select v.id, b.note from v left join b on b.a_id = v.id;
create materialized view m as select count(*) from a;
create table p (id bigint, day date) partition by range (day);
create table p1 partition of p for values from ('2026-01-01') to ('2027-01-01');
create table p2 partition of p for values from ('2027-01-01') to ('2028-01-01');
create table parent (x int);
create table child (y int) inherits (parent);
create table log (line text);
create function pure_one(x int) returns int language sql immutable return x + 1;
create function reads_a() returns bigint language sql stable begin atomic select count(*) from a; end;
create function writes_log(x text) returns void language sql begin atomic insert into log values (x); end;
create function opaque() returns int language plpgsql as $$ begin return 1; end $$;
create function told_text(x int) returns int language sql immutable as 'select x';
create function defaulted(x bigint default reads_a()) returns bigint language sql stable return x;
create table logged (x int);
create function on_logged() returns trigger language plpgsql as $$ begin insert into log values ('t'); return new; end $$;
create trigger logs after insert on logged for each row execute function on_logged();
create table secret (x int);
alter table secret enable row level security;
create policy only_mine on secret using (x > 0);
create sequence counter;
create table counted (x bigint default nextval('counter'), y int check (pure_one(y) > 0));
create table ruled (x int);
create rule also as on insert to ruled do also insert into log values ('ruled');
create domain even as int check (opaque() > 0 and value % 2 = 0);
create table evens (x even);
create function checked(x int) returns boolean language plpgsql immutable as $$ begin return true; end $$;
create table checks (x int check (checked(x)));
create table words (t text, v tsvector);
create trigger vectors before insert on words for each row execute function tsvector_update_trigger(v, 'pg_catalog.simple', t);
create schema other;
create table other.far (x int);
create extension pg_trgm;
create foreign data wrapper nothing;
create server nowhere foreign data wrapper nothing;
create foreign table far_away (x int) server nowhere;
create function loops(x int) returns int language sql immutable return x;
create view again as with recursive r (x) as (select 1 union all select loops(x) + 1 from r where x < 3) select * from r;
create domain a_day as date;
create table days (day a_day);
create aggregate odd_sum (int) (sfunc = int4pl, stype = int);
";

#[test]
fn the_tables_of_every_statement_are_known_on_postgres() {
    let url = fresh_database();
    let keeper = keeper(&url);
    keeper.apply(&[migration(1, SCHEMA)]).unwrap();
    psql(&url, ROWS);
    // The statement, what it reads, what it writes, and why that is not known.
    let cases = [
        ("select n from a where id = $1", "a", "", ""),
        ("select * from w", "a b", "", ""),
        ("select * from m", "m", "", ""),
        ("select 1", "", "", ""),
        ("with x as (insert into a (n) values ('1') returning id) select * from x, b", "a b", "a", ""),
        ("insert into a (n) values ($1)", "", "a", ""),
        ("insert into a (n) values ($1) on conflict (id) do update set n = excluded.n", "a", "a", ""),
        ("insert into a (n) select note from b", "b", "a", ""),
        ("update a set n = 'x' where exists (select from b where b.a_id = a.id)", "a b", "a", ""),
        ("delete from a", "a", "a b c d", ""),
        ("delete from b", "b", "b c d", ""),
        ("delete from d", "d", "d", ""),
        ("insert into v (n) values ('x')", "", "a", ""),
        ("select * from p", "p p1 p2", "", ""),
        ("insert into p values (1, '2026-05-01')", "", "p p1 p2", ""),
        ("select * from p1", "p1", "", ""),
        ("select * from parent", "child parent", "", ""),
        ("update parent set x = 1", "child parent", "child parent", ""),
        ("select pure_one(id::int) from a", "a", "", ""),
        ("select reads_a()", "a", "", ""),
        ("select defaulted()", "a", "", ""),
        ("select writes_log('x')", "", "log", ""),
        ("select opaque() from a", "?", "?", "calls opaque()"),
        ("select told_text(1)", "?", "?", "calls told_text()"),
        ("insert into logged values (1)", "?", "?", "the trigger logs of logged calls on_logged()"),
        ("update logged set x = 2", "logged", "logged", ""),
        ("select * from secret", "?", "?", "secret has row-level security"),
        ("insert into counted (y) values (1)", "", "counted", ""),
        ("select last_value from counter", "?", "?", "reads the sequence counter"),
        ("insert into ruled values (1)", "ruled", "log ruled", ""),
        ("insert into evens values ($1)", "?", "?", "calls opaque()"),
        ("insert into checks values (1)", "?", "?", "calls checked()"),
        ("insert into words (t) values ('x')", "", "words", ""),
        ("select x from other.far", "other.far", "", ""),
        ("select * from far_away", "?", "?", "far_away is a foreign table"),
        ("insert into far_away values (1)", "?", "?", "writes far_away, which is no table"),
        ("select similarity(n, $1) from a where n % $1", "a", "", ""),
        ("select * from again", "", "", ""),
        ("select * from a tablesample bernoulli (10)", "a", "", ""),
        ("select relname from pg_class", "?", "?", "uses a table of PostgreSQL itself"),
        ("select query_to_xml('select 1', true, true, '')", "?", "?", "calls query_to_xml()"),
        ("select odd_sum(x) from parent", "child parent", "", ""),
        ("select json_agg(n order by n) from a group by at having count(*) > 1", "a", "", ""),
        ("select n, rank() over (order by id) from a union all select note, 1 from b", "a b", "", ""),
        ("select * from a where id = any($1) and (id, n) < ($2, $3) for update", "a", "", ""),
        (
            "merge into d using c on c_k = k when matched then delete when not matched then insert values (k)",
            "c d",
            "d",
            "",
        ),
        (
            "select shift(at, 3, 'days'), seconds_between(at, $1), to_char(n, 'YYYY'), date_trunc('day', n) from a",
            "a",
            "",
            "",
        ),
    ];
    for (sql, reads, writes, because) in cases {
        let told = described(&keeper, sql);
        assert_eq!((&*names(&told.reads), &*names(&told.writes), &*told.because), (reads, writes, because), "{sql}");
        if !sql.contains('$') {
            really_touches_no_more(&url, sql, &told);
        }
    }
}

/// Rows for each table that others hang on.
const ROWS: &str = "insert into a (n) values ('1'), ('2'); insert into b (a_id) values (1), (2); \
    insert into c values (1, 1), (2, 2); insert into d values (1), (2); insert into p values (1, '2026-02-02'); \
    insert into child values (1, 2); insert into parent values (1); insert into logged values (1); analyze";

/// Runs a statement, and holds what PostgreSQL counted against what was told.
fn really_touches_no_more(url: &str, sql: &str, told: &Description) {
    let counted = |condition: &str| {
        let query =
            format!("select coalesce(string_agg(relname, ' '), '') from pg_stat_xact_user_tables where {condition}");
        // Where a table of far away is used, nothing runs.
        let batch = format!("set search_path = public, tableside; begin; {sql}; select '|'; {query}; rollback");
        let printed = if sql.contains("far_away") { "|".into() } else { psql(url, &batch) };
        let names = printed.rsplit_once('|').map_or("", |(_, names)| names).to_string();
        names.split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    for table in counted("n_tup_ins + n_tup_upd + n_tup_del > 0") {
        assert!(told.writes.may_hold(&table), "{sql} writes {table}");
    }
    // Foreign keys look up rows, too; that is not told.
    if told.writes.is_none() {
        for table in counted("seq_scan + coalesce(idx_scan, 0) > 0 and schemaname = 'public'") {
            assert!(told.reads.may_hold(&table), "{sql} reads {table}");
        }
    }
}

#[test]
fn clocks_chances_and_writes_are_told_on_postgres() {
    let keeper = with_schema(SCHEMA);
    let clock = |sql: &str| described(&keeper, sql).may_read_clock;
    for sql in [
        "select now()",
        "select current_timestamp from a",
        "select * from a where at > 'now'::timestamptz",
        "select n::date from a",
        "select * from a where at > $1",
        "select age(at) from a",
        "select * from json_to_recordset('[]') as x (day date)",
    ] {
        assert!(clock(sql), "{sql}");
    }
    // A text that is bound may say `now`, also through a domain.
    assert!(clock("select * from days where day = $1"));
    assert!(!clock("select at, date_trunc('day', at), to_char(at, 'YYYY') from a where n = $1"));
    let moment = Declared { kind: Kind::Datetime, list: false };
    assert!(!keeper.describe("select * from a where at > $1", &[moment]).unwrap().may_read_clock);
    let impure = |sql: &str| described(&keeper, sql).impure;
    assert_eq!(
        impure("select random(), gen_random_uuid()"),
        BTreeSet::from(["gen_random_uuid".into(), "random".into()])
    );
    assert_eq!(impure("select lower(n), count(*), coalesce(n, '') || 'x' from a group by 1, 3"), BTreeSet::new());
    for (sql, read_only) in [
        ("select * from a", true),
        ("select * from a for update", false),
        ("select nextval('counter')", false),
        ("select writes_log('x')", false),
        ("with x as (delete from d returning *) select * from x", false),
        ("select opaque()", true),
        ("values (1), (2)", true),
    ] {
        assert_eq!(described(&keeper, sql).read_only, read_only, "{sql}");
    }
    let told = described(&keeper, "select id, n as name from a where n = $1 and id = $2 -- the end");
    assert_eq!((told.columns, told.placeholders), (vec!["id".to_string(), "name".to_string()], 2));
}

#[test]
fn faults_on_postgres_point_at_their_place() {
    let keeper = with_schema(SCHEMA);
    for (sql, message, offset) in [
        ("select nmae from a", "column \"nmae\" does not exist", Some(7)),
        ("select 'é', x from nosuch", "relation \"nosuch\" does not exist", Some(20)),
        ("select 1; select 2", "there is more than one statement", Some(10)),
        ("create table x (y int)", "CREATE is not allowed in a query file", Some(0)),
        ("truncate a", "TRUNCATE is not allowed in a query file", Some(0)),
        ("select * into x from a", "this is not allowed in a query file", Some(0)),
        ("  explain select 1", "EXPLAIN is not allowed in a query file", Some(2)),
        (" -- nothing", "there is no statement", Some(0)),
        (
            "begin",
            "the server itself begins and commits: leave out `begin`, `commit`, `rollback` and `savepoint`",
            Some(0),
        ),
    ] {
        let fault = keeper.describe(sql, &[]).unwrap_err();
        assert!(fault.message.starts_with(message), "{sql}: {}", fault.message);
        assert_eq!(fault.offset, offset, "{sql}");
    }
    assert!(keeper.tables().contains(&"w".to_string()) && !keeper.tables().contains(&"_sessions".to_string()));
    assert_eq!(keeper.columns_of("a"), ["id", "n", "at"]);
}

#[test]
fn a_changed_schema_is_noticed() {
    let url = fresh_database();
    let keeper = keeper(&url);
    psql(&url, "create table a (id int); create view v as select * from a");
    assert_eq!(names(&described(&keeper, "select * from v").reads), "a");
    psql(&url, "create table b (id int); create or replace view v as select a.id from a, b");
    assert_eq!(names(&described(&keeper, "select * from v").reads), "a b");
    psql(&url, "alter table b add column more text");
    assert_eq!(described(&keeper, "select * from b").columns, ["id", "more"]);
}

#[test]
fn migrations_of_postgres_are_whole_and_told_where_they_break() {
    let url = fresh_database();
    let keeper = keeper(&url);
    let first = migration(1, "create table a (id integer primary key, n int); insert into a values (7, 1);");
    let csv = Migration {
        number: 2,
        path: "migrations/0002_a.csv".into(),
        content: Content::Csv { table: "a".into(), text: "id,n\n10,\n12,3\n".into() },
        fingerprint: [2; 32],
    };
    let done = keeper.apply(&[first.clone(), csv.clone()]).unwrap();
    assert_eq!(done.len(), 2);
    assert!(keeper.apply(&[first.clone(), csv.clone()]).unwrap().is_empty());
    // The identity goes on behind what was there.
    assert_eq!(psql(&url, "insert into a (n) values (5) returning id").trim(), "13");
    assert_eq!(
        psql(&url, "select data_type from information_schema.columns where table_name = 'a' and column_name = 'id'")
            .trim(),
        "bigint"
    );
    for (sql, line, column, message) in [
        (
            "create table c (x int);\ncreate table d (id integer primary key, y nosuch);",
            2,
            43,
            "type \"nosuch\" does not exist",
        ),
        ("create table c (x int);\ninsert into c values ('x');", 2, 23, "invalid input syntax"),
        (
            "create index concurrently i on a (n);",
            1,
            1,
            "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
        ),
        ("commit;", 1, 1, "the server itself begins"),
        (
            "create table e (x int references a deferrable initially deferred);\ninsert into e values (99);",
            1,
            1,
            "insert or update on table",
        ),
    ] {
        let fault = keeper.apply(&[first.clone(), csv.clone(), migration(3, sql)]).unwrap_err();
        let place = fault.place.clone().unwrap();
        assert!(fault.message.starts_with(message), "{sql}: {}", fault.message);
        assert_eq!((place.line, place.column), (line, column), "{sql}");
        assert_eq!(psql(&url, "select count(*) from pg_tables where tablename in ('c', 'd', 'e')").trim(), "0");
    }
    // What one migration sets is not set for the next.
    let set = [
        first.clone(),
        csv.clone(),
        migration(3, "create schema apart; set search_path = apart; create table inner_one (id integer primary key);"),
        migration(4, "create table outer_one (x int);"),
    ];
    keeper.apply(&set).unwrap();
    let schema = "select string_agg(schemaname, ' ' order by tablename) from pg_tables where tablename like '%_one'";
    assert_eq!(psql(&url, schema), "apart public");
    let broken = Content::Csv { table: "a".into(), text: "id,n\n20,1\n21,x\n".into() };
    let broken = Migration { number: 5, path: "migrations/0005_a.csv".into(), content: broken, fingerprint: [3; 32] };
    let [first, csv, third, fourth] = set;
    let fault = keeper.apply(&[first, csv.clone(), third, fourth, broken]).unwrap_err();
    assert_eq!(fault.place.unwrap().line, 3);
    let edited = migration(1, "create table a (id int)");
    assert_eq!(keeper.status(&[edited, csv]).unwrap()[0].state, State::Edited);
}

#[test]
fn of_several_that_migrate_one_does() {
    let url = fresh_database();
    let migrations =
        [migration(1, "create table a (id int); select pg_sleep(0.2);"), migration(2, "create table b (id int)")];
    let applied = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| keeper(&url).apply(&migrations).unwrap().len())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(applied, 2);
}

#[test]
fn functions_that_postgres_lacks_are_there() {
    let url = fresh_database();
    keeper(&url).apply(&[]).unwrap();
    let cell = |sql: &str| psql(&url, &format!("set search_path = public, tableside; select {sql}")).trim().to_string();
    assert_eq!(cell("seconds_between('2026-01-01', '2026-01-01T00:01:30.500Z')"), "90.5");
    assert_eq!(cell("shift('2026-01-31'::text, 1, 'month')"), "2026-02-28");
    assert_eq!(cell("shift('2026-01-31T10:00:00Z'::text, -2, 'hours')"), "2026-01-31T08:00:00.000Z");
    assert_eq!(cell("shift('2026-01-31'::text, 36, 'hours')"), "2026-02-01T12:00:00.000Z");
    assert_eq!(cell("shift(date '2026-01-31', 1, 'week')"), "2026-02-07");
    assert_eq!(cell("to_char('2026-01-31'::text, 'DD.MM.YYYY')"), "31.01.2026");
    assert_eq!(cell("date_trunc('month', '2026-01-31T10:00:00Z'::text)"), "2026-01-01T00:00:00.000Z");
}

#[test]
fn a_scratch_database_is_gone_afterwards() {
    let url = fresh_database();
    // Other tests make such databases, too: those of this one have their own owner.
    let owner = format!("maker_{}", std::process::id());
    psql(&url, &format!("create role {owner} login createdb"));
    let options = Options { unsafe_is_fine: true, ..Options::new(as_role(&url, &owner)) };
    let scratch = Keeper::scratch(&options, &Clock::system()).unwrap();
    scratch.apply(&[migration(1, "create table a (id integer primary key)")]).unwrap();
    assert_eq!(names(&described(&scratch, "select shift('2026-01-01', 1, 'day') from a").reads), "a");
    let count = format!("select count(*) from pg_database where datdba = '{owner}'::regrole");
    assert_eq!(psql(&url, &count).trim(), "1");
    drop(scratch);
    assert_eq!(psql(&url, &count).trim(), "0");
    assert_eq!(psql(&url, "select count(*) from pg_tables where tablename = 'a'").trim(), "0");
}

/// Runs `tableside` with these arguments: whether it succeeded, and what it printed.
fn tableside(arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tableside")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

fn check(folder: &Folder, url: &str) -> (bool, String) {
    tableside(&["check", &folder.path().to_string_lossy(), "--database", url])
}

#[test]
fn the_sites_of_this_repository_are_sound_on_postgres() {
    let url = fresh_database();
    for site in ["examples/market", "examples/family", "docs", "starter", "bench/site"] {
        let folder = format!("{}/{site}", env!("CARGO_MANIFEST_DIR"));
        let (sound, text) = tableside(&["check", &folder, "--database", &url]);
        assert!(sound && !text.contains("warning"), "{site}: {text}");
    }
    assert_eq!(psql(&url, "select count(*) from pg_tables where schemaname = 'public'").trim(), "0");
}

#[test]
fn what_must_change_for_postgres_is_told_at_its_place() {
    let folder = Folder::new(&[
        ("migrations/0001_start.sql", "create table notes (id integer primary key, text text, at text not null);"),
        (
            "pages/notes.json.sql",
            "-- :q text\n-- name: a :many\nselect id, ifnull(text, '') as text from notes where text = :q;\n\
             -- name: b :many\nselect nmae from notes;\n-- name: c :many\nselect id from nots;\n\
             -- name: d :many\nselect id, text from notes order by text desc, id;\n\
             -- name: e :many\nselect id as noteId from notes;\n",
        ),
        ("pages/glued.json.sql", "-- name: a :many\nselect id from notes where text <@user_id;"),
    ]);
    let (sound, text) = check(&folder, &fresh_database());
    assert!(!sound);
    for expected in [
        "function ifnull(text, unknown) does not exist",
        "pages/notes.json.sql:3:12",
        "write `coalesce(a, b)`",
        "did you mean `notes`?",
        "`text` may be null, and is sorted by",
        "add `nulls first` or `nulls last`",
        "`as noteId` differs between SQLite and PostgreSQL",
        "`<@user_id` can be read in two ways",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

#[test]
fn files_for_one_database_stand_in_for_others() {
    let folder = Folder::new(&[
        ("migrations/0001_start.sql", "create table a (id integer primary key, t blob);"),
        ("migrations/0001_start.postgres.sql", "create table a (id integer primary key, t bytea);"),
        ("pages/x.json.sql", "-- name: n :many\nselect ifnull(id, 0) as n from a order by random();"),
        (
            "pages/x.json.postgres.sql",
            "-- :ids int multiple\n-- name: n :many\nselect id as n from a where id in :ids::bigint[];",
        ),
        ("pages/y.json.sqlite.sql", "-- name: n :value\nselect sqlite_version();"),
    ]);
    let (sound, text) = check(&folder, &fresh_database());
    assert!(sound, "{text}");
    for expected in [
        "pages/x.json.postgres.sql: for PostgreSQL only, in place of pages/x.json.sql",
        "pages/y.json.sqlite.sql: for SQLite only, without pages/y.json.sql",
        "migrations/0001_start.postgres.sql: for PostgreSQL only, in place of migrations/0001_start.sql",
        "1 routes, 1 queries",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let (sound, text) = tableside(&["check", &folder.path().to_string_lossy()]);
    assert!(sound && text.contains("2 routes, 2 queries"), "{text}");
}

#[test]
fn who_may_make_no_database_checks_in_a_schema() {
    let url = fresh_database();
    let name = url.rsplit_once('/').unwrap().1;
    psql(&url, "do $$ begin create role humble login; exception when duplicate_object then null; end $$");
    psql(&url, &format!("grant create on database \"{}\" to humble", name.split('?').next().unwrap()));
    psql(&url, "create table a (mine text); insert into a values ('untouched')");
    let folder = Folder::new(&[
        ("migrations/0001_start.sql", "create table a (id integer primary key, at text);"),
        ("pages/a.json.sql", "-- name: n :many\nselect id, shift(at, 1, 'day') as at from a;"),
    ]);
    let (sound, text) = check(&folder, &as_role(&url, "humble"));
    assert!(sound, "{text}");
    assert_eq!(psql(&url, "select mine from a").trim(), "untouched");
    assert_eq!(psql(&url, "select count(*) from pg_namespace where nspname like 'tableside%'").trim(), "0");
}

#[test]
fn routes_and_migrations_speak_of_postgres() {
    let url = fresh_database();
    let folder = Folder::new(&[
        (
            "migrations/0001_start.sql",
            "create table a (id integer primary key);\n\
             create function f() returns int language plpgsql as $$ begin return 1; end $$;",
        ),
        ("pages/a.json.sql", "-- name: n :many\nselect id, f() as f from a;"),
        ("pages/b.post.sql", "-- name: n :exec\ninsert into a default values;"),
    ]);
    let (path, set) = (folder.path().to_string_lossy().into_owned(), format!("database.url={url}"));
    let (sound, text) = tableside(&["routes", &path, "--set", &set]);
    assert!(sound && text.contains("unknown: calls f()"), "{text}");
    let (done, text) = tableside(&["migrate", "apply", "--site", &path, "--set", &set]);
    assert!(done && text.contains("applied"), "{text}");
    assert_eq!(psql(&url, "insert into a default values returning id").trim(), "1");
    let (done, text) = tableside(&["migrate", "status", "--site", &path, "--set", &set]);
    assert!(done && text.contains("applied") && !text.contains("pending"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let folder = Folder::new(&[("pages/index.html", "home")]);
    let (sound, text) = check(&folder, "postgres://nobody@127.0.0.1:1/nothing");
    assert!(!sound && text.contains("the database server can't be reached"), "{text}");
}
