//! The market on several nodes.
