//! The integration tests: a real server, a temporary folder, a real client.

mod access;
mod at_once;
mod attacks;
mod bank;
mod cache;
mod canary;
mod cases;
mod check_postgres;
mod command_line;
mod database;
mod durable;
mod examples;
mod handbook;
mod harness;
mod http;
mod mail;
mod moving;
mod nodes;
mod postgres;
mod postgres_faults;
mod provider;
mod routes;
mod tidy;
mod tokens;
mod uploads;
mod user;
