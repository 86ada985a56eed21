//! The names that the server gives to templates, beside the results of queries.

/// What `request` holds.
pub const REQUEST: [&str; 6] = ["path", "query", "url", "method", "id", "nonce"];

/// What `site` holds, beside the site's own values of `[site]`.
pub const SITE: [&str; 6] = ["name", "url", "locale", "timezone", "register", "providers"];

/// What each of `site.providers` holds: the providers that visitors may log in with.
pub const PROVIDER: [&str; 2] = ["name", "label"];

/// What `user` holds; it is null for a visitor who is not logged in.
pub const USER: [&str; 6] = ["id", "email", "name", "created_at", "confirmed", "roles"];

/// What `problem` holds in error pages.
pub const PROBLEM: [&str; 2] = ["status", "message"];
