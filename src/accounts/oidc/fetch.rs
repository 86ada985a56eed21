//! Asks providers over HTTP. Answers are small and come soon, or they count as none; redirects aren't followed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::discovery::Way;
use super::{Failed, Returned};
use crate::settings::Provider;

/// The most bytes of one answer.
const LARGEST: usize = 1024 * 1024;

/// The most characters of a provider's own words that the log gets.
const LONGEST_CAUSE: usize = 300;

/// The one client; made when a provider is first asked, because it reads the system's certificates.
#[derive(Debug, Default)]
pub(super) struct Fetcher(OnceCell<Client>);

/// What a code becomes.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    /// The signed word of who it is.
    pub(super) id_token: String,
    /// What opens the userinfo.
    pub(super) access_token: Option<String>,
}

impl Fetcher {
    /// A document of JSON, as who has an access token where one is given.
    pub(super) async fn get(&self, address: &str, access: Option<&str>) -> Result<Json, Failed> {
        let mut request = self.client().await?.get(address).header(ACCEPT, "application/json");
        if let Some(access) = access {
            request = request.header(AUTHORIZATION, format!("Bearer {access}"));
        }
        let (status, document) = answer(address, request).await?;
        match status {
            StatusCode::OK => Ok(document),
            other => Err(Failed::provider(format!("{address} answers {other}"))),
        }
    }

    /// Exchanges a code (OpenID Connect Core, 3.1.3.1).
    pub(super) async fn grant(
        &self,
        address: &str,
        provider: &Provider,
        way: Way,
        returned: Returned<'_>,
    ) -> Result<Granted, Failed> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", returned.code),
            ("redirect_uri", returned.redirect_uri),
            ("code_verifier", returned.verifier),
        ];
        let mut request = self.client().await?.post(address).header(ACCEPT, "application/json");
        match way {
            Way::Basic => request = request.header(AUTHORIZATION, basic(&provider.client_id, &provider.client_secret)),
            Way::Post => fields.push(("client_secret", &provider.client_secret)),
            Way::Public => {}
        }
        if way != Way::Basic {
            fields.push(("client_id", &provider.client_id));
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let (status, document) = answer(address, request).await?;
        let text = |name: &str| document.get(name).and_then(Json::as_str);
        match (status, text("id_token")) {
            (StatusCode::OK, Some(token)) => {
                Ok(Granted { id_token: token.to_string(), access_token: text("access_token").map(str::to_string) })
            }
            _ => {
                let said =
                    [text("error"), text("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
                Err(Failed::provider(format!("{address} answers {status} without an id_token {}", shortened(&said))))
            }
        }
    }

    async fn client(&self) -> Result<&Client, Failed> {
        let made = self.0.get_or_try_init(|| async {
            // Reading certificates is work for the disk, and not for the core that serves.
            tokio::task::spawn_blocking(client).await.map_err(|error| error.to_string())?
        });
        made.await.map_err(|error: String| Failed::provider(format!("no client for HTTPS: {error}")))
    }
}

fn client() -> Result<Client, String> {
    let builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // Logins are rare, and a connection belongs to the core that opened it.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("tableside/", env!("CARGO_PKG_VERSION")));
    builder.build().map_err(|error| causes(&error))
}

/// The `Authorization` of a name and a secret, each escaped first (RFC 6749, 2.3.1).
fn basic(name: &str, secret: &str) -> String {
    let escaped = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", escaped(name), escaped(secret))))
}

/// Sends a request, and reads the answer as JSON; null where an answer other than 200 is none.
async fn answer(address: &str, request: RequestBuilder) -> Result<(StatusCode, Json), Failed> {
    let failed = |error: reqwest::Error| Failed::provider(format!("{address}: {}", causes(&error)));
    let mut response = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(Failed::provider(format!("{address} answers with more than {LARGEST} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    match serde_json::from_slice(&body) {
        Ok(document) => Ok((response.status(), document)),
        Err(_) if response.status() != StatusCode::OK => Ok((response.status(), Json::Null)),
        Err(error) => Err(Failed::provider(format!("{address} answers with what is no JSON: {error}"))),
    }
}

/// An error with what caused it: the first alone says only that something failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Words of a provider, as much of them as the log needs.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_CAUSE).collect()
}
