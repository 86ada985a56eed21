//! Faults of `[login.NAME]`: providers that nobody can log in with.

use crate::accounts::oidc::{is_safe, redirect_uri};
use crate::problem::Fault;
use crate::settings::Provider;
use crate::site::Site;

pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    let Some(first) = site.settings.providers.first() else { return };
    for provider in &site.settings.providers {
        faults.extend(wrong_issuer(provider));
    }
    if !site.settings.has_users() {
        let message = "visitors can't log in: this site has no accounts";
        let help = "set `register` in a section [users] to \"open\", \"invited\" or \"closed\"";
        faults.push(Fault::error(message, first.place.clone()).help(help));
    } else if site.settings.site_url.is_empty() {
        let message = "providers send people back to an address that they know, but `site.url` isn't set";
        let back = redirect_uri("https://YOUR-SITE", &first.name);
        let help = format!("set it, and register {back} at the provider");
        faults.push(Fault::warning(message, first.place.clone()).help(help));
    }
}

fn wrong_issuer(provider: &Provider) -> Option<Fault> {
    if is_safe(&provider.issuer) {
        return None;
    }
    let message = format!("the issuer `{}` is no https address", provider.issuer);
    Some(Fault::error(message, provider.place.clone()).help("only one on this very machine may do without TLS"))
}
