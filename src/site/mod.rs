//! The site: what is read from its folder before the first visit.

pub mod statics;
