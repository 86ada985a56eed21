//! Messages to people: rows of the table `outbox`, written by actions and accounts, and the mails that are made of them
//! by the templates of `mail/`.
//!
//! A tool: it reads rows and makes messages. It sends nothing and knows no HTTP.

mod data;
mod message;
mod plain;
mod rows;
mod templates;

pub use message::{Message, message};
pub use rows::{Row, find, latest, newest};
pub use templates::Mails;
