//! From a request of the file to what goes over the wire: address, headers, body. Sends nothing itself.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::address::Address;
use super::scope::Scope;
use super::settings::Settings;
use crate::hurl::base64;
use crate::hurl::syntax::{Body, Content, Pair, Part, Request, Span, Wrong};

/// What stays as it is in forms and queries, as in curl: RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request ready to be sent, but for the cookies of the jar.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) headers: HeaderMap,
    /// The cookies of `[Cookies]`, as in a header.
    pub(super) cookies: String,
    pub(super) body: Bytes,
}

/// A body and the media type that it implies.
type Sent = (Bytes, Option<String>);

impl Prepared {
    /// Fills the holes of a request and puts its parts together.
    pub(super) fn build(request: &Request, settings: &Settings, scope: Scope<'_>) -> Result<Prepared, Wrong> {
        let at = |error: String| Wrong::new(request.url.span, error);
        let address = Address::parse(&address_text(request, scope)?, settings.path_as_is).map_err(at)?;
        let uri: Result<http::Uri, _> = address.target.parse();
        uri.map_err(|error| at(format!("`{}` can't stand in an address: {error}", address.target)))?;
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| at(error.to_string()))?;
        let (body, media_type) = body(request, scope)?;
        let mut headers = headers(request, scope, body.len())?;
        add_credentials(&mut headers, request, settings, scope)?;
        add_implied(&mut headers, settings, media_type).map_err(|error| at(error.to_string()))?;
        let cookies = assignments(&request.cookies, scope)?.join("; ");
        Ok(Prepared { method, address, headers, cookies, body })
    }

    /// The request that follows a redirect to `next`: as curl does it, 301 to 303 turn into a GET without body, and
    /// another origin is told neither password nor cookie.
    pub(super) fn redirected(&self, status: u16, next: Address) -> Prepared {
        let mut followed = self.clone();
        if (301..=303).contains(&status) && self.method != Method::GET {
            followed.method = Method::GET;
            followed.body = Bytes::new();
            followed.headers.remove(CONTENT_TYPE);
        }
        if !self.address.same_origin(&next) {
            followed.headers.remove(AUTHORIZATION);
            followed.headers.remove(http::header::COOKIE);
            followed.cookies.clear();
        }
        followed.address = next;
        followed
    }
}

fn address_text(request: &Request, scope: Scope<'_>) -> Result<String, Wrong> {
    let mut text = scope.text(&request.url)?;
    if !request.query.is_empty() {
        match text.find('?') {
            None => text.push('?'),
            Some(at) if at + 1 == text.len() => {}
            Some(_) => text.push('&'),
        }
        text.push_str(&encoded(&request.query, scope)?);
    }
    Ok(text)
}

/// `name=value&…`. Only values are encoded, as in the stock hurl.
fn encoded(pairs: &[Pair], scope: Scope<'_>) -> Result<String, Wrong> {
    let pairs: Result<Vec<String>, Wrong> = pairs
        .iter()
        .map(|pair| {
            let value = scope.text(&pair.value)?;
            Ok(format!("{}={}", scope.text(&pair.name)?, utf8_percent_encode(&value, RESERVED)))
        })
        .collect();
    Ok(pairs?.join("&"))
}

/// `name=value` for each pair.
fn assignments(pairs: &[Pair], scope: Scope<'_>) -> Result<Vec<String>, Wrong> {
    pairs.iter().map(|pair| Ok(format!("{}={}", scope.text(&pair.name)?, scope.text(&pair.value)?))).collect()
}

