//! Reads the body of a request by its type: a form, urlencoded or multipart, or a JSON document.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;

use super::multipart;
use super::pace::Paced;
use super::{Limits, query};
use crate::flow::Visit;
use crate::flow::body::{Form, Sent, UploadSink};
use crate::problem::{Kind, Problem};

/// Reads a body. Files go to `sink` in pieces; an empty file field (no name, no bytes) is left out.
///
/// Problems: `TooLarge`, `UnsupportedType`, `TooSlow`, `Malformed` (bad UTF-8, NUL, too many fields, broken framing,
/// bad JSON), and what the sink says.
pub async fn body<B, S>(visit: &Visit, body: B, limits: &Limits, sink: &mut S) -> Result<Sent<S::Upload>, Problem>
where
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: std::fmt::Display,
    S: UploadSink,
{
    if body.is_end_stream() {
        return Ok(Sent::Nothing);
    }
    let kind = body_type(visit.header(CONTENT_TYPE).unwrap_or(""))?;
    let largest = if matches!(kind, BodyType::Multipart(_)) { limits.upload_body } else { limits.body };
    if announced(visit).is_some_and(|length| length > largest) {
        return Err(too_large(largest));
    }
    let body = Paced::new(body, limits, largest);
    match kind {
        BodyType::Urlencoded => {
            let texts = query::pairs(&whole(body).await?, limits.fields)?;
            Ok(Sent::Form(Form { texts, files: Vec::new() }))
        }
        BodyType::Json => json(&whole(body).await?, limits.json_depth).map(Sent::Json),
        BodyType::Multipart(boundary) => {
            // Its state is large, and most forms come without files.
            Box::pin(multipart::read(body, boundary, limits, sink)).await.map(Sent::Form)
        }
        BodyType::Other(name) => match whole(body).await?.is_empty() {
            true => Ok(Sent::Nothing),
            false => Err(unsupported(&name)),
        },
    }
}

/// The types that an action reads.
enum BodyType {
    Urlencoded,
    Json,
    Multipart(String),
    Other(String),
}

/// What browsers send without files.
const FORM: &str = "application/x-www-form-urlencoded";

fn body_type(text: &str) -> Result<BodyType, Problem> {
    if text == FORM {
        return Ok(BodyType::Urlencoded);
    }
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or("").trim().to_ascii_lowercase();
    if let Some(charset) = parameter(text, "charset")
        && !charset.eq_ignore_ascii_case("utf-8")
        && !charset.eq_ignore_ascii_case("us-ascii")
    {
        return Err(unsupported(text));
    }
    Ok(match name.as_str() {
        FORM => BodyType::Urlencoded,
        "application/json" => BodyType::Json,
        name if name.starts_with("application/") && name.ends_with("+json") => BodyType::Json,
        "multipart/form-data" => BodyType::Multipart(
            multer::parse_boundary(text).map_err(|_| Problem::malformed("The form's type names no boundary."))?,
        ),
        _ => BodyType::Other(name),
    })
}

/// A parameter of a header's value, without quotes.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let pairs = header.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches('"'))
}

/// The size that the client announces.
fn announced(visit: &Visit) -> Option<u64> {
    visit.header(CONTENT_LENGTH)?.parse().ok()
}

fn too_large(largest: u64) -> Problem {
    Problem::new(Kind::TooLarge, "What you sent is too large.").caused_by(format!("the limit is {largest} bytes"))
}

fn unsupported(name: &str) -> Problem {
    let public = "Nothing here reads a body of this type.";
    Problem::new(Kind::UnsupportedType, public).caused_by(format!("Content-Type: {name}"))
}

/// Reads a body whole; its size is bounded by [`Paced`].
async fn whole<B>(mut body: Paced<B>) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|trouble| Problem::from(&trouble))?;
        let Ok(piece) = frame.into_data() else { continue };
        let is_last = body.is_end_stream();
        if is_last && bytes.is_empty() {
            // Most come in one piece.
            return Ok(piece);
        }
        bytes.extend_from_slice(&piece);
        if is_last {
            break;
        }
    }
    Ok(bytes.freeze())
}

fn json(bytes: &[u8], depth: usize) -> Result<serde_json::Value, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::malformed("The JSON that was sent is not UTF-8."))?;
    if nesting(text) > depth {
        return Err(Problem::malformed(format!("The JSON that was sent nests deeper than {depth}.")));
    }
    serde_json::from_str(text)
        .map_err(|fault| Problem::malformed(format!("The JSON that was sent can't be read: {fault}.")))
}

/// How deep arrays and objects nest, counted without building anything.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests;
