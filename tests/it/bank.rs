//! The bank of the examples: its books come to zero at every moment, and each transfer counts once, whatever dies.
//!
//! Fifty clients transfer money at random while the server is killed again and again. Somebody who doesn't go through
//! the server adds the books up all along, and so does an auditor who does. Beside it: what each role may do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use crate::durable::Site;
use crate::harness::{Answer, Client, Folder, LONG, Request};
use crate::postgres::{fresh_database, psql};

/// Clients that transfer money at once.
const CLIENTS: usize = 50;

/// Customers whose accounts they use; a password takes its time, so there are fewer of them than clients.
const CUSTOMERS: usize = 12;

/// How often the server is killed.
const KILLS: usize = 10;

/// How long a client thinks before the next transfer. On PostgreSQL transfers of the same few accounts are run again and
/// again when they meet, so that clients without a pause would mostly measure that.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_ON_POSTGRES: Duration = Duration::from_millis(1500);

const PASSWORD: &str = "seven calm harbours";

/// What must be zero at every moment, in one statement and so in one snapshot.
const WRONG: &str = "select (select abs(sum(balance)) from accounts) + (select abs(sum(amount)) from entries) \
    + (select count(*) from (select 1 from entries group by transfer_id having sum(amount) <> 0) uneven) \
    + (select count(*) from accounts a where a.balance <> \
       (select coalesce(sum(e.amount), 0) from entries e where e.account_id = a.id)) \
    + (select count(*) from accounts where kind = 'customer' and balance < 0 - overdraft)";

/// The same as the auditor's page tells it.
const SOUND: &str = "\"sums\":{\"balances\":0,\"entries\":0,\"uneven\":0,\"adrift\":0,\"overdrawn\":0}";

/// A person with a login.
struct Person {
    cookies: Vec<(String, String)>,
    name: String,
    number: String,
}

impl Person {
    /// Registers, gets the roles, and logs in.
    fn join(site: &Site, address: SocketAddr, name: &str, roles: &[&str]) -> Person {
        let mut client = Client::new(address);
        let email = format!("{}@example.org", name.replace(' ', "-").to_lowercase());
        let fields = [("email", &*email), ("password", PASSWORD), ("name", name), ("address", "1 Harbour Lane")];
        assert_eq!(client.post("/register", &fields).status, 303);
        for role in roles {
            site.change(&format!(
                "insert into _roles (user_id, role) select id, '{role}' from users where email = '{email}'"
            ));
        }
        let answer = client.post("/login", &[("email", &email), ("password", PASSWORD)]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let number = "select a.number from accounts a join users u on u.id = a.user_id where u.email = ";
        let number = site.read(&format!("{number}'{email}'")).remove(0);
        Person { cookies: client.cookies, name: name.to_string(), number }
    }

    fn client(&self, address: SocketAddr) -> Client {
        let mut client = Client::new(address);
        client.cookies.clone_from(&self.cookies);
        client
    }
}

impl Site {
    /// A copy of the bank's folder, so that the example stays as it is.
    fn bank(url: Option<String>) -> Site {
        let folder = Folder::new(&[]);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bank");
        for part in ["site.toml", "pages", "migrations", "events", "public"] {
            let status = std::process::Command::new("cp").arg("-r").arg(from.join(part)).arg(folder.path()).status();
            assert!(status.unwrap().success());
        }
        Site { folder, url }
    }

