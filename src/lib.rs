//! Tableside: a web server that serves whole sites out of a folder.
//!
//! The modules in reading order. A module uses only what stands above it here; steps never use each other.

// Ground: used by all.
pub mod clock;
pub mod parallel;
pub mod problem;
pub mod settings;
pub mod trace;
pub mod value;

// Tools: they know no HTTP.
pub mod accounts;
pub mod boxed;
pub mod builtin;
pub mod cache;
pub mod compress;
pub mod database;
pub mod fields;
pub mod hash;
pub mod hurl;
pub mod octets;
pub mod outbox;
pub mod parcel;
pub mod render;
pub mod sqlfile;
pub mod uploads;
pub mod weighed;

pub mod site;

pub mod check;

// What steps hand on.
pub mod flow;

// The steps of a request, in its order.
pub mod accept;
pub mod parse;
pub mod route;

pub mod access;

pub mod answer;

pub mod respond;

pub mod log;

// The spine, and what it runs on.
pub mod app;
pub mod serve;

pub mod cli;
