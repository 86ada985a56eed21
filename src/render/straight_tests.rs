//! Straight programs print what the engine prints, byte for byte: for templates and values made at random, and for the
//! templates of the sites in this repository.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::value::{Rows, Value};

/// The columns of all rows made here.
const COLUMNS: [&str; 6] = ["a", "b", "author.name", "author.town", "more", "b.c"];

/// What stands below a name now and then, of rows and of nothing.
const BELOW: [&str; 9] = ["a", "b", "author", "author.name", "name", "more", "first", "zzz", "c"];

/// Names of the context, of items of loops and of what is set.
const NAMES: [&str; 13] =
    ["row", "row", "rows", "gone", "empty", "list", "value", "other", "many", "site", "it", "it", "x"];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        3 => prop_oneof![-3_i64..4, any::<i64>()].prop_map(Value::Int),
        3 => select(vec![0.0, -0.0, 1.0, 2.5, -3.0, 1e300, 1e-7, f64::INFINITY, 0.1]).prop_map(Value::Real),
        8 => text().prop_map(Value::from),
        1 => proptest::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| Value::Blob(bytes.into())),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c&<>\"'/ =+,;{}%\\n\\x00äé€😀-]{0,6}", "[a-z<]{0,70}", Just("2026-11-07".to_string())]
}

fn rows(most: usize) -> impl Strategy<Value = Arc<Rows>> {
    (0..=most, any::<bool>()).prop_flat_map(|(rows, more)| {
        let cells = proptest::collection::vec(value(), rows * COLUMNS.len());
        let columns = COLUMNS.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        cells.prop_map(move |cells| Arc::new(Rows { columns: columns.clone().into(), cells, more, changed: 0 }))
    })
}

fn context() -> impl Strategy<Value = Context> {
    let many = proptest::collection::vec(value(), 0..4);
    (rows(1), rows(4), rows(3), value(), value(), many, value()).prop_map(
        |(row, rows, list, value, other, many, name)| {
            let below: Vec<(Arc<str>, Slot)> = vec![
                ("a".into(), Slot::Value(name)),
                ("name".into(), Slot::Value(Value::List(many.clone().into()))),
                ("first".into(), Slot::Rows(rows.clone())),
            ];
            let gone = Rows { cells: Vec::new(), ..(*row).clone() };
            let names: Vec<(&str, Slot)> = vec![
                ("row", Slot::Row(row)),
                ("rows", Slot::Rows(rows)),
                ("gone", Slot::Row(Arc::new(gone.clone()))),
                ("empty", Slot::Rows(Arc::new(gone))),
                ("list", Slot::List(list)),
                ("value", Slot::Value(value)),
                ("other", Slot::Value(other)),
                ("many", Slot::Value(Value::List(many.into()))),
                ("site", Slot::Names(Arc::new(below))),
                ("it", Slot::Value(Value::Null)),
                ("x", Slot::Value("x".into())),
            ];
            Context { names: names.into_iter().map(|(name, slot)| (name.into(), slot)).collect(), form: None }
        },
    )
}

fn expression() -> impl Strategy<Value = String> {
    let name = select(&NAMES[..]).prop_map(str::to_string);
    let path = (select(&NAMES[..]), select(&BELOW[..])).prop_map(|(name, below)| format!("{name}.{below}"));
    let item = (select(&NAMES[..]), select(&BELOW[..])).prop_map(|(name, below)| format!("{name}[\"{below}\"]"));
    let turn = select(vec!["loop.index", "loop.index0", "loop.first", "loop.last", "loop.length"]);
    let constant = select(vec!["1", "0", "-3", "2.5", "1.0", "\"a\"", "''", "true", "false", "'<&>'", "1 + 1"]);
    let leaf = prop_oneof![
        20 => name,
        80 => path,
        10 => item,
        50 => constant.prop_map(str::to_string),
        // Below here are those with which most pages stay with the engine, or come back to it.
        4 => turn.prop_map(str::to_string),
        1 => Just("unheard_of".to_string()),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let words = select(vec!["and", "or", "==", "!=", "<", "<=", ">", ">=", "~", "~"]);
        let test = select(vec!["none", "not none", "defined", "undefined", "not null"]);
        let filter = select(vec!["length", "json", "urlencode", "markdown", "date", "date('%Y')", "money('EUR')"]);
        prop_oneof![
            8 => inner.clone().prop_map(|one| format!("(not {one})")),
            8 => (inner.clone(), words, inner.clone()).prop_map(|(one, word, two)| format!("({one} {word} {two})")),
            8 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            4 => (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} if {two})")),
            8 => (inner.clone(), test).prop_map(|(one, test)| format!("({one} is {test})")),
            2 => (inner.clone(), filter).prop_map(|(one, filter)| format!("({one}|{filter})")),
            1 => inner.prop_map(|one| format!("upload({one})")),
            1 => Just("asset('app.css')".to_string()),
        ]
    })
}

