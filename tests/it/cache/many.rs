//! Many pages and large ones: one change makes only the pages again that show it, and all of them together take no more
//! memory than they may.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::{cached, develop, get, post};
use crate::harness::{Folder, Request, Server};

const PRODUCTS: usize = 9_900;
const SHELVES: usize = 100;

#[test]
fn one_stock_change_makes_two_of_ten_thousand_pages_again() {
    let fill = format!(
        "create table products (id integer primary key, shelf integer not null, stock integer not null);\n\
         create index products_by_shelf on products (shelf);\n\
         with recursive n(i) as (select 1 union all select i + 1 from n where i < {PRODUCTS})\n\
         insert into products select i, i % {SHELVES}, 50 from n;\n"
    );
    let folder = Folder::new(&[
        ("migrations/0001_start.sql", &fill),
        ("pages/product/[id].html", "<h1>{{ p.id }}</h1><b>{{ p.stock }}</b>"),
        ("pages/product/[id].sql", "-- :id int\n-- name: p :one\nselect id, stock from products where id = :id"),
        ("pages/shelf/[id].html", "{{ s.stock }} on shelf {{ params.id }}"),
        (
            "pages/shelf/[id].sql",
            "-- :id int\n-- name: s :one\nselect sum(stock) as stock from products where shelf = :id",
        ),
        (
            "pages/sell.post.sql",
            "-- :id int\n-- name: sold :exec\nupdate products set stock = stock - 1 where id = :id and stock > 0",
        ),
    ]);
    let server = develop(&folder);
    let pages: Vec<String> = (1..=PRODUCTS)
        .map(|id| format!("/product/{id}"))
        .chain((0..SHELVES).map(|id| format!("/shelf/{id}")))
        .collect();
    assert_eq!(pages.len(), 10_000);
    // The writer takes what was done at the start for another program's doing.
    post(&mut server.client(), "/sell", "id=1");
    let first = visit(&server, &pages);
    assert_eq!(first, [("miss", pages.len())]);
    assert_eq!(visit(&server, &pages), [("hit", pages.len())]);
    post(&mut server.client(), "/sell", "id=777");
    // The product and its shelf. Other products' pages look up their own row; a shelf adds up whichever there are.
    let others = [("changed", 2), ("hit", PRODUCTS - 1), ("revalidated", SHELVES - 1)];
    assert_eq!(visit(&server, &pages), others);
    assert_eq!(visit(&server, &pages), [("hit", pages.len())]);
}

/// Asks for all pages, several at once; how often the cache said what.
fn visit(server: &Server, pages: &[String]) -> Vec<(&'static str, usize)> {
    let counts = ["changed", "hit", "miss", "revalidated"].map(|word| (word, AtomicUsize::new(0)));
    std::thread::scope(|threads| {
        for part in pages.chunks(pages.len().div_ceil(4)) {
            let counts = &counts;
            threads.spawn(move || {
                let mut client = server.client();
                for page in part {
                    let said = cached(&get(&mut client, page));
                    let counted = counts.iter().find(|(word, _)| said.starts_with(word));
                    counted.unwrap_or_else(|| panic!("{page}: {said}")).1.fetch_add(1, SeqCst);
                }
            });
        }
    });
    let counts = counts.into_iter().map(|(word, count)| (word, count.into_inner()));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// What the cache may take, and what the server may then have grown by: twice of it, and what requests need.
const SIZE: u64 = 8 << 20;
const GROWTH: u64 = 2 * SIZE + (16 << 20);

#[test]
fn large_pages_take_no_more_memory_than_they_may() {
    let folder = Folder::new(&[
        ("migrations/0001_start.sql", "create table seeds (n integer); insert into seeds values (1)"),
        // Rows that are much larger than what is shown of them.
        ("pages/rows/[id].html", "{{ text|length }}"),
        (
            "pages/rows/[id].sql",
            "-- :id int\n-- name: text :value\nselect printf('%.*c', 200000, 'x') || :id from seeds",
        ),
        // Small cells in a great number.
        ("pages/cells/[id].html", "{{ cells|length }}"),
        (
            "pages/cells/[id].sql",
            "-- :id int\n-- name: cells :many\nwith recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) \
             select i, i + :id as j, 'a' || i as k from n, seeds",
        ),
        // Pages that don't compress well, in all forms.
        ("pages/long/[id].html", "{{ text }}"),
        (
            "pages/long/[id].sql",
            "-- :id int\n-- name: text :value\nwith recursive n(i, h) as (select 1, :id * 7919 union all \
             select i + 1, (h * 1103515245 + 12345) % 2147483648 from n where i < 8000) \
             select group_concat(hex(char(33 + h % 90, 33 + (h / 90) % 90, 33 + (h / 8100) % 90)), '') from n, seeds",
        ),
    ]);
    let arguments = ["--set", "limits.cache=8MiB", "--set", "server.threads=1", "--set", "log.requests=false"];
    let server = Server::start_with(folder.path(), "serve", &arguments).unwrap();
    let mut client = server.client();
    for (kind, count) in [("rows", 400), ("cells", 400), ("long", 300)] {
        let mut look = |id: usize| {
            for encoding in ["identity", "gzip", "br", "zstd"] {
                let asked = Request::new("GET", &format!("/{kind}/{id}")).header("Accept-Encoding", encoding);
                assert_eq!(client.send(&asked).unwrap().status, 200);
            }
        };
        (0..3).for_each(&mut look);
        let before = server.memory();
        (3..count).for_each(&mut look);
        let grown = server.memory().saturating_sub(before);
        assert!(grown < GROWTH, "{kind}: the server grew by {} KiB", grown >> 10);
    }
}
