//! The integration tests: a real server, a temporary folder, a real client.
#![allow(dead_code, unused_imports)]

mod canary;
mod cases;
mod database;
mod durable;
mod handbook;
mod harness;
mod http;
mod tokens;
