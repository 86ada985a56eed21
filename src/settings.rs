//! Every setting of the server: its name, default, meaning and check stand together, once.
//!
//! `site.toml`, the environment and flags are read here and nowhere else; help and the handbook's table are made from
//! [`Settings::table`]. Later sources win: default, `site.toml`, environment, flag.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::problem::{Fault, Place, suggestion};

mod file;
mod forms;

use forms::Readable;

/// A number of bytes, written `512`, `64KB` (64,000) or `64KiB` (65,536), and so on with `MB`, `MiB`, `GB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Nobody: the site has no accounts at all.
    Off,
    /// Only the site's operator makes accounts, by `tableside user`.
    Closed,
    /// Whoever got an invitation.
    Invited,
    /// Everybody.
    Open,
}

impl Registration {
    /// Its word in `site.toml`, and of `site.register` in templates.
    pub fn name(self) -> &'static str {
        match self {
            Registration::Off => "off",
            Registration::Closed => "closed",
            Registration::Invited => "invited",
            Registration::Open => "open",
        }
    }
}

/// The addresses of proxies whose word about the visitor is taken: an address and how many of its bits count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(pub Vec<(IpAddr, u8)>);

impl Proxies {
    /// Whether an address is that of a proxy. An older address in the newer form is the older one (RFC 4291, 2.5.5.2).
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(network, bits)| match (network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - u32::from(*bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - u32::from(*bits)).unwrap_or(0) == 0
            }
            _ => false,
        })
    }
}

/// The value of a response header: visible ASCII on one line. Empty: the header isn't sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderText(pub String);

/// One row of the table of settings.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name: section and key of `site.toml`, such as `limits.body`.
    pub name: &'static str,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// What a value looks like.
    pub form: &'static str,
}

impl Setting {
    /// The environment variable that sets it: `TABLESIDE_LIMITS_BODY`.
    pub fn env_name(&self) -> String {
        format!("TABLESIDE_{}", self.name.replace('.', "_").to_uppercase())
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:literal $field:ident : $type:ty = $default:literal;)+) => {
        /// The settings of one server, all read and checked.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// Further keys of `[site]`, for templates: `site.motto`.
            pub site_values: Vec<(Arc<str>, String)>,
            /// The access rules, in the order of the file.
            pub access: Vec<AccessRule>,
            /// The rules of the cache, in the order of the file.
            pub cache: Vec<CacheRule>,
            /// The tables whose rows belong to a user, of `[owners]`.
            pub owners: Vec<Owner>,
            /// The providers of OpenID Connect, of `[login.NAME]`.
            pub providers: Vec<Provider>,
            /// What the environment says to programs that talk to Amazon, beside what is a setting: `aws_role_arn` and
            /// its value.
            pub aws: Vec<(String, String)>,
        }

        impl Default for Settings {
            fn default() -> Settings {
                Settings {
                    $($field: <$type as Readable>::read($default).expect("a setting's default can be read"),)+
                    site_values: Vec::new(),
                    access: Vec::new(),
                    cache: Vec::new(),
                    owners: Vec::new(),
                    providers: Vec::new(),
                    aws: Vec::new(),
                }
            }
        }

        impl Settings {
            /// All settings, in the order of the handbook.
            pub fn table() -> &'static [Setting] {
                &[$(Setting {
                    name: $name,
                    default: $default,
                    doc: concat!($($doc, "\n"),+),
                    form: <$type as Readable>::FORM,
                }),+]
            }

            /// Sets one by its name.
            ///
            /// # Errors
            /// What is wrong, and what would be right.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
                if NEVER_ZERO.contains(&name) && is_zero(text) {
                    return Err(Wrong::Value("more than 0"));
                }
                match name {
                    $($name => self.$field = <$type as Readable>::read(text).ok_or(Wrong::Value(<$type as Readable>::FORM))?,)+
                    _ => return Err(Wrong::Name(suggestion(name, Settings::table().iter().map(|row| row.name)))),
                }
                Ok(())
            }
        }
    };
}

