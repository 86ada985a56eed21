//! One process on SQLite: no other nodes, but other programs at the same file.

use std::time::Duration;

use tableside::database::versions::{Stamp, TableSet};
use tableside::database::{Database, Failure, Options, Tables, Transaction};

use super::{run, until};

/// A database with two tables.
fn open(folder: &tempfile::TempDir) -> (Database, rusqlite::Connection) {
    let file = folder.path().join("site.db");
    let database = Database::open(&Options::new(&file)).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("create table n (i integer primary key); create table m (i integer)").unwrap();
    (database, other)
}

fn tables(database: &Database, name: &str) -> TableSet {
    database.versions().tables(&Tables::Known([name.to_string()].into()))
}

fn stamp(database: &Database, name: &str) -> Stamp {
    database.versions().current(&tables(database, name))
}

async fn write(database: &Database, sql: &'static str) -> Result<(), Failure> {
    let work = async move |transaction: &mut Transaction<'_>| transaction.query(sql, &[], &[], 1).await.map(drop);
    database.write_to(&tables(database, "n"), work).await
}

/// The writer has seen what the other program did to make the tables.
async fn settled(database: &Database) {
    let before = stamp(database, "m");
    until("the first look", || !database.versions().is_current(&before)).await;
}

#[test]
fn what_is_written_is_counted_before_the_answer() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (database, _other) = open(&folder);
        settled(&database).await;
        let other = stamp(&database, "m");
        for _ in 0..50 {
            let stamp = stamp(&database, "n");
            write(&database, "insert into n (i) values (null)").await.unwrap();
            assert!(!database.versions().is_current(&stamp));
        }
        assert!(database.versions().is_current(&other), "a table that nobody wrote");
        assert!(!database.versions().is_marked(&tables(&database, "n")));
    });
}

#[test]
fn what_changes_nothing_is_not_counted() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (database, _other) = open(&folder);
        settled(&database).await;
        let stamp = stamp(&database, "n");
        write(&database, "update n set i = 5 where i = 4").await.unwrap();
        write(&database, "select count(*) from n").await.unwrap();
        write(&database, "insert into nowhere values (1)").await.unwrap_err();
        assert!(database.versions().is_current(&stamp));
    });
}

#[test]
fn another_programs_commit_is_noticed() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = open(&folder);
        settled(&database).await;
        let stamp = stamp(&database, "m");
        let mut changes = database.versions().watch(&tables(&database, "m"));
        other.execute_batch("insert into m values (1)").unwrap();
        tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.unwrap();
        assert!(!database.versions().is_current(&stamp));
    });
}
