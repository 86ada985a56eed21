//! Pages that look up one row: they stay while other rows change, and are made again by whatever reaches theirs.

use super::{cached, develop, fresh, get, post};
use crate::harness::{Client, Folder};

const SITE: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table makers (id integer primary key, name text not null unique);
         create table things (
             id integer primary key, slug text not null unique, name text not null, stock integer not null default 5,
             maker integer references makers (id) on delete cascade on update cascade);
         create table strict (id integer primary key, slug text unique on conflict replace, n integer);
         create view shown as select id, slug, name, stock from things;
         create trigger renamed after update of name on makers begin
             update things set stock = stock + 100 where maker = new.id;
         end;
         create trigger through instead of update on shown begin
             update things set name = new.name where id = new.id;
         end;
         insert into makers values (1, 'ann'), (2, 'bob'), (3, 'cid');
         insert into things (id, slug, name, maker) values (1, 'one', 'One', 1), (2, 'two', 'Two', 2),
             (3, 'three', 'Three', 2), (4, 'four', 'Four', 3), (5, 'five', 'Five', 3), (6, 'six', 'Six', null);
         insert into strict values (1, 'one', 1), (2, 'two', 2);",
    ),
    ("pages/thing/[slug].html", "{{ t.name }} {{ t.stock }}"),
    ("pages/thing/[slug].sql", "-- name: t :one\nselect id, name, stock from things where slug = :slug"),
    // Through the view, with another condition; nothing is an answer, too.
    ("pages/open/[slug].html", "{% if t %}{{ t.name }} {{ t.stock }}{% else %}none{% endif %}"),
    ("pages/open/[slug].sql", "-- name: t :maybe\nselect stock, id, name from shown where slug = :slug and stock > 0"),
    ("pages/strict/[slug].html", "{% if t %}{{ t.n }}{% else %}none{% endif %}"),
    ("pages/strict/[slug].sql", "-- name: t :maybe\nselect id, n from strict where slug = :slug"),
    // Two statements read the table: more than the row counts.
    ("pages/both/[slug].html", "{{ t.name }} of {{ count }}"),
    (
        "pages/both/[slug].sql",
        "-- name: t :one\nselect id, name from things where slug = :slug;\n-- name: count :value\nselect count(*) from things",
    ),
    ("pages/run/a.post.sql", "-- name: x :exec\nupdate things set stock = stock + 1 where slug = 'two'"),
    ("pages/run/b.post.sql", "-- name: x :exec\nupdate makers set name = name || '!' where id = 2"),
    ("pages/run/c.post.sql", "-- name: x :exec\nupdate shown set name = 'Deux' where slug = 'two'"),
    (
        "pages/run/d.post.sql",
        "-- name: x :exec\ninsert into things (slug, name) values ('two', 'x') on conflict (slug) do update set stock = 50",
    ),
    (
        "pages/run/e.post.sql",
        "-- name: x :exec\ninsert or replace into things (id, slug, name) values (2, 'two', 'Zwei')",
    ),
    ("pages/run/f.post.sql", "-- name: x :exec\nreplace into things (id, slug, name) values (20, 'two', 'Dos')"),
    ("pages/run/g.post.sql", "-- name: x :exec\nupdate things set id = 30 where slug = 'two'"),
    (
        "pages/run/h.post.sql",
        "-- name: x :exec\nupdate things set slug = iif(slug = 'two', 'ten', 'two') where slug in ('two', 'six')",
    ),
    ("pages/run/i.post.sql", "-- name: x :exec\nupdate things set stock = 0 where slug = 'two'"),
    ("pages/run/j.post.sql", "-- name: x :exec\nupdate or replace things set slug = 'two' where slug = 'five'"),
    ("pages/run/k.post.sql", "-- name: x :exec\nupdate things set maker = 3 where slug = 'two'"),
    ("pages/run/l.post.sql", "-- name: x :exec\ndelete from makers where id = 3"),
    ("pages/run/m.post.sql", "-- name: x :exec\ninsert into things (slug, name) values ('two', 'Again')"),
    ("pages/run/n.post.sql", "-- name: x :exec\ndelete from things"),
    ("pages/run/o.post.sql", "-- name: x :exec\ninsert into strict (id, slug, n) values (9, 'two', 9)"),
    ("pages/run/p.post.sql", "-- name: x :exec\nupdate strict set slug = 'two' where slug = 'one'"),
    ("pages/run/q.post.sql", "-- name: x :exec\ninsert or replace into strict (id, slug, n) values (1, 'two', 3)"),
    (
        "pages/run/fails.post.sql",
        "-- name: x :exec\nupdate things set name = 'never' where slug = 'two';\n-- name: no :require 409 No.\nselect 1 where false",
    ),
    (
        "pages/other.post.sql",
        "-- name: x :exec\nupdate things set stock = stock + 1 where slug = 'one';
         -- name: y :exec\ninsert into things (slug, name) values ('new' || (select max(id) from things), 'New');
         -- name: z :exec\ndelete from things where slug = 'three'",
    ),
];

fn settled(client: &mut Client, path: &str) {
    get(client, path);
    assert_eq!(cached(&get(client, path)), "hit", "{path}");
}

#[test]
fn a_page_of_one_row_stays_while_other_rows_change() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    post(&mut client, "/other", "");
    for path in ["/thing/two", "/open/two", "/thing/one", "/both/two", "/open/none"] {
        settled(&mut client, path);
    }
    assert_eq!(post(&mut client, "/other", "").status, 303);
    assert_eq!(cached(&get(&mut client, "/thing/two")), "hit");
    assert_eq!(cached(&get(&mut client, "/open/two")), "hit");
    for path in ["/thing/one", "/both/two", "/open/none"] {
        assert_ne!(cached(&get(&mut client, path)), "hit", "{path}");
    }
}

#[test]
fn a_page_of_one_row_is_made_again_by_whatever_reaches_its_row() {
    let folder = Folder::new(SITE);
    let server = develop(&folder);
    let mut client = server.client();
    post(&mut client, "/other", "");
    let pages = ["/thing/two", "/open/two", "/open/ten", "/strict/two", "/both/two"];
    for action in 'a'..='q' {
        for _ in 0..2 {
            pages.iter().for_each(|page| _ = get(&mut client, page));
        }
        if action == 'c' {
            // What is taken back changes nothing, and leaves nothing behind in the counts.
            post(&mut client, "/run/fails", "");
        }
        post(&mut client, &format!("/run/{action}"), "");
        for page in pages {
            let kept = get(&mut client, page);
            let made = fresh(&mut client, page);
            assert_eq!((kept.status, kept.text()), (made.status, made.text()), "{page} after {action}");
        }
    }
}
