//! A message as it is sent: the templates of `mail/`, filled with what a row says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::rows::Row;
use super::templates::{Mail, Mails};
use super::{data, plain};
use crate::clock::datetime_of;
use crate::problem::Problem;
use crate::render::{Context, Slot};
use crate::settings::Settings;
use crate::value::Value;

/// A longer subject is cut: no reader of mail shows it, and a header must end somewhere.
const LONGEST_SUBJECT: usize = 250;

/// A mail that is ready to go.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who sends it.
    pub from: String,
    /// Whom it is for.
    pub to: String,
    /// Its subject, on one line.
    pub subject: String,
    /// Its plain text.
    pub text: String,
    /// Its HTML; none for a mail of plain text alone.
    pub html: Option<String>,
    mail: lettre::Message,
}

impl Message {
    /// The message as the internet writes it (RFC 5322), as `.eml` files hold it.
    pub fn eml(&self) -> Vec<u8> {
        self.mail.formatted()
    }
}

/// Makes the mail of a row. `base` is the site's public address, of which mails make links; it counts where `site.url`
/// is empty.
///
/// # Errors
/// There is no such template, or it fails; what the row says is no JSON; an address is none.
pub fn message(mails: &Mails, settings: &Settings, base: &str, row: &Row) -> Result<Message, Problem> {
    let told = |fault: String| Problem::broken(format!("message {} (`{}`): {fault}", row.id, row.template));
    let url = if settings.site_url.is_empty() { base } else { &settings.site_url }.trim_end_matches('/');
    let host = host(url);
    let mail = mails.mail(&row.template).map_err(told)?;
    let from = sender(settings, &host).map_err(told)?;
    let to = mailbox(&row.recipient).map_err(told)?;
    let mut names = vec![("site".into(), site(settings, url, &host))];
    names.extend(data::names(&row.data).map_err(told)?);
    let (subject, text, html) = fill(mails, mail, names)?;
    let at = datetime_of(&row.created_at).unwrap_or(Timestamp::UNIX_EPOCH);
    // The same message has the same name when it is sent again, so that its reader can tell.
    let id = format!("<{}.{}@{host}>", row.id, at.as_millisecond());
    let builder = lettre::Message::builder()
        .from(from.clone())
        .to(to.clone())
        .subject(subject.clone())
        .date(SystemTime::from(at))
        .message_id(Some(id))
        // No robot answers it (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()));
    let built = match &html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(text.clone())),
    };
    let mail = built.map_err(|error| told(error.to_string()))?;
    Ok(Message { from: from.to_string(), to: to.to_string(), subject, text, html, mail })
}

/// Subject, text and HTML.
fn fill(mails: &Mails, mail: &Mail, names: Vec<(Arc<str>, Slot)>) -> Result<(String, String, Option<String>), Problem> {
    let templates = mails.templates();
    let subject = match &mail.subject {
        Some(name) => one_line(&templates.render(name, Context { names: names.clone(), form: None })?),
        None => String::new(),
    };
    let mut all = vec![("subject".into(), Slot::Value(Value::from(subject.as_str())))];
    all.extend(names);
    let render = |name: &Arc<str>| templates.render(name, Context { names: all.clone(), form: None });
    let html = mail.html.as_ref().map(render).transpose()?.map(|html| html.trim_start().to_string());
    let text = match (&mail.text, &html) {
        (Some(name), _) => plain::tidy(&render(name)?),
        (None, html) => plain::text_of(html.as_deref().unwrap_or("")),
    };
    Ok((subject, text, html))
}

/// `site` in mails. Its name is never empty, because a mail must say whom it comes from.
fn site(settings: &Settings, url: &str, host: &str) -> Slot {
    let name = if settings.site_name.is_empty() { host } else { &settings.site_name };
    let own = settings.site_values.iter().map(|(name, text)| (name.clone(), text.as_str()));
    let known = [
        ("name", name),
        ("url", url),
        ("locale", &settings.locale),
        ("timezone", settings.timezone.iana_name().unwrap_or("UTC")),
    ];
    let all = known.into_iter().map(|(name, text)| (Arc::from(name), text)).chain(own);
    Slot::Names(Arc::new(all.map(|(name, text)| (name, Slot::Value(Value::from(text)))).collect::<Vec<_>>()))
}

/// `mail.from`, else `noreply@` and the site's host.
fn sender(settings: &Settings, host: &str) -> Result<Mailbox, String> {
    if !settings.mail_from.is_empty() {
        return mailbox(&settings.mail_from).map_err(|fault| format!("the setting `mail.from`: {fault}"));
    }
    let address = Address::new("noreply", host)
        .map_err(|_| format!("no address can be made of the host {host}; set `mail.from`"))?;
    Ok(Mailbox::new(Some(one_line(&settings.site_name)).filter(|name| !name.is_empty()), address))
}

/// One address, perhaps with a name before it. A line break could begin a header of somebody else's making.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let sound = !text.chars().any(char::is_control);
    let mailbox = sound.then(|| text.trim().parse().ok()).flatten();
    mailbox.ok_or_else(|| format!("`{}` is not an e-mail address", text.escape_debug()))
}

/// The host of an address by its name.
fn host(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or("");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(""),
    };
    // A site without a name sends mail in development alone.
    let nameless = bare.is_empty() || bare.parse::<IpAddr>().is_ok();
    if nameless { "localhost".to_string() } else { bare.to_string() }
}

/// Text without line breaks and other control characters.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_SUBJECT).collect()
}

#[cfg(test)]
mod tests;
