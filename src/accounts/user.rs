//! Who is logged in.

use std::sync::Arc;

/// A user, as a request sees them: read once, when the request asks who its visitor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `users.id`.
    pub id: i64,
    /// The e-mail address, in lower case.
    pub email: Arc<str>,
    /// The name, if they have told one.
    pub name: Option<Arc<str>>,
    /// When the account was made, as datetime text in UTC.
    pub created_at: Arc<str>,
    /// Whether they have shown that the e-mail address is theirs.
    pub confirmed: bool,
    /// Their roles, sorted.
    pub roles: Arc<[Arc<str>]>,
}

impl User {
    /// Whether they have the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| **known == *role)
    }
}
