//! The server's own pages: a site folder that is laid under the author's. The same path there wins.
//!
//! What stands in `pages/` here is written like any site's, but it may use the server's own tables.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::problem::Fault;
use crate::settings::{AccessRule, Registration, Settings};

/// What the paths of its files begin with in messages.
pub const ROOT: &str = "builtin/";

/// Embeds files of a folder, each with its path there.
macro_rules! embedded {
    ($folder:literal: $($path:literal)+) => {
        &[$(($path, include_str!(concat!($folder, "/", $path)))),+]
    };
}

/// The files of `pages/`.
const PAGES: &[(&str, &str)] = embedded!["pages":
    "-/account.css"
    "-/account.js"
    "-/layout.css"
    "_account.html"
    "_fields.html"
    "_layout.html"
    "account/challenge.post.sql"
    "account/confirm.post.sql"
    "account/data.json.sql"
    "account/delete.html"
    "account/delete.post.sql"
    "account/delete.sql"
    "account/email.html"
    "account/email.post.sql"
    "account/email.sql"
    "account/email/[token].html"
    "account/email/[token].post.sql"
    "account/email/[token].sql"
    "account/index.html"
    "account/index.sql"
    "account/name.post.sql"
    "account/passkeys.html"
    "account/passkeys.post.sql"
    "account/passkeys.sql"
    "account/passkeys/[id].delete.sql"
    "account/password.html"
    "account/password.post.sql"
    "account/password.sql"
    "account/providers/[provider].delete.sql"
    "account/sessions.delete.sql"
    "account/sessions/[handle].delete.sql"
    "account/tokens.html"
    "account/tokens.post.sql"
    "account/tokens.sql"
    "account/tokens/[id].delete.sql"
    "account/totp.html"
    "account/totp.post.sql"
    "account/totp.sql"
    "account/totp/off.post.sql"
    "account/totp/on.post.sql"
    "confirm/[token].html"
    "confirm/[token].post.sql"
    "confirm/[token].sql"
    "forgot.html"
    "forgot.post.sql"
    "forgot/sent.html"
    "invite/[token].html"
    "invite/[token].post.sql"
    "invite/[token].sql"
    "login.html"
    "login.post.sql"
    "login.sql"
    "login/challenge.post.sql"
    "login/code.html"
    "login/code.post.sql"
    "login/code.sql"
    "login/passkey.post.sql"
    "login/with/[provider].post.sql"
    "login/with/[provider]/callback.post.sql"
    "logout.html"
    "logout.post.sql"
    "register.html"
    "register.post.sql"
    "register/sent.html"
    "reset/[token].html"
    "reset/[token].post.sql"
    "reset/[token].sql"
];

/// Files of `mail/` with their texts.
macro_rules! mails {
    ($($name:literal)+) => {
        [$(($name, include_str!(concat!("mail/", $name)))),+]
    };
}

/// The files of `mail/`, each with its text: the messages of accounts.
pub const MAILS: [(&str, &str); 23] = mails! {
    "_layout.html"
    "already_registered.html" "already_registered.txt"
    "attack.html" "attack.txt"
    "confirm.html" "confirm.txt"
    "email_change.html" "email_change.txt"
    "email_changed.html" "email_changed.txt"
    "invite.html" "invite.txt"
    "new_login.html" "new_login.txt"
    "password_changed.html" "password_changed.txt"
    "provider_connected.html" "provider_connected.txt"
    "reset.html" "reset.txt"
    "reset_unknown.html" "reset_unknown.txt"
};

/// The pages that a site with these settings has.
pub fn pages(settings: &Settings) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (register, providers) = (settings.register, !settings.providers.is_empty());
    let of_providers = |path: &str| path.starts_with("login/with/") || path.starts_with("account/providers/");
    let wanted = move |path: &str| match register {
        Registration::Off => false,
        _ if of_providers(path) => providers,
        Registration::Open => true,
        Registration::Invited | Registration::Closed => !path.starts_with("register"),
    };
    PAGES.iter().copied().filter(move |(path, _)| wanted(path))
}

/// The file of `pages/` that answers with all data of a user.
pub const OWN_DATA: &str = "account/data.json.sql";

/// The queries of [`OWN_DATA`] for the tables whose rows belong to users, named as their tables. Names that the file has
/// already get a prefix; `body` would be the whole answer.
pub fn queries_of_owners(settings: &Settings, faults: &mut Vec<Fault>) -> String {
    const TAKEN: [&str; 8] =
        ["account", "roles", "sign_ins", "passkeys", "tokens", "identities", "security_log", "body"];
    let mut names: BTreeSet<String> = TAKEN.map(String::from).into();
    let mut sql = String::new();
    for owner in &settings.owners {
        let (table, column) = (&*owner.table, &*owner.column);
        if let Some(wrong) = [table, column].into_iter().find(|name| !is_name(name)) {
            let message = format!("`{wrong}` is no name of a table or column whose rows belong to users");
            let help = "it begins with a letter and has letters, digits and `_`";
            faults.push(Fault::error(message, owner.place.clone()).help(help));
            continue;
        }
        let mut name = table.to_string();
        while !names.insert(name.clone()) {
            name.insert_str(0, "site_");
        }
        // Writing to a text can't fail.
        let _ = write!(sql, "\n-- name: {name} :many\nselect * from \"{table}\" where \"{column}\" = @user_id;\n");
    }
    sql
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
