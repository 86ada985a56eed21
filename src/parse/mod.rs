//! The parse step: turns what was sent into checked values. It decides nothing about the site.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use crate::flow::Visit;
use crate::problem::Problem;

/// Limits on what a client may send.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of path and query together; default 8 KiB. Over it: 414.
    pub address: usize,
    /// Bytes of a body (files of a multipart form apart); default 1 MiB. Over it: 413.
    pub body: u64,
    /// Bytes of a body that uploads files; default 100 MiB.
    pub upload_body: u64,
    /// Fields of a form, or pairs of a query; default 1,000.
    pub fields: usize,
    /// Depth of a JSON body; default 64.
    pub json_depth: usize,
    /// The longest pause between two pieces of a body; default 10 s.
    pub body_pause: std::time::Duration,
    /// Bytes a second that a body must reach on average after its first 10 s; default 500.
    pub body_pace: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            address: 8 * 1024,
            body: 1024 * 1024,
            upload_body: 100 * 1024 * 1024,
            fields: 1000,
            json_depth: 64,
            body_pause: std::time::Duration::from_secs(10),
            body_pace: 500,
        }
    }
}

/// What the address is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it should be.
    Canonical,
    /// It has empty segments (`//a`); go to this path (raw, with its query) instead.
    Collapsed(String),
}

/// Checks method, host, length and path of a request and keeps the decoded path in the visit.
///
/// Problems: `UnknownMethod`, `AddressTooLong`, `Malformed` (encoded slash, backslash, control character, dot segment,
/// bad UTF-8, bad escape, missing or doubled `Host`).
pub fn address(_visit: &mut Visit, _limits: &Limits) -> Result<Address, Problem> {
    todo!()
}

/// The pairs of a query text, decoded. `Malformed` for a bad escape or bad UTF-8, or more pairs than `limit`.
pub fn query_pairs(_query: &str, _limit: usize) -> Result<Vec<(String, String)>, Problem> {
    todo!()
}

/// The value of a cookie by its name. Several `Cookie` headers (HTTP/2) count as one.
pub fn cookie<'a>(_headers: &'a HeaderMap, _name: &str) -> Option<&'a str> {
    todo!()
}

/// Which of `offered` the `Accept` header prefers; the first one when nothing is asked; `None` when none will do.
/// Offered types are full ones such as `text/html`, in the site's order of preference.
pub fn preferred<'o>(_headers: &HeaderMap, _offered: &[&'o str]) -> Option<&'o str> {
    todo!()
}

/// Which of the site's `locales` (such as `de`, `en-GB`) `Accept-Language` prefers; the first one when none matches.
pub fn locale<'o>(_headers: &HeaderMap, _locales: &[&'o str]) -> Option<&'o str> {
    todo!()
}

/// What a body holds.
#[derive(Debug)]
pub enum Sent<U> {
    /// No body.
    Nothing,
    /// A form, urlencoded or multipart: names and values in the order sent.
    Form(Vec<(String, Field<U>)>),
    /// A JSON document.
    Json(serde_json::Value),
}

/// One value of a form.
#[derive(Debug)]
pub enum Field<U> {
    /// Text.
    Text(String),
    /// A file, and what the sink made of it.
    File(U),
}

/// Where the files of a multipart form go, in pieces, never whole in memory.
pub trait UploadSink {
    /// What a finished file is known by, for example its id in the upload store.
    type Upload;
    /// A file begins. A problem refuses it (`TooLarge`, `Invalid` …) and ends the reading.
    fn begin(&mut self, part: &FilePart) -> impl Future<Output = Result<(), Problem>>;
    /// The next piece of the file that began last. Here the sink enforces the field's own limit.
    fn write(&mut self, piece: Bytes) -> impl Future<Output = Result<(), Problem>>;
    /// The file is whole.
    fn finish(&mut self) -> impl Future<Output = Result<Self::Upload, Problem>>;
}

/// What the head of a file's part says. All of it is the client's word.
#[derive(Clone, Debug)]
pub struct FilePart {
    /// The field's name.
    pub field: String,
    /// The file's name, without folders; may be empty.
    pub file_name: String,
    /// The type that the client claims.
    pub content_type: String,
}

/// A sink that refuses every file, for actions without a file parameter.
#[derive(Debug)]
pub struct NoUploads;

/// Reads a body by its `Content-Type`. An empty file field (no name, no bytes) is left out.
///
/// Problems: `TooLarge`, `UnsupportedType`, `Malformed` (bad UTF-8, too many fields, bad JSON …), `TooSlow`, and
/// what the sink says.
pub async fn body<B, S>(_visit: &Visit, _body: B, _limits: &Limits, _sink: &mut S) -> Result<Sent<S::Upload>, Problem>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
    S: UploadSink,
{
    todo!()
}

/// A text in which nothing had to be decoded is borrowed.
pub fn decode_path(_raw: &str) -> Result<Cow<'_, str>, Problem> {
    todo!()
}
