//! Makes a site of a seed: tables, views and triggers; pages that join, filter and add up, in layouts that read the
//! visitor; data; and actions that change the tables in every way there is.

use std::fmt::Write as _;

use super::Chance;

/// A site and what can be asked of it.
pub(super) struct Site {
    pub(super) files: Vec<(String, String)>,
    /// Addresses that show something; `{id}` stands for a number, `{q}` for a query text.
    pub(super) pages: Vec<String>,
    /// Addresses whose page a visit action goes before.
    pub(super) visited: Vec<String>,
    pub(super) actions: Vec<Action>,
}

/// An action and the fields that it takes.
#[derive(Clone)]
pub(super) struct Action {
    pub(super) path: String,
    pub(super) method: &'static str,
}

/// A table.
struct Table {
    name: String,
    /// What it is found by: `id`, a number, or `key`, a text.
    key: &'static str,
}

/// What a page reads from: a table, a view, or the search.
struct Source {
    name: String,
    key: Option<&'static str>,
}

struct Maker<'c> {
    chance: &'c mut Chance,
    postgres: bool,
    tables: Vec<Table>,
    sources: Vec<Source>,
    site: Site,
}

/// Words that rows hold and visitors look for.
pub(super) const WORDS: [&str; 6] = ["oak", "owl", "tea", "ten", "Öl", "a&b"];

impl Site {
    pub(super) fn of(seed: u64, postgres: bool) -> Site {
        let mut chance = Chance(seed);
        let site = Site { files: Vec::new(), pages: Vec::new(), visited: Vec::new(), actions: Vec::new() };
        let mut maker = Maker { chance: &mut chance, postgres, tables: Vec::new(), sources: Vec::new(), site };
        maker.schema();
        maker.shared();
        (0..6).for_each(|number| maker.page(number));
        (0..2).for_each(|number| maker.data(number));
        maker.visit();
        (0..maker.tables.len()).for_each(|table| maker.actions(table));
        maker.site
    }
}

