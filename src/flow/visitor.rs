//! Who asks: everything about a visitor and a request that SQL and templates may read, through one recording accessor.
//!
//! What was read decides whether an answer may be shared: an answer that read nothing of the visitor is everybody's.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use http::header::HOST;
use http::{HeaderValue, Method, Uri};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::{RequestId, Visit};
use crate::accounts::{Claim, Identity, User};
use crate::clock::datetime_text;
use crate::settings::Settings;
use crate::site::rules::Who;
use crate::sqlfile::{ServerValue, Surroundings};
use crate::value::Value;

/// What an answer read of its visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Aspect {
    /// Who it is: the session, the user, their roles.
    Identity = 1,
    /// Where the request came from.
    Address = 2,
    /// The time, or this very request.
    Moment = 4,
    /// The host by which the visitor knows the site.
    Host = 8,
    /// The method and the query text as they were sent.
    Line = 16,
}

/// The one who asks. Cheap to share between the thread that serves and one that reads, and to make somebody else of.
#[derive(Debug)]
pub struct Visitor {
    method: Method,
    request: Arc<Request>,
    /// Who they are, once it was looked up.
    identity: OnceLock<Identity>,
    /// What lets a script of the page run, once the page has asked for it.
    nonce: OnceLock<Arc<str>>,
    read: AtomicU8,
}

/// What a request tells, whoever sends it turns out to be.
#[derive(Debug)]
struct Request {
    uri: Uri,
    /// The decoded path, where it differs from the one in `uri`.
    decoded: Option<Box<str>>,
    id: RequestId,
    address: IpAddr,
    host: Option<HeaderValue>,
    secure: bool,
    now: Timestamp,
    settings: Arc<Settings>,
    /// SHA-256 of the cookie's secret; the secret itself is never stored.
    secret_hash: Option<[u8; 32]>,
    /// The hash of an API token.
    token_hash: Option<Arc<str>>,
    /// The message that waits to be shown once.
    flash: Option<String>,
}

impl Visitor {
    /// The visitor of a request. `secret` is the session cookie's value, `flash` the message for this page.
    pub fn new(
        visit: &Visit,
        secret: Option<&str>,
        flash: Option<String>,
        now: Timestamp,
        settings: Arc<Settings>,
    ) -> Visitor {
        let request = Request {
            decoded: (visit.path() != visit.uri().path()).then(|| visit.path().into()),
            uri: visit.uri().clone(),
            id: visit.id,
            address: visit.peer.ip().to_canonical(),
            host: visit.headers.value(HOST),
            secure: visit.secure,
            now,
            settings,
            secret_hash: secret.map(secret_hash),
            token_hash: visit.bearer().map(|token| crate::accounts::token::hash(token).into()),
            flash,
        };
        let method = visit.method.clone();
        Visitor {
            method,
            request: Arc::new(request),
            identity: OnceLock::new(),
            nonce: OnceLock::new(),
            read: AtomicU8::new(0),
        }
    }

    /// The path of the request.
    pub fn path(&self) -> &str {
        self.request.decoded.as_deref().unwrap_or_else(|| self.request.uri.path())
    }

    /// The query text of the request.
    pub fn query(&self) -> &str {
        self.request.uri.query().unwrap_or("")
    }

    /// The method of the request.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The name of the request.
    pub fn id(&self) -> RequestId {
        self.request.id
    }

    /// By what the session is found; `None` for a visitor without a session cookie.
    pub fn secret_hash(&self) -> Option<&[u8; 32]> {
        self.request.secret_hash.as_ref()
    }

    /// By what the visitor can be told from others; `None` for one who brings nothing.
    pub fn claim(&self) -> Option<Claim> {
        let token = self.request.token_hash.clone().map(Claim::Token);
        token.or_else(|| self.request.secret_hash.map(Claim::Session))
    }

    /// Whether it is known who they are. Who brings nothing is nobody.
    pub fn is_known(&self) -> bool {
        self.identity.get().is_some() || self.request.secret_hash.is_none() && self.request.token_hash.is_none()
    }

    /// The message that waits to be shown once.
    pub fn flash(&self) -> Option<&str> {
        self.request.flash.as_deref()
    }

    /// Keeps what the look-up found. Only the first call counts.
    pub fn identify(&self, identity: Identity) {
        let _ = self.identity.set(identity);
    }

    /// Who they are; nobody as long as it was not looked up. For the steps: what an answer shows is asked of
    /// [`Visitor::user`] and its siblings, which note it.
    pub fn identity(&self) -> &Identity {
        static NOBODY: LazyLock<Identity> = LazyLock::new(Identity::default);
        self.identity.get().unwrap_or(&NOBODY)
    }

    /// The same request by somebody else: what follows a login sees the user, and what begins a session sees that.
    pub fn become_identity(&self, identity: Identity) -> Visitor {
        Visitor {
            method: self.method.clone(),
            request: self.request.clone(),
            identity: OnceLock::from(identity),
            nonce: self.nonce.clone(),
            read: AtomicU8::new(0),
        }
    }

    /// The same visitor with the method that a form's hidden `_method` asks for.
    pub fn with_method(&self, method: Method) -> Visitor {
        Visitor { method, ..self.clone() }
    }

    /// The session's id; null for a visitor without one.
    pub fn session(&self) -> Value {
        self.reads(Aspect::Identity);
        self.identity().session.clone().map_or(Value::Null, Value::Text)
    }

    /// The user who is logged in.
    pub fn user(&self) -> Option<&Arc<User>> {
        self.reads(Aspect::Identity);
        self.identity().user.as_ref()
    }

