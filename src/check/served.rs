//! What a site serves, with the access rules that hold there: the lines of `tableside access` and of `access.lock`.

use std::collections::BTreeMap;

use crate::builtin;
use crate::problem::Place;
use crate::settings::AccessRule;
use crate::site::policy::Policy;
use crate::site::rules::{self, Verdict, Who};
use crate::site::{Endpoint, Site, UPLOADS};

/// Something that is served by one method.
#[derive(Clone, Debug)]
pub struct Served {
    /// The address pattern. Of several static files, the folder that they have in common: `/reports/**`.
    pub route: String,
    /// `GET`, `POST` …, or `VISIT`.
    pub method: &'static str,
    /// What answers: the file, below the site's folder; of several static files `public`, of uploads `uploads`.
    pub file: String,
    /// The rules that are about it, in the order of the file.
    pub rules: Vec<AccessRule>,
    /// The addresses of static files to which the same rules apply; empty for all else.
    pub addresses: Vec<String>,
}

impl Served {
    /// Whether it is one of the server's own pages.
    pub fn is_builtin(&self) -> bool {
        self.file.starts_with(builtin::ROOT)
    }

    /// Who may.
    pub fn policy(&self) -> Policy {
        Policy::of(&self.rules, asked(self.method))
    }

    /// What the rules say to a visitor.
    pub fn verdict(&self, who: Who<'_>) -> Verdict {
        rules::decide(&self.rules, asked(self.method), who)
    }
}

/// The method of the request that a line is about: a visit is part of a GET.
pub(super) fn asked(method: &str) -> &str {
    if method == "VISIT" { "GET" } else { method }
}

/// Everything that is served: pages, data and actions, then uploads, then static files by their rules.
pub fn served(site: &Site) -> Vec<Served> {
    let mut lines: Vec<Served> = site.endpoints.iter().flat_map(|endpoint| of_endpoint(endpoint)).collect();
    if site.takes_uploads() {
        lines.push(line(UPLOADS.into(), "GET", "uploads".into(), &site.upload_rules()));
    }
    lines.extend(of_statics(site));
    lines
}

fn line(route: String, method: &'static str, file: String, bound: &[AccessRule]) -> Served {
    let about = bound.iter().filter(|rule| rules::is_about(rule, asked(method)));
    Served { route, method, file, rules: about.cloned().collect(), addresses: Vec::new() }
}

fn of_endpoint(endpoint: &Endpoint) -> Vec<Served> {
    let mut files: Vec<(&'static str, String)> = Vec::new();
    files.extend(endpoint.page.iter().map(|page| ("GET", page.file.to_string())));
    files.extend(endpoint.data.iter().map(|(_, data)| ("GET", data.script.path.to_string())));
    files.extend(endpoint.visit.iter().map(|visit| ("VISIT", visit.script.path.to_string())));
    files.extend(endpoint.actions.iter().map(|(method, action)| (method.name(), action.script.path.to_string())));
    let of_file = |(method, file)| line(endpoint.pattern.to_string(), method, file, &endpoint.rules);
    files.into_iter().map(of_file).collect()
}

/// The static files, those with the same rules in one line.
fn of_statics(site: &Site) -> Vec<Served> {
    /// Where the rules of a file stand, and then the rules with the files.
    type Groups = BTreeMap<Vec<(u32, u32)>, (Vec<AccessRule>, Vec<(String, String)>)>;
    let place = |place: &Place| (place.line, place.column);
    let mut groups = Groups::new();
    for (address, path) in site.statics.addresses() {
        let rules = site.static_rules(&address);
        let key = rules.iter().map(|rule| place(&rule.place)).collect();
        let group = groups.entry(key).or_insert_with(|| (rules, Vec::new()));
        group.1.push((address, format!("public/{}", path.display())));
    }
    let group = |(rules, files): (Vec<AccessRule>, Vec<(String, String)>)| {
        let (route, file) = match &files[..] {
            [(address, file)] => (address.clone(), file.clone()),
            _ => (common_folder(&files), "public".to_string()),
        };
        let addresses = files.into_iter().map(|(address, _)| address).collect();
        Served { addresses, ..line(route, "GET", file, &rules) }
    };
    groups.into_values().map(group).collect()
}

/// The nearest folder that holds all of the files: `/reports/**`.
fn common_folder(files: &[(String, String)]) -> String {
    let folder = |address: &str| address.rfind('/').map_or(0, |at| at + 1);
    let first = files.first().map_or("/", |(address, _)| address);
    let mut common = &first[..folder(first)];
    while !files.iter().all(|(address, _)| address.starts_with(common)) {
        common = &common[..folder(common.trim_end_matches('/'))];
    }
    format!("{common}**")
}
