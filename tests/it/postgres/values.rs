//! Types: every column becomes a value, and every value goes where its placeholder stands or is refused as the
//! visitor's.

use tableside::database::Failure;
use tableside::value::{Declared, Kind, Value};

use super::{cell, one, open, read, run, write};

#[test]
fn every_type_is_read() {
    run(async {
        let schema = "create type mood as enum ('sad', 'glad'); create domain price as numeric(10, 2);
            create domain age as int; create type pair as (a int, b text)";
        let (postgres, _) = open(schema).await;
        let text = |text: &str| Value::text(text);
        let cases = [
            ("null::int", Value::Null),
            ("true", Value::Bool(true)),
            ("(-7)::int2", Value::Int(-7)),
            ("(-70000)::int4", Value::Int(-70000)),
            ("9223372036854775807::int8", Value::Int(i64::MAX)),
            ("4294967295::oid", Value::Int(4_294_967_295)),
            ("0.1::float4", Value::Real(0.1)),
            ("0.1::float8", Value::Real(0.1)),
            ("'-infinity'::float8", Value::Real(f64::NEG_INFINITY)),
            ("sum(i) from (values (1::int8), (2)) n(i)", Value::Int(3)),
            ("12.50::numeric", text("12.50")),
            ("12.50::price", text("12.50")),
            ("123456789012345678901234567890::numeric", text("123456789012345678901234567890")),
            ("'NaN'::numeric", text("NaN")),
            ("5::age", Value::Int(5)),
            ("'é'::text", text("é")),
            ("'é'::varchar(5)", text("é")),
            ("'a'::\"char\"", text("a")),
            ("'a'::name", text("a")),
            ("date '2026-01-31'", text("2026-01-31")),
            ("date 'infinity'", text("infinity")),
            ("timestamp '2026-01-31 08:09:10.5'", text("2026-01-31T08:09:10.500Z")),
            ("timestamptz '2026-01-31 08:09:10+02'", text("2026-01-31T06:09:10.000Z")),
            ("timestamptz '2026-01-31 08:09:10.123456Z'", text("2026-01-31T08:09:10.123456Z")),
            ("timestamptz '-infinity'", text("-infinity")),
            ("time '08:09:10.25'", text("08:09:10.25")),
            ("interval '1 day 2 hours'", text("1 day 02:00:00")),
            ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            ("'{\"a\": 1}'::json", text("{\"a\": 1}")),
            ("'{\"a\":1}'::jsonb", text("{\"a\": 1}")),
            ("'\\x00ff'::bytea", Value::Blob([0, 255].into())),
            ("'$1.50'::money", text("$1.50")),
            ("'10.0.0.1/8'::inet", text("10.0.0.1/8")),
            ("'glad'::mood", text("glad")),
            ("'[1,5)'::int4range", text("[1,5)")),
            ("'(1,2)'::point", text("(1,2)")),
            ("row(1, 'x')::pair", text("(1,x)")),
            ("to_tsvector('simple', 'a b')", text("'a':1 'b':2")),
            ("'pg_class'::regclass", text("pg_class")),
            ("pg_sleep(0)", text("")),
        ];
        for (sql, value) in cases {
            assert_eq!(cell(&postgres, &format!("select {sql}")).await, value, "{sql}");
        }
        let list = |items: &[Value]| Value::List(items.into());
        let lists = [
            ("'{1,null,3}'::int[]", list(&[1.into(), Value::Null, 3.into()])),
            ("array['a,b', 'c\"d', null, '']", list(&["a,b".into(), "c\"d".into(), Value::Null, "".into()])),
            ("'{glad,sad}'::mood[]", list(&["glad".into(), "sad".into()])),
            ("'{}'::uuid[]", list(&[])),
            ("array[timestamptz '2026-01-31 08:09:10Z']", list(&["2026-01-31T08:09:10.000Z".into()])),
            ("array['\\x01'::bytea]", list(&[Value::Blob([1].into())])),
            ("array['10.0.0.1'::inet]", list(&["10.0.0.1".into()])),
            ("array[true, false]", list(&[Value::Bool(true), Value::Bool(false)])),
        ];
        for (sql, value) in lists {
            assert_eq!(cell(&postgres, &format!("select {sql}")).await, value, "{sql}");
        }
    });
}

