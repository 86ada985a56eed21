//! Reading directives: `redirect: /cart`.

use std::sync::Arc;
use std::time::Duration;

use super::directives::{Directives, ErrorMessage, LimitBy, Phrase, RateLimit, Redirect, UserColumn};
use super::words::{Text, is_name, next_word, read_span};
use crate::problem::{Fault, Place};

/// The directives. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Use,
    Redirect,
    Page,
    Flash,
    Status,
    Body,
    Download,
    Fill,
    Error,
    Once,
    Login,
    Logout,
    Register,
    Limit,
    Cron,
    Every,
    Batch,
}

/// The longest time between two runs of a job, and the longest that the key of a form is kept.
const LONGEST_SPAN: u64 = 366 * 86_400;

impl Keyword {
    /// All of them, in the order of the handbook.
    pub(super) const ALL: [Keyword; 17] = [
        Keyword::Use,
        Keyword::Redirect,
        Keyword::Page,
        Keyword::Flash,
        Keyword::Status,
        Keyword::Body,
        Keyword::Download,
        Keyword::Fill,
        Keyword::Error,
        Keyword::Once,
        Keyword::Login,
        Keyword::Logout,
        Keyword::Register,
        Keyword::Limit,
        Keyword::Cron,
        Keyword::Every,
        Keyword::Batch,
    ];

    /// The word before the colon.
    pub(super) fn name(self) -> &'static str {
        match self {
            Keyword::Use => "use",
            Keyword::Redirect => "redirect",
            Keyword::Page => "page",
            Keyword::Flash => "flash",
            Keyword::Status => "status",
            Keyword::Body => "body",
            Keyword::Download => "download",
            Keyword::Fill => "fill",
            Keyword::Error => "error",
            Keyword::Once => "once",
            Keyword::Login => "login",
            Keyword::Logout => "logout",
            Keyword::Register => "register",
            Keyword::Limit => "limit",
            Keyword::Cron => "cron",
            Keyword::Every => "every",
            Keyword::Batch => "batch",
        }
    }

    /// The directive of a word.
    pub(super) fn named(word: &str) -> Option<Keyword> {
        Keyword::ALL.into_iter().find(|keyword| keyword.name() == word)
    }

    /// Whether a file may hold several of them.
    pub(super) fn may_repeat(self) -> bool {
        matches!(self, Keyword::Use | Keyword::Error | Keyword::Limit)
    }

    /// How it is written.
    fn example(self) -> &'static str {
        match self {
            Keyword::Use => "-- use: /_products.sql",
            Keyword::Redirect => "-- redirect: /orders/{{ order.id }}, or -- redirect: back",
            Keyword::Page => "-- page: /article/[slug]",
            Keyword::Flash => "-- flash: Added to your cart.",
            Keyword::Status => "-- status: 201",
            Keyword::Body => "-- body: article",
            Keyword::Download => "-- download: prices.csv",
            Keyword::Fill => "-- fill: article",
            Keyword::Error => "-- error: users_email_key on=email This address is taken.",
            Keyword::Once => "-- once: 24h",
            Keyword::Login => "-- login: user.id",
            Keyword::Logout => "-- logout",
            Keyword::Register => "-- register: user.id password=@hash",
            Keyword::Limit => "-- limit: 5 per 15m by=:email",
            Keyword::Cron => "-- cron: 0 3 * * *",
            Keyword::Every => "-- every: 15m",
            Keyword::Batch => "-- batch: 100",
        }
    }
}

/// Reads one directive, except for `use:`. `line` is the keyword's own text, `rest` what stands behind its colon.
pub(super) fn read_directive(
    file: &Text,
    keyword: Keyword,
    line: &str,
    rest: &str,
    directives: &mut Directives,
    faults: &mut Vec<Fault>,
) {
    let text = rest.trim();
    let part = if text.is_empty() { line } else { text };
    if let Err(message) = fill_in(file, keyword, text, part, directives) {
        faults.push(file.fault(message, part).help(format!("write `{}`", keyword.example())));
    }
}

