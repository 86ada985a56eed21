//! Query files on their whole way: read, joined, run with rows that a database could give.

use std::sync::Arc;

use proptest::prelude::*;

use super::server::tests::Fixed;
use super::*;
use crate::problem::{Fault, Kind, Problem};
use crate::value::{Rows, Value};

/// Files by their path in the site; the first one is built.
fn build_in(dialect: Dialect, files: &[(&str, &str)], path: &[&str]) -> (Arc<Script>, Vec<Fault>) {
    let mut faults = Vec::new();
    let parsed: Vec<Arc<QueryFile>> = files
        .iter()
        .map(|(path, source)| {
            let (file, found) = parse(&format!("pages{path}"), source, dialect);
            faults.extend(found);
            Arc::new(file)
        })
        .collect();
    let path: Vec<Arc<str>> = path.iter().map(|name| Arc::from(*name)).collect();
    let mut load = |wanted: &str| {
        let index = files.iter().position(|(path, _)| *path == wanted)?;
        Some(parsed[index].clone())
    };
    let (script, found) = Script::build(&parsed[0], &path, &mut load);
    faults.extend(found);
    (Arc::new(script), faults)
}

fn build(files: &[(&str, &str)]) -> (Arc<Script>, Vec<Fault>) {
    build_in(Dialect::Sqlite, files, &[])
}

fn sound(source: &str) -> Arc<Script> {
    let (script, faults) = build(&[("/a.sql", source)]);
    assert_eq!(faults, [], "{source}");
    script
}

/// The messages of a file's faults, each with its line.
fn faults(source: &str) -> Vec<String> {
    let told = |fault: Fault| format!("{} {}", fault.place.map_or(0, |place| place.line), fault.message);
    build(&[("/a.sql", source)]).1.into_iter().map(told).collect()
}

fn rows(columns: &[&str], cells: &[Value]) -> Rows {
    Rows { columns: columns.iter().map(|name| Arc::from(*name)).collect(), cells: cells.to_vec(), ..Rows::default() }
}

fn ints(numbers: &[i64]) -> Rows {
    rows(&["n"], &numbers.iter().copied().map(Value::Int).collect::<Vec<_>>())
}

fn changed(count: u64) -> Rows {
    Rows { changed: count, ..Rows::default() }
}

fn texts(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| Value::from(*item)).collect())
}

/// Runs a script; `answers` gives the rows of a query by its name and binds. Tells what was asked, and the end.
fn run_with(
    script: &Arc<Script>,
    arguments: Vec<Value>,
    answers: &dyn Fn(&str, &[Value]) -> Rows,
) -> (Vec<String>, Result<Results, Problem>) {
    let mut asked = Vec::new();
    let mut run = match Run::start(script, arguments, &Fixed::default(), 1000) {
        Ok(run) => run,
        Err(problem) => return (asked, Err(problem)),
    };
    while let Some(call) = run.next() {
        let name = script.queries[call.query].name.clone();
        asked.push(format!("{name}{:?}", call.binds.iter().map(Value::to_string).collect::<Vec<_>>()));
        let rows = answers(&name, call.binds);
        if let Err(problem) = run.take(rows) {
            return (asked, Err(problem));
        }
    }
    (asked, Ok(run.finish()))
}

#[test]
fn values_become_numbered_placeholders() {
    let source = "-- :q text\n-- :n int\n-- name: a :many\nselect ':q', :q, @now /* :n */ where x = :n or :q is null";
    let script = sound(source);
    assert_eq!(&*script.queries[0].sql, "select ':q', ?1, ?2 /* :n */ where x = ?3 or ?1 is null");
    let (script, faults) = build_in(Dialect::Postgres, &[("/a.sql", source)], &[]);
    assert_eq!(faults, []);
    assert_eq!(&*script.queries[0].sql, "select ':q', $1, $2 /* :n */ where x = $3 or $1 is null");
    assert_eq!(script.queries[0].binds[2].source, Source::Parameter(1));
    assert_eq!(script.server, [ServerValue::Now]);
}

