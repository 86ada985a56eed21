//! Visitors who want the same thing at the same moment, and visitors who leave before they are answered.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Instant;

use crate::harness::{Folder, LONG, Request, Server};

/// Copies on the shelf.
const COPIES: i64 = 10;

/// Visitors who each want one.
const VISITORS: usize = 48;

const SHOP: &[(&str, &str)] = &[
    (
        "migrations/0001_start.sql",
        "create table products (id integer primary key, stock integer not null check (stock >= 0));\n\
         create table orders (id integer primary key, product_id integer not null references products (id));\n\
         insert into products (id, stock) values (1, 10);\n",
    ),
    (
        "pages/buy.post.sql",
        "-- :product int required\n\
         -- name: left :require 409 Sold out.\nselect 1 from products where id = :product and stock > 0;\n\
         -- name: _order :exec\ninsert into orders (product_id) values (:product);\n\
         -- name: _stock :exec\nupdate products set stock = stock - 1 where id = :product;\n\
         -- name: stock :value\nselect stock from products where id = :product;\n",
    ),
    ("pages/orders.json.sql", "-- name: n :value\nselect count(*) from orders;\n"),
];

#[test]
fn the_last_copy_is_sold_once() {
    let folder = Folder::new(SHOP);
    let server = Server::start_with(folder.path(), "serve", &["--set", "server.threads=2"]).unwrap();
    let start = Barrier::new(VISITORS);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let buyers: Vec<_> = (0..VISITORS)
            .map(|_| {
                scope.spawn(|| {
                    let mut visitor = server.client();
                    assert_eq!(visitor.get("/orders").status, 200);
                    start.wait();
                    visitor.post("/buy", &[("product", "1")]).status
                })
            })
            .collect();
        buyers.into_iter().map(|buyer| buyer.join().unwrap()).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count() as i64;
    assert_eq!((count(303), count(409)), (COPIES, VISITORS as i64 - COPIES), "{statuses:?}");
    let database = folder.database();
    let number = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number("select stock from products"), 0);
    assert_eq!(number("select count(*) from orders"), COPIES);
}

#[test]
fn an_action_runs_to_its_end_when_its_visitor_hangs_up() {
    let folder = Folder::new(SHOP);
    let server = Server::start(&folder);
    for _ in 0..COPIES {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let request = "POST /buy HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                       Content-Length: 9\r\n\r\nproduct=1";
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    // Whether a request was read before its end is the network's affair; each is there wholly or not at all, and the
    // writer is free again for the next visitor.
    let answer = server.client().send(&Request::new("POST", "/buy").form(&[("product", "1")])).unwrap();
    assert!(matches!(answer.status, 303 | 409), "{}", answer.text());
    let until = Instant::now() + LONG;
    let database = folder.database();
    let sum = "select (select stock from products) + (select count(*) from orders)";
    let sold: i64 = loop {
        let whole: i64 = database.query_row(sum, [], |row| row.get(0)).unwrap();
        assert_eq!(whole, COPIES);
        let sold = database.query_row("select count(*) from orders", [], |row| row.get(0)).unwrap();
        if sold > 0 || Instant::now() > until {
            break sold;
        }
    };
    assert!(sold > 0);
    assert_eq!(server.stop().code(), Some(0));
}
