//! The answer step: one file for each kind of thing that a visit is answered with.

pub mod static_file;
