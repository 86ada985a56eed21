//! Reads `site.toml` into settings and gathers its faults.

use std::borrow::Cow;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::forms::Readable;
use super::{AccessRule, CacheRule, Caching, Owner, Provider, Settings, Wrong};
use crate::problem::{Fault, Place, suggestion};

/// Reads a file's text. Every fault is told; what could be read is set.
pub(super) fn read(settings: &mut Settings, file: &str, source: &str) -> Vec<Fault> {
    let mut reader = Reader { file, source, faults: Vec::new() };
    match DeTable::parse(source) {
        Ok(document) => reader.document(settings, document.get_ref()),
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            reader.fault(error.message().to_string(), &span);
        }
    }
    reader.faults
}

/// Reads one `site.toml` and gathers its faults.
struct Reader<'s> {
    file: &'s str,
    source: &'s str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn place(&self, span: &std::ops::Range<usize>) -> Place {
        Place::of(self.file, self.source, span.start, span.end)
    }

    fn fault(&mut self, message: String, span: &std::ops::Range<usize>) -> &mut Fault {
        let fault = Fault::error(message, self.place(span));
        self.faults.push(fault);
        self.faults.last_mut().expect("just pushed")
    }

    fn document(&mut self, settings: &mut Settings, document: &DeTable<'_>) {
        for (key, value) in document {
            match value.get_ref() {
                DeValue::Table(owners) if key.get_ref() == "owners" => self.owners(settings, owners),
                DeValue::Table(providers) if key.get_ref() == "login" => self.providers(settings, providers),
                DeValue::Table(section) => self.section(settings, key, section),
                DeValue::Array(rules) if key.get_ref() == "access" => {
                    for rule in rules {
                        self.rule(settings, rule);
                    }
                }
                DeValue::Array(rules) if key.get_ref() == "cache" => {
                    for rule in rules {
                        let read = self.cache_rule(rule);
                        settings.cache.extend(read);
                    }
                }
                _ => {
                    self.fault(format!("`{}` stands outside of a section", key.get_ref()), &key.span()).help =
                        "settings stand in sections such as [site], [server] or [limits]".into();
                }
            }
        }
    }

    fn section(&mut self, settings: &mut Settings, section: &Spanned<Cow<'_, str>>, table: &DeTable<'_>) {
        let sections = || Settings::table().iter().filter_map(|row| row.name.split('.').next());
        if !sections().any(|known| known == section.get_ref()) {
            let help = match section.get_ref().as_ref() {
                rules @ ("access" | "cache") => format!("rules stand in double brackets: [[{rules}]]"),
                other => suggestion(other, sections().chain(["access", "cache", "owners", "login"])),
            };
            self.fault(format!("unknown section `[{}]`", section.get_ref()), &section.span()).help = help;
            return;
        }
        for (key, value) in table {
            let name = format!("{}.{}", section.get_ref(), key.get_ref());
            let Some(text) = scalar(value.get_ref()) else {
                self.fault(format!("`{name}` must be a single value"), &value.span());
                continue;
            };
            match settings.set(&name, &text) {
                Ok(()) => {}
                Err(Wrong::Value(form)) => {
                    self.fault(format!("`{name}` is `{text}`"), &value.span()).label = format!("must be {form}");
                }
                // A site may keep values of its own for templates in [site]; what looks like a slip is still a fault.
                Err(Wrong::Name(help)) if section.get_ref() == "site" && help.is_empty() => {
                    settings.site_values.push((key.get_ref().as_ref().into(), text));
                }
                Err(Wrong::Name(help)) => {
                    self.fault(format!("unknown setting `{name}`"), &key.span()).help = help;
                }
            }
        }
    }

    /// `[owners]`: a table and its column a line.
    fn owners(&mut self, settings: &mut Settings, table: &DeTable<'_>) {
        for (name, column) in table {
            let DeValue::String(text) = column.get_ref() else {
                self.fault(format!("`owners.{}` must name a column", name.get_ref()), &column.span()).help =
                    "for example: orders = \"user_id\"".into();
                continue;
            };
            let place = self.place(&name.span());
            settings.owners.push(Owner { table: name.get_ref().as_ref().into(), column: text.as_ref().into(), place });
        }
    }

    /// `[login.NAME]`: a provider a section.
    fn providers(&mut self, settings: &mut Settings, table: &DeTable<'_>) {
        for (name, value) in table {
            let DeValue::Table(section) = value.get_ref() else {
                self.fault(format!("`login.{}` is a section", name.get_ref()), &value.span()).help =
                    "write `[login.NAME]` with `issuer`, `client_id` and `client_secret`".into();
                continue;
            };
            let text = name.get_ref().as_ref();
            if text.is_empty() || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
                self.fault(format!("`{text}` is no name for a provider"), &name.span()).help =
                    "it stands in addresses: lower-case letters, digits and dashes".into();
                continue;
            }
            let provider = self.provider(text, &name.span(), section);
            settings.providers.extend(provider);
        }
    }

    fn provider(&mut self, name: &str, span: &std::ops::Range<usize>, section: &DeTable<'_>) -> Option<Provider> {
        const KEYS: [&str; 4] = ["issuer", "client_id", "client_secret", "label"];
        let mut read = [(); KEYS.len()].map(|()| String::new());
        for (key, value) in section {
            match (KEYS.iter().position(|known| *known == key.get_ref()), scalar(value.get_ref())) {
                (Some(index), Some(text)) => read[index] = text,
                (Some(_), None) => _ = self.fault(format!("`{}` must be a text", key.get_ref()), &value.span()),
                (None, _) => {
                    let help = suggestion(key.get_ref(), KEYS);
                    self.fault(format!("unknown setting `login.{name}.{}`", key.get_ref()), &key.span()).help = help;
                }
            }
        }
        let [issuer, client_id, client_secret, label] = read;
        if issuer.is_empty() || client_id.is_empty() {
            self.fault(format!("`[login.{name}]` needs `issuer` and `client_id`"), span).help =
                "the provider tells them when you register the site there".into();
            return None;
        }
        let label = if label.is_empty() { name.to_string() } else { label };
        Some(Provider { name: name.into(), label, issuer, client_id, client_secret, place: self.place(span) })
    }

    fn rule(&mut self, settings: &mut Settings, rule: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = rule.get_ref() else {
            self.fault("an access rule is a table: [[access]]".into(), &rule.span());
            return;
        };
        let mut read = AccessRule {
            path: String::new(),
            methods: vec![],
            allow: vec![],
            hide: false,
            place: self.place(&rule.span()),
        };
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("path", DeValue::String(path)) => {
                    read.path = path.to_string();
                    read.place = self.place(&value.span());
                }
                ("methods", list) => read.methods = texts(list).iter().map(|method| method.to_uppercase()).collect(),
                ("allow", list) => read.allow = texts(list),
                ("hide", DeValue::Boolean(hide)) => read.hide = *hide,
                (name, _) => {
                    let help = suggestion(name, ["path", "methods", "allow", "hide"]);
                    self.fault(format!("unknown or wrongly typed key `{name}` of an access rule"), &key.span()).help =
                        help;
                }
            }
        }
        if !read.path.starts_with('/') || read.allow.is_empty() {
            self.fault("an access rule needs `path = \"/…\"` and `allow`".into(), &rule.span()).help =
                "for example: path = \"/account/**\" and allow = \"users\"".into();
            return;
        }
        settings.access.push(read);
    }
}