#[test]
fn places_lead_back_into_the_files() {
    let shared = "-- name: visible :with\nselect *\nfrom products where nmae = :q";
    let page = "-- use: /_shared.sql\n-- :q text\n-- name: a :many\nselect prize\nfrom visible;";
    let (script, faults) = build(&[("/a.sql", page), ("/_shared.sql", shared)]);
    assert_eq!(faults, []);
    let query = &script.queries[0];
    assert_eq!(&*query.sql, "with visible as (select *\nfrom products where nmae = ?1\n) select prize\nfrom visible");
    let place = |word: &str| query.place_of(query.sql.find(word).unwrap());
    for (word, file, line, column, width) in [
        ("prize", "pages/a.sql", 4, 8, 5),
        ("nmae", "pages/_shared.sql", 3, 21, 4),
        ("?1", "pages/_shared.sql", 3, 28, 2),
        ("with", "pages/a.sql", 4, 1, 1),
    ] {
        let place = place(word);
        assert_eq!((&*place.file, place.line, place.column, place.width), (file, line, column, width), "{word}");
    }
    assert_eq!(query.place_of(100_000).line, 5);
}

#[test]
fn shared_parts_stand_before_what_names_them() {
    let parts = "-- name: a :with\nselect 1 from t -- the end\n-- name: b :with\nselect * from A join \"a\" x\n";
    for (sql, expected) in [
        ("select a from t", "select a from t"),
        ("select * from main.a, a(1)", "select * from main.a, a(1)"),
        ("select * from t, A", "with a as (select 1 from t\n) select * from t, A"),
        (
            "WITH RECURSIVE r as (select 1) select * from r join b",
            "with recursive a as (select 1 from t\n), b as (select * from A join \"a\" x\n),  \
             r as (select 1) select * from r join b",
        ),
        (
            "with r as (select * from a) delete from t",
            "with a as (select 1 from t\n),  r as (select * from a) delete from t",
        ),
        ("insert into t select * from a", "with a as (select 1 from t\n) insert into t select * from a"),
    ] {
        let script = sound(&format!("{parts}-- name: q :exec\n{sql}"));
        assert_eq!(&*script.queries[0].sql, expected);
        assert_eq!(script.queries.len(), 1);
    }
    let script =
        sound("-- name: n :with\nselect 1 as i union all select i + 1 from n\n-- name: q :many\nselect * from n");
    assert!(script.queries[0].sql.starts_with("with recursive n as ("));
}

#[test]
fn lists_stand_behind_in() {
    let source = "-- :ids int multiple\n-- name: a :many\nselect 1 where x in :ids or y NOT /* : */ in\n:ids";
    let script = sound(source);
    assert_eq!(
        &*script.queries[0].sql,
        "select 1 where x in (select value from json_each(?1)) or y NOT /* : */ in\n(select value from json_each(?1))"
    );
    let list = Value::List([Value::Int(i64::MAX), Value::Int(2)].into());
    let (asked, _) = run_with(&script, vec![list], &|_, binds| {
        assert_eq!(binds, [Value::from("[9223372036854775807,2]")]);
        ints(&[])
    });
    assert_eq!(asked.len(), 1);
    let (script, faults) = build_in(Dialect::Postgres, &[("/a.sql", source)], &[]);
    assert_eq!(faults, []);
    assert_eq!(&*script.queries[0].sql, "select 1 where x = any($1) or y <> all($1)");
    let source = "-- @mine = split('a,b', ',')\n-- name: a :many\nselect 1 where x in @mine and y in @roles";
    assert_eq!(sound(source).queries[0].binds.len(), 2);
}

#[test]
fn a_cast_behind_a_list_goes_with_it() {
    let declared = "-- :ids int multiple\n-- name: a :many\nselect 1 from t where ";
    for (sql, written) in [
        ("x in :ids::bigint[] and y", "x = any($1::bigint[]) and y"),
        ("x not in :ids :: bigint [] or (y in :ids::text[])", "x <> all($1 :: bigint []) or (y = any($1::text[]))"),
        ("(x in :ids::public.\"Kind\"[3])", "(x = any($1::public.\"Kind\"[3]))"),
        ("x in :ids::numeric(5, 2)[]::double precision[], z", "x = any($1::numeric(5, 2)[]::double precision[]), z"),
        ("x in :ids::timestamp with time zone[] order by y", "x = any($1::timestamp with time zone[]) order by y"),
        ("x in :ids -- all\n and y", "x = any($1) -- all\n and y"),
    ] {
        let source = format!("{declared}{sql}");
        let (script, faults) = build_in(Dialect::Postgres, &[("/a.sql", &source)], &[]);
        assert_eq!(faults, [], "{sql}");
        assert_eq!(&*script.queries[0].sql, format!("select 1 from t where {written}"));
    }
}

