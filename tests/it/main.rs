//! The integration tests: a real server, a temporary folder, a real client.

mod access;
mod at_once;
mod bank;
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
mod routes;
mod tidy;
mod tokens;
mod uploads;