impl Reader<'_> {
    /// `[[cache]]`: a path, and one of three words.
    fn cache_rule(&mut self, rule: &Spanned<DeValue<'_>>) -> Option<CacheRule> {
        let DeValue::Table(table) = rule.get_ref() else {
            self.fault("a cache rule is a table: [[cache]]".into(), &rule.span());
            return None;
        };
        let (mut path, mut place, mut said) = (String::new(), self.place(&rule.span()), Vec::new());
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("path", DeValue::String(text)) => (path, place) = (text.to_string(), self.place(&value.span())),
                ("off", DeValue::Boolean(true)) => said.push(Caching::Off),
                ("strict", DeValue::Boolean(true)) => said.push(Caching::Strict),
                ("off" | "strict", DeValue::Boolean(false)) => {
                    let message = format!("`{} = false` says nothing", key.get_ref());
                    self.fault(message, &key.span()).help =
                        "leave it out; without a rule pages are always fresh".into();
                    return None;
                }
                ("max_stale", value_text) => match scalar(value_text).and_then(|text| Duration::read(&text)) {
                    Some(most) => said.push(Caching::MaxStale(most)),
                    None => {
                        self.fault("`max_stale` is no time".into(), &value.span()).label =
                            format!("must be {}", Duration::FORM);
                        return None;
                    }
                },
                (name, _) => {
                    let help = suggestion(name, ["path", "off", "strict", "max_stale"]);
                    let message = format!("unknown or wrongly typed key `{name}` of a cache rule");
                    self.fault(message, &key.span()).help = help;
                    return None;
                }
            }
        }
        match said[..] {
            [caching] if path.starts_with('/') => return Some(CacheRule { path, caching, place }),
            [_, _, ..] => {
                self.fault(format!("the cache rule for {path} says more than one thing"), &rule.span()).help =
                    "keep one of `off`, `strict` and `max_stale`".into();
            }
            _ => {
                let message = "a cache rule needs `path = \"/…\"` and one of `off`, `strict` and `max_stale`";
                self.fault(message.into(), &rule.span()).help =
                    "for example: path = \"/news/**\" and max_stale = \"5s\"".into();
            }
        }
        None
    }
}

/// A single value as it would be written on the command line.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// One text or a list of them.
fn texts(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::Array(items) => items.iter().filter_map(|item| scalar(item.get_ref())).collect(),
        single => scalar(single).into_iter().collect(),
    }
}