/// Whether a number, a size or a time is nothing.
fn is_zero(text: &str) -> bool {
    let mut digits = text.bytes().filter(u8::is_ascii_digit).peekable();
    digits.peek().is_some() && digits.all(|digit| digit == b'0')
}

/// Limits that would keep a server from answering anything at all if they were 0.
const NEVER_ZERO: [&str; 19] = [
    "uploads.time",
    "database.connections",
    "limits.connections",
    "limits.url",
    "limits.headers",
    "limits.header_count",
    "limits.fields",
    "limits.rows",
    "limits.fuel",
    "limits.page",
    "limits.waiting_actions",
    "limits.header_time",
    "limits.pause",
    "limits.query",
    "limits.action",
    "users.password_length",
    "session.idle",
    "session.remember",
    "session.longest",
];

/// Why a setting can't be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is no such setting; perhaps the one of the suggestion was meant.
    Name(String),
    /// Its value must be of this form.
    Value(&'static str),
}

settings! {
    /// The name of the site, `site.name` in templates.
    "site.name" site_name: String = "";
    /// The public address of the site without a slash at its end, such as `https://shop.example`. Empty: taken from the
    /// request, which is right for development only.
    "site.url" site_url: String = "";
    /// The time zone in which days begin and dates are shown.
    "site.timezone" timezone: TimeZone = "UTC";
    /// The language of the site.
    "site.locale" locale: String = "en";

    /// The address to listen on. `PORT` and `--listen` set it, too.
    "server.listen" listen: SocketAddr = "127.0.0.1:3000";
    /// Threads that serve; 0 takes one for each core.
    "server.threads" threads: u32 = "0";
    /// Whether a plain folder without an `index.html` shows the list of its files.
    "server.listing" listing: bool = "false";
    /// How long running requests may take to finish when the server stops.
    "server.drain" drain: Duration = "10s";

    /// Addresses of proxies, such as `127.0.0.1, 10.0.0.0/8`, that tell the visitor's address and scheme
    /// (`X-Forwarded-For`, `X-Forwarded-Proto`). Others are not believed.
    "server.proxies" proxies: Proxies = "";

    /// The database: empty for `data/site.db`, a path to an SQLite file, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    /// `DATABASE_URL` sets it, too.
    "database.url" database_url: String = "";
    /// Connections to a PostgreSQL server that each serving thread keeps at most. Further requests wait for one.
    "database.connections" database_connections: u32 = "8";
    /// Whether a PostgreSQL server will do that may lose what it has acknowledged (`fsync`, `full_page_writes` or
    /// `synchronous_commit` off).
    "database.allow_unsafe_durability" allow_unsafe_durability: bool = "false";
    /// Whether triggers on all tables of a PostgreSQL database tell of what other programs write.
    "database.watch_other_programs" watch_other_programs: bool = "false";

    /// Where uploads are kept: empty for `data/uploads`, a path to a folder, or `s3://BUCKET/PREFIX` for a bucket of an
    /// S3-compatible store. Servers of the same database must have the same.
    "uploads.store" uploads_store: String = "";
    /// The address of the S3-compatible store, such as `https://s3.example`. Empty: Amazon's. `AWS_ENDPOINT_URL` sets it,
    /// too.
    "uploads.endpoint" uploads_endpoint: String = "";
    /// The region of the bucket; empty for `us-east-1`. `AWS_REGION` sets it, too.
    "uploads.region" uploads_region: String = "";
    /// The name of the key to the bucket. `AWS_ACCESS_KEY_ID` sets it, too. Empty: the role of the machine.
    "uploads.access_key" uploads_access_key: String = "";
    /// The key to the bucket, better not written into `site.toml`. `AWS_SECRET_ACCESS_KEY` sets it, too.
    "uploads.secret_key" uploads_secret_key: String = "";
    /// Memory for the parts of files that are on their way to a bucket, all together. Uploads that find none within
    /// `uploads.time` get 503.
    "uploads.memory" uploads_memory: Bytes = "256MiB";
    /// How long the store may take to answer, or to take or give a part of a file; over it 503.
    "uploads.time" uploads_time: Duration = "20s";

    /// How the log is written.
    "log.format" log_format: LogFormat = "text";
    /// Whether every request gets a line in the log.
    "log.requests" log_requests: bool = "true";

    /// Who may make an account: `off` for a site without accounts, `closed` (only `tableside user add`), `invited`
    /// (whoever got an invitation), `open`.
    "users.register" register: Registration = "off";
    /// The fewest characters of a new password.
    "users.password_length" password_length: u32 = "10";
    /// The e-mail address that is told when somebody tries many passwords; empty for nobody.
    "users.alert" users_alert: String = "";
    /// How long lines of the security log are kept.
    "users.log_keep" log_keep: Duration = "365d";

    /// How long a browser keeps the session of a visitor who is not logged in.
    "session.keep" session_keep: Duration = "365d";
    /// A login without "stay logged in" ends after so long without a visit, and when the browser is closed.
    "session.idle" session_idle: Duration = "1d";
    /// A login with "stay logged in" ends after so long without a visit.
    "session.remember" session_remember: Duration = "60d";
    /// Every login ends after so long.
    "session.longest" session_longest: Duration = "365d";

    /// The sender of the site's mail, such as `Market <shop@example.org>`. Empty: `noreply@` and the host of `site.url`.
    "mail.from" mail_from: String = "";

    /// What pages made of templates may load and run (`Content-Security-Policy`). `{nonce}` becomes the page's
    /// `request.nonce`, or nothing. Empty here and in the other `headers` settings: the header isn't sent.
    "headers.content_security_policy" content_security_policy: HeaderText = "default-src 'self'; \
script-src 'self' {nonce}; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; object-src 'none'; \
base-uri 'self'; form-action 'self'; frame-ancestors 'self'";
    /// What other sites learn of the page that a visitor comes from (`Referrer-Policy`).
    "headers.referrer_policy" referrer_policy: HeaderText = "strict-origin-when-cross-origin";
    /// Who may show the site in a frame (`X-Frame-Options`).
    "headers.frame_options" frame_options: HeaderText = "SAMEORIGIN";
    /// Which windows of other sites may keep hold of the site's (`Cross-Origin-Opener-Policy`). The default lets pages
    /// open windows of others, to pay or to log in.
    "headers.cross_origin_opener_policy" cross_origin_opener_policy: HeaderText = "same-origin-allow-popups";
    /// What pages may ask the browser for (`Permissions-Policy`), such as `camera=(), geolocation=(self)`.
    "headers.permissions_policy" permissions_policy: HeaderText = "";
    /// How long browsers are to visit the site by HTTPS alone (`Strict-Transport-Security`), such as
    /// `max-age=31536000`. Sent over HTTPS only.
    "headers.strict_transport_security" strict_transport_security: HeaderText = "";

    /// Open connections; further ones wait in the kernel's queue until one closes.
    "limits.connections" max_connections: u32 = "10000";
    /// Bytes of path and query; over it 414.
    "limits.url" max_url: Bytes = "8KiB";
    /// Bytes of a request's headers; over it 431.
    "limits.headers" max_headers: Bytes = "32KiB";
    /// Number of a request's headers; over it 431.
    "limits.header_count" max_header_count: u32 = "100";
    /// Bytes of a body without its files; over it 413.
    "limits.body" max_body: Bytes = "1MiB";
    /// Bytes of a body with its files; over it 413. A `file` parameter's own `max` counts as well.
    "limits.upload" max_upload: Bytes = "100MiB";
    /// Fields of a form, or pairs of a query; over it 413 or 400.
    "limits.fields" max_fields: u32 = "1000";
    /// Rows of one query; a query that gives more is an error of the site.
    "limits.rows" max_rows: u32 = "10000";
    /// Steps of one template (the fuel of its engine).
    "limits.fuel" max_fuel: u32 = "5000000";
    /// Bytes of one page.
    "limits.page" max_page: Bytes = "16MiB";
    /// Memory for answers that are kept until something that they show changes; 0 keeps none.
    "limits.cache" max_cache: Bytes = "128MiB";
    /// Actions that wait for the database's writer; on PostgreSQL, requests that wait for a connection. Further ones get
    /// 503.
    "limits.waiting_actions" max_waiting_actions: u32 = "1024";
    /// Time for all headers of a request.
    "limits.header_time" header_time: Duration = "10s";
    /// Time that a connection may rest between requests.
    "limits.idle" idle: Duration = "60s";
    /// The longest pause between two pieces of a body, or of an answer that the client takes.
    "limits.pause" pause: Duration = "20s";
    /// Time that a page's queries may take on the serving thread before they start again on one of their own.
    "limits.query_inline" query_inline: Duration = "10ms";
    /// Time that a page's queries may take in all.
    "limits.query" query_time: Duration = "10s";
    /// Time that one action may take.
    "limits.action" action_time: Duration = "10s";
}

