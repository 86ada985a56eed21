//! `tableside user` beside a running server, and what the accounts of a site come to: roles and ends of sign-ins that
//! count at once, on every server.

mod ends;
mod sweeping;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::harness::{Client, Ended, Folder, Server, tableside};
use crate::postgres::{psql, quick_database};

/// A site with a cart that anybody has, a page for users and one for editors.
const SITE: &[(&str, &str)] = &[
    (
        "site.toml",
        "[site]\nname = \"Test\"\nurl = \"http://shop.example\"\n[users]\nregister = \"closed\"\n\
         [owners]\nnotes = \"user_id\"\n\
         [[access]]\npath = \"/mine\"\nallow = \"users\"\n[[access]]\npath = \"/edit\"\nallow = \"editor\"\n\
         [[access]]\npath = \"/cart\"\nallow = \"everyone\"\n",
    ),
    (
        "migrations/0001_start.sql",
        "create table cart (session_id text not null, product text not null);\n\
         create table notes (id integer primary key, user_id integer not null references users (id) on delete cascade, \
         text text not null);\n",
    ),
    ("pages/index.html", "{{ user.email }}\n"),
    ("pages/mine.html", "mine of {{ user.email }}\n"),
    ("pages/edit.html", "edited\n"),
    ("pages/cart.html", "{% for line in lines %}{{ line.product }} {% endfor %}\n"),
    ("pages/cart.sql", "-- name: lines :many\nselect product from cart where session_id = @session_id;\n"),
    (
        "pages/cart.post.sql",
        "-- :product text required\n-- name: put :exec\n\
         insert into cart (session_id, product) values (@session_id, :product);\n",
    ),
];

const EMAIL: &str = "ann@example.org";
const PASSWORD: &str = "seven green boats";

/// A site in a folder, on one of the databases.
struct Shop {
    folder: Folder,
    /// `None` on SQLite.
    url: Option<String>,
}

impl Shop {
    fn on_both(test: impl Fn(&Shop)) {
        test(&Shop { folder: Folder::new(SITE), url: None });
        test(&Shop { folder: Folder::new(SITE), url: Some(quick_database()) });
    }

    fn command(&self) -> Command {
        let mut command = tableside();
        if let Some(url) = &self.url {
            command.env("DATABASE_URL", url).env("TABLESIDE_DATABASE_ALLOW_UNSAFE_DURABILITY", "true");
        }
        command
    }

    fn serve(&self) -> Server {
        let mut command = self.command();
        command.arg("serve").arg(self.folder.path()).args(["--listen", "127.0.0.1:0"]);
        Server::spawn(&mut command).unwrap_or_else(|said| panic!("{said}"))
    }

