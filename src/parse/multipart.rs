//! Reads multipart forms (RFC 7578): text into memory, files piece by piece into a sink.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyDataStream;

use super::pace::{Paced, Trouble};
use super::{Limits, query};
use crate::flow::body::{FilePart, Form, UploadSink};
use crate::problem::Problem;

/// A sink that refuses every file, for actions without a file parameter.
#[derive(Clone, Copy, Debug)]
pub struct NoUploads;

impl UploadSink for NoUploads {
    type Upload = std::convert::Infallible;

    async fn begin(&mut self, part: &FilePart) -> Result<(), Problem> {
        Err(Problem::invalid(part.field.as_str(), "No file is expected here."))
    }

    async fn write(&mut self, _: Bytes) -> Result<(), Problem> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<Self::Upload, Problem> {
        Err(Problem::broken("a file was finished that never began"))
    }
}

/// Bytes between the end of a part and the end of the next part's head; more is a client that fills our memory.
const HEAD_BYTES: u64 = 16 * 1024;

/// Reads all parts.
pub(super) async fn read<B, S>(
    body: Paced<B>,
    boundary: String,
    limits: &Limits,
    sink: &mut S,
) -> Result<Form<S::Upload>, Problem>
where
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: std::fmt::Display,
    S: UploadSink,
{
    let allowance = body.allowance();
    let mut parts = multer::Multipart::new(BodyDataStream::new(body), boundary);
    let (mut form, mut text_left) = (Form { texts: Vec::new(), files: Vec::new() }, limits.body);
    loop {
        allowance.limit(HEAD_BYTES);
        let Some(part) = parts.next_field().await.map_err(broken)? else { return Ok(form) };
        allowance.lift();
        if form.texts.len() + form.files.len() == limits.fields {
            return Err(query::too_many(limits.fields));
        }
        let name = part.name().ok_or_else(|| Problem::malformed("A field of the form has no name."))?.to_string();
        match part.file_name().is_some() {
            true => form.files.extend(file(part, &name, sink).await?.map(|upload| (name, upload))),
            false => form.texts.push((name, text(part, &mut text_left).await?)),
        }
    }
}

/// Hands a file to the sink; `None` for a file field that was left empty.
async fn file<S: UploadSink>(
    mut part: multer::Field<'_>,
    name: &str,
    sink: &mut S,
) -> Result<Option<S::Upload>, Problem> {
    let head = FilePart {
        field: name.to_string(),
        file_name: bare_name(part.file_name().unwrap_or("")).to_string(),
        content_type: part.content_type().map_or(String::new(), |kind| kind.to_string()),
    };
    let mut piece = next_piece(&mut part).await?;
    if piece.is_none() && head.file_name.is_empty() {
        return Ok(None);
    }
    sink.begin(&head).await?;
    while let Some(bytes) = piece {
        sink.write(bytes).await?;
        piece = next_piece(&mut part).await?;
    }
    sink.finish().await.map(Some)
}

/// The next bytes of a part that are not empty.
async fn next_piece(part: &mut multer::Field<'_>) -> Result<Option<Bytes>, Problem> {
    loop {
        match part.chunk().await.map_err(broken)? {
            Some(piece) if piece.is_empty() => {}
            other => return Ok(other),
        }
    }
}

/// Reads a text field; all of a form's text fields together may take what `left` says.
async fn text(mut part: multer::Field<'_>, left: &mut u64) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(&mut part).await? {
        *left = left.checked_sub(piece.len() as u64).ok_or_else(|| Problem::from(&Trouble::Large))?;
        bytes.extend_from_slice(&piece);
    }
    query::text(bytes)
}

/// The last segment of a name that some browsers send with its folders.
fn bare_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or("")
}

fn broken(error: multer::Error) -> Problem {
    match &error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref::<Trouble>() {
            Some(trouble) => Problem::from(trouble),
            None => Problem::malformed("The form broke off.").caused_by(cause.to_string()),
        },
        other => Problem::malformed("The form is garbled.").caused_by(other.to_string()),
    }
}