/// Statements; `@B` stands for the name of a block, which is given when the template is whole.
fn body(inside: &'static [&'static str]) -> impl Strategy<Value = String> {
    let printed = expression().prop_map(|expression| format!("{{{{ {expression} }}}}"));
    let text = select(vec![
        "a",
        "<b>",
        " \n ",
        "{# c #}",
        "ä\n",
        "{%- if 1 %} x {% endif -%} y",
        "{% raw %}{{ z }}{% endraw %}",
    ]);
    let set = expression().prop_map(|expression| format!("{{% set x = {expression} %}}"));
    let leaf = prop_oneof![
        80 => printed,
        50 => text.prop_map(str::to_string),
        4 => set,
        4 => select(inside).prop_map(str::to_string),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let many = proptest::collection::vec(inner, 0..4).prop_map(|parts| parts.concat()).boxed();
        let over =
            select(vec!["rows", "rows", "list", "many", "empty", "gone", "row.a", "site.name", "it.a", "site.a"]);
        let sorted = prop_oneof![
            6 => Just(""),
            1 => select(vec!["|sort", "|sort(attribute='a')", "|sort(attribute='a', case_sensitive=true)"]),
            1 => select(vec!["|sort(attribute='b', reverse=true)", "|sort(attribute='author.name')"]),
        ];
        prop_oneof![
            (expression(), many.clone()).prop_map(|(test, body)| format!("{{% if {test} %}}{body}{{% endif %}}")),
            (expression(), many.clone(), expression(), many.clone(), many.clone()).prop_map(|(one, a, two, b, c)| {
                format!("{{% if {one} %}}{a}{{% elif {two} %}}{b}{{% else %}}{c}{{% endif %}}")
            }),
            (over, sorted, many.clone(), many.clone()).prop_map(|(over, sorted, body, other)| {
                format!("{{% for it in {over}{sorted} %}}{body}{{% else %}}{other}{{% endfor %}}")
            }),
            many.clone().prop_map(|body| format!("{{% block @B %}}{body}{{% endblock %}}")),
            many,
        ]
    })
}

/// Names the blocks of a template, each once.
fn named_blocks(text: &str) -> String {
    let mut pieces = text.split("@B");
    let mut out = pieces.next().unwrap_or("").to_string();
    for (index, piece) in pieces.enumerate() {
        out.push_str(&format!("b{index}{piece}"));
    }
    out
}

/// The templates of a page that stands alone, or below one or two layouts.
fn sources(ending: &'static str) -> impl Strategy<Value = Vec<Source>> {
    let inside: &'static [&'static str] = &["{{ super() }}", "{% include '_part.html' %}"];
    let body = move || proptest::collection::vec(body(inside), 1..5).prop_map(|parts| parts.concat());
    let block = |body: String| format!("{{% block @B %}}{body}{{% endblock %}}");
    let blocks = move || proptest::collection::vec(body().prop_map(block), 1..4).prop_map(|parts| parts.concat());
    (0..3_usize, body(), body(), blocks(), blocks(), expression()).prop_map(
        move |(above, base, part, one, two, set)| {
            let part = part.replace("{% block @B %}", "").replace("{% endblock %}", "").replace("{{ super() }}", "");
            let layout = format!("{base}{{% block @B %}}{{% endblock %}}{{% block @B %}}d{{% endblock %}}");
            let page = match above {
                0 => base.clone(),
                1 => format!("\n{{% extends '_base.html' %}}{{% set x = {set} %}} dropped {one}"),
                _ => format!("{{% set x = {set} %}}{{% extends '_layout.html' %}}{one}"),
            };
            let source = |name: &str, text: &str| Source {
                name: name.into(),
                file: format!("pages/{name}").into(),
                text: named_blocks(text).into(),
            };
            vec![
                source("_base.html", &layout),
                source("_layout.html", &format!("{{% extends '_base.html' %}}{two}")),
                source("_part.html", &part),
                source(&format!("page.{ending}"), &page),
            ]
        },
    )
}