    /// `tableside user …` with a text on standard input.
    fn user(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command();
        command.arg("user").args(arguments).arg("--site").arg(self.folder.path()).stdin(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be run");
        // A command that reads nothing may have ended.
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the binary ends");
        Ended {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same; it must succeed.
    fn done(&self, arguments: &[&str], input: &str) -> String {
        let ended = self.user(arguments, input);
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{arguments:?} {ended:?}");
        ended.stdout
    }

    fn add(&self) {
        self.done(&["add", EMAIL, "--password-stdin"], &format!("{PASSWORD}\n"));
    }

    fn show(&self) -> Json {
        serde_json::from_str(&self.done(&["show", EMAIL, "--json"], "")).expect("JSON")
    }

    /// One value of the database.
    fn value(&self, sql: &str) -> String {
        match &self.url {
            Some(url) => psql(url, sql),
            None => {
                let value = self.folder.database().query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0));
                match value.unwrap_or_else(|error| panic!("{sql}: {error}")) {
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    rusqlite::types::Value::Text(text) => text,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Changes rows behind the server's back.
    fn change(&self, sql: &str) {
        match &self.url {
            Some(url) => _ = psql(url, sql),
            None => self.folder.database().execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}")),
        }
    }
}

/// Logs in; the value of the new session cookie's header.
fn log_in(client: &mut Client, remember: bool) -> String {
    let fields = [("email", EMAIL), ("password", PASSWORD), ("remember", "on")];
    let answer = client.post("/login", if remember { &fields } else { &fields[..2] });
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("set-cookie").expect("a new cookie").to_string()
}

/// Whether the site knows who the visitor is.
fn is_known(client: &mut Client) -> bool {
    let shown = client.get("/").text();
    assert!([EMAIL, ""].contains(&shown.trim()), "{shown}");
    shown.trim() == EMAIL
}

#[test]
fn accounts_are_made_shown_and_deleted_beside_a_running_server() {
    Shop::on_both(|shop| {
        // Before the first start as well.
        shop.done(&["add", "Bea@Example.org", "--name", "Bea", "--password-stdin"], "a long enough word\r\n");
        let server = shop.serve();
        shop.done(&["add", EMAIL, "--role", "editor", "--role", "clerk", "--password-stdin"], &format!("{PASSWORD}\n"));
        let mut client = server.client();
        log_in(&mut client, false);
        assert!(is_known(&mut client));
        assert_eq!(client.get("/edit").status, 200);
        let list: Json = serde_json::from_str(&shop.done(&["list", "--json"], "")).unwrap();
        let emails: Vec<&str> = list.as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap()).collect();
        assert_eq!(emails, ["bea@example.org", EMAIL]);
        assert_eq!(list[0]["name"], "Bea");
        let shown = shop.show();
        assert_eq!(shown["roles"], serde_json::json!(["clerk", "editor"]));
        assert_eq!((&shown["confirmed"], &shown["sign_ins"]), (&true.into(), &1.into()));
        assert!(shop.done(&["list"], "").contains("clerk, editor"));
        assert!(shop.done(&["show", EMAIL], "").contains("sign-ins      1"));

        shop.done(&["delete", EMAIL], "");
        assert!(!is_known(&mut client));
        assert_eq!(client.post("/login", &[("email", EMAIL), ("password", PASSWORD)]).status, 422);
        let events = match &shop.url {
            Some(_) => "string_agg(event, ' ' order by id) from _security_log where",
            None => "group_concat(event, ' ' order by id) from _security_log where",
        };
        let events = shop.value(&format!("select {events} event <> 'login_failed'"));
        assert_eq!(events, "account_added account_added login account_deleted");
    });
}

#[test]
fn roles_count_at_once_and_renew_the_cookie() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        shop.add();
        let mut client = server.client();
        log_in(&mut client, true);
        assert_eq!(client.get("/edit").status, 403);
        assert!(shop.done(&["role", EMAIL, "--add", "editor"], "").contains("has the roles editor"));
        let before = client.cookies.clone();
        let answer = client.get("/edit");
        assert_eq!(answer.status, 200);
        assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=5184000")), "{answer:?}");
        assert_ne!(client.cookies, before, "the secret is a new one");
        assert!(is_known(&mut client));
        shop.done(&["role", EMAIL, "--remove", "editor", "--add", "clerk"], "");
        assert_eq!(client.get("/edit").status, 403);
        assert_eq!(shop.show()["roles"], serde_json::json!(["clerk"]));
        // What changes nothing renews nothing.
        client.get("/mine");
        let kept = client.cookies.clone();
        shop.done(&["role", EMAIL, "--add", "clerk"], "");
        client.get("/mine");
        assert_eq!(client.cookies, kept);
    });
}

#[test]
fn passwd_and_logout_end_every_sign_in() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        shop.add();
        let (mut one, mut two) = (server.client(), server.client());
        log_in(&mut one, false);
        log_in(&mut two, true);
        assert!(shop.done(&["logout", EMAIL], "").contains("sign-ins ended: 2"));
        assert!(!is_known(&mut one) && !is_known(&mut two));
        log_in(&mut one, false);
        shop.done(&["passwd", EMAIL, "--password-stdin"], "eight yellow trains\n");
        assert!(!is_known(&mut one));
        let wrong = one.post("/login", &[("email", EMAIL), ("password", PASSWORD)]);
        assert_eq!(wrong.status, 422);
        let right = one.post("/login", &[("email", EMAIL), ("password", "eight yellow trains")]);
        assert_eq!(right.status, 303);

        shop.change("update _accounts set totp_secret = 'GEZDGNBVGY3TQOJQ', totp_at = '2026-01-01T00:00:00.000Z'");
        assert_eq!(shop.show()["second_factor"], true);
        shop.done(&["reset-second-factor", EMAIL], "");
        assert_eq!(shop.show()["second_factor"], false);
    });
}

