//! The cache on the way of a request: what an answer's key is made of, what is looked up, what is kept.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use http::Method;
use http::header::{CACHE_CONTROL, PRAGMA};
use tokio::time::timeout;

use crate::access;
use crate::answer::{self, Chosen, Keep, Tools};
use crate::cache::flights::{Boarding, Landing, Maker};
use crate::cache::{Cache, Entry, Key};
use crate::database::versions::{TableSet, Versions};
use crate::flow::visitor::{Aspect, Visitor};
use crate::flow::{self, Answer, Content, Visit};
use crate::parcel::Parcel;
use crate::parse;
use crate::problem::{Kind, Problem};
use crate::respond;
use crate::settings::Caching;
use crate::site::keeping::Keeping;
use crate::site::{Match, Site};
use crate::sqlfile::Results;
use crate::trace::Detail;

/// What the cache said to a request.
#[derive(Debug)]
pub(super) enum Looked<'c> {
    /// The answer is kept and current.
    Hit(Arc<Parcel>),
    /// It is to be made.
    Miss(Keep, Making<'c>),
}

/// An answer that is to be made.
#[derive(Debug)]
pub(super) struct Making<'c> {
    cache: &'c Cache<Parcel>,
    /// Those who wait for it, and what its key says of the visitor.
    flight: Option<(Maker<'c, Parcel>, u8)>,
}

/// How often somebody waits for an answer whose maker goes without a word.
const TRIES: usize = 3;

/// The answer that is kept, current, everybody's, and bound to no rule: the one that needs neither the visitor nor a wait.
/// [`look`] finds all others.
pub(super) fn ready(
    cache: &Cache<Parcel>,
    site: &Site,
    versions: &Versions,
    visit: &mut Visit,
    found: &Match,
    wanted: Option<&str>,
) -> Option<Arc<Parcel>> {
    let endpoint = &found.endpoint;
    let open = endpoint.rules.is_empty() && endpoint.visit.is_none() && endpoint.caching == Caching::Fresh;
    if !open || !visit.only_asks() || !cache.is_on() {
        return None;
    }
    let chosen = Chosen::of(found, wanted)?;
    let keeping = chosen.keeping();
    let everybodys = keeping.aspects() & !(Aspect::Line as u8) == 0 && !keeping.requires();
    let secret = found.value(super::TOKEN).is_some() || visit.bearer().is_some();
    let flash = brings_flash(chosen, visit);
    if !everybodys || secret || flash || wants_fresh(visit) || keeping.tables(versions).is_err() {
        return None;
    }
    let key = key(site, visit, None, found, (chosen, wanted), keeping.aspects());
    let entry = cache.find(&key).filter(|entry| entry.is_current(versions))?;
    visit.trace.record_next("cache", "hit");
    Some(entry.value.clone())
}