/// A rule of `[[access]]`: who may visit the routes that its path matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// The path, with `*` for one segment and `**` for any number.
    pub path: String,
    /// The methods it is about; empty for all.
    pub methods: Vec<String>,
    /// Who may: `everyone`, `users`, `confirmed`, or names of roles.
    pub allow: Vec<String>,
    /// Answer 404 instead of a refusal.
    pub hide: bool,
    /// Where it stands.
    pub place: Place,
}

/// A rule of `[[cache]]`: how answers of the routes are kept that its path matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// The path, with `*` for one segment and `**` for any number.
    pub path: String,
    /// What it says.
    pub caching: Caching,
    /// Where it stands.
    pub place: Place,
}

/// How answers are kept; the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caching {
    /// Not at all.
    Off,
    /// Kept, but at each request the database is asked whether its rows are the same still.
    Strict,
    /// Until something that they show changes, as far as this node knows.
    #[default]
    Fresh,
    /// For so long beyond that, at most.
    MaxStale(Duration),
}

/// A table whose rows belong to users: an entry of `[owners]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The table.
    pub table: Arc<str>,
    /// Its column that holds the user's id.
    pub column: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// A provider of OpenID Connect that visitors may log in with: a section `[login.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name in addresses and in the database.
    pub name: Arc<str>,
    /// What the button says; its name where nothing is said.
    pub label: String,
    /// Its address, by which its settings are found (`/.well-known/openid-configuration`).
    pub issuer: String,
    /// The site's name at the provider.
    pub client_id: String,
    /// The site's secret; `TABLESIDE_LOGIN_NAME_CLIENT_SECRET` sets it, too. Empty for a public client.
    pub client_secret: String,
    /// Where it stands.
    pub place: Place,
}

