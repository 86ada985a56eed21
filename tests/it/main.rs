//! The integration tests: a real server, a temporary folder, a real client.

mod canary;
mod cases;
mod database;
mod durable;
mod handbook;
mod harness;
mod http;
mod tokens;
