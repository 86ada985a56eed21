//! The parse step: turns what was sent into checked values. It decides nothing about the site.

mod address;
mod body;
mod escape;
mod multipart;
mod pace;
mod path;
mod prefer;
mod proxy;
mod query;

use std::time::Duration;

pub use address::{Address, address};
pub use body::body;
pub use multipart::NoUploads;
pub use path::decode_path;
pub use prefer::{locale, preferred, prefers_json};
pub use proxy::sender;
pub use query::{cookie, cookies, query_pairs};

/// Limits on what a client may send.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of path and query together; default 8 KiB. Over it: 414.
    pub address: usize,
    /// Bytes of a body, of a multipart form without its files; default 1 MiB. Over it: 413.
    pub body: u64,
    /// Bytes of a multipart form with its files; default 100 MiB. Over it: 413.
    pub upload_body: u64,
    /// Fields of a form; default 1,000. Over it: 400.
    pub fields: usize,
    /// How deep a JSON body may nest; default 64, at most 127. Over it: 400.
    pub json_depth: usize,
    /// The longest pause between two pieces of a body; default 10 s. Over it: 408.
    pub body_pause: Duration,
    /// Bytes a second that a body must reach, once it has kept us waiting for `body_pause`; default 500. Below it: 408.
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
            body_pause: Duration::from_secs(10),
            body_pace: 500,
        }
    }
}