#[test]
fn an_invitation_is_mailed_and_brings_roles() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        let old = shop.done(&["invite", EMAIL], "");
        let link = shop.done(&["invite", EMAIL, "--role", "editor", "--url", "http://other.example/"], "");
        let path = |link: &str| link.trim().splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap();
        assert!(old.starts_with("http://shop.example/invite/") && link.starts_with("http://other.example/invite/"));
        assert_eq!(shop.value("select count(*) from outbox where template = 'invite' and channel = 'email'"), "2");
        assert!(shop.value("select data from outbox order by id desc limit 1").contains(link.trim()));
        let mut client = server.client();
        let old = client.post(&path(&old), &[("password", PASSWORD)]);
        assert_eq!(old.status, 422, "the newer one replaced it");
        let taken = client.post(&path(&link), &[("password", PASSWORD), ("name", "Ann")]);
        assert_eq!(taken.status, 303, "{}", taken.text());
        assert_eq!(client.get("/edit").status, 200);
        assert_eq!(shop.show()["name"], "Ann");
        let again = shop.user(&["invite", EMAIL], "");
        assert!(again.code() == Some(1) && again.stderr.contains("already"), "{again:?}");
    });
}

#[test]
fn wrong_uses_are_told() {
    let shop = Shop { folder: Folder::new(SITE), url: None };
    let refused = |arguments: &[&str], input: &str, code: i32, said: &str| {
        let ended = shop.user(arguments, input);
        assert_eq!(ended.code(), Some(code), "{arguments:?} {ended:?}");
        assert!(ended.stderr.contains(said), "{arguments:?} {ended:?}");
    };
    refused(&["add", "ann", "--password-stdin"], "x\n", 2, "no e-mail address");
    refused(&["add", EMAIL, "--role", "users", "--password-stdin"], "x\n", 2, "a word of access rules");
    refused(&["add", EMAIL, "--role", "a b", "--password-stdin"], "x\n", 2, "letters, digits");
    refused(&["role", EMAIL], "", 2, "--add");
    refused(&["add", EMAIL], "x\n", 1, "--password-stdin");
    refused(&["add", EMAIL, "--password-stdin"], "short\n", 1, "at least 10");
    refused(&["add", EMAIL, "--password-stdin"], "ann@example.org\n", 1, "is no password");
    refused(&["add", EMAIL, "--password-stdin"], &"long ".repeat(300), 1, "at most 1024");
    refused(&["show", EMAIL], "", 1, "ann@example.org: there is no account");
    refused(&["passwd", EMAIL, "--password-stdin"], "seven green boats\n", 1, "there is no account");
    shop.add();
    refused(&["add", EMAIL, "--password-stdin"], "seven green boats\n", 1, "already");
    shop.change("create table bills (user_id integer references users (id)); insert into bills values (1)");
    refused(&["delete", EMAIL], "", 1, "still refer");
    shop.folder.write("site.toml", "[users]\nregister = \"open\"\n");
    refused(&["invite", "bea@example.org"], "", 1, "give --url");
    refused(&["invite", "bea@example.org", "--url", "shop.example"], "", 1, "no address of a site");
    shop.folder.write("site.toml", "[site]\nname = \"Test\"\n");
    refused(&["list"], "", 1, "this site has no accounts: set `register`");
}

#[test]
fn a_user_downloads_all_that_is_theirs() {
    Shop::on_both(|shop| {
        let server = shop.serve();
        shop.add();
        shop.done(&["add", "bea@example.org", "--password-stdin"], "a long enough word\n");
        // More than `limits.rows`.
        let numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10500) ";
        shop.change(&format!("insert into notes (user_id, text) {numbers} select 1, 'mine ' || i from n"));
        shop.change("insert into notes (user_id, text) values (2, 'theirs')");
        let mut client = server.client();
        assert_eq!(client.get("/account/data").status, 401);
        log_in(&mut client, false);
        let answer = client.get("/account/data");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"my-data.json\""));
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("private")), "{answer:?}");
        let data: Json = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(data["account"]["email"], EMAIL);
        assert_eq!(data["notes"].as_array().unwrap().len(), 10500);
        assert_eq!(data["sign_ins"].as_array().unwrap().len(), 1);
        assert_eq!(data["security_log"][0]["event"], "account_added");
        let text = answer.text();
        assert!(!text.contains("theirs") && !text.contains("hash") && !text.contains("bea@"), "{text:.300}");
    });
}