/// Looks an answer up, and waits for one that is being made. What any answer of the page has read of its visitor is a part
/// of the key; to know who that is may need a question of the database.
///
/// # Errors
/// The database can't be asked; the answer takes too long.
pub(super) async fn look<'c>(
    cache: &'c Cache<Parcel>,
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    wanted: Option<&str>,
) -> Result<Looked<'c>, Problem> {
    let own = Making { cache, flight: None };
    let (Some(chosen), Some(database), true) = (Chosen::of(found, wanted), tools.database, cache.is_on()) else {
        return Ok(Looked::Miss(Keep::No, own));
    };
    let (keeping, versions, began) = (chosen.keeping(), database.versions(), visit.trace.last_end());
    let caching = found.endpoint.caching;
    let tables = match may_keep(keeping, versions, visitor, found, chosen) {
        Ok(tables) => tables,
        Err(why) => {
            visit.trace.record("cache", why, began);
            return Ok(Looked::Miss(Keep::No, own));
        }
    };
    let made_again = |before, stamp, by_rows| Keep::Yes { before, stamp, taken: began, by_rows };
    // Programs that must see what somebody else was told a moment ago say so.
    if wants_fresh(visit) {
        visit.trace.record("cache", "passed by", began);
        return Ok(Looked::Miss(made_again(None, versions.current(tables), false), own));
    }
    let aspects = keeping.aspects();
    if aspects & Aspect::Identity as u8 != 0 {
        answer::identify(tools, visitor).await?;
    }
    let key = key(tools.site, visit, Some(visitor), found, (chosen, wanted), aspects);
    for _ in 0..TRIES {
        let before = cache.find(&key);
        if let Some(entry) = &before
            && let Some(how) = will_do(entry, caching, visit, versions, began)
        {
            visit.trace.record("cache", how, began);
            return Ok(Looked::Hit(entry.value.clone()));
        }
        let stamp = versions.current(tables);
        // What is being made may have been read before this request came, and so before what others wrote.
        let boarding = match keeping.is_shared() && caching != Caching::Strict {
            true => cache.flights.board(&key, &stamp, versions),
            false => Boarding::Walk,
        };
        let flight = match boarding {
            Boarding::Make(maker) => Some((maker, aspects)),
            Boarding::Walk => None,
            Boarding::Join(joiner) => match timeout(tools.site.settings.query_time, joiner.landing()).await {
                Ok(Landing::Shared(kept)) => {
                    visit.trace.record("cache", "joined", began);
                    return Ok(Looked::Hit(kept));
                }
                Ok(Landing::Alone) => None,
                Ok(Landing::Lost) => continue,
                Err(_) => return Err(Problem::new(Kind::Busy, "This takes too long right now.")),
            },
        };
        visit.trace.record("cache", why_made(before.as_deref(), versions), began);
        return Ok(Looked::Miss(made_again(before, stamp, caching != Caching::Strict), Making { cache, flight }));
    }
    visit.trace.record("cache", "miss", began);
    Ok(Looked::Miss(made_again(None, versions.current(tables), true), own))
}

/// Whether an answer that was kept is sent as it stands, and how that is called.
fn will_do(
    entry: &Entry<Parcel>,
    caching: Caching,
    visit: &Visit,
    versions: &Versions,
    now: Instant,
) -> Option<&'static str> {
    match caching {
        Caching::Off | Caching::Strict => None,
        Caching::Fresh => entry.is_current(versions).then_some("hit"),
        Caching::MaxStale(_) if entry.is_current(versions) => {
            entry.see(now);
            Some("hit")
        }
        // Who has written something sees it.
        Caching::MaxStale(_) if parse::cookie(&visit.headers, answer::session::WROTE).is_some() => None,
        Caching::MaxStale(time) => entry.was_current_within(time).then_some("stale"),
    }
}

/// The tables that an answer depends on, or why it is made each time.
fn may_keep<'k>(
    keeping: &'k Keeping,
    versions: &Versions,
    visitor: &Visitor,
    found: &Match,
    chosen: Chosen<'_>,
) -> Result<&'k TableSet, Detail> {
    let tables = keeping.tables(versions)?;
    match () {
        () if found.endpoint.caching == Caching::Off => Err("off: a rule of site.toml says so".into()),
        () if found.endpoint.visit.is_some() => Err("off: a visit action runs first".into()),
        () if shows_flash(chosen, visitor) => Err("off: it shows a message once".into()),
        () => Ok(tables),
    }
}

/// Why an answer is made although one may have been kept.
fn why_made(before: Option<&Entry<Parcel>>, versions: &Versions) -> Detail {
    let Some(entry) = before else { return "miss".into() };
    match versions.changed_of(&entry.stamp) {
        Some(table) => Arc::<str>::from(format!("changed: {table}")).into(),
        // By somebody of whom this node has not heard.
        None if entry.is_current(versions) => "changed".into(),
        None => "old".into(),
    }
}

