//! The server's own pages: a site folder that is laid under the author's. The same path there wins.
//!
//! What stands in `pages/` here is written like any site's, but it may use the server's own tables.

use crate::settings::{AccessRule, Settings};

/// What the paths of its files begin with in messages.
pub const ROOT: &str = "builtin/";

/// The files of `pages/`, each with its text.
const PAGES: &[(&str, &str)] = &[];

/// Files of `mail/` with their texts.
macro_rules! mails {
    ($($name:literal)+) => {
        [$(($name, include_str!(concat!("mail/", $name)))),+]
    };
}

/// The files of `mail/`, each with its text: the messages of accounts.
pub const MAILS: [(&str, &str); 21] = mails! {
    "_layout.html"
    "already_registered.html" "already_registered.txt"
    "attack.html" "attack.txt"
    "confirm.html" "confirm.txt"
    "email_change.html" "email_change.txt"
    "email_changed.html" "email_changed.txt"
    "invite.html" "invite.txt"
    "new_login.html" "new_login.txt"
    "password_changed.html" "password_changed.txt"
    "reset.html" "reset.txt"
    "reset_unknown.html" "reset_unknown.txt"
};

/// The pages that a site with these settings has.
pub fn pages(settings: &Settings) -> impl Iterator<Item = (&'static str, &'static str)> {
    let wanted = settings.has_users();
    PAGES.iter().copied().filter(move |_| wanted)
}

/// The access rules of those pages.
pub fn rules() -> Vec<AccessRule> {
    const FILE: &str = "builtin/site.toml";
    const TEXT: &str = include_str!("site.toml");
    let mut settings = Settings::default();
    let faults = settings.read_toml(FILE, TEXT);
    debug_assert!(faults.is_empty(), "{faults:?}");
    settings.access
}