impl Settings {
    /// Whether the site has accounts.
    pub fn has_users(&self) -> bool {
        self.register != Registration::Off
    }

    /// Reads `site.toml`. Every fault is told; what could be read is set.
    pub fn read_toml(&mut self, file: &str, source: &str) -> Vec<Fault> {
        file::read(self, file, source)
    }

    /// For this program's own tests, and never in a release: how long a commit is held before it is counted.
    #[cfg(debug_assertions)]
    pub fn commits_are_held() -> Option<Duration> {
        let micros = std::env::var("TABLESIDE_HOLD_COMMITS").ok()?.parse().ok()?;
        Some(Duration::from_micros(micros))
    }

    /// Reads the environment: `TABLESIDE_…` for every setting, `PORT`, `DATABASE_URL` and `AWS_…` as platforms set them.
    ///
    /// # Errors
    /// One line that names the variable.
    pub fn read_env(&mut self) -> Result<(), String> {
        if let Ok(port) = std::env::var("PORT") {
            let port: u16 = port.parse().map_err(|_| format!("PORT is `{port}`, but must be a port number"))?;
            // A platform that gives a port wants the server on all addresses.
            self.listen = SocketAddr::from(([0, 0, 0, 0], port));
        }
        if let Ok(url) = std::env::var("DATABASE_URL") {
            self.database_url = url;
        }
        self.read_aws();
        for row in Settings::table() {
            if let Ok(text) = std::env::var(row.env_name()) {
                self.set(row.name, &text).map_err(|wrong| {
                    let form = if let Wrong::Value(form) = wrong { form } else { row.form };
                    format!("{} is `{text}`, but must be {form}", row.env_name())
                })?;
            }
        }
        for provider in &mut self.providers {
            let name = format!("TABLESIDE_LOGIN_{}_CLIENT_SECRET", provider.name.to_uppercase().replace('-', "_"));
            if let Ok(secret) = std::env::var(name) {
                provider.client_secret = secret;
            }
        }
        Ok(())
    }

