//! The cache on the way of a request: what an answer's key is made of, what is looked up, what is kept.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use http::header::{CACHE_CONTROL, PRAGMA};

use crate::answer::{self, Chosen, Keep, Tools};
use crate::cache::{self, Cache, Entry, Key};
use crate::flow::visitor::{Aspect, Visitor};
use crate::flow::{Answer, Content, Kept, Making, Visit};
use crate::problem::Problem;
use crate::respond;
use crate::site::{Match, Site};
use crate::sqlfile::Results;

/// What the cache said to a request.
#[derive(Debug)]
pub(super) enum Looked {
    /// The answer is kept and current.
    Hit(Arc<Kept>),
    /// It is to be made.
    Miss(Keep),
}

/// Looks an answer up. What any answer of the page has read of its visitor is a part of the key; to know who that is
/// may need a question of the database.
///
/// # Errors
/// The database can't be asked.
pub(super) async fn look(
    cache: &Cache<Kept>,
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    found: &Match,
    wanted: Option<&str>,
) -> Result<Looked, Problem> {
    let never = Ok(Looked::Miss(Keep::No));
    let (Some(chosen), Some(database), true) = (Chosen::of(found, wanted), tools.database, cache.is_on()) else {
        return never;
    };
    let (keeping, versions, began) = (chosen.keeping(), database.versions(), Instant::now());
    let off = match keeping.tables(versions) {
        Err(why) => Some(why),
        Ok(_) if found.endpoint.visit.is_some() => Some("off: a visit action runs first".into()),
        Ok(_) if shows_flash(chosen, visitor) => Some("off: it shows a message once".into()),
        Ok(_) => None,
    };
    if let Some(why) = off {
        visit.trace.record("cache", why, began);
        return never;
    }
    // Programs that must see what somebody else was told a moment ago say so.
    if wants_fresh(visit) {
        visit.trace.record("cache", "passed by", began);
        return Ok(Looked::Miss(Keep::Yes(None)));
    }
    let aspects = keeping.aspects();
    if aspects & Aspect::Identity as u8 != 0 {
        answer::identify(tools, visitor).await?;
    }
    let key = key(tools.site, visit, visitor, found, (chosen, wanted), aspects);
    Ok(match cache.find(&key, versions) {
        cache::Found::Current(kept) => {
            visit.trace.record("cache", "hit", began);
            Looked::Hit(kept)
        }
        cache::Found::Before(entry) => {
            match versions.changed_of(&entry.stamp) {
                Some(table) => visit.trace.record("cache", Arc::<str>::from(format!("changed: {table}")), began),
                None => visit.trace.record("cache", "old", began),
            }
            Looked::Miss(Keep::Yes(Some(entry)))
        }
        cache::Found::Nothing => {
            visit.trace.record("cache", "miss", began);
            Looked::Miss(Keep::Yes(None))
        }
    })
}

/// Keeps an answer that was made, as it will be sent, and gives it so.
pub(super) fn keep(
    cache: &Cache<Kept>,
    site: &Site,
    visit: &mut Visit,
    visitor: &Visitor,
    (found, wanted): (&Match, Option<&str>),
    mut answer: Answer,
) -> Answer {
    let (Some(making), Some(chosen)) = (answer.keeping.take(), Chosen::of(found, wanted)) else { return answer };
    // The first of two that were made at once has found out what counts; a HEAD says no more than its GET.
    let aspects = chosen.keeping().add_aspects(making.aspects);
    let kept = match &answer.content {
        Content::Kept(kept) => {
            visit.trace.record("cache", "revalidated", Instant::now());
            kept.clone()
        }
        _ => match respond::keep(&answer, &site.headers) {
            Some(kept) => Arc::new(kept),
            None => return answer,
        },
    };
    let key = key(site, visit, visitor, found, (chosen, wanted), aspects);
    let Making { stamp, results, until, .. } = *making;
    let bytes = weight(&kept) + results.iter().map(Results::bytes).sum::<u64>();
    cache.keep(key, Entry { value: kept.clone(), results, stamp, until, bytes });
    Answer::kept(kept)
}

/// About what an answer takes: its bytes, as much again for its compressed forms, and its headers.
fn weight(kept: &Kept) -> u64 {
    1024 + kept.plain.bytes.len() as u64 * 2
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
/// page have read of their visitors so far.
fn key(
    site: &Site,
    visit: &Visit,
    visitor: &Visitor,
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