/// Names that remember which of them were read.
#[derive(Debug)]
struct Reads(Vec<(Arc<str>, Slot)>, Mutex<BTreeSet<String>>);

impl Names for Reads {
    fn get(&self, name: &str) -> Option<Slot> {
        self.1.lock().unwrap().insert(name.to_string());
        self.0.get(name)
    }

    fn list(&self) -> Vec<Arc<str>> {
        self.0.list()
    }
}

#[test]
fn what_a_page_shows_of_names_is_read_as_the_engine_reads_it() {
    let text = "{% set x = site.a %}{% if site.b and site.c %}{{ site.d }}{% else %}{{ x }}{% endif %}{{ site.zzz }}";
    let source = Source { name: "p.html".into(), file: "p.html".into(), text: text.into() };
    let (templates, _) = Templates::build(vec![source], Options::default());
    for b in [Value::Null, Value::Int(1)] {
        let mut reads = Vec::new();
        for straight in [true, false] {
            let below = vec![("a".into(), Slot::Value("a".into())), ("b".into(), Slot::Value(b.clone()))];
            let site = Arc::new(Reads(below, Mutex::default()));
            let context = Context { names: vec![("site".into(), Slot::Names(site.clone()))], form: None };
            let page = match straight {
                true => templates.engine.straight("p.html", &context).unwrap(),
                false => templates.engine.evaluate("p.html", context).unwrap(),
            };
            assert_eq!(page, "a");
            reads.push(std::mem::take(&mut *site.1.lock().unwrap()));
        }
        assert_eq!(reads[0], reads[1]);
    }
}

#[test]
fn pages_of_the_common_kind_have_a_program() {
    let straight = [
        "plain",
        "{{ a }} {{ a.b }} {{ a['b'] }} {{ a.b.c }} {{ 'x' ~ a }} {{ a|money('EUR') }} {{ asset('app.css') }}",
        "{% if a and not b or a.c == 1 %}x{% elif a is none %}y{% else %}z{% endif %}{{ 'x' if a }}",
        "{% for row in a %}{{ loop.index }}{{ row.b }}{% for x in row.c %}{{ row.d ~ x }}{% endfor %}{% else %}{% endfor %}",
        "{% for row in a|sort(attribute='b', reverse=true) %}{{ loop.index }}{{ row.b }}{% endfor %}",
        "{% set x = a.b %}{{ x }}{% block c %}{% set x = 1 %}{{ x }}{% endblock %}{% include 'part.html' %}",
        "{% extends 'base.html' %}{% set x = 1 %}{% block b %}{{ super() }}{{ x }}{% endblock %}",
    ];
    let engine = [
        "{{ a|upper }}",
        "{{ a.b() }}{{ unheard(1) }}{{ self.b() }}",
        "{% for row in a if row.b %}{% endfor %}",
        "{% for row in a|sort(attribute='b, c') %}{% endfor %}{% for row in a|sort(attribute=b) %}{% endfor %}",
        "{% for x, y in a %}{% endfor %}",
        "{% for x in a %}{{ loop.nextitem }}{{ loop.cycle(1, 2) }}{% endfor %}",
        "{% if a %}{% set x = 1 %}{% endif %}{{ x }}",
        "{% set x = a|date %}",
        "{% set x %}{{ a }}{% endset %}{{ x }}",
        "{% with x = a %}{{ x }}{% endwith %}",
        "{% macro m(x) %}{% endmacro %}{{ m(a) }}",
        "{% from 'part.html' import a %}",
        "{% include a %}",
        "{% include 'part.txt' %}",
        "{% autoescape false %}{{ a }}{% endautoescape %}",
        "{{ loop }}{{ super() }}",
        "{{ a == none }}",
        "{% extends a %}",
        "{% if a %}{% extends 'base.html' %}{% endif %}",
        "{% extends 'base.html' %}{% do a.b() %}",
        "{% extends 'page.html' %}",
    ];
    for (texts, expected) in [(&straight[..], true), (&engine[..], false)] {
        for text in texts {
            let others = [("base.html", "{% block b %}{% endblock %}"), ("part.html", "{{ a }}"), ("part.txt", "")];
            let files = others.into_iter().chain([("page.html", *text)]);
            let sources = files.map(|(name, text)| Source { name: name.into(), file: name.into(), text: text.into() });
            let (templates, _) = Templates::build(sources.collect(), Options::default());
            let program = templates.library.program("page.html", &Options::default());
            assert_eq!(program.is_some(), expected, "{text}");
        }
    }
}

