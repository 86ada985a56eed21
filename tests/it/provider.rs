//! Logins through a real provider of OpenID Connect, which `tests/oidc/provider.js` runs, with a gate before it that
//! alters its answers.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Once;

use crate::harness::{Answer, Client, Folder, Request, Server};
use crate::postgres::{psql, quick_database};

/// Who has an account at the provider.
const PEOPLE: &str = r#"{
  "ann": { "email": "Ann@site.test", "email_verified": true, "name": "Ann" },
  "bea": { "email": "bea@site.test", "email_verified": true },
  "cleo": { "email": "cleo@site.test", "email_verified": false },
  "dana": { "email_verified": true }
}"#;

/// By this address the provider sends visitors back; only its path counts here.
const SITE: &str = "http://site.test";

/// The provider as a process, ended with this value.
struct Provider {
    issuer: String,
    child: Child,
    _alive: ChildStdin,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    fn start(variables: &[(&str, &str)]) -> Provider {
        let folder = installed();
        let mut child = Command::new("node")
            .arg(folder.join("provider.js"))
            .env("PEOPLE", PEOPLE)
            .env("REDIRECT_URIS", format!("[\"{SITE}/login/with/test/callback\"]"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let mut issuer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        let alive = child.stdin.take().unwrap();
        Provider { issuer: issuer.trim().into(), child, _alive: alive }
    }

    fn client(&self) -> Client {
        let address: SocketAddr = self.issuer.strip_prefix("http://").unwrap().parse().unwrap();
        Client::new(address)
    }

    /// What happens to the next answers.
    fn tamper(&self, how: &str) {
        let request = Request::new("PUT", "/-/tamper").body("application/json", how);
        assert_eq!(self.client().send(&request).unwrap().status, 200);
    }
}

/// The folder of the provider's script, with its libraries.
fn installed() -> PathBuf {
    static ONCE: Once = Once::new();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
    ONCE.call_once(|| {
        if !folder.join("node_modules").exists() {
            let ran = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).output();
            let ran = ran.expect("npm runs");
            assert!(ran.status.success(), "npm ci: {}", String::from_utf8_lossy(&ran.stderr));
        }
    });
    folder
}

/// A provider, and a site that knows it.
struct Scene {
    provider: Provider,
    folder: Folder,
    site: Server,
}

fn site_toml(issuer: &str, users: &str) -> String {
    format!(
        "[site]\nname = \"Site\"\nurl = \"{SITE}\"\n[users]\nregister = \"{users}\"\n[login.test]\nissuer = \"{issuer}\"\n\
         client_id = \"site\"\nclient_secret = \"a secret: with/odd+letters\"\nlabel = \"Test\"\n"
    )
}

impl Scene {
    fn new() -> Scene {
        Scene::with(&[], "open", &[])
    }

    fn with(variables: &[(&str, &str)], users: &str, files: &[(&str, &str)]) -> Scene {
        let provider = Provider::start(variables);
        let folder = Folder::new(&[
            (
                "pages/index.html",
                "{% if user %}I am {{ user.email }}{% if user.confirmed %}, confirmed{% endif %}{% endif %}{{ flash }}",
            ),
            ("migrations/0001_seen.sql", "create table seen (what text not null, user_id integer not null);"),
            ("events/login.sql", "-- name: seen :exec\ninsert into seen (what, user_id) values ('login', @user_id);"),
        ]);
        files.iter().for_each(|(path, text)| folder.write(path, text));
        folder.write("site.toml", site_toml(&provider.issuer, users));
        let settings: Vec<String> = match variables.iter().find(|(name, _)| *name == "DATABASE") {
            Some((_, url)) => {
                let settings = [format!("database.url={url}"), "database.allow_unsafe_durability=true".into()];
                settings.into_iter().flat_map(|setting| ["--set".into(), setting]).collect()
            }
            None => Vec::new(),
        };
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let site = Server::start_with(folder.path(), "serve", &settings).unwrap_or_else(|said| panic!("{said}"));
        Scene { provider, folder, site }
    }

    /// Sends a visitor to the provider; tells the address that they are sent to.
    fn leave(&self, visitor: &mut Client, fields: &[(&str, &str)]) -> String {
        let answer = visitor.post("/login/with/test", fields);
        let to = location(&answer);
        to.strip_prefix(&self.provider.issuer).unwrap_or_else(|| panic!("{to}: {}", answer.text())).to_string()
    }

