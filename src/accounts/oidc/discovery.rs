//! What a provider tells of itself (OpenID Connect Discovery 1.0), and which of its addresses are trusted.

use serde_json::Value as Json;

use crate::settings::Provider;

/// A provider's addresses and habits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Discovery {
    /// Its name: the setting, to the letter.
    pub(super) issuer: String,
    /// Where visitors are sent.
    pub(super) authorization_endpoint: String,
    /// Where codes become tokens.
    pub(super) token_endpoint: String,
    /// Where its keys are.
    pub(super) jwks_uri: String,
    /// Where it tells more of a person.
    pub(super) userinfo_endpoint: Option<String>,
    /// How the site may show its secret; empty when nothing is said.
    secret_ways: Vec<String>,
    /// Whether it names itself to who comes back (RFC 9207).
    names_itself: bool,
}

/// How the site shows at the token endpoint who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It has no secret; PKCE alone protects the code.
    Public,
    /// In the `Authorization` header.
    Basic,
    /// In the body.
    Post,
}

impl Discovery {
    /// Reads the document of an issuer.
    ///
    /// # Errors
    /// What is missing, or not to be trusted.
    pub(super) fn read(document: &Json, issuer: &str) -> Result<Discovery, String> {
        let text = |name: &str| document.get(name).and_then(Json::as_str);
        match text("issuer") {
            Some(named) if named == issuer => {}
            named => {
                let named = named.unwrap_or("nothing");
                return Err(format!("the provider calls itself `{named}`, but `issuer` is set to `{issuer}`"));
            }
        }
        let address = |name: &str| match text(name) {
            Some(address) if is_safe(address) => Ok(address.to_string()),
            Some(address) => Err(format!("the provider's `{name}` is `{address}`, which is no https address")),
            None => Err(format!("the provider tells no `{name}`")),
        };
        let ways = document.get("token_endpoint_auth_methods_supported").and_then(Json::as_array);
        let ways = ways.into_iter().flatten().filter_map(Json::as_str).map(str::to_string).collect();
        Ok(Discovery {
            issuer: issuer.to_string(),
            authorization_endpoint: address("authorization_endpoint")?,
            token_endpoint: address("token_endpoint")?,
            jwks_uri: address("jwks_uri")?,
            userinfo_endpoint: text("userinfo_endpoint").map(|_| address("userinfo_endpoint")).transpose()?,
            secret_ways: ways,
            names_itself: document.get("authorization_response_iss_parameter_supported") == Some(&Json::Bool(true)),
        })
    }

    /// Whether who comes back comes from this provider, as far as the address tells.
    ///
    /// # Errors
    /// They come from another one.
    pub(super) fn check_issuer(&self, named: Option<&str>) -> Result<(), String> {
        match named {
            Some(named) if named == self.issuer => Ok(()),
            None if !self.names_itself => Ok(()),
            named => Err(format!("the answer comes from `{}`, not from `{}`", named.unwrap_or(""), self.issuer)),
        }
    }
}

/// How the site shows who it is. Where nothing is said, it is the header (OpenID Connect Discovery, 3).
pub(super) fn way_of(discovery: &Discovery, provider: &Provider) -> Way {
    let says = |way: &str| discovery.secret_ways.iter().any(|known| known == way);
    match provider.client_secret.is_empty() {
        true => Way::Public,
        false if says("client_secret_post") && !says("client_secret_basic") => Way::Post,
        false => Way::Basic,
    }
}

/// Where an issuer's document is (OpenID Connect Discovery, 4.1).
pub(super) fn address(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// Whether an address of a provider is trusted: by TLS, or because it is on this very machine.
pub fn is_safe(address: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(address) else { return false };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return false };
    let on_this_machine = || {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    match url.scheme() {
        "https" => true,
        "http" => on_this_machine(),
        _ => false,
    }
}