fn fill_in(file: &Text, keyword: Keyword, text: &str, part: &str, directives: &mut Directives) -> Result<(), String> {
    let place = || file.place(part);
    let phrase = || Phrase { text: text.into(), place: place() };
    let missing = text.is_empty() && keyword != Keyword::Logout;
    match keyword {
        _ if missing => return Err(format!("`{}:` says nothing", keyword.name())),
        Keyword::Redirect => directives.redirect = Some(read_redirect(text, phrase())?),
        Keyword::Page if !text.starts_with('/') => return Err("`page:` is a route and begins with a slash".into()),
        Keyword::Page => directives.page = Some(phrase()),
        Keyword::Flash => directives.flash = Some(phrase()),
        Keyword::Status => directives.status = Some(read_status(text)?),
        Keyword::Body if !is_name(text) => return Err("`body:` is the name of one object of the JSON body".into()),
        Keyword::Body => directives.body = Some(phrase()),
        Keyword::Download if !is_file_name(text) => {
            return Err("`download:` is the name of a file, of letters, digits, `.`, `_` and `-`".into());
        }
        Keyword::Download => directives.download = Some(phrase()),
        Keyword::Fill if !is_name(text) => return Err("`fill:` is the name of one query".into()),
        Keyword::Fill => directives.fill = Some(phrase()),
        Keyword::Error => directives.errors.push(read_error(file, text)?),
        Keyword::Once => directives.once = Some(read_duration(text)?),
        Keyword::Login => directives.login = Some(read_user(keyword, text, place())?),
        Keyword::Register => directives.register = Some(read_user(keyword, text, place())?),
        Keyword::Limit => directives.limits.push(read_limit(text, place())?),
        Keyword::Logout if !text.is_empty() => return Err("`logout` takes no value".into()),
        Keyword::Logout => directives.logout = true,
        Keyword::Cron if text.split_whitespace().count() != 5 => {
            return Err("`cron:` has five fields: minute, hour, day, month, weekday".into());
        }
        Keyword::Cron => directives.cron = Some(phrase()),
        Keyword::Every => directives.every = Some(read_duration(text)?),
        Keyword::Batch => directives.batch = Some(read_batch(text)?),
        // Read by the parser, which knows what a file already uses.
        Keyword::Use => {}
    }
    Ok(())
}

/// A redirect stays on the site: `//` and `/\` begin the name of another one for a browser (WHATWG URL).
fn read_redirect(text: &str, phrase: Phrase) -> Result<Redirect, String> {
    match text.as_bytes() {
        b"back" => Ok(Redirect::Back(phrase.place)),
        b"none" => Ok(Redirect::None(phrase.place)),
        [b'/', b'/' | b'\\', ..] => Err("a redirect stays on this site: it begins with one slash".into()),
        // A template gives the whole path; whoever renders it checks the result.
        [b'/', ..] | [b'{', b'{' | b'%', ..] => Ok(Redirect::To(phrase)),
        _ => Err("a redirect is a path of this site, `back` or `none`".into()),
    }
}

/// A name that every system takes, and that needs no quoting in a header.
fn is_file_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 100 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain)
}

fn read_status(text: &str) -> Result<u16, String> {
    let status = text.parse::<u16>().ok().filter(|status| (200..=299).contains(status) && text.len() == 3);
    status.ok_or_else(|| "`status:` is the status of a success, from 200 to 299".into())
}

/// `CONSTRAINT on=field message`; without `on=` the message belongs to the form as a whole.
fn read_error(file: &Text, text: &str) -> Result<ErrorMessage, String> {
    let mut rest = text;
    let constraint = next_word(&mut rest).and_then(Result::ok).ok_or("`error:` names no constraint")?;
    if constraint.value.is_some() {
        return Err("`error:` names a constraint before its `on=`".into());
    }
    let message = rest.trim_start();
    let (field, message) = match message.strip_prefix("on=") {
        Some(tail) => tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len())),
        None => ("", message),
    };
    let message = message.trim();
    if !field.is_empty() && !is_name(field) || rest.trim_start().starts_with("on= ") {
        return Err("`on=` names a field".into());
    }
    if message.is_empty() {
        return Err("`error:` has no message for the visitor".into());
    }
    Ok(ErrorMessage {
        constraint: constraint.whole.into(),
        field: Arc::from(field),
        message: message.into(),
        place: file.place(text),
    })
}

fn read_duration(text: &str) -> Result<Duration, String> {
    match read_span(text) {
        Some(seconds) if seconds <= LONGEST_SPAN => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("a time here is at most a year".into()),
        None => Err(format!("`{text}` is no span of time; write `30s`, `15m`, `24h` or `7d`")),
    }
}

/// `user.id`, for `login:` also with `remember=:name`, for `register:` with `password=@name`.
fn read_user(keyword: Keyword, text: &str, place: Place) -> Result<UserColumn, String> {
    let (column, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let named = |option: &str| rest.trim().strip_prefix(option).filter(|name| is_name(name)).map(Arc::from);
    let (remember, password) = match keyword {
        Keyword::Login => (named("remember=:"), None),
        _ => (None, named("password=@")),
    };
    if !rest.trim().is_empty() && remember.is_none() && password.is_none() {
        return Err(format!("`{rest}` means nothing here"));
    }
    match column.split_once('.') {
        Some((query, column)) if is_name(query) && is_name(column) => {
            Ok(UserColumn { query: query.into(), column: column.into(), remember, password, place })
        }
        _ => Err(format!("`{}:` names a query and its column", keyword.name())),
    }
}

/// `5 per 15m`, perhaps with `by=:name`, `by=@client_ip` or `by=@user_id`.
fn read_limit(text: &str, place: Place) -> Result<RateLimit, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (times, per, by) = match words[..] {
        [times, "per", per] => (times, per, "by=@client_ip"),
        [times, "per", per, by] => (times, per, by),
        _ => return Err("`limit:` says how often within which time".into()),
    };
    let times = times.parse::<u32>().ok().filter(|times| *times > 0).ok_or("`limit:` begins with a number")?;
    let by = match by {
        "by=@client_ip" => LimitBy::Address,
        "by=@user_id" => LimitBy::User,
        by => match by.strip_prefix("by=:").filter(|name| is_name(name)) {
            Some(name) => LimitBy::Parameter(name.into()),
            None => return Err("`by=` is a parameter, `@client_ip` or `@user_id`".into()),
        },
    };
    Ok(RateLimit { times, per: read_duration(per)?, by, place })
}