#[test]
fn a_program_that_always_gives_up_is_tried_no_more() {
    let source = Source { name: "p.html".into(), file: "p.html".into(), text: "<{{ a }}>".into() };
    let (templates, _) = Templates::build(vec![source], Options::default());
    let good = Context { names: vec![("a".into(), Slot::Value(Value::Int(1)))], form: None };
    let straight = |context: &Context| templates.engine.straight("p.html", context);
    for _ in 1..super::straight::MAX_MISSES {
        assert_eq!(straight(&Context::default()), None);
    }
    assert_eq!(straight(&good).as_deref(), Some("<1>"));
    for _ in 0..super::straight::MAX_MISSES {
        assert_eq!(straight(&Context::default()), None);
    }
    assert_eq!(straight(&good), None);
    assert_eq!(templates.render("p.html", good).unwrap(), "<1>");
}

#[test]
fn programs_of_templates_that_grow_without_end_are_not_made() {
    let twice =
        |name: &str, next: &str| (name.to_string(), format!("{{% include '{next}' %}}{{% include '{next}' %}}"));
    let mut files: Vec<(String, String)> =
        (0..25).map(|at| twice(&format!("{at}.html"), &format!("{}.html", at + 1))).collect();
    files.push(("25.html".into(), "x".into()));
    files.push(twice("ring.html", "ring.html"));
    files.push(("sets.html".into(), (0..200).map(|_| "{% set x = x ~ x %}").collect()));
    let source =
        |(name, text): (String, String)| Source { name: name.as_str().into(), file: name.into(), text: text.into() };
    let (templates, _) = Templates::build(files.into_iter().map(source).collect(), Options::default());
    for name in ["0.html", "ring.html", "sets.html"] {
        assert!(templates.library.program(name, &Options::default()).is_none(), "{name}");
    }
    assert!(templates.library.program("20.html", &Options::default()).is_some());
}

/// Renders both ways; whether there was a straight program that came to its end.
fn same(templates: &Templates, name: &str, context: &Context) -> Result<bool, String> {
    let Some(page) = templates.engine.straight(name, context) else { return Ok(false) };
    match templates.engine.evaluate(name, context.clone()) {
        Ok(expected) if expected == page => Ok(true),
        expected => Err(format!("{name}\nstraight: {page:?}\nengine:   {expected:?}")),
    }
}

/// Tries many pages; how many of a hundred ran straight.
fn tried(ending: &'static str, options: Options, cases: u32) -> u32 {
    let (all, straight) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(sources(ending), context()), |(sources, context)| {
        let (templates, _) = Templates::build(sources, options.clone());
        let was = same(&templates, &format!("page.{ending}"), &context).map_err(TestCaseError::fail)?;
        all.set(all.get() + 1);
        straight.set(straight.get() + u32::from(was));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    straight.get() * 100 / all.get()
}

#[test]
fn pages_made_at_random_print_the_same_both_ways() {
    for ending in ["html", "xml", "txt", "csv", "json"] {
        let straight = tried(ending, Options::default(), 150);
        // A test that hardly ever runs a program would say nothing.
        assert!(straight > 10, "only {straight} of 100 pages ran straight");
    }
}

#[test]
fn limits_are_those_of_the_engine() {
    for (fuel, max_output) in [(40, 1 << 20), (200, 1 << 20), (1_000_000, 12), (1_000_000, 60)] {
        tried("html", Options { fuel, max_output, ..Options::default() }, 150);
    }
    // The fuel of a program is never less than what the engine takes.
    let text = "{% for it in rows %}{% if it.a %}{{ it.a }}{% else %}{{ loop.index }}{% endif %}{% endfor %}";
    let source = Source { name: "p.html".into(), file: "p.html".into(), text: text.into() };
    let columns: Vec<Arc<str>> = vec!["a".into()];
    let rows = Rows { columns: columns.into(), cells: vec![Value::Int(7); 20], ..Rows::default() };
    let context = Context { names: vec![("rows".into(), Slot::Rows(Arc::new(rows)))], form: None };
    for fuel in 1..800 {
        let (templates, _) = Templates::build(vec![source.clone()], Options { fuel, ..Options::default() });
        same(&templates, "p.html", &context).unwrap();
    }
}

fn templates_below(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            templates_below(&path, root, found);
        } else if path.extension().is_some_and(|ending| ending == "html" || ending == "xml" || ending == "md") {
            let name: Arc<str> = path.strip_prefix(root).unwrap().to_string_lossy().into();
            found.push(Source { file: name.clone(), name, text: fs::read_to_string(&path).unwrap().into() });
        }
    }
}