/// An answer that is kept, to somebody of whom it requires nothing, or nothing in vain.
///
/// # Errors
/// What it requires doesn't hold.
pub(super) async fn kept(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    (found, wanted): (&Match, Option<&str>),
    kept: Arc<Parcel>,
    most_fields: usize,
) -> Result<Answer, Problem> {
    if let Some(chosen) = Chosen::of(found, wanted).filter(|chosen| chosen.keeping().requires()) {
        let pairs = parse::query_pairs(visit.query(), most_fields)?;
        answer::require(tools, visit, visitor, (found, chosen), &pairs).await?;
    }
    Ok(Answer::kept(kept))
}

impl Making<'_> {
    /// Takes an answer that was made: keeps it as it will be sent, if it may be kept, and shares it with those who wait.
    ///
    /// # Errors
    /// Those of the answer.
    pub(super) fn made(
        self,
        site: &Site,
        visit: &mut Visit,
        visitor: &Visitor,
        (found, wanted, keep): (&Match, Option<&str>, &Keep),
        answer: Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        let Making { cache, flight } = self;
        let mut read = None;
        let answer = answer.map(|mut answer| match (answer.keeping.take(), Chosen::of(found, wanted), keep) {
            (Some(making), Some(chosen), Keep::Yes { before, taken, .. }) => {
                chosen.keeping().note_alone(false);
                read = Some(making.aspects);
                let answer = with_headers(site, visit, found, answer);
                let made = Made { answer, making: *making, before: before.as_deref(), taken: *taken };
                keep_it(cache, site, visit, visitor, (found, chosen, wanted), made)
            }
            (None, Some(chosen), Keep::Yes { .. }) => {
                chosen.keeping().note_alone(true);
                answer
            }
            _ => answer,
        });
        if let Some((maker, known)) = flight {
            maker.land(match (&answer, read) {
                (Ok(Answer { content: Content::Kept(kept), .. }), Some(read)) if read & !known == 0 => {
                    Landing::Shared(kept.clone())
                }
                _ => Landing::Alone,
            });
        }
        answer
    }
}

/// What every answer carries to whom it is sent, so that it is kept with it.
fn with_headers(site: &Site, visit: &Visit, found: &Match, answer: Answer) -> Answer {
    if matches!(answer.content, Content::Kept(_)) {
        return answer;
    }
    let mut answer = access::unshared(&found.endpoint.rules, &visit.method, answer);
    super::add_headers(site, visit, &mut answer);
    answer
}

/// An answer that was made.
struct Made<'m> {
    answer: Answer,
    making: flow::Making,
    /// What was kept before.
    before: Option<&'m Entry<Parcel>>,
    /// A moment before any of its rows was read.
    taken: Instant,
}

