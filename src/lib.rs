//! Tableside: a web server that serves whole sites out of a folder.
//!
//! The modules in reading order, from the ground up:

pub mod clock;
pub mod database;
pub mod problem;
pub mod render;
pub mod sqlfile;
pub mod settings;
pub mod trace;
pub mod uploads;
pub mod value;
pub mod weighed;

pub mod compress;
pub mod site;

pub mod flow;

pub mod accept;
pub mod answer;
pub mod log;
pub mod parse;
pub mod respond;