impl Maker<'_> {
    fn file(&mut self, path: &str, text: String) {
        self.site.files.push((path.to_string(), text));
    }

    fn schema(&mut self) {
        let mut sql = String::from(
            "create table ticks (id integer primary key, n integer not null);\ninsert into ticks values (1, 0);\n\
             create table visits (owner text primary key, n integer not null);\n\
             create table log (a text, n integer);\n",
        );
        for number in 0..2 + self.chance.below(3) {
            let name = format!("t{number}");
            // The first is always one that may be searched.
            let is_keyed = number > 0 && self.chance.below(3) == 0;
            let key = if is_keyed { "key" } else { "id" };
            let column = if is_keyed { "key text primary key" } else { "id integer primary key" };
            let mut columns = format!("{column}, a text, n integer, owner text");
            let parent = self.tables.iter().rev().find(|table| table.key == "id" && table.name != name);
            if let (Some(parent), true) = (parent, self.chance.below(2) == 0) {
                let then = self.chance.pick(&["cascade", "set null"]);
                let _ = write!(columns, ", up integer references {} (id) on delete {then}", parent.name);
            } else {
                columns.push_str(", up integer");
            }
            let end = if is_keyed && !self.postgres { " without rowid" } else { "" };
            let _ = writeln!(sql, "create table {name} ({columns}){end};");
            for row in 1..=4 {
                let (a, n) = (self.chance.pick(&WORDS), self.chance.below(5));
                let key = if is_keyed { format!("'{}'", WORDS[row - 1]) } else { row.to_string() };
                let _ = writeln!(sql, "insert into {name} values ({key}, '{a}', {n}, null, null);");
            }
            self.sources.push(Source { name: name.clone(), key: Some(key) });
            self.tables.push(Table { name, key });
        }
        self.views(&mut sql);
        self.triggers(&mut sql);
        self.file("migrations/0001_start.sql", sql);
    }

    fn views(&mut self, sql: &mut String) {
        for number in 0..2 {
            let (one, two) = (self.source().0, self.source().0);
            let body = match self.chance.below(4) {
                0 => format!("select a, n from {one} where n > 1"),
                1 => format!("select x.a, x.n + y.n as n from {one} x join {two} y on x.n = y.n"),
                2 => format!("select a, count(*) as n from {one} group by a"),
                _ => format!("select a, n from {one} union select a, n from {two} where n < 4"),
            };
            let _ = writeln!(sql, "create view v{number} as {body};");
            self.sources.push(Source { name: format!("v{number}"), key: None });
        }
    }

    fn triggers(&mut self, sql: &mut String) {
        let last = self.tables.len() - 1;
        let (from, to) = (self.tables[self.chance.below(last)].name.clone(), self.tables[last].name.clone());
        let when = self.chance.pick(&["insert", "update", "delete"]);
        let what = match self.chance.below(2) {
            0 => format!("update {to} set n = n + 1 where a = 'oak';"),
            _ => "insert into log (a, n) values ('log', 1);".to_string(),
        };
        if self.postgres {
            let _ = writeln!(
                sql,
                "create function happened() returns trigger language plpgsql as $$ begin {what} return null; end $$;\n\
                 create trigger happens after {when} on {from} for each row execute function happened();"
            );
        } else {
            let _ = writeln!(sql, "create trigger happens after {when} on {from} begin {what} end;");
            sql.push_str(
                "create virtual table f0 using fts5(a, content='t0', content_rowid='id');\n\
                 insert into f0(f0) values ('rebuild');\n\
                 create trigger f_in after insert on t0 begin insert into f0 (rowid, a) values (new.id, new.a); end;\n\
                 create trigger f_out after delete on t0 begin \
                 insert into f0 (f0, rowid, a) values ('delete', old.id, old.a); end;\n\
                 create trigger f_up after update on t0 begin \
                 insert into f0 (f0, rowid, a) values ('delete', old.id, old.a); \
                 insert into f0 (rowid, a) values (new.id, new.a); end;\n",
            );
        }
        self.sources.push(Source { name: "log".into(), key: None });
    }

    fn source(&mut self) -> (String, Option<&'static str>) {
        let source = &self.sources[self.chance.below(self.sources.len())];
        (source.name.clone(), source.key)
    }

    /// Layouts and parts; and how time goes on.
    fn shared(&mut self) {
        let locale = self.chance.pick(&["en", "de"]);
        self.file(
            "site.toml",
            format!(
                "[site]\nname = \"Generated\"\nlocale = \"{locale}\"\n\n[users]\nregister = \"closed\"\n\n\
                 [[access]]\npath = \"/p5\"\nallow = \"users\"\n\n[[access]]\npath = \"/**\"\nmethods = [\"POST\", \"PUT\", \"DELETE\"]\n\
                 allow = \"everyone\"\n"
            ),
        );
        self.file("pages/_part.html", "[{{ site.url }} {{ site.locale }}]".into());
        let layouts = [
            "{{ request.path }} {% block main %}{% endblock %}",
            "{% if user %}{{ user.email }} {{ user.name }} {{ user.roles }}{% endif %}{% block main %}{% endblock %}",
            "{% include \"_part.html\" %}{% if flash %}<p>{{ flash }}</p>{% endif %}{% block main %}{% endblock %}",
            "{{ mine }} of {{ tick_of_layout }} {% block main %}{% endblock %}{{ request.query }}",
            "{% block main %}{% endblock %}",
        ];
        for (number, layout) in layouts.into_iter().enumerate() {
            self.file(&format!("pages/_layout{number}.html"), format!("<!doctype html><title>x</title>{layout}\n"));
        }
        let (table, _) = (self.tables[0].name.clone(), ());
        self.file(
            "pages/_layout3.sql",
            format!(
                "-- name: mine :value\nselect count(*) from {table} where owner = @session_id;\n\
                 -- name: tick_of_layout :value\nselect count(*) from visits;\n"
            ),
        );
        self.file(
            "pages/tick.post.sql",
            "-- name: up :exec\nupdate ticks set n = n + 1 where id = 1;\n\
             -- name: n :value\nselect n from ticks where id = 1;\n"
                .into(),
        );
        self.file("pages/tick.html", "tick={{ n }};".into());
        self.file("pages/tick.sql", "-- name: n :value\nselect n from ticks where id = 1;\n".into());
        self.site.pages.push("/tick".into());
    }

    /// A condition on rows of `a` and `n`; `owner` tells whether they have an owner.
    fn condition(&mut self, owner: bool) -> String {
        match self.chance.below(if owner { 8 } else { 6 }) {
            0 => "true".into(),
            1 => "(cast(:q as text) is null or a = :q)".into(),
            2 => "n >= :n".into(),
            3 => "a <> @path".into(),
            4 => "(a < @locale or a > 'f')".into(),
            5 => "a in (select a from log union select 'tea' union select 'ten')".into(),
            6 => "(owner is null or owner = @session_id)".into(),
            _ => "(owner = cast(@user_id as text) or owner is null)".into(),
        }
    }

    /// One query of `a` and `n`, and how the template prints it.
    fn query(&mut self, number: usize, by_path: bool) -> (String, String) {
        let (from, key) = self.source();
        let condition = self.condition(key.is_some());
        let name = format!("q{number}");
        let rows = format!("{{% for r in {name} %}}<i>{{{{ r.a }}}}:{{{{ r.n }}}}</i>{{% endfor %}}");
        let one = format!("{{{{ {name}.a }}}}/{{{{ {name}.n }}}} ");
        let value = format!("{{{{ {name} }}}} ");
        let order = "order by a, n";
        let (heading, sql, shown) = match self.chance.below(10) {
            0 => (":value", format!("select count(*) from {from} where {condition}"), value),
            1 => (":value", format!("select sum(n) from {from} where {condition}"), value),
            2 => (
                ":list",
                format!("select a from {from} where {condition} {order}"),
                format!("{{{{ {name}|join(',') }}}}"),
            ),
            3 => (":many more=2", format!("select a, n from {from} where {condition} {order}"), rows),
            4 => {
                let (other, _) = self.source();
                let sql = format!(
                    "select x.a, y.n from {from} x join {other} y on x.n = y.n where x.a <> 'zz' order by x.a, y.n limit 15"
                );
                (":many", sql, rows)
            }
            5 => {
                (":many when=:sort=top", format!("select a, n from {from} where {condition} order by n desc, a"), rows)
            }
            6 if by_path && key == Some("id") => (":one", format!("select id, a, n from {from} where id = :id"), one),
            6 if !self.postgres => {
                (":many", "select a, 1 as n from f0 where f0 match 'o*' order by rowid".into(), rows)
            }
            7 => (":maybe", format!("select max(a) as a, min(n) as n from {from} where {condition}"), one),
            8 => {
                let sql = format!("select a, row_number() over ({order}) as n from {from} where {condition} {order}");
                (":many", sql, rows)
            }
            _ => (":many", format!("select a, n from {from} where {condition} {order}"), rows),
        };
        let sql = format!("-- name: {name} {heading}\n{sql};\n");
        (sql, shown)
    }

    /// The parameters that the text takes.
    fn declared(text: &str) -> String {
        let mut lines = String::new();
        for (name, line) in [
            (":id", "-- :id int\n"),
            (":q", "-- :q text\n"),
            (":n", "-- :n int default=1\n"),
            (":sort", "-- :sort text in=top,new default=new\n"),
        ] {
            let is_used = text.match_indices(name).any(|(at, _)| {
                !text[at + name.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
            });
            if is_used {
                lines.push_str(line);
            }
        }
        lines
    }

    fn page(&mut self, number: usize) {
        let by_path = number % 3 == 1;
        let (mut sql, mut shown) = (String::new(), String::new());
        if number == 4 {
            return self.page_of_one(number);
        }
        if self.chance.below(2) == 0 {
            sql.push_str("-- name: tick :value\nselect n from ticks where id = 1;\n");
            shown.push_str("tick={{ tick }};");
        }
        if self.chance.below(5) == 0 {
            sql.push_str("-- name: allowed :require 403 Not now.\nselect 1 where (select count(*) from t0) > 1;\n");
        }
        let count = 1 + self.chance.below(3);
        let last = self.query(count, by_path);
        for query in 0..count {
            let (text, print) = self.query(query, by_path);
            sql.push_str(&text);
            shown.push_str(&print);
        }
        sql.push_str(&last.0);
        let _ = write!(shown, "{{% block part %}}<b>{}</b>{{% endblock %}}", last.1);
        let extra =
            ["{{ params.q }}", "{{ request.url }}", "{{ @x }}", "", "<hr>{{ site.name }}"][self.chance.below(5)];
        if !extra.contains('@') {
            shown.push_str(extra);
        }
        let declared = Maker::declared(&format!("{sql}{shown}").replace("params.q", ":q"));
        // So long that it is compressed.
        let padding = if self.chance.below(2) == 0 { "lorem ipsum ".repeat(120) } else { String::new() };
        let layout = self.chance.below(5);
        let html =
            format!("{{% extends \"_layout{layout}.html\" %}}{{% block main %}}{shown}{padding}{{% endblock %}}\n");
        let (file, address) = match by_path {
            true => (format!("pages/p{number}/[id]"), format!("/p{number}/{{id}}?{{q}}")),
            false => (format!("pages/p{number}"), format!("/p{number}?{{q}}")),
        };
        let declared = if by_path && !declared.contains(":id") { format!("-- :id int\n{declared}") } else { declared };
        self.file(&format!("{file}.html"), html);
        self.file(&format!("{file}.sql"), format!("{declared}{sql}"));
        if self.chance.below(3) == 0 {
            // The same address for programs.
            let (text, _) = self.query(0, by_path);
            let declared = Maker::declared(&text);
            let declared =
                if by_path && !declared.contains(":id") { format!("-- :id int\n{declared}") } else { declared };
            self.file(&format!("{file}.json.sql"), format!("{declared}{text}"));
        }
        self.site.pages.push(address);
    }

    /// A page that looks up one row, and depends on no other.
    fn page_of_one(&mut self, number: usize) {
        let tables: Vec<&Table> = self.tables.iter().filter(|table| table.key == "id").collect();
        let name = tables[self.chance.below(tables.len())].name.clone();
        let layout = self.chance.pick(&[0, 1, 2, 4]);
        let html = format!(
            "{{% extends \"_layout{layout}.html\" %}}{{% block main %}}{{% if q %}}{{{{ q.a }}}} {{{{ q.n }}}} {{{{ q.up }}}}\
             {{% endif %}}{{% endblock %}}\n"
        );
        let sql =
            format!("-- :id int\n-- name: q :maybe\nselect a, id, n, up from {name} where id = :id and n < 90;\n");
        self.file(&format!("pages/p{number}/[id].html"), html);
        self.file(&format!("pages/p{number}/[id].sql"), sql);
        // Asked for often.
        (0..3).for_each(|_| self.site.pages.push(format!("/p{number}/{{id}}")));
    }

    fn data(&mut self, number: usize) {
        let (from, key) = self.source();
        let condition = self.condition(key.is_some());
        let sql = format!("-- name: rows :many\nselect a, n from {from} where {condition} order by a, n;\n");
        let kind = self.chance.pick(&["json", "csv"]);
        self.file(&format!("pages/d{number}.{kind}.sql"), format!("{}{sql}", Maker::declared(&sql)));
        self.site.pages.push(format!("/d{number}?{{q}}"));
    }

    fn visit(&mut self) {
        self.file(
            "pages/seen.visit.sql",
            "-- name: seen :exec\ninsert into visits (owner, n) values (@session_id, 1)\n\
             on conflict (owner) do update set n = visits.n + 1;\n"
                .into(),
        );
        self.file("pages/seen.html", "{% extends \"_layout1.html\" %}{% block main %}{{ n }}{% endblock %}\n".into());
        self.file("pages/seen.sql", "-- name: n :value\nselect n from visits where owner = @session_id;\n".into());
        self.site.visited.push("/seen".into());
    }

    fn actions(&mut self, index: usize) {
        let Table { name, key } = &self.tables[index];
        let (name, key) = (name.clone(), *key);
        let kind = if key == "id" { "int" } else { "text" };
        let flash = "-- flash: Saved {{ params.a }}\n";
        let given = format!("-- :{key} {kind} required\n-- :a text\n-- :n int\n");
        let owner = self.chance.pick(&["@session_id", "cast(@user_id as text)", "null"]);
        // A row that is replaced takes what hangs on it along. The search would not hear of it.
        let put = match self.postgres || index == 0 {
            true => format!(
                "insert into {name} ({key}, a, n, owner) values (:{key}, :a, :n, {owner})\n\
                 on conflict ({key}) do update set a = excluded.a, n = excluded.n;"
            ),
            false => format!(
                "insert or replace into {name} ({key}, a, n, owner, up) values \
                 (:{key}, :a, :n, {owner}, (select min(id) from t0));"
            ),
        };
        let first = if index == 0 { flash } else { "" };
        let elsewhere = self.chance.pick(&["t0", "log"]);
        let all = [
            (format!("put_{name}"), "POST", format!("{given}{first}-- redirect: /tick\n-- name: x :exec\n{put}\n")),
            (
                format!("add_{name}"),
                "POST",
                format!(
                    "-- :n int\n-- :m int\n-- redirect: /tick\n-- name: x :exec\n\
                     update {name} set n = n + :n where n < :m;\n"
                ),
            ),
            (
                format!("put_{name}"),
                "DELETE",
                format!(
                    "-- :{key} {kind}\n-- redirect: /tick\n-- name: x :exec\ndelete from {name} where {key} = :{key};\n"
                ),
            ),
            (format!("all_{name}"), "DELETE", format!("-- redirect: /tick\n-- name: x :exec\ndelete from {name};\n")),
            (
                format!("each_{name}"),
                "POST",
                format!(
                    "-- :ids int multiple\n-- redirect: /tick\n-- name: x :exec each=:ids\n\
                     update {name} set a = 'each', up = null where n = :ids;\n"
                ),
            ),
            // Something is done and then taken back.
            (
                format!("fail_{name}"),
                "POST",
                format!(
                    "-- :n int\n-- redirect: /tick\n-- name: x :exec\nupdate {name} set n = 100;\n\
                     -- name: no :require 409 No.\nselect 1 where :n > 1000;\n"
                ),
            ),
            (
                format!("copy_{name}"),
                "POST",
                format!(
                    "-- redirect: /tick\n-- name: x :exec\nupdate {name} set n = (select count(*) from {elsewhere}) \
                     where a = 'tea';\n"
                ),
            ),
        ];
        for (path, method, sql) in all {
            let verb = method.to_ascii_lowercase();
            self.file(&format!("pages/{path}.{verb}.sql"), sql);
            self.site.actions.push(Action { path: format!("/{path}"), method });
        }
    }
}