/// Keeps an answer, and gives it as it is kept.
fn keep_it(
    cache: &Cache<Parcel>,
    site: &Site,
    visit: &mut Visit,
    visitor: &Visitor,
    (found, chosen, wanted): (&Match, Chosen<'_>, Option<&str>),
    Made { answer, making, before, taken }: Made<'_>,
) -> Answer {
    // The first of two that were made at once has found out what counts; a HEAD says no more than its GET.
    let aspects = chosen.keeping().add_aspects(making.aspects);
    let (kept, weight) = match (&answer.content, before) {
        (Content::Kept(kept), Some(before)) => {
            visit.trace.record("cache", "revalidated", Instant::now());
            (kept.clone(), before.bytes - held(&before.results))
        }
        _ => match respond::keep(&answer, &site.headers) {
            // What came out the same keeps its compressed forms.
            Some((kept, weight)) => match before.filter(|before| before.value.is_same(&kept)) {
                Some(before) => (before.value.clone(), before.bytes - held(&before.results)),
                None => (Arc::new(kept), weight as u64),
            },
            None => return answer,
        },
    };
    let key = key(site, visit, Some(visitor), found, (chosen, wanted), aspects);
    let flow::Making { stamp, rows, results, until, .. } = making;
    let seen = AtomicU64::new(0);
    let bytes = weight + held(&results);
    cache.keep(Entry { key, stamp, until, value: kept.clone(), seen, taken, rows, results, bytes });
    Answer::kept(kept)
}

/// About how many bytes rows take that are kept beside an answer.
fn held(results: &Option<Arc<Vec<Results>>>) -> u64 {
    results.iter().flat_map(|results| results.iter()).map(Results::bytes).sum()
}

/// Whether the visitor may have a message to be shown once, on a page that shows such.
fn brings_flash(chosen: Chosen<'_>, visit: &Visit) -> bool {
    matches!(chosen, Chosen::Page(page) if page.uses.flash)
        && parse::cookie(&visit.headers, answer::flash::cookie_name(visit.secure)).is_some()
}

fn shows_flash(chosen: Chosen<'_>, visitor: &Visitor) -> bool {
    matches!(chosen, Chosen::Page(page) if page.uses.flash) && visitor.flash().is_some()
}

/// Whether the client asks past caches (RFC 9111, 5.2.1.4), or has written something a moment ago, perhaps at another
/// node.
fn wants_fresh(visit: &Visit) -> bool {
    visit.header(CACHE_CONTROL).is_some_and(|text| text.contains("no-cache") || text.contains("no-store"))
        || visit.header(PRAGMA).is_some_and(|text| text.contains("no-cache"))
        || visit.is_fresh
}

/// The key of an answer: the snapshot of the site, the address, the form that is wanted, and whatever answers of this
/// page have read of their visitors so far. Without a visitor it is the key of an answer that is everybody's.
fn key(
    site: &Site,
    visit: &Visit,
    visitor: Option<&Visitor>,
    found: &Match,
    (chosen, wanted): (Chosen<'_>, Option<&str>),
    aspects: u8,
) -> Key {
    let mut key = Key::default();
    key.push(&site.generation.to_le_bytes());
    key.push(visit.path().as_bytes());
    key.push(&[aspects, u8::from(found.format.is_some())]);
    key.push(wanted.unwrap_or("").as_bytes());
    let (scripts, block) = match chosen {
        Chosen::Page(page) => (&page.scripts[..], block(site, visit, page)),
        Chosen::Data(_, data) => (std::slice::from_ref(&data.script), ""),
    };
    key.push(block.as_bytes());
    let has = |aspect: Aspect| aspects & aspect as u8 != 0;
    let takes = scripts.iter().any(|script| script.parameters.iter().any(|parameter| !parameter.from_path));
    if takes || has(Aspect::Line) {
        key.push(visit.query().as_bytes());
    }
    if has(Aspect::Line) && visit.method != Method::GET {
        key.push(visit.method.as_str().as_bytes());
    }
    let Some(visitor) = visitor else { return key };
    if has(Aspect::Host) {
        key.push(&[u8::from(visit.secure)]);
        key.push(visitor.host().unwrap_or("").as_bytes());
    }
    if has(Aspect::Address) {
        key.push(visitor.address().to_string().as_bytes());
    }
    if has(Aspect::Identity) {
        identity(&mut key, visitor);
    }
    key
}

/// Who the visitor is, in all that an answer can show of them.
fn identity(key: &mut Key, visitor: &Visitor) {
    let identity = visitor.identity();
    key.push(identity.session.as_deref().unwrap_or("").as_bytes());
    let Some(user) = &identity.user else { return };
    key.push(&user.id.to_le_bytes());
    key.push(&[u8::from(user.confirmed), u8::from(user.name.is_some())]);
    for text in [&user.email, &user.created_at].into_iter().chain(&user.name).chain(user.roles.iter()) {
        key.push(text.as_bytes());
    }
}

/// The block that alone is wanted; all names that are none are one.
fn block<'v>(site: &Site, visit: &'v Visit, page: &crate::site::Page) -> &'v str {
    match visit.header(super::HX_TARGET) {
        Some(name) if page.block(&site.templates, name).is_some() => name,
        _ => "",
    }
}