#[test]
fn values_are_kept_as_they_are() {
    run(async {
        let schema = "create table kept (i int8, r float8, t text, b bytea, y bool, d date, m timestamptz,
            u uuid, j jsonb, l text[])";
        let (postgres, _) = open(schema).await;
        let values = [
            Value::Int(i64::MIN),
            Value::Real(0.1 + 0.2),
            Value::text("a'b\"\\ é\n"),
            Value::Blob([0, 39, 92, 255].into()),
            Value::Bool(false),
            Value::text("2026-02-28"),
            Value::text("2026-01-31T08:09:10.123Z"),
            Value::text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            Value::text("{\"a\": [1, \"é\"]}"),
            Value::List([Value::text("a\\\"b,{}"), Value::text("NULL"), Value::Null].into()),
        ];
        let insert = "insert into kept values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        write(&postgres, insert, &values).await.unwrap();
        assert_eq!(read(&postgres, "select * from kept", &[], &[]).await.unwrap().cells, values);
        write(&postgres, insert, &[const { Value::Null }; 10]).await.unwrap();
        let nulls = read(&postgres, "select * from kept where t is null", &[], &[]).await.unwrap();
        assert_eq!(nulls.cells, [const { Value::Null }; 10]);
    });
}

#[test]
fn placeholders_take_the_declared_kind() {
    run(async {
        let schema = "create table item (id int primary key, name varchar(20), price numeric(10, 2), born date,
                seen timestamptz,
                on_sale boolean, stock int, code uuid, tags text[], data jsonb);
            insert into item values (1, 'Apple', 2.50, '2026-01-31', '2026-01-31T08:00:00Z', true, 3,
                'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,b}', '{\"k\": 5}'),
                (2, 'Pear', 3, null, null, false, null, null, null, null)";
        let (postgres, _) = open(schema).await;
        let (text, int, real) = (one(Kind::Text), one(Kind::Int), one(Kind::Real));
        let ints = Declared { kind: Kind::Int, list: true };
        let texts = Declared { kind: Kind::Text, list: true };
        let list = |items: &[i64]| Value::List(items.iter().map(|item| Value::Int(*item)).collect());
        let cases: Vec<(&str, Vec<Declared>, Vec<Value>, i64)> = vec![
            ("$1 is null or name like '%' || $1 || '%'", vec![text], vec![Value::Null], 2),
            ("$1 is null or name like '%' || $1 || '%'", vec![text], vec!["pp".into()], 1),
            ("$1 is null or id = $1", vec![int], vec![Value::Null], 2),
            ("$1 is null or id > $1", vec![int], vec![1.into()], 1),
            ("$1 is null or name like '%' || $1 || '%'", vec![one(Kind::Any)], vec!["pp".into()], 1),
            ("$1 is null or name like '%' || $1 || '%'", vec![], vec!["pp".into()], 1),
            ("$1 is null or id = $2", vec![], vec![Value::Null, 1.into()], 2),
            ("born - $1 = '2026-01-30'", vec![int], vec![1.into()], 1),
            ("born + $1 > '2026-02-01'", vec![int], vec![7.into()], 1),
            ("seen > timestamptz '2026-02-01 08:00Z' - $1 * interval '1 day'", vec![int], vec![2.into()], 1),
            ("('[5, 6]'::jsonb -> $1)::text = '6'", vec![int], vec![1.into()], 2),
            ("name || $1 = 'Pear7' and id < $2", vec![int, int], vec![7.into(), 99_999_999_999.into()], 1),
            ("price * $1 > 5.5", vec![real], vec![Value::Real(2.0)], 1),
            ("price * $1 > 5.5", vec![int], vec![2.into()], 1),
            // Past the column's own type, but not past the declared one.
            ("id = $1", vec![int], vec![99_999_999_999.into()], 0),
            ("id < $1", vec![int], vec![99_999_999_999.into()], 2),
            ("stock < $1", vec![real], vec![Value::Real(3.5)], 1),
            ("price > $1", vec![real], vec![Value::Real(2.75)], 1),
            ("id = any($1)", vec![ints], vec![list(&[1, 2, 99_999_999_999])], 2),
            ("name = any($1)", vec![texts], vec![Value::List(["Pear".into(), "x".into()].into())], 1),
            ("id = any($1)", vec![ints], vec![list(&[])], 0),
            ("name in (select unnest($1))", vec![texts], vec![Value::List(["Pear".into()].into())], 1),
            ("$1 = any(tags)", vec![text], vec!["b".into()], 1),
            ("on_sale = $1", vec![one(Kind::Bool)], vec![true.into_value()], 1),
            ("stock > $1", vec![one(Kind::Bool)], vec![true.into_value()], 1),
            ("born >= $1", vec![one(Kind::Date)], vec!["2026-01-31".into()], 1),
            // A moment within the day is after the day's beginning.
            ("born >= $1", vec![one(Kind::Datetime)], vec!["2026-01-31T08:00:00.000Z".into()], 0),
            ("seen < $1", vec![one(Kind::Datetime)], vec!["2026-01-31T08:00:00.001Z".into()], 1),
            ("seen::date = $1", vec![one(Kind::Date)], vec!["2026-01-31".into()], 1),
            ("code = $1", vec![one(Kind::Uuid)], vec!["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11".into()], 1),
            ("code = $1", vec![text], vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into()], 1),
            ("data @> $1", vec![one(Kind::Json)], vec!["{\"k\":5}".into()], 1),
            ("data ->> $1 = '5'", vec![text], vec!["k".into()], 1),
            ("coalesce($1, $2) = $2", vec![int, int], vec![Value::Null, 5.into()], 2),
            ("$1 + $2 = 3", vec![int, int], vec![1.into(), 2.into()], 2),
            (
                "case when $1 then id = 1 else $2 = name end",
                vec![one(Kind::Bool), text],
                vec![false.into_value(), "Pear".into()],
                1,
            ),
            ("true limit $1", vec![int], vec![9_999_999_999.into()], 2),
            ("substr(name, $1, 1) = 'p'", vec![int], vec![2.into()], 1),
        ];
        for (condition, kinds, binds, count) in cases {
            let sql = format!("select count(*) from item where {condition}");
            let rows =
                read(&postgres, &sql, &kinds, &binds).await.unwrap_or_else(|failure| panic!("{sql}: {failure:?}"));
            assert_eq!(rows.cells, [Value::Int(count)], "{condition} {binds:?}");
        }
        let shown = read(&postgres, "select $1 as i, $2 as t", &[int, text], &[7.into(), "7".into()]).await.unwrap();
        assert_eq!(shown.cells, [Value::Int(7), Value::text("7")]);
    });
}

