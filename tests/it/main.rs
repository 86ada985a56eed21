//! The integration tests: a real server, a temporary folder, a real client.

mod tokens;
