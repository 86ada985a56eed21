//! Uploads: takes the files of a form into the store, and answers with them.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, StatusCode};

use super::Tools;
use crate::flow::body::{FilePart, UploadSink};
use crate::flow::{Answer, Content, OpenFile, RemoteFile, Visit};
use crate::problem::{Kind, Problem};
use crate::site::Endpoint;
use crate::sqlfile::{Parameter, Type};
use crate::uploads::{Incoming, Stored, Upload, Uploads};
use crate::value::{Kind as ValueKind, Value};

/// The largest file of a parameter without a `max` of its own.
const DEFAULT_MAX: u64 = 10 * 1024 * 1024;

const FIND: &str = "select name, type, size, sha256 from uploads where id = $1";

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
pub async fn answer(tools: &Tools<'_>, id: &str, visit: &Visit) -> Result<Answer, Problem> {
    if !visit.only_asks() {
        return Err(Problem::new(Kind::NoSuchMethod(vec!["GET", "HEAD"]), "An upload can only be read."));
    }
    let answer = find(tools, id).await?;
    // The bytes of an id never change.
    let forever = HeaderValue::from_static("private, max-age=31536000, immutable");
    Ok(answer.header(CACHE_CONTROL, forever))
}

/// An upload as an answer, whoever may see it.
pub(super) async fn find(tools: &Tools<'_>, id: &str) -> Result<Answer, Problem> {
    let (Some(database), Some(uploads)) = (tools.database, tools.uploads) else { return Err(Problem::not_found()) };
    let limit = tools.site.settings.query_time;
    let rows = database
        .here(limit, async |snapshot| snapshot.only(FIND, &[ValueKind::Text.one()], &[Value::from(id)], 1).await)
        .await
        .map_err(Problem::from)?;
    let [name, content_type, Value::Int(size), sha256] = rows.row(0) else { return Err(Problem::not_found()) };
    let broken = |error| Problem::broken(format!("upload {id}: {error}"));
    let stored = uploads.read(id, u64::try_from(*size).unwrap_or(0)).map_err(broken)?;
    let etag = HeaderValue::from_str(&format!("\"{}\"", sha256.as_str().unwrap_or(id))).ok();
    let content = match stored {
        Some(Stored::File(file)) => Content::File(Box::new(OpenFile::of(file, etag).map_err(broken)?)),
        Some(Stored::Remote(remote)) => Content::Remote(Box::new(RemoteFile { remote, etag })),
        None => return Err(Problem::broken(format!("upload {id} has a row but no file"))),
    };
    Ok(told(name.as_str().unwrap_or(""), content_type.as_str().unwrap_or(""), content))
}

fn told(name: &str, content_type: &str, content: Content) -> Answer {
    let shown = SHOWN.contains(&content_type);
    let content_type = match content_type {
        "text/plain" => "text/plain; charset=utf-8",
        _ if shown => content_type,
        _ => "application/octet-stream",
    };
    let content_type =
        HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    Answer::of_type(content_type, content)
        .status(StatusCode::OK)
        // An SVG or PDF of a visitor runs no script and loads nothing in the name of the site.
        .header(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
        )
        .header(CONTENT_DISPOSITION, disposition(if shown { "inline" } else { "attachment" }, name))
}

/// `Content-Disposition` with the file's name in the form that carries any character (RFC 6266, RFC 8187).
fn disposition(kind: &str, name: &str) -> HeaderValue {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    HeaderValue::from_str(&format!("{kind}; filename*=UTF-8''{name}")).unwrap_or(HeaderValue::from_static("attachment"))
}

/// The largest file of a parameter, in bytes.
fn most(parameter: &Parameter) -> u64 {
    parameter.max_bytes.unwrap_or(DEFAULT_MAX)
}

/// Why a file that is in the store is refused for a parameter; `None` when it is as declared.
pub(super) fn refusal(parameter: Option<&Parameter>, upload: &Upload) -> Option<String> {
    let Some(parameter) = parameter.filter(|parameter| parameter.kind == Type::File) else {
        return Some("No file is taken here.".into());
    };
    if !parameter.accepts_file(&upload.name, &upload.content_type) {
        return Some(parameter.wrong_file_message());
    }
    (upload.size > most(parameter)).then(|| parameter.large_file_message())
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
        if let Some((uploads, ids)) = self.stored.take() {
            ids.iter().for_each(|id| uploads.keep(id));
        }
    }

    /// Nobody knows whether the action committed: a sweep will tell.
    pub(super) fn leave(&mut self) {
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
    /// The file parameters of all actions of the address: which action it is, is known only after the body. Each
    /// action asks [`refusal`] for its own.
    parameters: Vec<&'t Parameter>,
    /// The file that is on its way, and its field.
    current: Option<(Incoming, String)>,
    stored: Files,
}

impl<'t> Taker<'t> {
    /// Takes files for the file parameters of all actions of an endpoint.
    ///
    /// # Errors
    /// A plain folder has no upload store.
    pub fn new(tools: &Tools<'t>, endpoint: &'t Endpoint) -> Result<Taker<'t>, Problem> {
        let uploads = tools.uploads.ok_or_else(|| Problem::broken("a plain folder has no upload store"))?;
        let parameters = endpoint.actions.iter().flat_map(|(_, action)| &action.script.parameters);
        let parameters = parameters.filter(|parameter| parameter.kind == Type::File).collect();
        Ok(Taker { uploads, parameters, current: None, stored: Files::default() })
    }

    /// The parameters that a field may be meant for.
    fn meant(&self, field: &str) -> impl Iterator<Item = &'t Parameter> {
        self.parameters.iter().copied().filter(move |parameter| *parameter.name == *field)
    }

    /// The files that were taken, to be kept or removed with the action.
    pub fn into_files(self) -> Files {
        self.stored
    }
}

impl UploadSink for Taker<'_> {
    type Upload = Result<Upload, String>;

    async fn begin(&mut self, part: &FilePart) -> Result<(), Problem> {
        if self.meant(&part.field).next().is_none() {
            return Err(Problem::malformed(format!("The form has no file field `{}`.", part.field)));
        }
        self.current = Some((self.uploads.begin(&part.file_name, &part.content_type)?, part.field.clone()));
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), Problem> {
        let Some((mut incoming, field)) = self.current.take() else { return Ok(()) };
        let size = incoming.write(&piece).await?;
        let largest = self.meant(&field).max_by_key(|parameter| most(parameter));
        if let Some(parameter) = largest.filter(|parameter| size > most(parameter)) {
            return Err(Problem::new(Kind::TooLarge, parameter.large_file_message()));
        }
        self.current = Some((incoming, field));
        Ok(())
    }

    /// A file of the wrong type is an error of its field; the form is shown again with what else was sent.
    async fn finish(&mut self) -> Result<Result<Upload, String>, Problem> {
        let Some((incoming, field)) = self.current.take() else {
            return Err(Problem::broken("a file ended that never began"));
        };
        let content_type = incoming.content_type();
        let fits = self.meant(&field).any(|parameter| parameter.accepts_file(incoming.name(), &content_type));
        if let (false, Some(parameter)) = (fits, self.meant(&field).next()) {
            return Ok(Err(parameter.wrong_file_message()));
        }
        let upload = incoming.finish().await?;
        self.stored.add(self.uploads, upload.id.clone());
        Ok(Ok(upload))
    }
}
