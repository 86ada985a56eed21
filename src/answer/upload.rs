//! Uploads: takes the files of a form into the store, and answers with them.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, StatusCode};

use super::Tools;
use crate::database::Limit;
use crate::flow::body::{FilePart, UploadSink};
use crate::flow::{Answer, Content, OpenFile, Visit};
use crate::problem::{Kind, Problem};
use crate::site::Endpoint;
use crate::sqlfile::{Parameter, Type};
use crate::uploads::{Incoming, Upload, Uploads, accepts};
use crate::value::Value;

/// The largest file of a parameter without a `max` of its own.
const DEFAULT_MAX: u64 = 10 * 1024 * 1024;

const FIND: &str = "select name, type from uploads where id = ?1";

/// Types that browsers show without running anything of the file's own.
const SHOWN: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/svg+xml",
    "application/pdf",
    "text/plain",
];

/// Answers with an upload by its id, which cannot be guessed.
///
/// # Errors
/// Nothing there; the database or the store can't be read.
pub fn answer(tools: &Tools<'_>, id: &str, visit: &Visit) -> Result<Answer, Problem> {
    if !visit.only_asks() {
        return Err(Problem::new(Kind::NoSuchMethod(vec!["GET", "HEAD"]), "An upload can only be read."));
    }
    let answer = find(tools, id)?;
    // The bytes of an id never change.
    let forever = HeaderValue::from_static("private, max-age=31536000, immutable");
    Ok(answer.header(CACHE_CONTROL, forever))
}

/// An upload as an answer, whoever may see it.
pub(super) fn find(tools: &Tools<'_>, id: &str) -> Result<Answer, Problem> {
    let (Some(database), Some(uploads)) = (tools.database, tools.uploads) else { return Err(Problem::not_found()) };
    let limit = tools.site.settings.query_time;
    let rows = database
        .here(limit, |snapshot| snapshot.only(FIND, &[Value::from(id)], Limit::AtMost(1)))
        .map_err(Problem::from)?;
    let file = uploads.read(id).map_err(|error| Problem::broken(format!("upload {id}: {error}")))?;
    match (rows.row(0), file) {
        ([name, content_type], Some(file)) => {
            told(name.as_str().unwrap_or(""), content_type.as_str().unwrap_or(""), id, file)
        }
        ([_, ..], None) => Err(Problem::broken(format!("upload {id} has a row but no file"))),
        _ => Err(Problem::not_found()),
    }
}

fn told(name: &str, content_type: &str, id: &str, file: std::fs::File) -> Result<Answer, Problem> {
    let shown = SHOWN.contains(&content_type);
    let content_type = match content_type {
        "text/plain" => "text/plain; charset=utf-8",
        _ if shown => content_type,
        _ => "application/octet-stream",
    };
    let etag = HeaderValue::from_str(&format!("\"{id}\"")).ok();
    let open = OpenFile::of(file, etag).map_err(|error| Problem::broken(format!("upload {id}: {error}")))?;
    let content_type =
        HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let answer = Answer::of_type(content_type, Content::File(Box::new(open)))
        .status(StatusCode::OK)
        // An SVG or PDF of a visitor runs no script and loads nothing in the name of the site.
        .header(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
        )
        .header(CONTENT_DISPOSITION, disposition(if shown { "inline" } else { "attachment" }, name));
    Ok(answer)
}

/// `Content-Disposition` with the file's name in the form that carries any character (RFC 6266, RFC 8187).
fn disposition(kind: &str, name: &str) -> HeaderValue {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    HeaderValue::from_str(&format!("{kind}; filename*=UTF-8''{name}")).unwrap_or(HeaderValue::from_static("attachment"))
}

/// What a file parameter allows.
#[derive(Clone, Debug)]
struct FileRule {
    /// The parameter's name.
    name: std::sync::Arc<str>,
    /// `accept=`; empty for any type.
    accept: Vec<String>,
    /// `max=` in bytes.
    max: u64,
}

impl FileRule {
    fn of(parameter: &Parameter) -> Option<FileRule> {
        (parameter.kind == Type::File).then(|| FileRule {
            name: parameter.name.clone(),
            accept: parameter.accept.iter().map(ToString::to_string).collect(),
            max: parameter.max_bytes.unwrap_or(DEFAULT_MAX),
        })
    }

    /// Lets pass what either rule does.
    fn widen(&mut self, other: FileRule) {
        match self.accept.is_empty() || other.accept.is_empty() {
            true => self.accept.clear(),
            false => self.accept.extend(other.accept),
        }
        self.max = self.max.max(other.max);
    }

