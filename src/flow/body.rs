//! What a request's body holds, and where its files go: handed from the parse step to actions.

use bytes::Bytes;

use crate::problem::Problem;

/// What a body holds; `U` is what a finished upload is known by.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent<U> {
    /// Nothing was sent.
    Nothing,
    /// A form.
    Form(Form<U>),
    /// A JSON document.
    Json(serde_json::Value),
}

/// The fields of a form: names and values in the order sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Form<U> {
    /// Those that are text.
    pub texts: Vec<(String, String)>,
    /// Files, and what the sink made of them.
    pub files: Vec<(String, U)>,
}

/// Where the files of a multipart form go, in pieces, never whole in memory.
pub trait UploadSink {
    /// What a finished file is known by, for example its id in the upload store.
    type Upload;
    /// A file begins. A problem refuses it (`TooLarge`, `Invalid` …) and ends the reading.
    fn begin(&mut self, part: &FilePart) -> impl Future<Output = Result<(), Problem>>;
    /// The next piece of the file that began last. Here the sink enforces the field's own limit.
    fn write(&mut self, piece: Bytes) -> impl Future<Output = Result<(), Problem>>;
    /// The file is whole. A file that is begun and never finished was given up: the sink throws it away when dropped.
    fn finish(&mut self) -> impl Future<Output = Result<Self::Upload, Problem>>;
}

/// What the head of a file's part says. All of it is the client's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// The field's name.
    pub field: String,
    /// The file's name without folders; may be empty.
    pub file_name: String,
    /// The type that the client claims; may be empty.
    pub content_type: String,
}