fn read_batch(text: &str) -> Result<u32, String> {
    let count = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    count.filter(|count| *count > 0).ok_or_else(|| "`batch:` is a number of rows".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keyword: Keyword, rest: &str) -> (Directives, Vec<String>) {
        let (mut directives, mut faults) = (Directives::default(), Vec::new());
        let file = Text { path: "pages/a.post.sql".into(), source: rest };
        read_directive(&file, keyword, rest, rest, &mut directives, &mut faults);
        (directives, faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn redirects_stay_on_the_site() {
        assert!(matches!(read(Keyword::Redirect, "back").0.redirect, Some(Redirect::Back(_))));
        for path in ["/cart", "/orders/{{ order.id }}", "{{ next }}"] {
            assert!(matches!(read(Keyword::Redirect, path).0.redirect, Some(Redirect::To(_))), "{path}");
        }
        for path in ["//evil.example", "/\\evil.example", "https://evil.example", "cart", ""] {
            assert_eq!(read(Keyword::Redirect, path).1.len(), 1, "{path}");
        }
    }

    #[test]
    fn errors_name_constraint_field_and_message() {
        let errors = read(Keyword::Error, "users_email_key on=email This is taken.").0.errors;
        assert_eq!(
            (&*errors[0].constraint, &*errors[0].field, &*errors[0].message),
            ("users_email_key", "email", "This is taken.")
        );
        let errors = read(Keyword::Error, "users.email Taken.").0.errors;
        assert_eq!((&*errors[0].constraint, &*errors[0].field), ("users.email", ""));
        for text in ["", "x", "x on=email", "x on= message", "x on=a-b message", "on=a message"] {
            assert_eq!(read(Keyword::Error, text).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn values_have_their_limits() {
        assert_eq!(read(Keyword::Status, "201").0.status, Some(201));
        assert_eq!(read(Keyword::Once, "24h").0.once, Some(Duration::from_secs(86_400)));
        assert_eq!(read(Keyword::Every, "15m").0.every, Some(Duration::from_secs(900)));
        assert_eq!(read(Keyword::Batch, "100").0.batch, Some(100));
        assert_eq!(&*read(Keyword::Download, "prices-1.csv").0.download.unwrap().text, "prices-1.csv");
        assert!(read(Keyword::Logout, "").0.logout);
        assert_eq!(&*read(Keyword::Login, "user.id").0.login.unwrap().column, "id");
        let login = read(Keyword::Login, "user.id remember=:stay").0.login.unwrap();
        assert_eq!(login.remember.as_deref(), Some("stay"));
        let limit = read(Keyword::Limit, "5 per 15m by=:email").0.limits.remove(0);
        assert_eq!((limit.times, limit.per.as_secs(), limit.by), (5, 900, LimitBy::Parameter("email".into())));
        assert_eq!(read(Keyword::Limit, "5 per 15m").0.limits[0].by, LimitBy::Address);
        for (keyword, text) in [
            (Keyword::Status, "404"),
            (Keyword::Status, "+201"),
            (Keyword::Once, "soon"),
            (Keyword::Every, "9999d"),
            (Keyword::Batch, "0"),
            (Keyword::Logout, "now"),
            (Keyword::Login, "user"),
            (Keyword::Login, "user.id stay"),
            (Keyword::Register, "user.id remember=:x"),
            (Keyword::Limit, "often"),
            (Keyword::Limit, "0 per 1h"),
            (Keyword::Limit, "5 per 1h by=email"),
            (Keyword::Cron, "* * *"),
            (Keyword::Body, "a b"),
            (Keyword::Download, "../a.csv"),
            (Keyword::Download, ".csv"),
            (Keyword::Download, "a\"b"),
            (Keyword::Fill, "a.b"),
            (Keyword::Page, "cart"),
            (Keyword::Flash, " "),
        ] {
            assert_eq!(read(keyword, text).1.len(), 1, "{keyword:?} {text}");
        }
    }

    #[test]
    fn words_lead_back_to_their_directives() {
        for keyword in Keyword::ALL {
            assert_eq!(Keyword::named(keyword.name()), Some(keyword));
        }
    }
}