    /// Reads `AWS_…`: the settings that they stand for, and the rest as it is. A session token belongs to its key.
    fn read_aws(&mut self) {
        let named =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut named: Vec<_> = named.filter(|(name, _)| name.starts_with("AWS_")).collect();
        // Sorted, so that the narrower name of two wins: `AWS_ENDPOINT_URL_S3`, and `AWS_REGION` over the default.
        named.sort();
        for (name, value) in named {
            match name.as_str() {
                "AWS_ENDPOINT" | "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3" => self.uploads_endpoint = value,
                "AWS_REGION" | "AWS_DEFAULT_REGION" => self.uploads_region = value,
                "AWS_ACCESS_KEY_ID" => self.uploads_access_key = value,
                "AWS_SECRET_ACCESS_KEY" => self.uploads_secret_key = value,
                _ => self.aws.push((name.to_lowercase(), value)),
            }
        }
    }

    /// Sets what a flag `--set NAME=VALUE` says.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn read_flag(&mut self, flag: &str) -> Result<(), String> {
        let (name, text) = flag.split_once('=').ok_or_else(|| format!("`--set {flag}` must be NAME=VALUE"))?;
        self.set(name, text).map_err(|wrong| match wrong {
            Wrong::Name(help) => format!("there is no setting `{name}` {help}").trim_end().to_string(),
            Wrong::Value(form) => format!("`{name}` is `{text}`, but must be {form}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_read() {
        let settings = Settings::default();
        assert_eq!(settings.listen.port(), 3000);
        assert_eq!(settings.max_body, Bytes(1 << 20));
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(Bytes::read("64KiB"), Some(Bytes(65536)));
        assert_eq!(Bytes::read("64 apples"), None);
        assert_eq!(Duration::read("90s"), Some(Duration::from_secs(90)));
        assert_eq!(Duration::read("90"), None);
    }

    #[test]
    fn a_misspelt_setting_is_found_where_it_stands() {
        let mut settings = Settings::default();
        let faults = settings.read_toml("site.toml", "[server]\nlisten = \"127.0.0.1:8080\"\nthread = 2\n");
        assert_eq!(settings.listen.port(), 8080);
        assert_eq!(faults.len(), 1);
        let place = faults[0].place.as_ref().unwrap();
        assert_eq!((place.line, place.column), (3, 1));
        assert_eq!(faults[0].help, "did you mean `server.threads`?");
    }

    #[test]
    fn values_of_the_sites_own_are_kept_for_templates() {
        let mut settings = Settings::default();
        assert_eq!(settings.read_toml("site.toml", "[site]\nmotto = \"Stick to it\"\n"), vec![]);
        assert_eq!(settings.site_values, vec![("motto".into(), "Stick to it".to_string())]);
        assert_eq!(settings.read_toml("site.toml", "[site]\nnmae = \"x\"\n").len(), 1);
    }

    #[test]
    fn an_access_rule_needs_a_path_and_an_allow() {
        let mut settings = Settings::default();
        assert_eq!(settings.read_toml("site.toml", "[[access]]\npath = \"/a/**\"\nallow = [\"users\"]\n"), vec![]);
        assert_eq!(settings.access[0].allow, ["users"]);
        assert_eq!(settings.read_toml("site.toml", "[[access]]\npath = \"/a\"\n").len(), 1);
    }
}