    /// Writes past the server.
    fn change(&self, sql: &str) {
        match &self.url {
            Some(url) => drop(psql(url, sql)),
            None => drop(self.folder.database().execute(sql, []).unwrap()),
        }
    }
}

/// What the clients learned.
#[derive(Default)]
struct Told {
    /// The code of each transfer that was acknowledged, by its key.
    done: Mutex<HashMap<String, String>>,
    /// The keys of those that were refused in the end.
    refused: Mutex<Vec<String>>,
    /// How often an answer was lost and the same sent again.
    again: AtomicUsize,
    ended: AtomicBool,
}

#[test]
fn the_books_come_to_zero_while_the_server_is_killed() {
    transfer_and_kill(&Site::bank(None));
}

#[test]
fn the_books_come_to_zero_while_the_server_is_killed_on_postgres() {
    transfer_and_kill(&Site::bank(Some(fresh_database())));
}

fn transfer_and_kill(site: &Site) {
    let mut server = site.start();
    let auditor = Person::join(site, server.address(), "Auditor", &["auditor"]);
    let customers: Vec<Person> =
        (0..CUSTOMERS).map(|number| Person::join(site, server.address(), &format!("Customer {number}"), &[])).collect();
    let told = Told::default();
    let address = RwLock::new(server.address());
    let (tell, acknowledged) = channel();
    let pause = if site.url.is_some() { PAUSE_ON_POSTGRES } else { PAUSE };
    let (server, read, audited) = std::thread::scope(|scope| {
        let auditors = [scope.spawn(|| add_up(site, &told)), scope.spawn(|| look(&auditor, &address, &told))];
        for client in 0..CLIENTS {
            let (customers, address, told, tell) = (&customers, &address, &told, tell.clone());
            scope.spawn(move || {
                // They don't all come at once.
                std::thread::sleep(pause * client as u32 / CLIENTS as u32);
                pay(client, customers, address, told, &|| {
                    // Nobody counts any more at the end.
                    let _ = tell.send(());
                    std::thread::sleep(pause);
                });
            });
        }
        let _end = AtEnd(&told.ended);
        for kill in 0..KILLS {
            // A number of transfers that differs from kill to kill, so that it meets the server at any point of its work.
            for _ in 0..3 + kill * 37 % 40 {
                acknowledged.recv_timeout(LONG).expect("transfers go on");
            }
            server.kill();
            server = site.start();
            *address.write().unwrap() = server.address();
        }
        for _ in 0..CLIENTS {
            acknowledged.recv_timeout(LONG).expect("transfers go on after the last kill");
        }
        told.ended.store(true, Ordering::SeqCst);
        let [read, audited] = auditors.map(|auditor| auditor.join().expect("the books are sound"));
        (server, read, audited)
    });
    assert!(read > KILLS && audited > KILLS, "added up {read} times, looked {audited} times");
    check(site, &told);
    let ended = server.stop();
    assert!(ended.status.success() && !ended.stdout.contains("panic"), "{}{}", ended.stdout, ended.stderr);
}

/// Whatever happens, the clients must end.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Adds the books up past the server, as often as it can.
fn add_up(site: &Site, told: &Told) -> usize {
    let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file = site.url.is_none().then(|| {
        let file = rusqlite::Connection::open_with_flags(site.folder.file("data/site.db"), read_only).unwrap();
        file.busy_timeout(LONG).unwrap();
        file
    });
    let mut times = 0;
    while !told.ended.load(Ordering::SeqCst) {
        let wrong = match &file {
            Some(file) => file.query_row(WRONG, [], |row| row.get::<_, i64>(0)).unwrap().to_string(),
            None => psql(site.url.as_ref().unwrap(), WRONG),
        };
        assert_eq!(wrong, "0", "the books are wrong");
        times += 1;
        // A reader by the side, not the load that is tested.
        std::thread::sleep(Duration::from_millis(if file.is_some() { 5 } else { 60 }));
    }
    times
}

/// The auditor's page, as often as there is a server.
fn look(auditor: &Person, address: &RwLock<SocketAddr>, told: &Told) -> usize {
    let mut times = 0;
    while !told.ended.load(Ordering::SeqCst) {
        let mut client = auditor.client(*address.read().unwrap());
        while let Ok(answer) = client.send(&Request::new("GET", "/audit/sums")) {
            assert!(answer.status == 503 || answer.text().contains(SOUND), "{} {}", answer.status, answer.text());
            times += usize::from(answer.status == 200);
            std::thread::sleep(Duration::from_millis(20));
            if told.ended.load(Ordering::SeqCst) {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    times
}

/// One client: a transfer after the other, each sent until it is known what became of it.
fn pay(client: usize, customers: &[Person], address: &RwLock<SocketAddr>, told: &Told, answered: &dyn Fn()) {
    let payer = &customers[client % customers.len()];
    for number in 0.. {
        if told.ended.load(Ordering::SeqCst) {
            return;
        }
        // Any other customer, and an amount that the limit of 100.00 often doesn't allow.
        let payee = &customers[(client + 1 + (client * 31 + number * 17) % (customers.len() - 1)) % customers.len()];
        let amount = format!("{}.{:02}", 1 + (client * 13 + number * 29) % 70, number % 100);
        let key = format!("{client}-{number}");
        let answer = send(&key, payer, payee, &amount, address, told);
        match answer.status {
            303 => {
                let code = answer.header("location").unwrap().trim_start_matches("/transfers/").to_string();
                told.done.lock().unwrap().insert(key, code);
            }
            422 => {
                assert!(answer.text().contains("more than this account may spend"), "{}", answer.text());
                told.refused.lock().unwrap().push(key);
            }
            other => panic!("{other}: {}", answer.text()),
        }
        answered();
    }
}

/// Sends a transfer, with the same key each time, until it is answered.
fn send(key: &str, payer: &Person, payee: &Person, amount: &str, address: &RwLock<SocketAddr>, told: &Told) -> Answer {
    let fields =
        [("from", &*payer.number), ("to", &payee.number), ("holder", &payee.name), ("amount", amount), ("text", key)];
    let request = Request::new("POST", "/transfer").header("Idempotency-Key", key).form(&fields);
    let began = std::time::Instant::now();
    let mut last = String::new();
    loop {
        assert!(began.elapsed() < LONG, "{key} was never answered; the last that came was {last}");
        let mut client = payer.client(*address.read().unwrap());
        match client.send(&request) {
            Ok(answer) if answer.status != 503 => return answer,
            // Too busy, or the answer was lost: what became of it isn't known.
            Ok(answer) => last = answer.text(),
            Err(error) => last = error.to_string(),
        }
        told.again.fetch_add(1, Ordering::Relaxed);
        // The server may just be starting.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Each acknowledged transfer is there once, under the code that was told; none is there twice, no refused one at all.
fn check(site: &Site, told: &Told) {
    assert_eq!(site.read(WRONG), ["0"]);
    let rows = site.read("select text || ' ' || code from transfers where kind = 'transfer' order by id");
    let mut held: HashMap<&str, &str> = HashMap::new();
    for row in &rows {
        let (key, code) = row.split_once(' ').unwrap();
        assert!(held.insert(key, code).is_none(), "{key} is there twice");
    }
    let (done, refused) = (told.done.lock().unwrap(), told.refused.lock().unwrap());
    for (key, code) in done.iter() {
        assert_eq!(held.get(key.as_str()), Some(&code.as_str()), "{key} was acknowledged");
    }
    assert_eq!(held.len(), done.len(), "every transfer was acknowledged in the end");
    assert!(refused.iter().all(|key| !held.contains_key(key.as_str())), "a refused transfer is there");
    // A test in which little happened would show little.
    let again = told.again.load(Ordering::Relaxed);
    assert!(
        done.len() > KILLS * 10 && refused.len() > KILLS && again > KILLS,
        "{} {} {again}",
        done.len(),
        refused.len()
    );
}

#[test]
fn tellers_serve_and_auditors_look() {
    each_role(&Site::bank(None));
}

#[test]
fn tellers_serve_and_auditors_look_on_postgres() {
    each_role(&Site::bank(Some(fresh_database())));
}

fn each_role(site: &Site) {
    let server = site.start();
    let join = |name: &str, roles: &[&str]| Person::join(site, server.address(), name, roles);
    let people = [join("Customer", &[]), join("Teller", &["teller"]), join("Auditor", &["auditor"])];
    let [mut customer, mut teller, mut auditor] = [0, 1, 2].map(|who: usize| people[who].client(server.address()));
    let [of_customer, of_teller, of_auditor] = [0, 1, 2].map(|who: usize| people[who].number.as_str());
    let desk = format!("/desk/accounts/{of_customer}");
    let balance = || site.read(&format!("select balance from accounts where number = '{of_customer}'")).remove(0);

    // A teller takes cash in and pays it out, the fee goes where it belongs, and nothing goes beyond the limit.
    assert_eq!(teller.post(&format!("{desk}/deposit"), &[("amount", "250.00")]).status, 303);
    assert_eq!(teller.post(&format!("{desk}/payout"), &[("amount", "49.00")]).status, 303);
    assert_eq!(balance(), "20000");
    assert_eq!(site.read("select balance from accounts where kind = 'fees'"), ["100"]);
    let answer = teller.post(&format!("{desk}/payout"), &[("amount", "299.01")]);
    assert!(answer.status == 422 && answer.text().contains("With the fee of 1.00"), "{}", answer.text());
    assert_eq!(balance(), "20000");

    // Name and limit are the bank's to change, and it is written down who did. The limit can't be below what is used.
    let change = |limit| [("_method", "PATCH"), ("holder", "Customer of the bank"), ("overdraft", limit)];
    assert_eq!(teller.post(&desk, &change("50.00")).status, 303);
    assert_eq!(site.read("select count(*) from changes"), ["2"]);
    assert!(customer.get("/profile").text().contains("Customer of the bank"));
    assert!(teller.get("/desk?q=OF%20the%20bank").text().contains(of_customer));

    // Nobody serves themselves.
    let own = format!("/desk/accounts/{of_teller}");
    assert_eq!(teller.post(&format!("{own}/deposit"), &[("amount", "10.00")]).status, 403);
    assert_eq!(teller.post(&own, &change("900.00")).status, 403);

    // An account is opened for somebody with a login, and closed when it is empty.
    assert_eq!(teller.post("/desk/open", &[("email", "customer@example.org"), ("holder", "Customer")]).status, 303);
    assert_eq!(teller.post("/desk/open", &[("email", "nobody@example.org"), ("holder", "Nobody")]).status, 422);
    assert_eq!(teller.post("/desk/open", &[("email", "teller@example.org"), ("holder", "Teller")]).status, 422);
    let second =
        site.read("select max(a.number) from accounts a join changes c on c.account_id = a.id where c.what = 'opened'");
    let close = [("_method", "DELETE")];
    assert_eq!(teller.post(&desk, &close).status, 422);
    assert_eq!(teller.post(&format!("/desk/accounts/{}", second[0]), &close).status, 303);
    assert_eq!(customer.get(&format!("/accounts/{}", second[0])).status, 404);

    // An auditor sees everything and changes nothing.
    assert!(auditor.get("/audit/sums").text().contains(SOUND));
    for page in ["/audit", "/audit/journal", "/audit/journal?kind=payout", "/audit/changes"] {
        assert_eq!(auditor.get(page).status, 200, "{page}");
        assert_eq!(teller.get(page).status, 404, "{page}");
        assert_eq!(customer.get(page).status, 404, "{page}");
    }
    let journal = auditor.get("/audit/journal").text();
    assert!(journal.contains("by teller@example.org") && journal.contains("Capital of the owners"), "{journal}");
    assert!(auditor.get(&format!("/audit/accounts/{of_customer}")).text().contains("€200.00"));
    assert_eq!(auditor.get(&desk).status, 404);
    assert_eq!(auditor.post(&format!("{desk}/deposit"), &[("amount", "1.00")]).status, 404);
    let transfer = [("from", of_auditor), ("to", of_customer), ("holder", "Customer of the bank"), ("amount", "1.00")];
    assert_eq!(auditor.post("/transfer", &transfer).status, 403);
    assert_eq!(site.read(WRONG), ["0"]);
}
