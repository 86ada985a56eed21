//! Tableside: a web server that serves whole sites out of a folder.
//!
//! The modules in reading order, from the ground up:

pub mod clock;
pub mod problem;
pub mod sqlfile;
pub mod trace;
pub mod value;
