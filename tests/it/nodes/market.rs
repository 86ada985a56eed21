//! The market on three nodes behind a balancer, while they are killed in turn: no acknowledged order is lost, none is
//! there twice, and the stock adds up.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{Answer, Client, Folder, LONG, Request, Server, tableside};
use crate::postgres::{fresh_database, psql};

/// How often a node is killed.
const KILLS: usize = 10;

/// Customers who order at once.
const CUSTOMERS: usize = 16;

const NODES: usize = 3;

/// An order that was acknowledged.
struct Order {
    /// The customer's own word for it, in the order's note.
    note: String,
    code: String,
    /// Stickers and how many of each; `None` if the customer doesn't know how often the cart was filled.
    lines: Option<HashMap<String, i64>>,
}

#[test]
fn no_order_is_lost_while_nodes_are_killed() {
    let (folder, url) = (market(), fresh_database());
    let mut nodes: Vec<Option<Server>> = (0..NODES).map(|_| Some(start(&folder, &url))).collect();
    psql(&url, "update stickers set stock = 1000000");
    let balancer = Balancer::start(nodes.iter().flatten().map(Server::address).collect());
    let slugs = psql(&url, "select slug from stickers order by id limit 40");
    let slugs: Vec<&str> = slugs.lines().collect();
    let (ended, orders) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (tell, acknowledged) = channel();
    std::thread::scope(|scope| {
        for customer in 0..CUSTOMERS {
            let (address, slugs, ended, orders, tell) = (balancer.address, &slugs, &ended, &orders, tell.clone());
            scope.spawn(move || shop(customer, address, slugs, ended, orders, &tell));
        }
        // Whatever happens here, the customers must end.
        let _end = AtEnd(&ended);
        for kill in 0..KILLS {
            // A number of orders that differs from kill to kill, so that it meets a node at any point of its work.
            for _ in 0..4 + kill * 7 % 11 {
                acknowledged.recv_timeout(LONG).expect("orders go on");
            }
            let node = kill % NODES;
            nodes[node].take().expect("it runs").kill();
            // The others go on without it.
            for _ in 0..4 {
                acknowledged.recv_timeout(LONG).expect("requests on the other nodes go on");
            }
            let server = start(&folder, &url);
            balancer.replace(node, server.address());
            nodes[node] = Some(server);
        }
    });
    let orders = orders.into_inner().unwrap();
    assert!(orders.len() > KILLS * 8, "only {} orders", orders.len());
    check(&url, &orders);
    for node in nodes.into_iter().flatten() {
        let ended = node.stop();
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
        assert!(!ended.stdout.contains("panic"), "{}", ended.stdout);
    }
}

struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A copy of the market, so that its folder stays as it is.
fn market() -> Folder {
    let folder = Folder::new(&[]);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/market");
    for part in ["site.toml", "pages", "migrations", "public"] {
        let status = std::process::Command::new("cp").arg("-r").arg(from.join(part)).arg(folder.path()).status();
        assert!(status.unwrap().success());
    }
    folder
}

fn start(folder: &Folder, url: &str) -> Server {
    let mut command = tableside();
    command.arg("serve").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
    command.args(["--set", &format!("database.url={url}")]).args(["--set", "server.threads=2"]);
    Server::spawn(&mut command).unwrap_or_else(|said| panic!("the node didn't start:\n{said}"))
}

/// Orders one thing after the other.
fn shop(
    customer: usize,
    address: SocketAddr,
    slugs: &[&str],
    ended: &AtomicBool,
    orders: &Mutex<Vec<Order>>,
    tell: &Sender<()>,
) {
    let mut client = Client::new(address);
    for number in 0.. {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let chosen = [slugs[(customer * 3 + number) % slugs.len()], slugs[(customer + number * 7 + 1) % slugs.len()]];
        let note = format!("customer {customer} order {number}");
        if let Some(order) = order(&mut client, &note, &chosen, ended) {
            orders.lock().unwrap().push(order);
            // Nobody counts any more at the end.
            let _ = tell.send(());
        }
    }
}