    /// What access rules make of them.
    pub fn who(&self) -> Who<'_> {
        match &self.identity().user {
            Some(user) => Who::User { confirmed: user.confirmed, roles: &user.roles },
            None => Who::Anonymous,
        }
    }

    /// The visitor's address.
    pub fn address(&self) -> IpAddr {
        self.request.address
    }

    /// The time of the request, for what the server itself does.
    pub fn moment(&self) -> Timestamp {
        self.request.now
    }

    /// `request.nonce`: what lets a script that stands in the page run. Made when it is first asked for.
    pub fn nonce(&self) -> Arc<str> {
        self.reads(Aspect::Moment);
        self.nonce.get_or_init(random_nonce).clone()
    }

    /// The nonce, if the page asked for one.
    pub fn printed_nonce(&self) -> Option<Arc<str>> {
        self.nonce.get().cloned()
    }

    /// The site's public address without a slash at its end.
    pub fn site_url(&self) -> String {
        let settings = &self.request.settings;
        if !settings.site_url.is_empty() {
            return settings.site_url.trim_end_matches('/').to_string();
        }
        self.reads(Aspect::Host);
        let host = self.host().unwrap_or("localhost");
        // Anybody can send any `Host`; in the link of somebody's mail it would hand the link's token to them.
        if settings.has_users() && !is_loopback(host) {
            return format!("http://{}", settings.listen);
        }
        let scheme = if self.request.secure { "https" } else { "http" };
        format!("{scheme}://{host}")
    }

    /// The settings of the site.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.request.settings
    }

    /// Records that something was read.
    pub fn reads(&self, aspect: Aspect) {
        self.read.fetch_or(aspect as u8, Ordering::Relaxed);
    }

    /// Everything that was read so far, as bits.
    pub fn aspects(&self) -> u8 {
        self.read.load(Ordering::Relaxed)
    }

    /// Whether the answer read this aspect.
    pub fn has_read(&self, aspect: Aspect) -> bool {
        self.read.load(Ordering::Relaxed) & aspect as u8 != 0
    }

    /// The host that the request names.
    pub fn host(&self) -> Option<&str> {
        let named = self.request.host.as_ref().and_then(|host| host.to_str().ok());
        named.or_else(|| self.request.uri.authority().map(|host| host.as_str()))
    }
}

/// Whether a host, perhaps with a port, is this very machine by name or address.
fn is_loopback(host: &str) -> bool {
    let end = host.find(']').map_or(0, |bracket| bracket + 1);
    let name = match host[end..].split_once(':') {
        Some((rest, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => &host[..end + rest.len()],
        Some(_) => return false,
        None => host,
    };
    let address = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse().map(IpAddr::V6),
        None => name.parse().map(IpAddr::V4),
    };
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The hash by which a session is found: SHA-256 of the cookie's secret, which has 128 random bits and needs no salt.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl Clone for Visitor {
    fn clone(&self) -> Visitor {
        Visitor {
            method: self.method.clone(),
            request: self.request.clone(),
            identity: self.identity.clone(),
            nonce: self.nonce.clone(),
            read: AtomicU8::new(self.read.load(Ordering::Relaxed)),
        }
    }
}

/// 128 random bits (CSP Level 3, 8.1), in digits that no template escapes.
fn random_nonce() -> Arc<str> {
    let mut bytes = [0u8; 16];
    // A nonce that can be guessed protects nobody: stopping this request is the only right answer.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    format!("{:032x}", u128::from_be_bytes(bytes)).into()
}

impl Surroundings for Visitor {
    fn server(&self, value: ServerValue) -> Value {
        match value {
            ServerValue::SessionId => self.session(),
            ServerValue::Visitor => self.user().map_or_else(|| self.session(), |user| Value::text(user.id.to_string())),
            ServerValue::UserId => self.user().map_or(Value::Null, |user| Value::Int(user.id)),
            ServerValue::Roles => {
                let roles = self.user().map_or(&[][..], |user| &user.roles);
                Value::List(roles.iter().cloned().map(Value::Text).collect())
            }
            ServerValue::Now => {
                self.reads(Aspect::Moment);
                Value::text(datetime_text(self.request.now))
            }
            ServerValue::RequestId => {
                self.reads(Aspect::Moment);
                Value::text(self.request.id.to_string())
            }
            ServerValue::ClientIp => {
                self.reads(Aspect::Address);
                Value::text(self.request.address.to_string())
            }
            ServerValue::Path => Value::from(self.path()),
            ServerValue::Method => {
                self.reads(Aspect::Line);
                Value::text(self.method.as_str())
            }
            ServerValue::Locale => Value::text(self.settings().locale.as_str()),
            ServerValue::SiteUrl => Value::text(self.site_url()),
        }
    }

    fn now(&self) -> Timestamp {
        self.reads(Aspect::Moment);
        self.request.now
    }

    fn zone(&self) -> TimeZone {
        self.settings().timezone.clone()
    }

    fn has_role(&self, role: &str) -> bool {
        self.user().is_some_and(|user| user.has_role(role))
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in
            ["localhost", "LocalHost:80", "127.0.0.1", "127.9.9.9:3000", "[::1]", "[::1]:3000", "[::ffff:127.0.0.1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "localhost:x",
            "a@localhost",
            "localhost@evil.example",
            "127.0.0.1.evil.example",
            "[::1].evil.example",
            "[::1]evil:80",
            "evil[::1]",
            "::1",
            "[127.0.0.1]",
            "128.0.0.1",
            "0.0.0.0",
            "localhost:80@evil.example",
            "localhost/..",
            "]:80",
            "[::1",
            "127.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
