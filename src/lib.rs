//! Tableside: a web server that serves whole sites out of a folder.
//!
//! The modules in reading order, from the ground up:

pub mod clock;
pub mod hurl;
pub mod problem;
pub mod trace;
pub mod value;