#[test]
fn an_at_sign_glued_to_an_operator_is_in_doubt_on_postgres() {
    let source = |sql: &str| format!("-- name: a :many\nselect 1 from t where {sql}");
    for (sql, help) in [
        ("a <@user_id", "write `< @user_id` for a value from the server, `<@ user_id` for the operator"),
        ("a @@query", "write `@ @query` for a value from the server, `@@ query` for the operator"),
    ] {
        let (_, faults) = build_in(Dialect::Postgres, &[("/a.sql", &source(sql))], &[]);
        assert_eq!(faults.iter().map(|fault| &*fault.help).collect::<Vec<_>>(), [help]);
    }
    for sql in ["a < @user_id", "a <@ b", "a @> @user_id", "a<=@user_id", "a @@ b", "a @>b"] {
        let (_, faults) = build_in(Dialect::Postgres, &[("/a.sql", &source(sql))], &[]);
        assert_eq!(faults, [], "{sql}");
    }
}

#[test]
fn lists_elsewhere_are_faults() {
    let declared = "-- :ids int multiple\n-- :id int\n-- name: a :many\nselect 1 where x";
    for (sql, message) in [
        ("in (:ids)", "4 `:ids` is a list"),
        ("= :ids", "4 `:ids` is a list"),
        ("in :id", "4 `:id` is not a list"),
        ("= @roles", "4 `@roles` is a list"),
    ] {
        assert_eq!(faults(&format!("{declared} {sql}")), [message]);
    }
}

#[test]
fn names_that_stand_for_nothing_are_told() {
    for (source, message) in [
        ("-- :quantity int\n-- name: a :one\nselect :quantty", "3 `:quantty` is not declared"),
        ("-- name: a :one\nselect @user", "2 there is no `@user`"),
        ("-- name: a :one\nselect @b.id\n-- name: b :one\nselect 1", "2 `b` runs later than this"),
        ("-- name: a :one\nselect @b\n-- name: b :value\nselect 1", "2 `b` runs later than this"),
        ("-- name: a :many\nselect 1\n-- name: b :one\nselect @a.id", "4 `a` gives no single row"),
        ("-- name: a :many\nselect 1\n-- name: b :one\nselect @a", "4 `@a` is not a single value"),
        ("-- name: a :one\nselect 1\n-- name: b :one\nselect @a", "4 `@a` is a row"),
        ("-- name: a :value\nselect 1\n-- name: b :one\nselect @a.x", "4 `a` is a single value"),
        (
            "-- name: a :exec\ndelete from t\n-- name: b :one\nselect @a.id",
            "4 an `:exec` gives nothing but its `count`",
        ),
        ("-- name: a :one\nselect @c.id", "2 no earlier query is named `c`"),
        ("-- name: a :one when=b\nselect 1", "1 no earlier query is named `b`"),
        ("-- name: a :one when=:b\nselect 1", "1 `:b` is not declared"),
        ("-- :s text in=new,top\n-- name: a :one when=:s=old\nselect 1", "2 `:s` is never `old`"),
        ("-- :n int\n-- name: a :one when=:n=x\nselect 1", "2 `:n` is never `x`"),
        ("-- :t text\n-- name: a :exec each=:t\ndelete from x where y = :t", "2 `t` is not a list"),
        ("-- @a = slug(:title)", "1 `:title` is not declared"),
        ("-- :l int multiple\n-- @a = slug(:l)", "2 `:l` is a list, which no value is computed of"),
        ("-- @a = fold(@roles)", "1 `@roles` is a list, which no value is computed of"),
        ("-- @a = slug(@b)\n-- @b = today", "1 there is no `@b`"),
        ("-- @a = slug(@q.id)\n-- name: q :one\nselect 1", "1 `@q.id` is not known yet"),
        (
            "-- login: user.id\n-- name: user :many\nselect 1",
            "1 `login:` needs a `:one` or `:maybe` query named `user`",
        ),
        ("-- use: /_none.sql", "1 there is no query file `/_none.sql`"),
        ("-- name: w :with\nselect :q", "2 `:q` is not declared"),
        ("-- name: a :one\nselect 1\n-- name: a :one\nselect 2", "3 there are two statements named `a`"),
        ("-- name: a :one when=@now\nselect 1\n-- name: a :one\nselect 2", "3 there are two statements named `a`"),
        (
            "-- name: a :one when=@now\nselect 1\n-- name: a :many unless=@now\nselect 2",
            "3 statements that share the name `a` are of one kind",
        ),
    ] {
        assert_eq!(faults(source), [message], "{source}");
    }
    let (_, faults) = build(&[("/a.sql", "-- name: a :one\nselect @usre_id")]);
    assert_eq!(faults[0].help, "did you mean `user_id`?");
}

