//! The templates of mails: those of the site's `mail/`, over those that the server brings for accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builtin;
use crate::problem::{Fault, Place, suggestion};
use crate::render::{Options, Source, Templates};

/// What the first line of a mail begins with.
const SUBJECT: &str = "Subject:";
/// What the name of a subject's template ends with; `.txt` prints values as they are.
const SUBJECT_END: &str = "#subject.txt";

/// All mails that a site can send. Immutable; a reload builds new ones.
#[derive(Debug)]
pub struct Mails {
    templates: Templates,
    mails: BTreeMap<Arc<str>, Mail>,
}

/// The templates of one mail.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    pub(super) subject: Option<Arc<str>>,
    pub(super) html: Option<Arc<str>>,
    pub(super) text: Option<Arc<str>>,
}

impl Mails {
    /// Reads the site's own files of `mail/`, named as they stand below it, and lays them over the built-in ones.
    pub fn build(own: Vec<Source>, options: Options) -> (Mails, Vec<Fault>) {
        let mut mails: BTreeMap<Arc<str>, Mail> = BTreeMap::new();
        let (mut sources, mut faults) = (Vec::new(), Vec::new());
        for source in with_built_in(own) {
            let Some((stem, ending)) =
                source.name.rsplit_once('.').filter(|(_, ending)| ["html", "txt"].contains(ending))
            else {
                let message = format!("`{}` is no template of a mail", source.file);
                faults.push(Fault::everywhere(message).help("mail/ holds files that end with .html or .txt"));
                continue;
            };
            // A leading `_` is a layout or a part, as in `pages/`.
            if stem.rsplit('/').next().is_some_and(|last| last.starts_with('_')) {
                sources.push(source);
                continue;
            }
            let mail = mails.entry(stem.into()).or_default();
            let place = if ending == "html" { &mut mail.html } else { &mut mail.text };
            *place = Some(source.name.clone());
            let (subject, body) = split(&source);
            if let Some(subject) = subject {
                mail.subject.get_or_insert_with(|| subject.name.clone());
                sources.push(subject);
            }
            sources.push(body);
        }
        faults.extend(without_subject(&mails, &sources));
        let (templates, found) = Templates::build(sources, options);
        faults.extend(found);
        (Mails { templates, mails }, faults)
    }

    /// The compiled templates: `welcome.html`, `welcome.txt`, and those of the subjects.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The names of all mails, sorted, as a row's `template` has them.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.mails.keys()
    }

    /// The mail of a name.
    ///
    /// # Errors
    /// There is none; perhaps another one was meant.
    pub(super) fn mail(&self, name: &str) -> Result<&Mail, String> {
        self.mails.get(name).ok_or_else(|| {
            let near = suggestion(name, self.mails.keys().map(|known| &**known));
            format!("there is no mail/{name}.html and no mail/{name}.txt {near}").trim_end().to_string()
        })
    }
}

impl Default for Mails {
    fn default() -> Mails {
        Mails::build(Vec::new(), Options::default()).0
    }
}

/// The site's files and, below them, the built-in ones. Who writes one file of a mail has the whole mail: the text of
/// the one and the HTML of the other would not say the same.
fn with_built_in(own: Vec<Source>) -> Vec<Source> {
    let is_part = |name: &str| name.starts_with('_');
    let stem = |name: &str| name.rsplit_once('.').map_or(name.to_string(), |(stem, _)| stem.to_string());
    let hides = |name: &str| match is_part(name) {
        true => own.iter().any(|source| &*source.name == name),
        false => own.iter().any(|source| stem(&source.name) == stem(name)),
    };
    let built_in = builtin::MAILS.iter().filter(|(name, _)| !hides(name)).map(|(name, text)| Source {
        name: (*name).into(),
        file: format!("{}mail/{name}", builtin::ROOT).into(),
        text: (*text).into(),
    });
    let mut all: Vec<Source> = built_in.collect();
    all.extend(own.iter().cloned());
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// The subject of the first line, and the template without it. Lines and columns stay, so that faults are told where
/// they stand.
fn split(source: &Source) -> (Option<Source>, Source) {
    let first = source.text.lines().next().unwrap_or("");
    let Some(subject) = first.strip_prefix(SUBJECT) else { return (None, source.clone()) };
    let of = |name: Arc<str>, text: String| Source { name, file: source.file.clone(), text: text.into() };
    let subject = of(format!("{}{SUBJECT_END}", source.name).into(), " ".repeat(SUBJECT.len()) + subject);
    (Some(subject), of(source.name.clone(), source.text[first.len()..].to_string()))
}

fn without_subject(mails: &BTreeMap<Arc<str>, Mail>, sources: &[Source]) -> Vec<Fault> {
    let bare = mails.values().filter(|mail| mail.subject.is_none());
    let names = bare.filter_map(|mail| mail.html.as_ref().or(mail.text.as_ref()));
    let source = |name: &Arc<str>| sources.iter().find(|source| source.name == *name);
    names
        .filter_map(source)
        .map(|source| {
            let place = Place::of_line(source.file.clone(), &source.text, 1);
            Fault::error("this mail has no subject", place).help("begin its first line with `Subject: `")
        })
        .collect()
}