    fn accepts(&self, content_type: &str, name: &str) -> bool {
        self.accept.is_empty() || accepts(&self.accept, content_type, name)
    }

    fn wrong_type(&self) -> String {
        format!("Please choose a file of the type {}.", self.accept.join(", "))
    }
}

/// Why a file that is in the store is refused for a parameter; `None` when it is as declared.
pub(super) fn refusal(parameter: Option<&Parameter>, upload: &Upload) -> Option<String> {
    let Some(rule) = parameter.and_then(FileRule::of) else { return Some("No file is taken here.".into()) };
    if !rule.accepts(&upload.content_type, &upload.name) {
        return Some(rule.wrong_type());
    }
    (upload.size > rule.max).then(|| too_large(&rule))
}

fn too_large(rule: &FileRule) -> String {
    format!("The file is larger than {}.", in_words(rule.max))
}

/// Files that a request put into the store. They are removed again when this is dropped, unless they are kept.
#[derive(Debug, Default)]
pub struct Files {
    stored: Option<(Uploads, Vec<std::sync::Arc<str>>)>,
}

impl Files {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.stored.is_none()
    }

    /// The action committed: the files stay.
    pub(super) fn keep(&mut self) {
        self.stored = None;
    }

    fn add(&mut self, uploads: &Uploads, id: std::sync::Arc<str>) {
        self.stored.get_or_insert_with(|| (uploads.clone(), Vec::new())).1.push(id);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some((uploads, ids)) = &self.stored {
            for id in ids {
                uploads.remove(id);
            }
        }
    }
}

/// Takes the files of a form into the store.
#[derive(Debug)]
pub struct Taker<'t> {
    uploads: &'t Uploads,
    rules: Vec<FileRule>,
    current: Option<(Incoming, FileRule)>,
    stored: Files,
}

impl<'t> Taker<'t> {
    /// Takes files for the file parameters of all actions of an endpoint.
    ///
    /// # Errors
    /// A plain folder has no upload store.
    pub fn new(tools: &Tools<'t>, endpoint: &Endpoint) -> Result<Taker<'t>, Problem> {
        let uploads = tools.uploads.ok_or_else(|| Problem::broken("a plain folder has no upload store"))?;
        let parameters = endpoint.actions.iter().flat_map(|(_, action)| &action.script.parameters);
        let mut rules: Vec<FileRule> = Vec::new();
        for rule in parameters.filter_map(FileRule::of) {
            match rules.iter_mut().find(|known| known.name == rule.name) {
                Some(known) => known.widen(rule),
                None => rules.push(rule),
            }
        }
        Ok(Taker { uploads, rules, current: None, stored: Files::default() })
    }

    /// The files that were taken, to be kept or removed with the action.
    pub fn into_files(self) -> Files {
        self.stored
    }
}

impl UploadSink for Taker<'_> {
    type Upload = Result<Upload, String>;

    async fn begin(&mut self, part: &FilePart) -> Result<(), Problem> {
        let Some(rule) = self.rules.iter().find(|rule| *rule.name == *part.field) else {
            return Err(Problem::malformed(format!("The form has no file field `{}`.", part.field)));
        };
        self.current = Some((self.uploads.begin(&part.file_name, &part.content_type)?, rule.clone()));
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), Problem> {
        let Some((incoming, rule)) = &mut self.current else { return Ok(()) };
        let size = incoming.write(&piece)?;
        match size > rule.max {
            true => Err(Problem::new(Kind::TooLarge, too_large(rule))),
            false => Ok(()),
        }
    }

    /// A file of the wrong type is an error of its field; the form is shown again with what else was sent.
    async fn finish(&mut self) -> Result<Result<Upload, String>, Problem> {
        let Some((incoming, rule)) = self.current.take() else {
            return Err(Problem::broken("a file ended that never began"));
        };
        let content_type = incoming.content_type();
        if !rule.accepts(&content_type, incoming.name()) {
            return Ok(Err(rule.wrong_type()));
        }
        // Waiting for the disk must not hold up the other visitors of this core.
        let finished = tokio::task::spawn_blocking(move || incoming.finish()).await;
        let upload = finished.map_err(|error| Problem::broken(format!("upload store: {error}")))??;
        self.stored.add(self.uploads, upload.id.clone());
        Ok(Ok(upload))
    }
}

/// A size as people read it.
fn in_words(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KB", bytes / 1024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}