#[test]
fn placeholders_are_told_apart_within_a_transaction_too() {
    run(async {
        let (postgres, _) = open("create table n (i int, name text)").await;
        let work = async |transaction: &mut tableside::database::postgres::Transaction| {
            transaction.query("insert into n values (1, 'x')", &[], &[], 0).await?;
            let kinds = [one(Kind::Text), one(Kind::Int)];
            let sql = "select count(*) from n where ($1 is null or name = $1) and ($2 is null or i < $2)";
            transaction.query(sql, &kinds, &[Value::Null, 99_999_999_999.into()], 1).await
        };
        assert_eq!(postgres.write(work).await.unwrap().cells, [Value::Int(1)]);
    });
}

#[test]
fn a_value_that_does_not_fit_is_the_visitors() {
    run(async {
        let schema =
            "create table item (id int, code uuid, born date, name varchar(3), price numeric(4, 2), bits int2)";
        let (postgres, _) = open(schema).await;
        let cases = [
            ("select 1 from item where code = $1", one(Kind::Text), Value::text("no uuid")),
            ("select 1 from item where born = $1", one(Kind::Text), Value::text("2026-02-30")),
            ("select 1 from item where id = $1", one(Kind::Text), Value::text("7x")),
            ("select 1 from item where id = $1::int", one(Kind::Int), Value::Int(99_999_999_999)),
            ("select 1 from item where name = $1", one(Kind::Text), Value::text("a\0b")),
            ("select 1 from item where name ~ $1", one(Kind::Text), Value::text("(")),
            ("select 1 from item where name = $1", one(Kind::Any), Value::Blob([255, 254].into())),
            ("select $1::jsonb as j", one(Kind::Json), Value::text("{")),
        ];
        for (sql, kind, value) in cases {
            let result = read(&postgres, sql, &[kind], &[value]).await;
            let Err(Failure::BadValue { bind, .. }) = &result else { panic!("{sql}: {result:?}") };
            assert!(matches!(bind, None | Some(0)), "{sql}: {bind:?}");
        }
        for (sql, value) in [
            ("insert into item (id) values ($1)", Value::Int(99_999_999_999)),
            ("insert into item (bits) values ($1)", Value::Int(40_000)),
            ("insert into item (name) values ($1)", Value::text("long")),
            ("insert into item (price) values ($1)", Value::Real(123.4)),
        ] {
            let result = write(&postgres, sql, &[value]).await;
            assert!(matches!(result, Err(Failure::BadValue { .. })), "{sql}: {result:?}");
        }
        // A text that the author wrote is not the visitor's.
        let own = read(&postgres, "select 1 from item where id = 'x' or id = $1", &[one(Kind::Int)], &[7.into()]).await;
        assert!(matches!(own, Err(Failure::Broken { offset: Some(30), .. })), "{own:?}");
        let second = [Value::text("x"), Value::text("nothing")];
        let sql = "select 1 from item where name = $1 and code = $2";
        let result = read(&postgres, sql, &[], &second).await;
        assert!(matches!(result, Err(Failure::BadValue { bind: Some(1), .. })), "{result:?}");
    });
}

/// `true.into_value()`: a boolean as a value.
trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for bool {
    fn into_value(self) -> Value {
        Value::Bool(self)
    }
}
