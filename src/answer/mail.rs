//! Answers below `/-/mail` with the messages of the outbox: for the site's author in `dev`, and for its tests. A server
//! for visitors has no such address.

use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, StatusCode};

use super::error::STYLE;
use crate::database::{Database, Snapshot};
use crate::flow::{Answer, Visit, escape_html};
use crate::outbox::{self, Message, Row};
use crate::problem::Problem;
use crate::site::Site;

const ROOT: &str = "/-/mail";
/// Messages in the list.
const LISTED: usize = 100;
/// How long the database may take to tell them.
const READ_TIME: Duration = Duration::from_secs(5);

/// What is asked for.
enum Asked {
    List,
    One(i64),
    Latest(String),
}

/// Answers at `/-/mail`, `/-/mail/ID` and `/-/mail/latest?to=ADDRESS`; `None` elsewhere. Who prefers plain text gets
/// that, and so does everybody where the path ends with `.txt`.
pub async fn answer(site: &Site, database: &Database, visit: &Visit) -> Option<Answer> {
    let path = visit.path().strip_prefix(ROOT)?;
    if !visit.only_asks() {
        return None;
    }
    let as_text = path.ends_with(".txt") || prefers_text(visit);
    let asked = match path.strip_suffix(".txt").unwrap_or(path) {
        "" => Asked::List,
        "/latest" => Asked::Latest(recipient(visit.query())?),
        id => Asked::One(id.strip_prefix('/')?.parse().ok()?),
    };
    let base = format!("{}://{}", if visit.secure { "https" } else { "http" }, visit.host().unwrap_or("localhost"));
    let rows = match read(database, asked).await {
        Ok(Some(rows)) => rows,
        Ok(None) => return Some(missing(as_text)),
        Err(problem) => return Some(super::error::for_author(&problem, StatusCode::INTERNAL_SERVER_ERROR)),
    };
    let made = |row: &Row| outbox::message(&site.mails, &site.settings, &base, row);
    let answer = match rows {
        Rows::All(rows) if as_text => Answer::text(rows.iter().map(line).collect::<String>()),
        Rows::All(rows) => Answer::html(list(&rows, made)),
        Rows::One(row) => match made(&row) {
            Ok(message) if as_text => Answer::text(text(&message)),
            Ok(message) => Answer::html(page(&row, &message)),
            Err(problem) if as_text => Answer::text(cause(&problem)).status(StatusCode::INTERNAL_SERVER_ERROR),
            Err(problem) => super::error::for_author(&problem, StatusCode::INTERNAL_SERVER_ERROR),
        },
    };
    Some(guarded(answer))
}

/// What was read.
enum Rows {
    All(Vec<Row>),
    One(Row),
}

async fn read(database: &Database, asked: Asked) -> Result<Option<Rows>, Problem> {
    database
        .apart(READ_TIME, async move |snapshot: &mut Snapshot<'_>| {
            Ok::<_, Problem>(match &asked {
                Asked::List => Some(Rows::All(outbox::newest(snapshot, LISTED).await?)),
                Asked::One(id) => outbox::find(snapshot, *id).await?.map(Rows::One),
                Asked::Latest(recipient) => outbox::latest(snapshot, recipient).await?.map(Rows::One),
            })
        })
        .await
}

/// The address of `?to=`.
fn recipient(query: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == "to")?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn prefers_text(visit: &Visit) -> bool {
    let wanted = visit.header(ACCEPT).unwrap_or("");
    wanted.contains("text/plain") && !wanted.contains("text/html")
}

/// A page that runs nothing of what a mail holds.
fn guarded(answer: Answer) -> Answer {
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'self'; style-src 'unsafe-inline'; img-src http: https: data:; font-src http: https: data:",
    );
    answer.header(CONTENT_SECURITY_POLICY, POLICY).header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn missing(as_text: bool) -> Answer {
    let words = "There is no such message.";
    let answer = match as_text {
        true => Answer::text(format!("{words}\n")),
        false => Answer::html(framed("No message", &format!("<h1>No message</h1><p>{words}</p>{BACK}"))),
    };
    guarded(answer.status(StatusCode::NOT_FOUND))
}

/// A message in the list of plain text.
fn line(row: &Row) -> String {
    format!("{} {} {} {}\n", row.id, row.created_at, row.recipient.escape_debug(), row.template.escape_debug())
}

/// A message as a test reads it.
fn text(message: &Message) -> String {
    format!("From: {}\nTo: {}\nSubject: {}\n\n{}", message.from, message.to, message.subject, message.text)
}

fn cause(problem: &Problem) -> String {
    problem.cause.clone().unwrap_or_else(|| problem.public.to_string())
}

const BACK: &str = "<p><a href=\"/-/mail\">All messages</a></p>";

