//! Runs Hurl files.

mod base64;
mod parse;
mod run;
mod syntax;
mod value;

pub use self::parse::parse;
pub use self::run::{Report, run};
pub use self::syntax::HurlFile;
pub use self::value::{Value, Variables};