#[test]
fn a_fault_of_a_part_is_told_once() {
    let source = "-- name: w :with\nselect :q\n-- name: a :one\nselect 1 from w\n-- name: b :one\nselect 1 from w";
    assert_eq!(faults(source), ["2 `:q` is not declared"]);
}

#[test]
fn files_share_declarations_and_queries() {
    let files = [
        (
            "/a.sql",
            "-- use: /_b.sql\n-- use: /_c.sql\n-- :q text maxlength=5\n-- name: own :many\nselect :q, @me, :n from v",
        ),
        ("/_b.sql", "-- use: /_c.sql\n-- :q text\n-- :n int\n-- @me = fold(:q)\n-- name: count :value\nselect 1"),
        ("/_c.sql", "-- use: /_b.sql\n-- name: v :with\nselect 1\n-- error: t_key on=q Taken."),
    ];
    let (script, faults) = build(&files);
    assert_eq!(faults, []);
    let names: Vec<&str> = script.names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["count", "own"]);
    assert_eq!(script.parameter("q").unwrap().maxlength, Some(5));
    assert_eq!(script.directives.errors.len(), 1);
    assert_eq!(script.unused_parameters(&|_| false), []);
}

#[test]
fn directives_of_shared_files_are_told() {
    let (script, faults) = build(&[("/a.sql", "-- use: /_b.sql"), ("/_b.sql", "-- redirect: /x\n-- once: 1h")]);
    let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].contains("`redirect:`") && messages[1].contains("`once:`"), "{messages:?}");
    assert!(script.directives.redirect.is_none());
}

#[test]
fn the_path_declares_its_parameters() {
    let source = "-- :q text\n-- :id int\n-- name: a :one\nselect :id, :slug, :q";
    let (script, faults) = build_in(Dialect::Sqlite, &[("/a.sql", source)], &["slug", "id"]);
    assert_eq!(faults, []);
    let shown: Vec<_> = script.parameters.iter().map(|p| (&*p.name, p.kind, p.from_path, p.required)).collect();
    assert_eq!(
        shown,
        [("slug", Type::Text, true, true), ("id", Type::Int, true, true), ("q", Type::Text, false, false),]
    );
    let around = Fixed::default();
    let problem = script
        .arguments(&around, &mut |parameter| match &*parameter.name {
            "id" => Sent::Text("seven"),
            "slug" => Sent::Text("a"),
            _ => Sent::Absent,
        })
        .unwrap_err();
    assert_eq!(problem.kind, Kind::NotFound);
    let (_, faults) = build_in(Dialect::Sqlite, &[("/a.sql", "-- :id int multiple")], &["id"]);
    assert_eq!(faults.len(), 1);
}

#[test]
fn every_wrong_field_is_told() {
    let script = sound("-- :a int\n-- :b int\n-- :c text\n-- name: x :one\nselect :a, :b, :c");
    let sent = &mut |parameter: &Parameter| if &*parameter.name == "c" { Sent::Absent } else { Sent::Text("x") };
    let problem = script.arguments(&Fixed::default(), sent).unwrap_err();
    let Kind::Invalid(errors) = problem.kind else { panic!("{problem:?}") };
    assert_eq!(errors.0.len(), 2);
}

#[test]
fn unused_parameters_are_told() {
    let source = "-- :a int\n-- :b int\n-- :c int\n-- :d int\n-- flash: Hello {{ params.c }}\n\
                  -- name: x :one when=:b\nselect 1";
    let unused = sound(source).unused_parameters(&|name| name == "d");
    assert_eq!(unused.len(), 1);
    assert_eq!(unused[0].message, "nothing uses `:a`");
}

#[test]
fn too_many_parameters_are_told() {
    let source: String = (0..200).map(|n| format!("-- :p{n} int\n")).collect();
    let (script, faults) = build(&[("/a.sql", &source)]);
    assert_eq!(faults[0].message, "a script has at most 128 parameters");
    assert_eq!(script.parameters.len(), 128);
}