/// The newest messages.
fn list(rows: &[Row], made: impl Fn(&Row) -> Result<Message, Problem>) -> String {
    let mut html = String::from("<h1>Messages</h1>");
    if rows.is_empty() {
        html.push_str(
            "<p>No message was written yet. What an action inserts into <code>outbox</code> is shown here.</p>",
        );
    } else {
        html.push_str("<ol class=messages>");
        rows.iter().for_each(|row| html.push_str(&item(row, made(row).map_err(|problem| cause(&problem)))));
        html.push_str("</ol>");
    }
    html.push_str(
        "<p class=hint>In development no message is sent. Each is kept as a file in <code>data/mail/</code>, too.</p>",
    );
    framed("Messages", &html)
}

fn item(row: &Row, made: Result<Message, String>) -> String {
    let (class, subject) = match &made {
        Ok(message) => ("", escape_html(&message.subject)),
        Err(cause) => (" class=error", format!("<b>error</b> {}", escape_html(cause))),
    };
    format!(
        "<li{class}><a href=\"{ROOT}/{}\">{subject}</a><p>to {}, <time datetime=\"{}\">{}</time>, {}</p></li>",
        row.id,
        escape_html(&row.recipient),
        escape_html(&row.created_at),
        escape_html(&short(&row.created_at)),
        escape_html(&row.template),
    )
}

/// `2026-11-07 09:30:00 UTC` of a datetime.
fn short(datetime: &str) -> String {
    let seconds = datetime.split('.').next().unwrap_or(datetime).trim_end_matches('Z');
    format!("{} UTC", seconds.replace('T', " "))
}

/// One message: what its reader sees, in both forms.
fn page(row: &Row, message: &Message) -> String {
    let mut html = format!(
        "{BACK}<h1>{}</h1><dl><dt>From</dt><dd>{}</dd><dt>To</dt><dd>{}</dd><dt>Written</dt><dd>{}</dd>\
         <dt>Template</dt><dd>{}</dd></dl><h2>Text</h2><pre class=text>{}</pre>",
        escape_html(&message.subject),
        escape_html(&message.from),
        escape_html(&message.to),
        escape_html(&short(&row.created_at)),
        escape_html(&row.template),
        linked(&message.text),
    );
    if let Some(inner) = &message.html {
        // Its scripts don't run, and its links open windows of their own.
        let inner = format!("<base target=\"_blank\">{inner}");
        html.push_str(&format!(
            "<h2>HTML</h2><iframe title=\"The message as HTML\" sandbox=\"allow-popups allow-popups-to-escape-sandbox\" \
             srcdoc=\"{}\"></iframe>",
            escape_html(&inner)
        ));
    }
    framed(&message.subject, &html)
}

/// Text as HTML with its addresses as links.
fn linked(text: &str) -> String {
    let mut html = String::with_capacity(text.len() * 2);
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let start = ["http://", "https://"].iter().filter_map(|scheme| word.find(scheme)).min();
        let Some(start) = start else {
            html.push_str(&escape_html(piece));
            continue;
        };
        let address = word[start..].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '"', '\'', '>']);
        let (before, after) = (&piece[..start], &piece[start + address.len()..]);
        let address = escape_html(address);
        html.push_str(&escape_html(before));
        html.push_str(&format!("<a href=\"{address}\">{address}</a>"));
        html.push_str(&escape_html(after));
    }
    html
}

fn framed(title: &str, main: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}{OWN_STYLE}</style><main>{main}</main>",
        escape_html(title)
    )
}

const OWN_STYLE: &str = "\
a{color:inherit;text-underline-offset:.15em}h1{overflow-wrap:anywhere}\
.messages{list-style:none;margin:0;padding:0}.messages li{background:var(--card);border:1px solid var(--line);border-radius:.5rem;\
padding:.75rem 1.25rem;margin:.75rem 0;overflow-wrap:anywhere}.messages li.error{border-left:4px solid var(--error)}\
.messages b{color:var(--error)}.messages a{display:inline-block;padding:.25rem 0;font-weight:600}.messages p{margin:0;font-size:.875rem;opacity:.8}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}dt{opacity:.75}dd{margin:0;overflow-wrap:anywhere}\
h2{margin-top:1.5rem}.text{background:var(--card);border:1px solid var(--line);white-space:pre-wrap;overflow-wrap:anywhere}\
iframe{box-sizing:border-box;width:100%;height:32rem;resize:vertical;border:1px solid var(--line);border-radius:.375rem;margin:.5rem 0;color-scheme:light dark}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_a_text_are_links_and_nothing_else_is_html() {
        assert_eq!(
            linked("Open (https://x.example/?a=1&b=2), <b>\nor http://y.example/."),
            "Open (<a href=\"https://x.example/?a=1&amp;b=2\">https://x.example/?a=1&amp;b=2</a>), &lt;b&gt;\n\
             or <a href=\"http://y.example/\">http://y.example/</a>."
        );
    }

    #[test]
    fn the_address_that_is_asked_for_is_decoded() {
        assert_eq!(recipient("x=1&to=ann%2Btag@example.org").as_deref(), Some("ann+tag@example.org"));
        assert_eq!(recipient("x=1"), None);
    }
}