fn headers(request: &Request, scope: Scope<'_>, length: usize) -> Result<HeaderMap, Wrong> {
    let mut headers = HeaderMap::new();
    for pair in &request.headers {
        let name = HeaderName::try_from(scope.text(&pair.name)?)
            .map_err(|_| Wrong::new(pair.name.span, "this is not the name of a header"))?;
        let value = HeaderValue::try_from(scope.text(&pair.value)?)
            .map_err(|_| Wrong::new(pair.value.span, "a header has no control characters"))?;
        let lies = name == CONTENT_LENGTH && value.as_bytes() != length.to_string().as_bytes();
        if lies || name == TRANSFER_ENCODING {
            return Err(Wrong::unsupported(pair.name.span, &format!("sending `{name}: {}`", value_text(&value))));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

fn value_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn add_credentials(
    headers: &mut HeaderMap,
    request: &Request,
    settings: &Settings,
    scope: Scope<'_>,
) -> Result<(), Wrong> {
    if let Some(pair) = &request.basic_auth {
        headers.append(AUTHORIZATION, basic(&format!("{}:{}", scope.text(&pair.name)?, scope.text(&pair.value)?)));
    } else if let Some(user) = &settings.user
        && !headers.contains_key(AUTHORIZATION)
    {
        headers.append(AUTHORIZATION, basic(user));
    }
    Ok(())
}

/// Adds the headers that a request has though nobody wrote them.
fn add_implied(
    headers: &mut HeaderMap,
    settings: &Settings,
    media_type: Option<String>,
) -> Result<(), http::header::InvalidHeaderValue> {
    if let Some(media_type) = media_type {
        let boundary = media_type.split_once("; ").map(|(_, boundary)| boundary);
        let written = headers.get(CONTENT_TYPE).map(value_text);
        match (written, boundary) {
            (None, _) => drop(headers.insert(CONTENT_TYPE, HeaderValue::try_from(media_type)?)),
            (Some(written), Some(boundary)) if !written.contains("boundary=") => {
                headers.insert(CONTENT_TYPE, HeaderValue::try_from(format!("{written}; {boundary}"))?);
            }
            _ => {}
        }
    }
    let agent = concat!("tableside-test/", env!("CARGO_PKG_VERSION"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
    if settings.compressed {
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip, deflate, br"));
    }
    Ok(())
}

/// RFC 7617.
fn basic(user: &str) -> HeaderValue {
    let text = format!("Basic {}", base64::encode(user.as_bytes()));
    HeaderValue::try_from(text).expect("Base64 has no control characters")
}

fn body(request: &Request, scope: Scope<'_>) -> Result<Sent, Wrong> {
    if let Some(body) = &request.body {
        return content(body, scope);
    }
    if !request.form.is_empty() {
        let form = encoded(&request.form, scope)?;
        return Ok((form.into(), Some("application/x-www-form-urlencoded".to_string())));
    }
    if !request.multipart.is_empty() {
        return multipart(&request.multipart, scope);
    }
    Ok((Bytes::new(), None))
}

/// The bytes of a body, and the media type that its kind implies.
pub(super) fn content(body: &Body, scope: Scope<'_>) -> Result<Sent, Wrong> {
    Ok(match &body.content {
        Content::Json(pieces) => (scope.json(pieces)?.into(), Some("application/json".to_string())),
        Content::Text(template, media_type) => (scope.text(template)?.into(), media_type.map(str::to_string)),
        Content::Bytes(bytes) => (bytes.clone().into(), None),
        Content::File(name) => (scope.file(name)?.into(), None),
    })
}

/// RFC 7578; names are escaped as browsers do it.
fn multipart(parts: &[Part], scope: Scope<'_>) -> Result<Sent, Wrong> {
    let boundary = format!("tableside-{}", uuid::Uuid::new_v4().simple());
    let mut body = Vec::new();
    for part in parts {
        body.extend(format!("--{boundary}\r\nContent-Disposition: form-data").bytes());
        match part {
            Part::Value(pair) => {
                let name = escaped(&scope.text(&pair.name)?);
                body.extend(format!("; name=\"{name}\"\r\n\r\n{}\r\n", scope.text(&pair.value)?).bytes());
            }
            Part::File { name, file, media_type } => {
                let (name, file_name) = (escaped(&scope.text(name)?), scope.text(file)?);
                let media_type = match media_type {
                    Some(media_type) => one_line(scope.text(media_type)?, media_type.span)?,
                    None => media_type_of(&file_name).to_string(),
                };
                let file_name = escaped(&file_name);
                let head = format!("; name=\"{name}\"; filename=\"{file_name}\"\r\nContent-Type: {media_type}\r\n\r\n");
                body.extend(head.bytes());
                body.extend(scope.file(file)?);
                body.extend(b"\r\n");
            }
        }
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    Ok((body.into(), Some(format!("multipart/form-data; boundary={boundary}"))))
}

fn one_line(text: String, span: Span) -> Result<String, Wrong> {
    if text.contains(['\r', '\n']) { Err(Wrong::new(span, "a media type stands on one line")) } else { Ok(text) }
}

fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// The media types that the stock hurl knows by a file's extension.
fn media_type_of(file_name: &str) -> &'static str {
    match file_name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("gif") => "image/gif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain",
        Some("htm" | "html") => "text/html",
        Some("pdf") => "application/pdf",
        Some("xml") => "application/xml",
        _ => "application/octet-stream",
    }
}