#[test]
fn results_have_the_shape_of_their_kinds() {
    let script = sound(
        "-- name: one :one\nselect 1\n-- name: maybe :maybe\nselect 1\n-- name: many :many more=2\nselect 1\n\
         -- name: total :value\nselect 1\n-- name: list :list\nselect 1\n-- name: line :exec\ndelete from t\n\
         -- name: last :many\nselect @one.n, @total, @line.count, @maybe.n, @one.other\n\
         -- name: allowed :require 403\nselect 1",
    );
    let (asked, results) = run_with(&script, vec![], &|name, _| match name {
        "maybe" => ints(&[]),
        "many" => ints(&[1, 2, 3]),
        "line" => changed(4),
        _ => ints(&[7]),
    });
    let results = results.unwrap();
    assert_eq!(asked[6], r#"last["7", "7", "4", "", ""]"#);
    let names: Vec<&str> = results.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["one", "maybe", "many", "total", "list", "line", "last"]);
    assert!(matches!(results.get("maybe"), Some(Outcome::Row(rows)) if rows.is_empty()));
    assert!(matches!(results.get("many"), Some(Outcome::Rows(rows)) if rows.len() == 2 && rows.more));
    assert_eq!(results.get("total"), Some(&Outcome::Value(Value::Int(7))));
    assert_eq!(results.get("line"), Some(&Outcome::Changed(4)));
    assert_eq!(results.column("one", "n"), Some(&Value::Int(7)));
    assert_eq!(results.get("none"), None);
}

#[test]
fn rows_are_limited_by_their_kind() {
    let script = sound(
        "-- name: a :one\nselect 1\n-- name: b :maybe\nselect 1\n-- name: c :many more=2\nselect 1\n\
         -- name: d :many\nselect 1\n-- name: e :value\nselect 1",
    );
    let mut run = Run::start(&script, vec![], &Fixed::default(), 50).unwrap();
    let mut limits = Vec::new();
    while let Some(call) = run.next() {
        limits.push(call.limit);
        run.take(ints(&[1])).unwrap();
    }
    let first = Limit::First;
    assert_eq!(limits, [first(2), first(1), first(2), Limit::AtMost(50), first(1)]);
}

#[test]
fn missing_and_doubled_rows_end_a_run() {
    let script = sound("-- name: a :one\nselect 1");
    assert_eq!(run_with(&script, vec![], &|_, _| ints(&[])).1.unwrap_err().kind, Kind::NotFound);
    let problem = run_with(&script, vec![], &|_, _| ints(&[1, 2])).1.unwrap_err();
    assert_eq!((problem.kind, problem.place.unwrap().line), (Kind::Broken, 1));
}

#[test]
fn requirements_say_what_is_missing() {
    for (line, kind, public) in [
        ("402 Please subscribe.", Kind::PaymentNeeded, "Please subscribe."),
        ("403", Kind::NotAllowed, "You may not do this."),
        ("404", Kind::NotFound, "There is nothing at this address."),
        ("409 Too late.", Kind::Conflict, "Too late."),
    ] {
        let script = sound(&format!("-- name: a :require {line}\nselect 1"));
        let problem = run_with(&script, vec![], &|_, _| ints(&[])).1.unwrap_err();
        assert_eq!((problem.kind, &*problem.public), (kind, public));
        assert!(run_with(&script, vec![], &|_, _| ints(&[1])).1.is_ok());
    }
    let script = sound("-- name: a :require 422 on=qty Not that many.\nselect 1");
    let problem = run_with(&script, vec![], &|_, _| ints(&[])).1.unwrap_err();
    let Kind::Invalid(errors) = problem.kind else { panic!("{problem:?}") };
    assert_eq!(errors.get("qty"), Some("Not that many."));
}

#[test]
fn the_first_statement_whose_condition_holds_runs() {
    let script = sound(
        "-- :sort text\n-- :q text\n-- :only bool\n\
         -- name: a :many when=:q\nselect 1\n-- name: a :many when=:sort=top\nselect 2\n\
         -- name: a :many unless=:sort=top unless=:q\nselect 3\n\
         -- name: b :one when=a\nselect 4\n-- name: c :one when=:only unless=a\nselect 5",
    );
    let asked = |q: Value, sort: &str, only: bool, found: &'static [i64]| {
        let arguments = vec![Value::from(sort), q, Value::Bool(only)];
        let mut run = Run::start(&script, arguments, &Fixed::default(), 50).unwrap();
        let mut ran = Vec::new();
        while let Some(call) = run.next() {
            let query = call.query;
            ran.push(query);
            // The first three share the name `a`.
            run.take(if query < 3 { ints(found) } else { ints(&[1]) }).unwrap();
        }
        ran
    };
    assert_eq!(asked(Value::from("x"), "top", false, &[1]), [0, 3]);
    assert_eq!(asked(Value::Null, "top", true, &[]), [1, 4]);
    assert_eq!(asked(Value::Null, "new", false, &[]), [2]);
}