/// Contexts in which each name stands for rows, a row, nothing and so on, with a column for each word of the templates.
fn contexts(names: &BTreeSet<Arc<str>>, words: &[Arc<str>]) -> Vec<Context> {
    let cells = |row: usize| {
        words.iter().enumerate().map(move |(index, word)| match (index + row) % 4 {
            0 => Value::Int(row as i64 * 100),
            1 => Value::Null,
            2 => Value::from("2026-11-07"),
            _ => Value::from(format!("{word} <&> 'é'")),
        })
    };
    let rows = |count: usize| {
        let cells = (0..count).flat_map(cells).collect();
        Arc::new(Rows { columns: words.into(), cells, more: count > 1, changed: 0 })
    };
    let below: Vec<(Arc<str>, Slot)> =
        words.iter().cloned().zip(cells(3)).map(|(word, cell)| (word, Slot::Value(cell))).collect();
    let slots = [
        Slot::Row(rows(1)),
        Slot::Rows(rows(3)),
        Slot::Rows(rows(0)),
        Slot::Row(rows(0)),
        Slot::List(rows(2)),
        Slot::Value("a & b".into()),
        Slot::Value(Value::Int(3)),
        Slot::Names(Arc::new(below)),
    ];
    (0..slots.len() * 3)
        .map(|turn| {
            // Names next to each other take different slots, and another mixture on each round.
            let slot = |index: usize| slots[(turn + index * (turn / slots.len())) % slots.len()].clone();
            let names = names.iter().enumerate().map(|(index, name)| (name.clone(), slot(index)));
            Context { names: names.collect(), form: None }
        })
        .collect()
}

#[test]
fn the_pages_of_this_repository_print_the_same_both_ways() {
    let mut straight = BTreeSet::new();
    for site in ["bench/site", "bench/packages", "examples/market", "docs"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(site).join("pages");
        let mut sources = Vec::new();
        templates_below(&root, &root, &mut sources);
        let text: String =
            sources.iter().filter(|source| source.name.ends_with("html")).map(|source| &*source.text).collect();
        let words: BTreeSet<&str> = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
        let words: Vec<Arc<str>> = words.into_iter().map(Arc::from).collect();
        let (templates, faults) = Templates::build(sources, Options::default());
        assert_eq!(faults, [], "{site}");
        for name in templates.list() {
            for context in contexts(&templates.names(&name), &words) {
                if same(&templates, &name, &context).unwrap() {
                    straight.insert(format!("{site}/{name}"));
                }
            }
        }
    }
    for name in ["bench/site/products/[slug].html", "examples/market/index.html", "examples/market/feed.xml"] {
        assert!(straight.contains(name), "{straight:?}");
    }
}

proptest! {
    #[test]
    fn sorted_rows_come_as_the_engine_sorts_them(
        cells in proptest::collection::vec(("[a-cA-CäÄ_ ]{0,3}", -3_i64..4), 1..30),
        how in select(vec!["attribute='text'", "attribute='text', case_sensitive=true", "attribute='number'",
            "attribute='number', reverse=true", "attribute='text', reverse=true, case_sensitive=false"]),
    ) {
        let text = format!("{{% for row in rows|sort({how}) %}}{{{{ row.text }}}}={{{{ row.number }}}};{{% endfor %}}");
        let source = Source { name: "p.html".into(), file: "p.html".into(), text: text.into() };
        let (templates, _) = Templates::build(vec![source], Options::default());
        let columns = ["text", "number"].map(Arc::from).to_vec().into();
        let cells = cells.into_iter().flat_map(|(text, number)| [Value::from(text), Value::Int(number)]).collect();
        let rows = Slot::Rows(Arc::new(Rows { columns, cells, more: false, changed: 0 }));
        let context = Context { names: vec![("rows".into(), rows)], form: None };
        prop_assert_eq!(same(&templates, "p.html", &context), Ok(true));
    }
}
