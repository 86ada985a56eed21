//! Answers with a static file, a redirect of the static index, or a folder's list.

mod listing;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, RANGE};
use http::{HeaderValue, Method, StatusCode};

use crate::compress::{BY_SIZE, Encoding};
use crate::flow::{Answer, Content, OpenFile, Visit};
use crate::problem::{Kind, Problem};
use crate::site::statics::{Found, OnDisk, Reading, StaticFile, Statics};

/// What a file knows.
const METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// An address with the fingerprint of its bytes never has others.
const FOR_A_YEAR: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Answers a visit with what the index found at its path; `Ok(None)` when nothing static stands there.
///
/// Other methods than GET, HEAD and OPTIONS are `NoSuchMethod`; on an address that only leads elsewhere, nothing
/// static stands for them, so that an action may be there.
pub fn answer(statics: &Statics, found: Found, visit: &Visit) -> Result<Option<Answer>, Problem> {
    match found {
        Found::Nothing => Ok(None),
        Found::File(file) => file_answer(&file, visit),
        Found::Moved { .. } | Found::Listing(_) if !visit.only_asks() => Ok(None),
        Found::Moved { to, status } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::PERMANENT_REDIRECT);
            Ok(Some(Answer::redirect(status, &to)))
        }
        Found::Listing(folder) => Ok(Some(listing::answer(&folder, &statics.list(&folder)?))),
    }
}

/// The folder's own page for what is not found (`404.html`), with its status; `None` when it has none.
pub fn not_found(statics: &Statics, visit: &Visit) -> Option<Answer> {
    let file = statics.not_found_page()?;
    let answer = read(&file, visit).ok()??;
    Some(answer.status(StatusCode::NOT_FOUND))
}

fn file_answer(file: &StaticFile, visit: &Visit) -> Result<Option<Answer>, Problem> {
    if visit.method == Method::OPTIONS {
        return Ok(Some(Answer::options(&METHODS)));
    }
    if !visit.only_asks() {
        return Err(Problem::new(Kind::NoSuchMethod(METHODS.to_vec()), "A file can only be read."));
    }
    read(file, visit)
}

fn read(file: &StaticFile, visit: &Visit) -> Result<Option<Answer>, Problem> {
    // A part is a part of the file as it is.
    let encoding = || if visit.headers.has(RANGE) { None } else { encoding(visit) };
    let unreadable =
        |error| Problem::not_found().caused_by(format!("{} can't be read: {error}", file.relative().display()));
    match file.read(encoding).map_err(unreadable)? {
        Reading::Gone => Ok(None),
        Reading::Kept(loaded) => {
            let for_a_year = names(visit.query(), loaded.fingerprint());
            let answer = Answer { content: Content::Static(loaded), ..Answer::empty(StatusCode::OK) };
            Ok(Some(if for_a_year { answer.header(CACHE_CONTROL, FOR_A_YEAR) } else { answer }))
        }
        Reading::Open(open) => {
            let for_a_year = names(visit.query(), &open.version);
            let answer = on_disk(*open);
            Ok(Some(if for_a_year { answer.header(CACHE_CONTROL, FOR_A_YEAR) } else { answer }))
        }
    }
}

fn on_disk(open: OnDisk) -> Answer {
    let OnDisk { file, stamp, etag, headers, .. } = open;
    let content = Content::File(Box::new(OpenFile { file, stamp, etag: Some(etag) }));
    Answer { headers, content, ..Answer::empty(StatusCode::OK) }
}

/// Whether a query text is `v=` and this fingerprint.
fn names(query: &str, fingerprint: &str) -> bool {
    query.strip_prefix("v=").is_some_and(|named| named == fingerprint)
}

fn encoding(visit: &Visit) -> Option<Encoding> {
    Encoding::choose(visit.header(ACCEPT_ENCODING)?, &BY_SIZE)
}