#[test]
fn conditions_read_values_as_people_do() {
    let script = sound(
        "-- :n int\n-- :b bool\n-- :l text multiple\n-- name: n :one when=:n\nselect 1\n\
         -- name: b :one when=:b\nselect 1\n-- name: l :one when=:l\nselect 1\n-- name: x :one when=:l=x\nselect 1",
    );
    let ran = |arguments| run_with(&script, arguments, &|_, _| ints(&[1])).0.len();
    assert_eq!(ran(vec![Value::Int(0), Value::Bool(true), texts(&["x"])]), 4);
    assert_eq!(ran(vec![Value::Null, Value::Bool(false), texts(&[])]), 0);
    assert_eq!(ran(vec![Value::Null, Value::Bool(false), texts(&["y"])]), 1);
}

#[test]
fn a_loop_runs_once_for_each_element() {
    let script = sound(
        "-- :tags text multiple\n-- name: a :one\nselect 1\n\
         -- name: tag :exec each=:tags\ninsert into tags values (@a.n, :tags)\n-- name: b :value\nselect @tag.count",
    );
    let answers = |name: &str, _: &[Value]| if name == "tag" { changed(2) } else { ints(&[7]) };
    let (asked, _) = run_with(&script, vec![texts(&["x", "y"])], &answers);
    assert_eq!(asked, ["a[]", r#"tag["7", "x"]"#, r#"tag["7", "y"]"#, r#"b["4"]"#]);
    let (asked, results) = run_with(&script, vec![texts(&[])], &answers);
    assert_eq!(asked, ["a[]", r#"b["0"]"#]);
    assert_eq!(results.unwrap().get("tag"), Some(&Outcome::Changed(0)));
    let script =
        sound("-- :t text\n-- @tags = split(:t, ',')\n-- name: a :exec each=@tags\ninsert into t values (@tags)");
    assert_eq!(run_with(&script, vec![Value::from("x, y,")], &answers).0, [r#"a["x"]"#, r#"a["y"]"#]);
}

#[test]
fn computed_values_are_bound() {
    let source = "-- :bio text\n-- @given = given(:bio)\n-- @role = has_role('editor')\n-- @day = today\n\
                  -- @slug = slug(:bio)\n-- @again = fold(@slug)\n\
                  -- name: a :one when=@given\nselect @given, @day, @again";
    let script = sound(source);
    assert!(script.reads_time);
    assert_eq!(script.server, [], "what no query needs is not read");
    let mut arguments = Arguments::default();
    arguments.push(Value::Null, true);
    let mut run = Run::start(&script, arguments, &Fixed::default(), 50).unwrap();
    let call = run.next().unwrap();
    assert_eq!(call.binds, [Value::Bool(true), Value::from("2024-05-06"), Value::Null]);
    assert_eq!(run_with(&script, vec![Value::Null], &|_, _| ints(&[1])).0.len(), 0);
}

#[test]
fn a_selection_keeps_what_it_stands_on() {
    let script = sound(
        "-- @mine = fold(@path)\n-- name: user :maybe\nselect @user_id\n-- name: page :one\nselect @mine\n\
         -- name: allowed :require 403\nselect @page.n\n-- name: list :many when=page\nselect @method\n\
         -- name: greeting :value\nselect @user.n",
    );
    let ran = |names: &[&str]| {
        let selection = script.select(names);
        let mut run = Run::start_only(&script, &selection, vec![], &Fixed::default(), 50).unwrap();
        let mut ran = Vec::new();
        while let Some(call) = run.next() {
            ran.push(call.query);
            run.take(ints(&[1])).unwrap();
        }
        let given: Vec<String> = run.finish().iter().map(|(name, _)| name.to_string()).collect();
        (ran, given)
    };
    assert_eq!(ran(&["list", "nothing"]), (vec![1, 2, 3], vec!["page".to_string(), "list".into()]));
    assert_eq!(ran(&["greeting"]).0, [0, 1, 2, 4]);
    assert_eq!(ran(&[]).0, [1, 2]);
    assert_eq!(script.server, [ServerValue::UserId, ServerValue::Method, ServerValue::Path]);
}

#[test]
fn a_run_can_be_repeated_from_its_start() {
    let script = sound("-- :n int\n-- name: a :exec\ndelete from t where n = :n");
    let start = Run::start(&script, vec![Value::Int(1)], &Fixed::default(), 50).unwrap();
    for _ in 0..2 {
        let mut run = start.clone();
        assert_eq!(run.next().unwrap().binds, [Value::Int(1)]);
        run.take(changed(1)).unwrap();
        assert!(run.next().is_none());
    }
}

#[test]
fn placeholders_know_their_kinds() {
    let source = "-- :n int\n-- :price decimal places=2\n-- :day date\n-- :ids uuid multiple\n-- :tags text multiple\n\
                  -- @slug = slug(:day)\n-- @same = @slug\n-- @soon = now + 1 day\n-- @parts = split(:day, '-')\n\
                  -- @sent = given(:n)\n-- @copy = :price\n-- @me = @now\n\
                  -- name: total :value\nselect :n, :price, :day\n-- name: row :one\nselect @total, @slug, @same, @soon\n\
                  -- name: done :exec each=:ids\nselect :ids, @sent, @copy, @me, @now, @user_id\n\
                  -- name: rest :many\nselect @row.n, @done.count from t where a in :tags and b in @roles and c in @parts";
    let script = sound(source);
    use crate::value::Kind::{Any, Bool, Date, Datetime, Int, Text, Uuid};
    let kinds = |query: usize| script.queries[query].kinds.to_vec();
    assert_eq!(kinds(0), [Int.one(), Int.one(), Date.one()]);
    assert_eq!(kinds(1), [Any.one(), Text.one(), Text.one(), Datetime.one()]);
    assert_eq!(kinds(2), [Uuid.one(), Bool.one(), Int.one(), Datetime.one(), Datetime.one(), Int.one()]);
    assert_eq!(kinds(3), [Any.one(), Int.one(), Text.list(), Text.list(), Text.list()]);
}

/// The levels of a script by the names of their statements, and the end.
fn levels(script: &Arc<Script>, answers: &dyn Fn(&str) -> Rows) -> (Vec<String>, Result<Results, Problem>) {
    let mut levels = Levels::new(Run::start(script, vec![], &Fixed::default(), 50).unwrap());
    let mut asked = Vec::new();
    while levels.advance() {
        let last = levels.is_last();
        let queries: Vec<usize> = levels.calls().map(|call| call.query).collect();
        let names: Vec<&str> = queries.iter().map(|query| &*script.queries[*query].name).collect();
        asked.push(names.join(" ") + if last { "." } else { "" });
        // Answers may come in any order.
        queries.iter().rev().for_each(|query| levels.take(*query, answers(&script.queries[*query].name)));
    }
    assert!(!levels.is_open());
    (asked, levels.finish())
}

#[test]
fn what_needs_nothing_of_each_other_is_one_level() {
    let script = sound(
        "-- name: a :maybe\nselect 1\n-- name: b :many\nselect 2\n-- name: c :many when=a\nselect @a.n\n\
         -- name: d :many unless=a\nselect 3\n-- name: e :require 403 No.\nselect @a.n\n\
         -- name: f :value when=c\nselect 4\n-- name: g :value unless=c\nselect 5\n-- name: h :value\nselect @g",
    );
    let (asked, end) = levels(&script, &|_| ints(&[1]));
    assert_eq!(asked, ["a b", "c e", "f h."]);
    assert_eq!(end.unwrap().get("d"), Some(&Outcome::Rows(Arc::default())));
    // What would not have been reached is asked, but the earlier one decides.
    let (asked, end) = levels(&script, &|name| if matches!(name, "e" | "h") { ints(&[]) } else { ints(&[1]) });
    assert_eq!((asked.len(), end.unwrap_err().kind), (2, Kind::NotAllowed));
    let early =
        sound("-- name: a :maybe\nselect 1\n-- name: b :require 403 No.\nselect @a.n\n-- name: c :one\nselect 2");
    let (asked, end) = levels(&early, &|name| ints(if name == "a" { &[1] } else { &[] }));
    assert_eq!((asked, end.unwrap_err().kind), (vec!["a c.".replace('.', ""), "b.".into()], Kind::NotAllowed));
    let lone = sound("-- name: a :many\nselect 1");
    assert_eq!(levels(&lone, &|_| ints(&[])).0, ["a."]);
}

#[test]
fn statements_that_share_a_name_wait_for_each_other() {
    let script = sound(
        "-- name: x :maybe\nselect 1\n-- name: a :maybe when=x\nselect 2\n-- name: b :value\nselect @a.n\n\
         -- name: y :maybe\nselect 3\n-- name: a :maybe when=y\nselect 4\n-- name: c :value\nselect @a.n",
    );
    let first = |name: &str| ints(if name == "x" { &[] } else { &[1] });
    assert_eq!(levels(&script, &first).0, ["x y", "b a", "c."]);
    // `b` stands before the second `a`, so it sees nothing of it.
    let early = sound(
        "-- :n int\n-- name: a :maybe when=:n\nselect 1\n-- name: x :maybe\nselect 2\n\
         -- name: b :value\nselect @x.n, @a.n\n-- name: a :maybe unless=:n\nselect 3\n",
    );
    let run = Run::start(&early, vec![Value::Null], &Fixed::default(), 50).unwrap();
    let mut levels = Levels::new(run);
    assert!(levels.advance());
    assert_eq!(levels.calls().map(|call| call.query).collect::<Vec<_>>(), [1, 3]);
    levels.take(1, ints(&[5]));
    levels.take(3, ints(&[6]));
    assert!(levels.advance());
    assert_eq!(levels.calls().map(|call| call.binds.to_vec()).collect::<Vec<_>>(), [[Value::Int(5), Value::Null]]);
}

#[test]
fn a_value_that_the_database_refuses_is_a_bad_parameter() {
    let source = "-- :n int\n-- :m int\n-- :l int multiple\n-- @x = trim(:m)\n-- @y = trim(@x)\n\
                  -- name: a :many\nselect :slug, :n, @y, @user_id\n-- name: b :one\nselect :slug\n\
                  -- name: c :exec each=:l\nselect :l\n-- name: d :one\nselect @now";
    let (script, faults) = build_in(Dialect::Sqlite, &[("/a.sql", source)], &["slug"]);
    assert_eq!(faults, []);
    let field = |query, bind| match script.refused_value(query, bind, "out of range".into()).kind {
        Kind::Invalid(errors) => errors.0[0].0.to_string(),
        kind => format!("{kind:?}"),
    };
    let told: Vec<String> = [Some(0), Some(1), Some(2), Some(3), None].into_iter().map(|bind| field(0, bind)).collect();
    assert_eq!(told, ["NotFound", "n", "m", "Broken", ""]);
    assert_eq!([field(1, None), field(2, Some(0)), field(3, None)], ["NotFound", "l", "Broken"]);
}

/// Pieces of query files, sound and broken.
const PIECES: [&str; 34] = [
    "-- name: a :many\n",
    "-- name: b :one when=a\n",
    "-- name: w :with\n",
    "-- name: c :exec each=:l\n",
    "-- :q text\n",
    "-- :l int multiple\n",
    "-- :n decimal places=2 min=1 default=3\n",
    "-- @x = slug(:q)\n",
    "-- @d = today - 3 days\n",
    "-- use: /a.sql\n",
    "-- redirect: back\n",
    "-- name: r :require 422 on=q No.\n",
    "-- error: k on=q m\n",
    "select ",
    "1",
    ":q",
    ":l",
    "@x",
    "@a.n",
    "@b.n",
    " from ",
    "w",
    ", ",
    "(",
    ")",
    " in ",
    " not in ",
    ";",
    "'",
    "\"",
    "/*",
    "*/",
    "\n",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_that_an_author_writes_breaks_the_reader(pieces in proptest::collection::vec(0..PIECES.len(), 0..24)) {
        let source: String = pieces.into_iter().map(|index| PIECES[index]).collect();
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let (script, _) = build_in(dialect, &[("/a.sql", &source)], &["slug"]);
            for query in &script.queries {
                for offset in 0..=query.sql.len() {
                    query.place_of(offset);
                }
            }
            let mut run = Run::start(&script, vec![Value::Null; script.parameters.len()], &Fixed::default(), 9).unwrap();
            let mut levels = Levels::new(run.clone());
            while levels.advance() {
                let queries: Vec<usize> = levels.calls().map(|call| call.query).collect();
                queries.into_iter().for_each(|query| levels.take(query, ints(&[1])));
            }
            while let Some(call) = run.next() {
                prop_assert_eq!(call.binds.len(), script.queries[call.query].binds.len());
                if run.take(ints(&[1])).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn no_text_breaks_the_reader(source in "(?s)(-- [:@a-z]{1,8}[ =:]{1,2}|[a-z]{1,6}=|\"|'|\n|.){0,40}") {
        build(&[("/a.sql", &source)]);
    }

    #[test]
    fn no_value_breaks_a_conversion(text in "(?s).{0,24}", kind in 0..12_usize, multiple in any::<bool>()) {
        let mut parameter = Parameter::new("p", Type::ALL[kind]);
        parameter.multiple = multiple;
        parameter.places = 2;
        if let Ok(value) = parameter.convert(&[&text], &Fixed::default()) {
            prop_assert_eq!(matches!(value, Value::List(_)), multiple);
            parameter.html_value(&value, &Fixed::default());
        }
        let _ = parameter.convert_json(&serde_json::Value::String(text), &Fixed::default());
    }
}