/// Fills the cart and orders it; repeats the order with the same key until there is an answer.
fn order(client: &mut Client, note: &str, chosen: &[&str], ended: &AtomicBool) -> Option<Order> {
    let mut lines = Some(HashMap::new());
    for (place, slug) in chosen.iter().enumerate() {
        let qty = place + 1;
        let add = Request::new("POST", "/cart").form(&[("slug", slug), ("qty", &qty.to_string())]);
        loop {
            match client.send(&add) {
                Ok(answer) if answer.status == 303 => break,
                // Ninety-nine at most, and it may have been put in several times.
                Ok(answer) if answer.status == 422 => return clear(client),
                Ok(answer) if is_busy(&answer) => {}
                Ok(answer) => panic!("{} {}", answer.status, answer.text()),
                Err(_) => lines = None,
            }
            if ended.load(Ordering::SeqCst) {
                return None;
            }
        }
        if let Some(lines) = &mut lines {
            *lines.entry((*slug).to_string()).or_insert(0) += i64::try_from(qty).unwrap();
        }
    }
    let page = match client.send(&Request::new("GET", "/checkout")) {
        Ok(answer) if answer.status == 200 => answer.text(),
        _ => return clear(client),
    };
    let key = page.split("name=\"_once\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let Some(key) = key.map(str::to_string) else { return clear(client) };
    let form = [
        ("_once", &*key),
        ("name", "A Customer"),
        ("email", "customer@shop.example"),
        ("street", "Street 1"),
        ("postcode", "12345"),
        ("city", "City"),
        ("country", "Country"),
        ("note", note),
    ];
    let send = Request::new("POST", "/checkout").form(&form);
    loop {
        match client.send(&send) {
            Ok(answer) if answer.status == 303 => {
                let code = answer.header("location").unwrap().rsplit('/').next().unwrap().to_string();
                return Some(Order { note: note.to_string(), code, lines });
            }
            Ok(answer) if is_busy(&answer) => {}
            Ok(answer) => panic!("{note}: {} {}", answer.status, answer.text()),
            Err(_) => {}
        }
        // An order that was sent is followed to its end: else nobody knows whether it is acknowledged.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The customer begins anew, as somebody else.
fn clear(client: &mut Client) -> Option<Order> {
    client.cookies.clear();
    None
}

/// Too many others at once, or a node that was just killed.
fn is_busy(answer: &Answer) -> bool {
    matches!(answer.status, 502 | 503)
}

/// Holds what customers know against what the database has.
fn check(url: &str, orders: &[Order]) {
    let rows = psql(url, "select note, code, id from orders");
    let mut held: HashMap<&str, (&str, &str)> = HashMap::new();
    for row in rows.lines() {
        let mut cells = row.split('|');
        let (note, code, id) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        assert_eq!(held.insert(note, (code, id)), None, "{note} is there twice");
    }
    let rows = psql(url, "select order_id, s.slug, l.qty from order_lines l join stickers s on s.id = l.sticker_id");
    let mut lines: HashMap<&str, HashMap<String, i64>> = HashMap::new();
    for row in rows.lines() {
        let mut cells = row.split('|');
        let (order, slug, qty) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        lines.entry(order).or_default().insert(slug.to_string(), qty.parse().unwrap());
    }
    for order in orders {
        let (code, id) = held.get(&*order.note).unwrap_or_else(|| panic!("{} is acknowledged and lost", order.note));
        assert_eq!(*code, order.code, "{}", order.note);
        let lines = lines.get(id).unwrap_or_else(|| panic!("{} has no lines", order.note));
        if let Some(wanted) = &order.lines {
            assert_eq!(lines, wanted, "{}", order.note);
        }
    }
    let exact = orders.iter().filter(|order| order.lines.is_some()).count();
    assert!(exact > orders.len() / 2, "of {} orders only {exact} have known lines", orders.len());
    let wrong = |sql: &str| assert_eq!(psql(url, sql), "0", "{sql}");
    wrong(
        "select count(*) from orders o where goods is distinct from \
         (select sum(qty * price) from order_lines l where l.order_id = o.id)",
    );
    wrong(
        "select count(*) from stickers s where stock <> 1000000 - \
         coalesce((select sum(qty) from order_lines l where l.sticker_id = s.id), 0)",
    );
}

/// Sends each request to the next node. What only asks goes to another one when a node fails; what may change
/// something does so only if it was not sent.
struct Balancer {
    address: SocketAddr,
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    /// Its threads end with the test process.
    fn start(nodes: Vec<SocketAddr>) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, nodes) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(nodes)));
        let known = Arc::clone(&nodes);
        let turn = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (known, turn) = (Arc::clone(&known), Arc::clone(&turn));
                std::thread::spawn(move || {
                    let nodes = known.lock().unwrap().clone();
                    // The client is told nothing when all fails: it is hung up on.
                    let _ = balance(client, &nodes, turn.fetch_add(1, Ordering::Relaxed));
                });
            }
        });
        Balancer { address, nodes }
    }

    fn replace(&self, node: usize, address: SocketAddr) {
        self.nodes.lock().unwrap()[node] = address;
    }
}

fn balance(client: TcpStream, nodes: &[SocketAddr], turn: usize) -> std::io::Result<()> {
    client.set_read_timeout(Some(LONG))?;
    let request = read_request(&mut BufReader::new(&client))?;
    let asks = request.starts_with(b"GET ");
    for index in 0..nodes.len() {
        let Ok(mut node) = TcpStream::connect(nodes[(turn + index) % nodes.len()]) else { continue };
        node.set_read_timeout(Some(LONG))?;
        let mut answer = Vec::new();
        let whole = node.write_all(&request).and_then(|()| node.read_to_end(&mut answer)).is_ok() && is_whole(&answer);
        if whole || !asks {
            return if whole { (&client).write_all(&answer) } else { Ok(()) };
        }
    }
    (&client).write_all(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

/// One request with `Connection: close`.
fn read_request(client: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let (mut request, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        client.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        request.extend_from_slice(line.as_bytes());
    }
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    request.extend_from_slice(&body);
    Ok(request)
}

/// Whether an answer came to its end before the connection did.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = answer.len() - end - 4;
    match head.lines().find_map(|line| line.strip_prefix("content-length:")) {
        Some(length) => length.trim() == body.to_string(),
        None => !head.contains("chunked") || answer.ends_with(b"0\r\n\r\n"),
    }
}