    /// Logs in at the provider, and tells the address that it sends the visitor back to.
    fn at_provider(&self, to: &str, who: &str) -> String {
        let mut browser = self.provider.client();
        let mut to = to.to_string();
        for _ in 0..12 {
            let answer = browser.get(&to);
            let next = match answer.status {
                200 => {
                    let page = answer.text();
                    let action = between(&page, "action=\"", "\"");
                    let path = action.strip_prefix(&self.provider.issuer).unwrap_or(action).to_string();
                    let prompt = between(&page, "name=\"prompt\" value=\"", "\"");
                    let fields = [("prompt", prompt), ("login", who), ("password", "x")];
                    location(&browser.post(&path, &fields))
                }
                _ => location(&answer),
            };
            if let Some(back) = next.strip_prefix(SITE) {
                return back.to_string();
            }
            to = next.strip_prefix(&self.provider.issuer).unwrap_or(&next).to_string();
        }
        panic!("the provider doesn't send anybody back");
    }

    /// The whole way; the answer to who comes back.
    fn log_in(&self, visitor: &mut Client, who: &str, fields: &[(&str, &str)]) -> Answer {
        let to = self.leave(visitor, fields);
        let back = self.at_provider(&to, who);
        visitor.get(&back)
    }

    /// That a login fails, is told on the login page, and leaves nothing behind; the cause is in the log.
    fn refused(&self, how: &str, message: &str, cause: &str) {
        let mut visitor = self.site.client();
        let to = self.leave(&mut visitor, &[]);
        let back = self.at_provider(&to, "ann");
        self.provider.tamper(how);
        let answer = visitor.get(&back);
        self.provider.tamper("{}");
        assert_eq!(location(&answer), "/login", "{how}");
        let page = visitor.get("/").text();
        assert!(page.starts_with(message), "{how}: {page}");
        self.site.wait_for_log(cause);
        assert_eq!(self.count("users"), 0, "{how}");
        assert_eq!(self.count("_oidc"), 0, "{how}");
    }

    fn count(&self, table: &str) -> i64 {
        self.value(&format!("select count(*) from {table}"))
    }

    fn value(&self, sql: &str) -> i64 {
        self.folder.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn text(&self, sql: &str) -> String {
        self.folder.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn execute(&self, sql: &str) {
        self.folder.database().execute_batch(sql).unwrap();
    }

    /// An account of the site, with a password that nobody knows.
    fn account(&self, email: &str, confirmed: bool) {
        let confirmed = if confirmed { "'2024-01-01T00:00:00.000Z'" } else { "null" };
        self.execute(&format!(
            "insert into users (email) values ('{email}'); \
             insert into _accounts (user_id, password_hash, confirmed_at) values (last_insert_rowid(), 'x', {confirmed});"
        ));
    }
}

fn location(answer: &Answer) -> String {
    answer.header("location").unwrap_or_else(|| panic!("{}: {}", answer.status, answer.text())).to_string()
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).unwrap().0
}

const LATER: &str = "This login doesn&#39;t work at the moment.";
const AGAIN: &str = "This login took too long";

#[test]
fn somebody_new_gets_an_account_and_is_known_from_then_on() {
    let scene = Scene::new();
    let mut visitor = scene.site.client();
    let page = visitor.get("/login?next=/");
    assert!(page.text().contains("Log in with Test"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("form-action 'self' {};", scene.provider.issuer)), "{policy}");
    let to = scene.leave(&mut visitor, &[("next", "/"), ("remember", "on")]);
    for expected in ["response_type=code", "code_challenge_method=S256", "scope=openid+email+profile", "nonce="] {
        assert!(to.contains(expected), "{to}");
    }
    let before = visitor.cookies.clone();
    let back = scene.at_provider(&to, "ann");
    let answer = visitor.get(&back);
    assert_eq!(location(&answer), "/");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("session=") && cookie.contains("Max-Age=5184000"), "{cookie}");
    assert_ne!(before, visitor.cookies);
    assert_eq!(visitor.get("/").text(), "I am ann@site.test, confirmed");
    assert_eq!(scene.text("select name from users"), "Ann");
    assert_eq!(scene.text("select group_concat(what) from seen"), "login");
    assert!(scene.value("select count(*) from _security_log where event in ('login', 'provider_connected')") == 2);
    // What was kept was used.
    assert_eq!(scene.count("_oidc"), 0);
    let answer = visitor.get(&back);
    assert_eq!(location(&answer), "/account");
    assert!(visitor.get("/").text().contains(AGAIN));

