//! Sites that nobody thought of: made by chance, visited by several at once while their tables change, and each answer
//! held byte for byte against a server beside it that keeps nothing.
//!
//! The cases are the same at each run; `CACHE_SEED` gives others. What fails is made smaller and printed; a line with it
//! in [`KNOWN`] runs it first from then on.

mod site;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::attacks::Ground;
use crate::harness::{Answer, Client, Request, Server};
use site::{Site, WORDS};

/// Cases that failed once: the seed of the site and the steps.
const KNOWN: [(u64, &[u32]); 0] = [];

/// How many sites are made.
const SITES: u32 = 8;
const SITES_ON_POSTGRES: u32 = 4;

/// What is asked between two changes.
const LOOKS: usize = 4;

/// Numbers that look like chance (SplitMix64).
pub(super) struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[test]
fn answers_are_those_of_a_server_that_keeps_nothing() {
    run(SITES, false);
}

#[test]
fn answers_are_those_of_a_server_that_keeps_nothing_on_postgres() {
    run(SITES_ON_POSTGRES, true);
}

fn run(cases: u32, postgres: bool) {
    for (site, steps) in KNOWN {
        live(site, steps, postgres);
    }
    let seed: u64 = std::env::var("CACHE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_iters: 30, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let case = (any::<u32>(), proptest::collection::vec(any::<u32>(), 30..50));
    let said = RefCell::new(BTreeMap::new());
    let result = runner.run(&case, |(site, steps)| {
        for (word, count) in live(u64::from(site), &steps, postgres) {
            *said.borrow_mut().entry(word).or_insert(0) += count;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("with CACHE_SEED={seed}: {error}"));
    // A cache that keeps nothing is never wrong.
    let said = said.into_inner();
    let often = |word: &str| said.get(word).is_some_and(|count| *count > 20);
    assert!(["hit", "revalidated", "changed", "miss", "off"].into_iter().all(often), "{said:?}");
}

/// Somebody who visits.
struct Person {
    cookies: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
}

/// A site, the server that keeps, and the one that keeps nothing.
struct Two {
    site: Site,
    keeps: Server,
    bare: Server,
}

impl Two {
    fn start(seed: u64, postgres: bool) -> (Two, Ground) {
        let site = Site::of(seed, postgres);
        let files: Vec<(&str, &str)> = site.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let ground = Ground::of(&files, postgres);
        let keeps = ground.serve(&["server.proxies=127.0.0.1"]);
        let bare = ground.serve(&["server.proxies=127.0.0.1", "cache.size=0", "log.requests=false"]);
        (Two { site, keeps, bare }, ground)
    }
}

/// Two who never do anything that begins a session, two who may, and two users.
fn people(ground: &Ground) -> Vec<Person> {
    let mut people: Vec<Person> = (0..6)
        .map(|number| {
            let host = if number % 2 == 0 { "localhost:80" } else { "127.0.0.1:8080" };
            let headers = vec![("Host", host.to_string()), ("X-Forwarded-For", format!("10.0.0.{}", number / 2))];
            Person { cookies: Vec::new(), headers }
        })
        .collect();
    for (person, name) in people[4..].iter_mut().zip(["ann", "bob"]) {
        let id =
            ground.user_with(&format!("{name}@example.org"), true, None, &["editor"][..usize::from(name == "ann")]);
        person.cookies.push(("session".into(), ground.session(id)));
    }
    people
}

fn request(person: &Person, method: &str, path: &str) -> Request {
    let mut request = Request::new(method, path);
    for (name, value) in &person.headers {
        request = request.header(name, value);
    }
    let cookies: Vec<String> = person.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if cookies.is_empty() { request } else { request.header("Cookie", &cookies.join("; ")) }
}

/// As [`Client`] keeps them, but for the cookie that would keep the cache out of the way.
fn keep_cookies(person: &mut Person, client: &mut Client) {
    for (name, value) in std::mem::take(&mut client.cookies) {
        person.cookies.retain(|(known, _)| *known != name);
        if name != "fresh" {
            person.cookies.push((name, value));
        }
    }
}

/// What an answer says that must be the same.
fn facts(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let own = ["date", "server-timing", "set-cookie", "x-request-id"];
    let mut headers: Vec<(String, String)> =
        answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.retain(|(name, _)| !own.contains(&name.as_str()));
    headers.sort();
    (answer.status, headers, answer.body.clone())
}

/// An address of the site.
fn address(two: &Two, chance: &mut Chance) -> String {
    let page = &two.site.pages[chance.below(two.site.pages.len())];
    let query = match chance.below(8) {
        0 => format!("q={}", encoded(chance.pick(&WORDS))),
        1 => format!("n={}", chance.below(5)),
        2 => "sort=top".into(),
        3 => format!("q=tea&n={}&zz={}", chance.below(3), chance.below(3)),
        4 => "n=none".into(),
        _ => String::new(),
    };
    let id = match chance.below(8) {
        0 => "none".to_string(),
        _ => (1 + chance.below(4)).to_string(),
    };
    page.replace("{id}", &id).replace("{q}", &query).trim_end_matches('?').to_string()
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Asks both servers the same and compares. `tags` are those of earlier answers.
fn look(two: &Two, chance: &mut Chance, person: &mut Person, tags: &mut HashMap<String, String>) {
    let path = match chance.below(12) {
        0 => visited(two, chance, person),
        _ => address(two, chance),
    };
    let method = if chance.below(10) == 0 { "HEAD" } else { "GET" };
    // A prefetch is no visit, so both only look.
    let mut asked = request(person, method, &path).header("Purpose", "prefetch");
    match chance.below(12) {
        0 => asked = asked.header("Accept", "application/json"),
        1 => asked = asked.header("Accept", "text/csv, text/html;q=0.5"),
        2 | 3 => asked = asked.header("HX-Target", "part"),
        4 => asked = asked.header("HX-Target", "nowhere"),
        5 => asked = asked.header("Accept-Encoding", chance.pick(&["gzip", "br", "zstd, gzip"])),
        6 => asked = asked.header("Range", "bytes=0-9"),
        7 | 8 => {
            if let Some(tag) = tags.get(&path) {
                asked = asked.header("If-None-Match", tag);
            }
        }
        _ => {}
    }
    compare(two, person, &asked, tags);
}

fn compare(two: &Two, person: &mut Person, asked: &Request, tags: &mut HashMap<String, String>) {
    let (mut keeps, mut bare) = (two.keeps.client(), two.bare.client());
    let (kept, made) = (keeps.send(asked).unwrap(), bare.send(asked).unwrap());
    let path = String::from_utf8_lossy(&asked.target).into_owned();
    assert!(made.status < 500, "{path}: {} {}", made.status, two.bare.complaints());
    if facts(&kept) != facts(&made) {
        let (kept, made) = (show(&kept), show(&made));
        panic!("{asked:?}\n== kept\n{kept}\n== made\n{made}\n== the site\n{}", told(&two.site, &path));
    }
    // A message that was shown is gone.
    keep_cookies(person, &mut keeps);
    if kept.headers.iter().any(|(_, value)| value.starts_with("flash=;")) {
        person.cookies.retain(|(name, _)| name != "flash");
    }
    if let Some(tag) = kept.header("etag") {
        tags.insert(path, tag.to_string());
    }
}

fn show(answer: &Answer) -> String {
    let (status, headers, _) = facts(answer);
    format!("{status} {headers:?}\n{}", answer.text())
}

/// The files that an address is made of.
fn told(site: &Site, address: &str) -> String {
    let own = format!("pages/{}", address.trim_start_matches('/').split(['/', '?', '.']).next().unwrap_or(""));
    let matters = |path: &str| path.starts_with(&own) || path.starts_with("pages/_") || path.starts_with("migrations/");
    let files = site.files.iter().filter(|(path, _)| matters(path));
    files.map(|(path, text)| format!("---- {path}\n{text}\n")).collect()
}

/// Visits a page before which an action runs, at the server that keeps; gives its address.
fn visited(two: &Two, chance: &mut Chance, person: &mut Person) -> String {
    let path = two.site.visited[chance.below(two.site.visited.len())].clone();
    let mut client = two.keeps.client();
    let answer = client.send(&request(person, "GET", &path)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    keep_cookies(person, &mut client);
    path
}

/// Changes something by a random action.
fn change(two: &Two, chance: &mut Chance, person: &mut Person) {
    let action = two.site.actions[chance.below(two.site.actions.len())].clone();
    let (id, n, m) = (1 + chance.below(5), chance.below(5).to_string(), chance.below(7).to_string());
    let ids = [chance.below(5).to_string(), chance.below(5).to_string()];
    let fields = [
        ("id", id.to_string()),
        ("key", WORDS[id % WORDS.len()].to_string()),
        ("a", chance.pick(&WORDS).to_string()),
        ("n", n),
        ("m", m),
        ("ids", ids[0].clone()),
        ("ids", ids[1].clone()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut client = two.keeps.client();
    let answer = client.send(&request(person, action.method, &action.path).form(&fields)).unwrap();
    assert!(
        matches!(answer.status, 303 | 409 | 422),
        "{} {} {}\n{}\n{}",
        action.path,
        answer.status,
        answer.text(),
        two.keeps.wait_for_log(&action.path),
        told(&two.site, &action.path)
    );
    keep_cookies(person, &mut client);
}

/// A site's whole life: one after another, all at once, and one after another again. Tells how often the cache said what.
fn live(seed: u64, steps: &[u32], postgres: bool) -> BTreeMap<String, usize> {
    let (two, ground) = Two::start(seed, postgres);
    let mut people = people(&ground);
    let mut tags = HashMap::new();
    for step in steps {
        let mut chance = Chance(u64::from(*step));
        let who = chance.below(people.len());
        if who > 1 {
            change(&two, &mut chance, &mut people[who]);
        }
        for _ in 0..LOOKS {
            let who = chance.below(people.len());
            look(&two, &mut chance, &mut people[who], &mut tags);
        }
    }
    all_at_once(&two, &mut people, seed);
    let mut chance = Chance(seed);
    for person in &mut people {
        for page in &two.site.pages {
            let path = page.replace("{id}", "1").replace("?{q}", "");
            let asked = request(person, "GET", &path);
            compare(&two, person, &asked, &mut tags);
        }
        look(&two, &mut chance, person, &mut tags);
    }
    let mut said = BTreeMap::new();
    for line in two.keeps.stop().stdout.lines() {
        let word = line.split_once("cache=\"").map_or("", |(_, rest)| rest.split([':', '"']).next().unwrap_or(""));
        *said.entry(word.to_string()).or_insert(0) += 1;
    }
    said
}

/// Everybody changes and looks at once. Nobody sees an older tick than one that anybody was told.
fn all_at_once(two: &Two, people: &mut [Person], seed: u64) {
    let (told, failed) = (AtomicI64::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for (number, person) in people.iter_mut().enumerate() {
            let (told, failed) = (&told, &failed);
            threads.spawn(move || {
                let mut chance = Chance(seed ^ (number as u64 + 1) << 40);
                let mut client = two.keeps.client();
                for _ in 0..25 {
                    if failed.load(SeqCst) {
                        return;
                    }
                    match chance.below(if number > 1 { 8 } else { 6 }) {
                        0 | 1 => {
                            let up = request(person, "POST", "/tick").header("Accept", "application/json");
                            let answer = client.send(&up).unwrap().text();
                            let n = answer.trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap();
                            told.fetch_max(n, SeqCst);
                        }
                        6 | 7 => change(two, &mut chance, person),
                        _ => {
                            let path = address(two, &mut chance);
                            let least = told.load(SeqCst);
                            let answer = client.send(&request(person, "GET", &path)).unwrap().text();
                            let Some((_, rest)) = answer.split_once("tick=") else { continue };
                            let n: i64 = rest.split(';').next().unwrap().parse().unwrap();
                            if n < least {
                                failed.store(true, SeqCst);
                                panic!("{path} shows {n} after {least}");
                            }
                            told.fetch_max(n, SeqCst);
                        }
                    }
                    client.cookies.clear();
                }
            });
        }
    });
}
