//! What a running server holds: the site of the moment, the database, uploads, log and clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::accounts::oidc::Providers;
use crate::accounts::password::Hashing;
use crate::answer;
use crate::cache::Cache;
use crate::cache::rows::Shelf;
use crate::clock::Clock;
use crate::database::Database;
use crate::flow::{Answer, Content, Visit};
use crate::log::Log;
use crate::parcel::Parcel;
use crate::parse;
use crate::problem::Fault;
use crate::settings::Settings;
use crate::site::Site;
use crate::uploads::Uploads;

/// The state that all cores share.
#[derive(Debug)]
pub struct App {
    /// The snapshot that new requests are answered from. Replaced whole on reload.
    site: ArcSwap<Site>,
    /// `None` for a plain folder of static files.
    data: Option<(Database, Uploads)>,
    /// Who hashes passwords.
    pub hashing: Hashing,
    /// Who asks providers of logins.
    pub providers: Providers,
    /// The answers that are kept.
    pub cache: Cache<Parcel>,
    /// Rows of single statements that are kept.
    pub shelf: Arc<Shelf>,
    /// The log.
    pub log: Log,
    /// The time.
    pub clock: Clock,
    /// Limits on what clients may send; fixed at start.
    pub parse_limits: parse::Limits,
    /// Whether the site's author is looking on: error pages tell all, browsers reload.
    pub develop: bool,
    /// Whether the messages of the outbox can be read below `/-/mail`: in development and in tests.
    pub shows_mail: bool,
    /// Whether each request's steps are printed.
    pub show_steps: bool,
    /// Counts reloads; browsers of the author wait for it to change.
    generation: AtomicU64,
    reloaded: watch::Sender<u64>,
    /// What `dev` found wrong; shown instead of pages until it is mended.
    faults: ArcSwap<Vec<Fault>>,
}

impl App {
    /// The state of a server that begins.
    pub fn new(site: Site, data: Option<(Database, Uploads)>, log: Log, clock: Clock) -> App {
        let parse_limits = parse_limits(&site.settings);
        let cache_bytes = if site.plain { 0 } else { site.settings.max_cache.0 };
        // On a server statements travel together; see `answer/shelf.rs`.
        let embedded = data.as_ref().is_some_and(|(database, _)| database.is_embedded());
        let shelf_bytes = if embedded { cache_bytes / 4 } else { 0 };
        App {
            site: ArcSwap::from_pointee(site),
            data,
            hashing: Hashing::default(),
            providers: Providers::default(),
            cache: Cache::new(cache_bytes - shelf_bytes),
            shelf: Arc::new(Shelf::new(shelf_bytes)),
            log,
            clock,
            parse_limits,
            develop: false,
            shows_mail: false,
            show_steps: false,
            generation: AtomicU64::new(1),
            reloaded: watch::Sender::new(1),
            faults: ArcSwap::from_pointee(Vec::new()),
        }
    }

    /// The snapshot of the moment.
    pub fn site(&self) -> Arc<Site> {
        self.site.load_full()
    }

    /// Puts a new snapshot in place; requests that are under way keep the old one.
    pub fn replace(&self, site: Site) {
        self.site.store(Arc::new(site));
        // They belong to the snapshot before; what is made of it still goes by its own name.
        self.cache.clear();
        self.shelf.clear();
        self.tell_browsers();
    }

    /// For `dev`: keeps the faults of the last reading of the folder.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.faults.store(Arc::new(faults));
        self.tell_browsers();
    }

    /// What is wrong with the folder as it is now, if that keeps it from being served.
    pub fn faults(&self) -> Arc<Vec<Fault>> {
        self.faults.load_full()
    }

    /// Whether `dev` found errors that keep pages from being served.
    pub fn is_broken(&self) -> bool {
        self.develop && self.faults.load().iter().any(|fault| fault.level == crate::problem::Level::Error)
    }

    fn tell_browsers(&self) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.reloaded.send_replace(generation);
    }

    /// The database; none for a plain folder.
    pub fn database(&self) -> Option<&Database> {
        self.data.as_ref().map(|(database, _)| database)
    }

    /// The upload store; none for a plain folder.
    pub fn uploads(&self) -> Option<&Uploads> {
        self.data.as_ref().map(|(_, uploads)| uploads)
    }

    /// What only `dev` answers, and in part `test`.
    pub async fn development_answer(&self, visit: &Visit) -> Option<Answer> {
        if self.shows_mail
            && let Some(database) = self.database()
            && let Some(answer) = answer::mail::answer(&self.site(), database, visit).await
        {
            return Some(answer);
        }
        if !self.develop {
            return None;
        }
        let answer = match visit.path() {
            RELOAD_PATH => Answer::text(self.next_generation(visit.query()).await.to_string()),
            RELOAD_SCRIPT_PATH => Answer::bytes("text/javascript; charset=utf-8", RELOAD_SCRIPT),
            _ => return None,
        };
        Some(answer.header(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store")))
    }

    /// The author's browser waits here for the next reload.
    async fn next_generation(&self, query: &str) -> u64 {
        let mut receiver = self.reloaded.subscribe();
        let seen: u64 = query.parse().unwrap_or(0);
        // A browser that knows nothing yet is told at once; one that knows waits for a change.
        if seen != 0 {
            let changed = receiver.wait_for(|generation| *generation != seen);
            let _ = tokio::time::timeout(Duration::from_secs(20), changed).await;
        }
        *self.reloaded.borrow()
    }
}

/// Where the author's browser waits for a reload.
const RELOAD_PATH: &str = "/-/reload";

/// The script that `dev` adds to each page. It stands at an address of its own, because a site's policy lets scripts of
/// its own files run.
const RELOAD_SCRIPT_PATH: &str = "/-/reload.js";

/// It asks for the generation and loads the page anew when that changes.
const RELOAD_SCRIPT: &str = "(async()=>{let seen=0;for(;;){try{const r=await fetch('/-/reload?'+seen);\
const now=+await r.text();if(seen&&now!==seen)location.reload();seen=now}\
catch{await new Promise(r=>setTimeout(r,500))}}})()";

/// What loads it.
const RELOAD_TAG: &str = "<script src=\"/-/reload.js\" async></script>";

/// The same answer with the script that reloads it, if it is a whole page of HTML.
pub fn reloading(mut answer: Answer) -> Answer {
    if let Content::Kept(kept) = &answer.content {
        let (headers, bytes) = (kept.headers(), kept.piece(0, kept.bytes().len()));
        let own = std::mem::take(&mut answer.headers);
        answer = Answer { headers, content: Content::Bytes(bytes), ..Answer::empty(answer.status) };
        for name in [http::header::ETAG, http::header::VARY] {
            answer.headers.remove(&name);
        }
        answer.headers.extend(own);
    }
    let is_html =
        answer.headers.get(&http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if let (true, Content::Bytes(bytes)) = (is_html, &answer.content)
        && bytes.windows(5).any(|window| window.eq_ignore_ascii_case(b"<html"))
    {
        answer.content = Content::Bytes([&bytes[..], RELOAD_TAG.as_bytes()].concat().into());
    }
    answer
}

fn parse_limits(settings: &Settings) -> parse::Limits {
    parse::Limits {
        address: usize::try_from(settings.max_url.0).unwrap_or(usize::MAX),
        body: settings.max_body.0,
        upload_body: settings.max_upload.0,
        fields: settings.max_fields as usize,
        body_pause: settings.pause,
        ..parse::Limits::default()
    }
}