    let mut later = scene.site.client();
    let answer = scene.log_in(&mut later, "ann", &[]);
    assert_eq!(location(&answer), "/account");
    assert!(!answer.header("set-cookie").unwrap().contains("Max-Age"));
    assert_eq!((scene.count("users"), scene.count("_identities")), (1, 1));
    assert_eq!(scene.count("outbox"), 0);
}

#[test]
fn postgresql_knows_logins_too() {
    let url = quick_database();
    let scene = Scene::with(&[("DATABASE", &url)], "open", &[]);
    let mut visitor = scene.site.client();
    for _ in 0..2 {
        visitor = scene.site.client();
        let answer = scene.log_in(&mut visitor, "ann", &[("remember", "on"), ("next", "/")]);
        assert_eq!(location(&answer), "/", "{:?}", answer.headers);
        assert_eq!(visitor.get("/").text(), "I am ann@site.test, confirmed");
    }
    assert_eq!(visitor.post("/account/providers/test", &[("_method", "DELETE")]).status, 422);
    psql(
        &url,
        "insert into users (email) values ('bea@site.test'); \
        insert into _accounts (user_id, confirmed_at) select id, '2024-01-01' from users where email = 'bea@site.test'",
    );
    let mut bea = scene.site.client();
    scene.log_in(&mut bea, "bea", &[]);
    assert_eq!(bea.get("/").text(), "I am bea@site.test, confirmed");
    assert_eq!(location(&scene.log_in(&mut visitor, "cleo", &[])), "/account");
    let told = psql(&url, "select string_agg(template || ' ' || recipient, ', ' order by id) from outbox");
    assert_eq!(told.trim(), "provider_connected bea@site.test, provider_connected ann@site.test");
    psql(&url, "update _accounts set password_hash = 'x'");
    assert_eq!(location(&visitor.post("/account/providers/test", &[("_method", "DELETE")])), "/account");
    assert_eq!(location(&scene.log_in(&mut scene.site.client(), "dana", &[])), "/register");
    assert_eq!(psql(&url, "select count(*) from _oidc").trim(), "0");
}

#[test]
fn other_ways_of_signing_and_asking_work() {
    let variables = [
        [("ALGORITHM", "ES256"), ("WAY", "client_secret_post"), ("USERINFO", "yes")],
        [("ALGORITHM", "EdDSA"), ("WAY", "client_secret_basic"), ("USERINFO", "no")],
    ];
    for variables in variables {
        let scene = Scene::with(&variables, "open", &[]);
        let mut visitor = scene.site.client();
        scene.log_in(&mut visitor, "ann", &[]);
        assert_eq!(visitor.get("/").text(), "I am ann@site.test, confirmed", "{variables:?}");
    }
}

#[test]
fn tokens_that_are_not_about_this_login_are_refused() {
    let scene = Scene::new();
    let wrong = [
        (r#"{"claims":{"nonce":"other"}}"#, "nonce"),
        (r#"{"claims":{"nonce":null}}"#, "nonce"),
        (r#"{"claims":{"aud":"other"}}"#, "the id_token is for"),
        (r#"{"claims":{"aud":["site","other"]}}"#, "was given to null"),
        (r#"{"claims":{"aud":["site","other"],"azp":"other"}}"#, "the id_token was given to"),
        (r#"{"claims":{"iss":"https://other.test"}}"#, "is of `https://other.test`"),
        (r#"{"claims":{"exp":1700000000}}"#, "has expired"),
        (r#"{"claims":{"exp":null}}"#, "has expired"),
        (r#"{"claims":{"iat":9900000000}}"#, "is of the future"),
        (r#"{"claims":{"sub":""}}"#, "whom it is about"),
        (r#"{"sign":"none"}"#, "has a head that can't be read"),
        (r#"{"sign":"secret"}"#, "is signed by HS256"),
        (r#"{"sign":"stranger"}"#, "can't be verified"),
        (r#"{"sign":"unknown"}"#, "a key that is not known"),
    ];
    for (how, cause) in wrong {
        scene.refused(how, LATER, cause);
    }
    // With both audiences and its own name as the party, it is meant for this site.
    scene.provider.tamper(r#"{"claims":{"aud":["site","other"],"azp":"site"}}"#);
    let mut visitor = scene.site.client();
    assert_eq!(location(&scene.log_in(&mut visitor, "ann", &[])), "/account");
}

#[test]
fn a_new_key_is_looked_up() {
    let scene = Scene::new();
    scene.log_in(&mut scene.site.client(), "ann", &[]);
    scene.provider.tamper(r#"{"sign":"rotated"}"#);
    let mut visitor = scene.site.client();
    scene.log_in(&mut visitor, "ann", &[]);
    assert_eq!(visitor.get("/").text(), "I am ann@site.test, confirmed");
}

#[test]
fn a_provider_that_fails_is_told_as_such() {
    let scene = Scene::new();
    // Before anything is known of it.
    for how in [
        r#"{"at":"/openid-configuration","status":500}"#,
        r#"{"at":"/openid-configuration","body":{"issuer":"https://other.test"}}"#,
        r#"{"at":"/openid-configuration","body":{"token_endpoint":"http://other.test/token"}}"#,
        r#"{"at":"/openid-configuration","status":302}"#,
    ] {
        scene.provider.tamper(how);
        let mut visitor = scene.site.client();
        let answer = visitor.post("/login/with/test", &[]);
        assert_eq!((answer.status, &*location(&answer)), (303, "/login"), "{how}");
        let page = visitor.get("/").text();
        assert!(page.starts_with(LATER), "{how}: {page}");
    }
    scene.site.wait_for_log("but `issuer` is set to");
    scene.site.wait_for_log("http://other.test/token");
    scene.provider.tamper("{}");
    scene.refused(r#"{"at":"/token","status":500}"#, LATER, "/token answers 500");
    scene.refused(r#"{"at":"/token","status":302}"#, LATER, "/token answers 302");
    scene.refused(r#"{"at":"/token","huge":1100000}"#, LATER, "answers with more than 1048576 bytes");
    scene.refused(r#"{"at":"/token","slow":11000}"#, LATER, "no answer within 10 seconds");
    scene.refused(r#"{"at":"/jwks","body":{"keys":7}}"#, LATER, "no key set");
}

#[test]
fn what_one_session_began_no_other_ends() {
    let scene = Scene::new();
    let (mut ann, mut other) = (scene.site.client(), scene.site.client());
    let to = scene.leave(&mut ann, &[]);
    let back = scene.at_provider(&to, "ann");
    scene.leave(&mut other, &[]);
    assert_eq!(location(&other.get(&back)), "/login");
    assert!(other.get("/").text().starts_with(AGAIN));
    assert_eq!(location(&scene.site.client().get(&back)), "/login");
    let altered = back.replace("state=", "state=x");
    assert_eq!(location(&ann.get(&altered)), "/login");
    let mixed = format!("{}&iss=https%3A%2F%2Fother.test", between(&format!("{back}&iss="), "", "&iss="));
    assert_eq!(location(&ann.get(&mixed)), "/login");
    scene.site.wait_for_log("the answer comes from `https://other.test`");
    // The state was used with that.
    assert_eq!(location(&ann.get(&back)), "/login");
    assert_eq!(scene.count("users"), 0);
    // After ten minutes it is too late.
    let to = scene.leave(&mut ann, &[]);
    let back = scene.at_provider(&to, "ann");
    scene.execute("update _oidc set expires_at = '2024-01-01T00:00:00.000Z'");
    assert_eq!(location(&ann.get(&back)), "/login");
    assert_eq!(scene.count("users"), 0);
}

#[test]
fn a_refusal_at_the_provider_leads_back_to_the_login() {
    let scene = Scene::new();
    let mut visitor = scene.site.client();
    let answer = visitor.get("/login/with/test/callback?error=access_denied&error_description=no&state=x");
    assert_eq!((answer.status, &*location(&answer)), (303, "/login"));
    assert!(visitor.get("/").text().starts_with("You have not logged in there."));
    scene.site.wait_for_log("`access_denied`: no");
    assert_eq!(location(&visitor.get("/login/with/test/callback")), "/login");
    assert_eq!(visitor.post("/login/with/other", &[]).status, 404);
    assert_eq!(visitor.get("/login/with/test").status, 405);
    let foreign = Request::new("POST", "/login/with/test").header("Origin", "https://other.test").form(&[]);
    assert_eq!(visitor.send(&foreign).unwrap().status, 403);
    assert_eq!(scene.count("_oidc"), 0);
}

#[test]
fn an_address_that_both_sides_know_connects_an_account() {
    let scene = Scene::new();
    scene.account("ann@site.test", true);
    let mut visitor = scene.site.client();
    scene.log_in(&mut visitor, "ann", &[]);
    assert_eq!(visitor.get("/").text(), "I am ann@site.test, confirmed");
    assert_eq!(scene.count("users"), 1);
    assert_eq!(scene.text("select template || ' ' || recipient from outbox"), "provider_connected ann@site.test");
    assert_eq!(scene.value("select count(*) from _security_log where event = 'provider_connected'"), 1);
}

#[test]
fn an_address_that_one_side_does_not_know_connects_nothing() {
    let scene = Scene::new();
    scene.account("bea@site.test", false);
    scene.account("cleo@site.test", true);
    let mut visitor = scene.site.client();
    assert_eq!(location(&scene.log_in(&mut visitor, "bea", &[])), "/login");
    assert!(visitor.get("/").text().starts_with("There is an account with your e-mail address"));
    for who in ["cleo", "dana"] {
        let mut visitor = scene.site.client();
        assert_eq!(location(&scene.log_in(&mut visitor, who, &[])), "/register");
        assert!(visitor.get("/").text().starts_with("Please make an account first"), "{who}");
    }
    assert_eq!((scene.count("users"), scene.count("_identities"), scene.count("seen")), (2, 0, 0));
}

#[test]
fn who_is_logged_in_connects_and_disconnects() {
    let scene = Scene::new();
    let mut visitor = scene.site.client();
    scene.log_in(&mut visitor, "ann", &[]);
    // The only way to log in stays.
    let gone = [("_method", "DELETE")];
    assert_eq!(visitor.post("/account/providers/test", &gone).status, 422);
    assert_eq!(scene.count("_identities"), 1);
    scene.execute("update _accounts set password_hash = 'x'");
    assert_eq!(location(&visitor.post("/account/providers/test", &gone)), "/account");
    assert_eq!(scene.count("_identities"), 0);
    assert!(visitor.get("/account").text().contains("Connect<span class=\"ts-unseen\"> Test</span>"));
    // With an address that is not verified, too, because they are logged in.
    let answer = scene.log_in(&mut visitor, "cleo", &[("next", "/")]);
    assert_eq!(location(&answer), "/");
    assert_eq!(visitor.get("/").text(), "I am ann@site.test, confirmedYou can log in with Test now.");
    assert_eq!(scene.text("select subject from _identities"), "cleo");
    let mut again = scene.site.client();
    scene.log_in(&mut again, "cleo", &[]);
    assert_eq!(again.get("/").text(), "I am ann@site.test, confirmed");
    // What belongs to one account is not moved to another.
    let mut bea = scene.site.client();
    scene.log_in(&mut bea, "bea", &[]);
    assert_eq!(location(&scene.log_in(&mut bea, "cleo", &[])), "/account");
    assert!(bea.get("/").text().contains("belongs to another account"));
    // Who left as nobody doesn't come back as somebody.
    let mut visitor = scene.site.client();
    let to = scene.leave(&mut visitor, &[]);
    let back = scene.at_provider(&to, "dana");
    scene.log_in(&mut visitor, "ann", &[]);
    visitor.get(&back);
    assert_eq!(scene.value("select count(*) from _identities where subject = 'dana'"), 0);
}

#[test]
fn the_second_factor_is_asked_for() {
    let scene = Scene::new();
    scene.account("ann@site.test", true);
    scene.execute("update _accounts set totp_secret = 'JBSWY3DPEHPK3PXP', totp_at = '2024-01-01T00:00:00.000Z'");
    let mut visitor = scene.site.client();
    assert_eq!(location(&scene.log_in(&mut visitor, "ann", &[("next", "/")])), "/login/code?next=%2F");
    assert_eq!(visitor.get("/").text(), "");
    assert_eq!(visitor.get("/login/code?next=/").status, 200);
    assert_eq!(scene.count("seen"), 0);
}

#[test]
fn no_account_is_made_where_the_site_makes_none() {
    let scene = Scene::with(&[], "closed", &[]);
    let mut visitor = scene.site.client();
    assert_eq!(location(&scene.log_in(&mut visitor, "ann", &[])), "/login");
    assert!(visitor.get("/").text().starts_with("Nobody here has this login."));
    assert_eq!(scene.count("users"), 0);
}

#[test]
fn an_account_that_needs_more_is_made_by_its_form() {
    let register = "-- :nickname text required\n-- name: seen :exec\ninsert into seen values (:nickname, @user_id);";
    let scene = Scene::with(&[], "open", &[("events/register.sql", register)]);
    let mut visitor = scene.site.client();
    assert_eq!(location(&scene.log_in(&mut visitor, "ann", &[])), "/register");
    assert_eq!(scene.count("users"), 0);

    let register =
        "-- :nickname text default=nobody\n-- name: seen :exec\ninsert into seen values (:nickname, @user_id);";
    let scene = Scene::with(&[], "open", &[("events/register.sql", register)]);
    let mut visitor = scene.site.client();
    assert_eq!(location(&scene.log_in(&mut visitor, "ann", &[])), "/account");
    assert_eq!(scene.text("select group_concat(what) from seen"), "nobody,login");
}
