//! What is over goes, and nothing else.

use std::time::Duration;

use tableside::accounts::sweeping::{BATCH, rests, sweep};
use tableside::clock::Clock;
use tableside::database::migrations::{self, Wanted};
use tableside::database::postgres::Options;
use tableside::database::{Database, Failure, Snapshot, Transaction};
use tableside::settings::Settings;

use crate::postgres::quick_database;

/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn drive<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn on_both(test: impl Fn(&Database, &Clock)) {
    let clock = Clock::fixed(START);
    let options = Options { unsafe_is_fine: true, ..Options::new(quick_database()) };
    for database in [Database::scratch(&clock).unwrap(), Database::connect(&options, &clock).unwrap()] {
        migrations::apply(&database, Wanted { list: &[], accounts: true }).unwrap();
        clock.set(START);
        test(&database, &clock);
    }
}

fn run(database: &Database, sql: &str) {
    let sql = sql.to_string();
    drive(async {
        let work = async move |transaction: &mut Transaction<'_>| transaction.query(&sql, &[], &[], 0).await;
        let _: Result<_, Failure> = database.write(work).await;
        database.finish().await;
    });
}

fn texts(database: &Database, sql: &'static str) -> String {
    let rows = database.read_and_wait(Duration::from_secs(9), async move |snapshot: &mut Snapshot<'_>| {
        snapshot.query(sql, &[], &[], 10_000).await
    });
    let rows: Result<_, Failure> = rows;
    rows.unwrap().cells.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn swept(database: &Database, clock: &Clock, longest_limit: Duration) -> u64 {
    let settings = Settings { register: "open".parse_register(), ..Settings::default() };
    let rests = rests(&settings, longest_limit, clock.now());
    drive(async {
        let count = sweep(database, &rests, || true).await.unwrap();
        database.finish().await;
        count
    })
}

trait Register {
    fn parse_register(&self) -> tableside::settings::Registration;
}

impl Register for str {
    fn parse_register(&self) -> tableside::settings::Registration {
        let mut settings = Settings::default();
        settings.read_flag(&format!("users.register={self}")).unwrap();
        settings.register
    }
}

#[test]
fn sessions_go_when_their_time_is_over() {
    on_both(|database, clock| {
        // Each was seen last at the start.
        let seen = "'2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'";
        for (id, hash, rest) in [
            ("anonymous", "'a1'", "null, null, 0"),
            ("idle", "'a2'", "1, '2026-12-31T00:00:00.000Z', 0"),
            ("remembered", "'a3'", "1, '2026-12-31T00:00:00.000Z', 1"),
            ("short", "'a4'", "1, '2026-01-03T00:00:00.000Z', 1"),
        ] {
            let hash = format!("cast({hash} as {})", if database.is_embedded() { "blob" } else { "bytea" });
            run(
                database,
                &format!(
                    "insert into _sessions (session_id, secret_hash, started_at, seen_at, user_id, ends_at, remember) \
                     values ('{id}', {hash}, {seen}, {rest})"
                ),
            );
        }
        let left = || texts(database, "select session_id from _sessions order by session_id");
        let after = |days: i64, count: u64, expected: &str| {
            clock.set(START + days * DAY + HOUR);
            assert_eq!(swept(database, clock, Duration::ZERO), count, "after {days} days");
            assert_eq!(left(), expected, "after {days} days");
        };
        after(0, 0, "anonymous idle remembered short");
        after(1, 1, "anonymous remembered short");
        after(2, 1, "anonymous remembered");
        after(59, 0, "anonymous remembered");
        after(60, 1, "anonymous");
        after(364, 0, "anonymous");
        after(365, 1, "");
    });
}

#[test]
fn links_tries_and_old_lines_go() {
    on_both(|database, clock| {
        run(
            database,
            "insert into _links (token_hash, purpose, email, expires_at) values \
             ('a', 'invite', 'a@example.org', '2026-01-02T00:00:00.000Z'), \
             ('b', 'invite', 'b@example.org', '2026-01-09T00:00:00.000Z')",
        );
        run(database, "insert into _invited_roles (token_hash, role) values ('a', 'clerk'), ('b', 'clerk')");
        run(database, "insert into _attempts (key_hash, count, since) values ('k', 3, '2026-01-01T00:00:00.000Z')");
        run(
            database,
            "insert into _security_log (at, event) values ('2025-01-02T00:00:00.000Z', 'old'), \
             ('2026-01-01T00:00:00.000Z', 'new')",
        );
        clock.set(START + 2 * DAY);
        assert_eq!(swept(database, clock, Duration::from_secs(7 * 24 * 3600)), 2);
        assert_eq!(texts(database, "select token_hash from _invited_roles"), "b");
        assert_eq!(texts(database, "select event from _security_log"), "new");
        assert_eq!(texts(database, "select count from _attempts"), "3", "a limit counts over a week");
        assert_eq!(swept(database, clock, Duration::from_secs(3600)), 1);
    });
}

#[test]
fn many_rows_go_batch_by_batch() {
    on_both(|database, clock| {
        let rows = BATCH * 2 + 7;
        run(
            database,
            &format!(
                "insert into _attempts (key_hash, count, since) with recursive n(i) as \
                 (select 1 union all select i + 1 from n where i < {rows}) \
                 select 'k' || i, 1, case when i % 3 = 0 then '2026-01-08T00:00:00.000Z' \
                 else '2026-01-01T00:00:00.000Z' end from n"
            ),
        );
        clock.set(START + 7 * DAY);
        let settings = Settings::default();
        let rests = rests(&settings, Duration::ZERO, clock.now());
        let batches = std::cell::Cell::new(0);
        let count = drive(async {
            let go_on = || {
                batches.set(batches.get() + 1);
                true
            };
            let count = sweep(database, &rests, go_on).await.unwrap();
            database.finish().await;
            count
        });
        assert_eq!(count, (rows - rows / 3) as u64);
        assert_eq!(batches.get(), 2);
        assert_eq!(texts(database, "select count(*) from _attempts"), (rows / 3).to_string());
    });
}
