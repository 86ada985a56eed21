//! The room as a whole: pages rendered, checked and asked for what they point at.

use std::sync::Arc;

use super::*;
use crate::problem::{Kind, Level};
use crate::value::{Rows, Value};

fn templates(files: &[(&str, &str)]) -> (Templates, Vec<Fault>) {
    templates_with(files, Options::default())
}

fn templates_with(files: &[(&str, &str)], options: Options) -> (Templates, Vec<Fault>) {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).into(),
        file: format!("pages/{name}").into(),
        text: (*text).into(),
    };
    Templates::build(files.iter().map(source).collect(), options)
}

fn rows(columns: &[&str], cells: Vec<Value>) -> Arc<Rows> {
    let columns = columns.iter().map(|name| Arc::from(*name)).collect();
    Arc::new(Rows { columns, cells, more: true, changed: 0 })
}

fn shop() -> Context {
    let product = rows(
        &["slug", "name", "price", "author.name", "note"],
        vec!["cat".into(), "Cat & Dog".into(), Value::Int(350), "Ada".into(), Value::Null],
    );
    let products = rows(&["name", "price"], vec!["Cat".into(), Value::Int(350), "Dog".into(), Value::Int(200)]);
    let request: Vec<(Arc<str>, Slot)> = vec![("path".into(), Slot::Value("/p".into()))];
    Context {
        names: vec![
            ("product".into(), Slot::Row(product)),
            ("products".into(), Slot::Rows(products.clone())),
            ("names".into(), Slot::List(products)),
            ("nobody".into(), Slot::Row(rows(&["name"], vec![]))),
            ("none_at_all".into(), Slot::Rows(rows(&["name"], vec![]))),
            ("total".into(), Slot::Value(Value::Int(2))),
            ("half".into(), Slot::Value(Value::Real(2.5))),
            ("text".into(), Slot::Value("<b>\"'&".into())),
            ("yes".into(), Slot::Value(Value::Bool(true))),
            ("nothing".into(), Slot::Value(Value::Null)),
            ("day".into(), Slot::Value("2026-11-07".into())),
            ("request".into(), Slot::Names(Arc::new(request))),
        ],
        form: Some(Arc::new(|route, arguments| match route {
            "/cart" => Ok(cart_form(&arguments)),
            other => Err(format!("there is no action at `{other}`")),
        })),
    }
}

fn cart_form(arguments: &[(String, Value)]) -> FormView {
    let attributes =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let quantity = FieldView {
        name: "qty".into(),
        attributes: attributes(&[("type", "number"), ("required", ""), ("min", "1")]),
        value: arguments.first().map_or(Value::Null, |(_, value)| value.clone()),
        error: Some("Too <many>.".into()),
        ..FieldView::default()
    };
    let size = FieldView {
        name: "size".into(),
        attributes: attributes(&[("type", "text"), ("required", "")]),
        value: "m".into(),
        options: vec![("s".into(), "Small".into()), ("m".into(), "Medium".into())],
        ..FieldView::default()
    };
    let gift = FieldView {
        name: "gift".into(),
        attributes: attributes(&[("type", "checkbox")]),
        value: Value::Bool(true),
        ..FieldView::default()
    };
    FormView {
        action: "/cart?a=1&b=2".into(),
        method: "post",
        multipart: true,
        hidden: vec![("_method".into(), "put".into())],
        fields: vec![quantity, size, gift],
        error: None,
    }
}

fn rendered(name: &str, text: &str) -> String {
    let (templates, faults) = templates(&[(name, text)]);
    assert_eq!(faults, [], "{text}");
    templates.render(name, shop()).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

#[test]
fn expressions_print_as_visitors_read_them() {
    let cases = [
        ("{{ product.name }} {{ product.price }}", "Cat &amp; Dog 350"),
        ("{{ product.author.name }}|{{ product[\"author.name\"] }}", "Ada|Ada"),
        ("{% for p in products %}{{ loop.index }}{{ p.name }} {% endfor %}", "1Cat 2Dog "),
        (
            "{{ products|length }} {{ products.more }} {{ products.first.name }} {{ products[1].name }}",
            "2 true Cat Dog",
        ),
        ("{{ (products|last).name }} {{ products[-1].name }} {{ products[5].name }}", "Dog Dog "),
        ("{{ names }} {{ names|join('+') }} {{ names[0] }}", "Cat, Dog Cat+Dog Cat"),
        ("{% for p in products|sort(attribute='price') %}{{ p.name }}{% endfor %}", "DogCat"),
        ("{% for p in none_at_all %}x{% else %}empty{% endfor %}", "empty"),
        ("{% if nobody %}a{% else %}b{% endif %}{% if product %}c{% endif %}", "bc"),
        ("[{{ nothing }}{{ nobody.name }}{{ nobody.x.y }}{{ nothing|upper }}{{ 'a' ~ nothing }}]", "[a]"),
        ("{{ nothing|default('-') }}{{ product.note|default('none') }}", "-none"),
        ("{% if nothing is none and nothing is null %}null{% endif %}", "null"),
        ("{{ yes }} {{ not yes }} {{ total }} {{ half }} {{ 4 / 2 }} {{ 1.0 }}", "true false 2 2.5 2 1"),
        ("{{ text }}", "&lt;b&gt;&quot;&#39;&amp;"),
        ("{{ text|safe }}", "<b>\"'&"),
        ("{{ text|e }}{{ text|upper }}", "&lt;b&gt;&quot;&#39;&amp;&lt;B&gt;&quot;&#39;&amp;"),
        ("<script>{{ text|json }}</script>", "<script>\"\\u003cb\\u003e\\\"\\u0027\\u0026\"</script>"),
        (
            "{{ product|json }}",
            "{\"slug\":\"cat\",\"name\":\"Cat \\u0026 Dog\",\"price\":350,\"author\":{\"name\":\"Ada\"},\"note\":null}",
        ),
        ("{{ products|json }}", "[{\"name\":\"Cat\",\"price\":350},{\"name\":\"Dog\",\"price\":200}]"),
        ("{{ product.price|money('EUR') }} {{ nothing|money('EUR') }}", "€3.50 "),
        ("{{ day|date }} {{ day|date('%Y') }}", "7 November 2026 2026"),
        ("{{ '*a* <b>'|markdown }}", "<p><em>a</em> &lt;b&gt;</p>\n"),
        ("{{ asset('app.css') }} {{ upload('a/b') }}{{ upload(nothing) }}", "/app.css /-/uploads/a%2Fb"),
        ("[{{ qr(nothing) }}]", "[]"),
        ("{{ url('/p/[slug]', slug=product.slug, page=2, q=nothing) }}", "/p/cat?page=2"),
        ("{{ 'one two three'|truncate(8) }} {{ 'short'|truncate(8) }}", "one two… short"),
        ("{{ request.path }}{{ request.other }}", "/p"),
        ("{% macro m(a) %}<i>{{ a }}</i>{% endmacro %}{{ m(text) }}", "<i>&lt;b&gt;&quot;&#39;&amp;</i>"),
        (
            "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set x %}<{{ text }}>{% endset %}{{ x }}",
            "12<&lt;b&gt;&quot;&#39;&amp;>",
        ),
        ("{{ nothing|length }}{{ product.note|string }}{{ nothing|first }}{{ nothing|last }}{{ nothing|abs }}", "0"),
    ];
    for (text, expected) in cases {
        assert_eq!(rendered("page.html", text), expected, "{text}");
    }
}

#[test]
fn each_format_prints_values_safely() {
    assert_eq!(rendered("mail.txt", "{{ text }} {{ nothing }}{{ yes }}"), "<b>\"'& true");
    assert_eq!(rendered("feed.xml", "{{ text }}"), "&lt;b&gt;&quot;&#39;&amp;");
    assert_eq!(rendered("list.csv", "{{ text }},{{ total }},{{ '=1' }}"), "\"<b>\"\"'&\",2,\"'=1\"");
    assert_eq!(
        rendered("data.json", "{\"a\": {{ text }}, \"b\": {{ nothing }}, \"c\": {{ names }}}"),
        "{\"a\": \"<b>\\\"'&\", \"b\": null, \"c\": [\"Cat\",\"Dog\"]}"
    );
}

#[test]
fn forms_give_attributes_ready_to_print() {
    let form = "{% set f = form('/cart', qty=3) %}";
    let cases = [
        ("{{ f.attrs }}", "action=\"/cart?a=1&amp;b=2\" method=\"post\" enctype=\"multipart/form-data\""),
        ("{{ f.hidden }}", "<input type=\"hidden\" name=\"_method\" value=\"put\">"),
        (
            "{{ f.qty.attrs }}",
            "name=\"qty\" type=\"number\" required min=\"1\" value=\"3\" aria-invalid=\"true\" aria-describedby=\"qty-error\"",
        ),
        ("{{ f.qty.value }} {{ f.qty.error }} {{ f.error }}", "3 Too &lt;many&gt;. "),
        ("{{ f.size.attrs }}", "name=\"size\" required"),
        (
            "{% for o in f.size.options %}{{ o.value }}={{ o.label }}{{ ' *' if o.selected }};{% endfor %}",
            "s=Small;m=Medium *;",
        ),
        ("{{ f.gift.attrs }} {{ f.gift.checked }}", "name=\"gift\" type=\"checkbox\" value=\"true\" checked true"),
        ("{{ f.qty.area }}", "name=\"qty\" required aria-invalid=\"true\" aria-describedby=\"qty-error\""),
        ("{% for field in f.fields %}{{ field.name }} {% endfor %}", "qty size gift "),
    ];
    for (text, expected) in cases {
        assert_eq!(rendered("page.html", &format!("{form}{text}")), expected, "{text}");
    }
}

#[test]
fn layouts_are_found_beside_the_page_and_above_it() {
    let (templates, faults) = templates(&[
        ("_layout.html", "<root>{% block content %}{% endblock %}"),
        (
            "docs/_layout.html",
            "{% extends '_layout.html' %}{% block content %}<docs>{% block inner %}{% endblock %}{% endblock %}",
        ),
        (
            "docs/a/page.html",
            "{% extends '_layout.html' %}{% block inner %}page{% include './_part.html' %}{% endblock %}",
        ),
        ("docs/a/_part.html", "part{% include '/_foot.html' %}"),
        ("_foot.html", "foot"),
    ]);
    assert_eq!(faults, []);
    let page = templates.render("docs/a/page.html", Context::default()).unwrap();
    assert_eq!(page, "<root><docs>pagepartfoot");
    let layouts: Vec<String> = templates.layouts("docs/a/page.html").iter().map(|name| name.to_string()).collect();
    assert_eq!(layouts, ["docs/_layout.html", "_layout.html"]);
    assert_eq!(templates.blocks("docs/a/page.html").len(), 2);
}

#[test]
fn faults_of_syntax_and_of_names_are_all_told() {
    let (templates, faults) = templates(&[
        ("a.html", "one\n{% if x %}two"),
        ("b.html", "{{ x y }}"),
        ("c.html", "{% extends '_layot.html' %}\n  {% include \"_part.html\" %}"),
        ("_layout.html", "{% include 'nothing.html' ignore missing %}"),
        ("d.html", "{% extends '/d.html' %}"),
    ]);
    let told: Vec<String> = faults
        .iter()
        .map(|fault| {
            let place = fault.place.as_ref().unwrap();
            format!("{}:{}:{}:{} {} ({})", place.file, place.line, place.column, place.width, fault.message, fault.help)
        })
        .collect();
    assert!(told[0].starts_with("pages/a.html:2:"), "{told:?}");
    assert!(told[1].starts_with("pages/b.html:1:"), "{told:?}");
    assert_eq!(
        told[2..],
        [
            "pages/c.html:1:13:11 there is no template `_layot.html` (did you mean `_layout.html`?)",
            "pages/c.html:2:15:10 there is no template `_part.html` (did you mean `_layout.html`?)",
            "pages/d.html:1:13:7 `d.html` extends itself ()",
        ]
    );
    assert!(!templates.contains("a.html") && templates.contains("_layout.html"));
    assert!(templates.render("a.html", Context::default()).is_err());
}

#[test]
fn tags_in_markdown_are_text() {
    let text = "Write `<a href=\"/nowhere\">` and `<script>{{ text }}</script>`.";
    let (templates, faults) = templates(&[("guide.md", text), ("guide.html", text)]);
    assert_eq!(faults, []);
    assert_eq!(templates.facts("guide.md").links.len(), 0);
    assert_eq!(templates.facts("guide.html").links.len(), 1);
}

#[test]
fn problems_tell_the_place_in_the_authors_file() {
    let (templates, _) = templates(&[
        ("_layout.html", "{% block content %}{% endblock %}"),
        ("page.html", "{% extends '_layout.html' %}\n{% block content %}\n {{ 1 + 'x' }}{% endblock %}"),
        ("outer.html", "\n{% include 'inner.html' %}"),
        ("inner.html", "\n\n{{ form('/nowhere') }}"),
    ]);
    let problem = templates.render("page.html", shop()).unwrap_err();
    let place = problem.place.clone().unwrap();
    assert_eq!((&*place.file, place.line, place.column, place.width), ("pages/page.html", 3, 5, 7));
    assert_eq!(problem.kind, Kind::Broken);
    let block = templates.render_block("page.html", "content", shop()).unwrap().unwrap_err();
    assert_eq!(block.place.unwrap().line, 3);
    let problem = templates.render("outer.html", shop()).unwrap_err();
    let place = problem.place.clone().unwrap();
    assert_eq!((&*place.file, place.line), ("pages/inner.html", 3));
    assert_eq!(problem.cause.as_deref(), Some("there is no action at `/nowhere`"));
}

#[test]
fn renderings_have_limits() {
    let options = Options { fuel: 5_000, max_output: 1_000, ..Options::default() };
    let (templates, _) = templates_with(
        &[
            ("loop.html", "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"),
            ("large.html", "{% for a in range(100) %}0123456789 0123456789{% endfor %}"),
            ("deep.html", "{% include 'deep.html' %}"),
            ("macro.html", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        ],
        options,
    );
    let cause = |name: &str| templates.render(name, Context::default()).unwrap_err().cause.unwrap();
    assert_eq!(cause("loop.html"), "the template took more than 5000 steps (`fuel`)");
    assert_eq!(cause("large.html"), "the page is larger than 1000 bytes (`max_output`)");
    assert_eq!(cause("deep.html"), "recursion limit exceeded");
    assert_eq!(cause("macro.html"), "recursion limit exceeded");
}

const PAGE: &str = "{% extends '_layout.html' %}{% import '_ui.html' as ui %}{% set title = product.name %}
{% block content %}{{ intro }}<ul>{% block found %}{% for p in products %}<li>{{ ui.item(p.name) }} {{ title }}</li>{% endfor %}{% endblock %}</ul>{% endblock %}
{% block side %}{{ super() }}{{ side_note }}{% endblock %}";

fn htmx() -> Templates {
    let (templates, faults) = templates(&[
        (
            "_layout.html",
            "<title>{{ site }}</title>{% block content %}{{ never }}{% endblock %}{% block side %}{{ user }}{% endblock %}",
        ),
        ("_ui.html", "{% macro item(x) %}<b>{{ x }}{{ shade }}</b>{% endmacro %}"),
        ("page.html", PAGE),
    ]);
    assert_eq!(faults, []);
    templates
}

#[test]
fn a_block_is_rendered_alone() {
    let templates = htmx();
    let block = |name: &str| templates.render_block("page.html", name, shop()).map(|result| result.unwrap());
    let title = "Cat &amp; Dog";
    assert_eq!(block("found").unwrap(), format!("<li><b>Cat</b> {title}</li><li><b>Dog</b> {title}</li>"));
    assert_eq!(block("side").unwrap(), "");
    assert!(block("content").unwrap().starts_with("<ul><li>"));
    assert_eq!(block("nothing"), None);
}

#[test]
fn a_block_of_a_page_without_layout_is_rendered_alone() {
    let text = "a\n{% set x = 1 %}b\n\n<p>{% if false %}{% block found %}{{ x }}{{ 1 + 'y' if total == 3 }}{% endblock %}{% endif %}</p>";
    let (templates, _) = templates(&[("page.html", text)]);
    assert_eq!(templates.render_block("page.html", "found", shop()).unwrap().unwrap(), "1");
}

#[test]
fn the_names_that_a_page_or_block_uses() {
    let templates = htmx();
    let listed = |names: BTreeSet<Arc<str>>| names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(listed(templates.names("page.html")), "intro product products shade side_note site user");
    assert_eq!(listed(templates.names_of_block("page.html", "found")), "product products shade");
    assert_eq!(listed(templates.names_of_block("page.html", "side")), "product shade side_note user");
}

#[test]
fn facts_tell_what_a_template_points_at() {
    let text = "{% extends '_layout.html' %}{% include '_a.html' %}
<a href='/p/{{ slug }}?x=1&amp;y' title = 'x'>{{ url('/p/[slug]', slug=1) }}</a>
<!-- <a href='/no'> --><script src='/app.js'>'<a href=\"/no\">'</script>
<form method=post action=/cart><input type=hidden name=_method value=delete><button formaction='/x'></form>
<form {{ form('/other', a=1).attrs }}></form><form method='post'></form>
{% if a %}<a href='/one'>{% else %}<a href='/two'>{% endif %}
<a class='x' href = '{% if a %}/three{% endif %}/four'>
<div hx-delete='/row/{{ id }}'></div><img src=\"{{ asset('cat.svg') }}\" srcset='/a.png 1x, /b.png 2x'>";
    let (templates, _) = templates(&[("page.html", text), ("_layout.html", ""), ("_a.html", "")]);
    let facts = templates.facts("page.html");
    let parts = |link: &Link| {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole => "{}".to_string(),
        };
        link.parts.iter().map(part).collect::<String>()
    };
    let links: Vec<String> = (facts.links.iter())
        .map(|link| format!("{} {} {} {}", link.method.unwrap_or("?"), link.element, link.attribute, parts(link)))
        .collect();
    assert_eq!(
        links,
        [
            "GET a href /p/{}?x=1&y",
            "GET script src /app.js",
            "DELETE button formaction /x",
            "DELETE form action /cart",
            "POST form action ",
            "GET a href /one",
            "GET a href /two",
            "GET a href {}/four",
            "DELETE div hx-delete /row/{}",
            "GET img src {}",
            "GET img srcset /a.png",
            "GET img srcset /b.png",
        ]
    );
    let place = &facts.links[0].place;
    assert_eq!((place.line, place.column, place.width), (2, 10, 23));
    assert_eq!(facts.extends.unwrap().name, "_layout.html".into());
    assert_eq!(facts.includes[0].name, "_a.html".into());
    let call = |call: &Call| format!("{} {:?} {}:{}", call.target, call.arguments, call.place.line, call.place.column);
    assert_eq!(facts.forms.iter().map(call).collect::<Vec<_>>(), ["/other [\"a\"] 5:16"]);
    assert_eq!(facts.urls.iter().map(call).collect::<Vec<_>>(), ["/p/[slug] [\"slug\"] 2:55"]);
    assert_eq!(facts.assets.iter().map(call).collect::<Vec<_>>(), ["cat.svg [] 8:58"]);
}

fn columns(names: &[&str]) -> Arc<[Arc<str>]> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn shapes<'a>(form: FormNames<'a>) -> Shapes<'a> {
    let names = [
        ("product", Shape::Row(columns(&["id", "name", "author.name"]))),
        ("products", Shape::Rows(columns(&["id", "name", "price"]))),
        ("tags", Shape::List),
        ("total", Shape::Scalar),
        ("fields", Shape::Form(columns(&["qty"]))),
        ("request", Shape::Map([("path".into(), Shape::Scalar)].into())),
        ("anything", Shape::Any),
    ];
    Shapes { names: names.into_iter().map(|(name, shape)| (name.into(), shape)).collect(), form }
}

/// The faults of a page, each as `line:column:width message (help)`.
fn checked(files: &[(&str, &str)]) -> Vec<String> {
    let (templates, faults) = templates(files);
    assert_eq!(faults, [], "{files:?}");
    let form = |route: &str| (route == "/cart").then(|| columns(&["qty"]));
    let found = templates.check(files[0].0, &shapes(&form));
    let told = |fault: &Fault| {
        let place = fault.place.as_ref().unwrap();
        let level = if fault.level == Level::Warning { "warning: " } else { "" };
        let help = if fault.help.is_empty() { String::new() } else { format!(" ({})", fault.help) };
        let at = format!("{}:{}:{}", place.line, place.column, place.width);
        let file =
            if *place.file == *format!("pages/{}", files[0].0) { String::new() } else { format!("{} ", place.file) };
        format!("{file}{at} {level}{}{help}", fault.message)
    };
    found.iter().map(told).collect()
}

#[test]
fn check_finds_names_and_columns_that_nobody_gives() {
    let cases = [
        ("{{ product }}", "1:4:7 `product` is a row, which prints nothing useful (print one of its columns: id,"),
        ("{{ products }}", "1:4:8 `products` is a result of many rows"),
        ("<a class={{ total }}>", "1:13:5 warning: a value stands in an attribute without quotes"),
        ("<script>let a = {{ total }};</script>", "1:20:5 warning: a value stands in a script"),
        ("<a onclick=\"f({{ total }})\">", "1:18:5 warning: a value stands in a script"),
        ("{{ prodcut.name }}", "1:4:7 nothing here is called `prodcut` (did you mean `product`?"),
        ("{{ product.nmae }}", "1:12:4 `product` has no `nmae` (did you mean `name`? it has: author.name, id, name)"),
        ("\n  é {{ product.author.nmae }}", "2:23:4 `product.author` has no `nmae`"),
        ("{% for p in products %}{{ p.nmae }}{% endfor %}", "1:29:4 `p` has no `nmae`"),
        ("{% for p in products|sort %}{{ loop.previtem.nmae }}{% endfor %}", "1:46:4 `loop.previtem` has no `nmae`"),
        ("{{ products[0].x }}", "1:16:1 `products[0]` has no `x`"),
        ("{{ products[total].x }}", "1:20:1 this has no `x`"),
        ("{{ (products|first).x }}", "1:21:1 this has no `x`"),
        ("{{ products.first.x }}", "1:19:1 `products.first` has no `x`"),
        ("{{ products.name }}", "1:13:4 `products` has many rows, so it has no `name` of its own (loop over"),
        ("{{ products.length }}", "1:13:6 `products` has many rows and has no `length` (write `|length`"),
        ("{{ product['nmae'] }}", "1:13:4 `product` has no `nmae`"),
        ("{% set p = product %}{{ p.nmae }}", "1:27:4 `p` has no `nmae`"),
        ("{% with p = product %}{{ p.nmae }}{% endwith %}", "1:28:4 `p` has no `nmae`"),
        ("{{ total.x }}", "1:10:1 `total` is one value and has no `x`"),
        ("{{ tags.x }}", "1:9:1 `tags` is a list and has no `x`"),
        ("{{ request.pth }}", "1:12:3 `request` has no `pth` (did you mean `path`?"),
        ("{{ fields.qyt.attrs }}", "1:11:3 `fields` has no `qyt` (did you mean `qty`?"),
        ("{{ fields.qty.atrs }}", "1:15:4 `fields.qty` has no `atrs` (did you mean `attrs`?"),
        ("{% set f = form('/cart') %}{{ f.qyt.attrs }}", "1:33:3 `f` has no `qyt`"),
        ("{{ form('/cart').qyt }}", "1:18:3 this has no `qyt`"),
        ("{{ product.name|uper }}", "1:17:4 there is no filter `uper` (did you mean `upper`?)"),
        ("{% if total is od %}{% endif %}", "1:16:2 there is no test `od`"),
        ("{{ asst('a.css') }}", "1:4:4 there is no function `asst` (did you mean `asset`?)"),
        ("{{ money(total) }}", "1:4:5 there is no function `money` (`money` is a filter"),
        ("{{ product.name.upper() }}", "1:17:5 values have no method `upper` (write `value|upper`)"),
        ("{% if product == none %}{% endif %}", "1:18:4 `== none` never holds (write `is none`)"),
        ("{{ products|map(attribute='nmae')|join }}", "1:28:4 `products` has no `nmae`"),
        ("{{ products|selectattr('nmae')|length }}", "1:25:4 `products` has no `nmae`"),
        ("{% for x in tags %}{{ y }}{% endfor %}", "1:23:1 nothing here is called `y`"),
        ("{% for x in tags %}{% set z = 1 %}{% endfor %}{{ z }}", "1:50:1 nothing here is called `z`"),
        ("{{ (product if total else product).nmae }}", "1:36:4 this has no `nmae`"),
    ];
    for (text, expected) in cases {
        let found = checked(&[("page.html", text)]);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:#?}");
    }
}

#[test]
fn check_is_silent_when_in_doubt() {
    let cases = [
        "{{ product.name }}{{ product.author.name }}{{ product['author.name'] }}{% set a = product.author %}{{ a.name }}",
        "{% for p in products %}{{ p.price }}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}{{ products.more }}",
        "{% if user is defined %}{{ user.name }}{% endif %}",
        "{{ subtitle|default('x') }}{{ product.nick|default('x') }}{{ product.nick }}",
        "{{ anything.at.all[0].x }}{{ anything.call() }}",
        "{% if total %}{% set t = product %}{% else %}{% set t = tags %}{% endif %}{{ t.x }}",
        "{% macro m(a, b=total) %}{{ a.x }}{{ later }}{{ caller() }}{% endmacro %}{% set later = 1 %}{{ m(product) }}",
        "{% macro m() %}{{ caller(1) }}{% endmacro %}{% call(x) m() %}{{ x.y }}{% endcall %}",
        "{% for k, v in {'a': 1}|items %}{{ k }}{{ v.x }}{% endfor %}",
        "{% include '_set.html' %}{{ from_include }}",
        "{% set ns = namespace(n=0) %}{% set ns.n = 1 %}{{ ns.n }}",
        "{% for f in fields.fields %}{{ f.attrs }}{% for o in f.options %}{{ o.label }}{% endfor %}{% endfor %}",
        "{{ form('/unknown').x }}{{ form(anything).x }}{{ fields.attrs }}{{ fields.error }}",
        "{% for g in products|groupby('name') %}{{ g.grouper }}{% endfor %}",
        "{% for row in products|batch(2) %}{% for p in row %}{{ p.name }}{% endfor %}{% endfor %}",
        "{{ range(3)|list }}{{ dict(a=1).a }}{{ products|sum(attribute='price') }}",
        "{% block a %}{{ product.name }}{% endblock %}{{ self.a() }}",
        "<script>let a = {{ products|json }};</script><a class='{{ total }}' {{ fields.qty.attrs }}>",
        "{% for x in products recursive %}{{ loop(products) }}{% endfor %}",
    ];
    for text in cases {
        assert_eq!(checked(&[("page.html", text), ("_set.html", "{% set from_include = 1 %}")]), [""; 0], "{text}");
    }
}

#[test]
fn check_follows_layouts_includes_and_imports() {
    let found = checked(&[
        (
            "a/page.html",
            "{% extends '_layout.html' %}{% import '_ui.html' as ui %}{% from '_ui.html' import item, itm %}
{% set title = product.nmae %}
{% block contnet %}{{ x1 }}{% endblock %}
{% block main %}{% for p in products %}{% include '_row.html' %}{% endfor %}{{ ui.itm() }}{{ item() }}{{ super() }}{% endblock %}",
        ),
        ("_layout.html", "{{ title }}{{ x2 }}\n{% block main %}{{ x3 }}{% endblock %}{% block content %}{{ x4 }}{% endblock %}"),
        ("a/_row.html", "{{ p.name }}{{ p.nmae }}{% include '_row.html' %}"),
        ("_ui.html", "{% macro item() %}{{ x5 }}{% endmacro %}"),
    ]);
    let expected = [
        "pages/_ui.html 1:22:2 nothing here is called `x5`",
        "1:90:3 `_ui.html` has no macro `itm` (did you mean `item`?",
        "2:24:4 `product` has no `nmae`",
        "pages/_layout.html 1:15:2 nothing here is called `x2`",
        "pages/a/_row.html 1:18:4 `p` has no `nmae`",
        "4:83:3 `ui` has no `itm`",
        "pages/_layout.html 2:20:2 nothing here is called `x3`",
        "pages/_layout.html 2:61:2 nothing here is called `x4`",
        "3:10:7 warning: no layout shows the block `contnet` (did you mean `content`?)",
        "3:23:2 nothing here is called `x1`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
}

#[test]
fn every_listed_filter_test_and_function_exists() {
    let used = |text: String| {
        let (templates, faults) = templates(&[("page.html", &text)]);
        assert_eq!(faults, []);
        templates.render("page.html", shop()).err().and_then(|problem| problem.cause).unwrap_or_default()
    };
    for filter in functions::FILTERS.iter().chain(functions::SITE_FILTERS) {
        let cause = used(format!("{{{{ total|{filter} }}}}"));
        assert!(!cause.contains("is unknown"), "{filter}: {cause}");
    }
    for test in functions::TESTS.iter().filter(|test| test.starts_with(char::is_alphabetic)) {
        assert!(!used(format!("{{{{ total is {test} }}}}")).contains("unknown"), "{test}");
    }
    for function in functions::FUNCTIONS.iter().chain(functions::SITE_FUNCTIONS) {
        assert!(!used(format!("{{{{ {function}() }}}}")).contains("unknown"), "{function}");
    }
}

#[test]
fn templates_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Templates>();
    shared::<Context>();
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_template_or_a_fault(text in "([<>{}%#a.|()\\[\\]'\"= \n]|\\{\\{|\\}\\}|\\{%|%\\}|if |endif|set |é){0,60}") {
        let (templates, faults) = templates(&[("page.html", &text)]);
        proptest::prop_assert_eq!(faults.is_empty(), templates.contains("page.html"));
        let form = |_: &str| None;
        templates.check("page.html", &shapes(&form));
        templates.facts("page.html");
        let _ = templates.render("page.html", shop());
    }

    #[test]
    fn no_value_escapes_its_html(value in "\\PC*|[<>&\"'/a\\x00-\\x1f]{0,40}") {
        let (templates, _) = templates(&[("page.html", "{{ v }}{{ v|upper }}{{ [v] }}{{ v ~ v }}{{ v|replace('a', v) }}{{ row.a }}")]);
        let row = rows(&["a"], vec![value.as_str().into()]);
        let names = vec![("v".into(), Slot::Value(value.as_str().into())), ("row".into(), Slot::Row(row))];
        let page = templates.render("page.html", Context { names, form: None }).unwrap();
        proptest::prop_assert!(!page.contains(['<', '>', '"', '\'']), "{}", page);
    }

    #[test]
    fn check_and_facts_take_any_template_that_parses(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..12),
    ) {
        let text = pieces.concat();
        let (templates, _) = templates(&[("page.html", &text), ("other.html", PAGE)]);
        let form = |_: &str| None;
        templates.check("page.html", &shapes(&form));
        templates.facts("page.html");
        templates.names("page.html");
        for block in templates.blocks("page.html") {
            templates.names_of_block("page.html", &block);
            let _ = templates.render_block("page.html", &block, shop());
        }
        let _ = templates.render("page.html", shop());
    }
}

const PIECES: [&str; 30] = [
    "{% for p in products %}",
    "{% endfor %}",
    "{{ p.name }}",
    "{% block a %}",
    "{% endblock %}",
    "{{ self.a() }}",
    "{{ super() }}",
    "{% if product.x %}",
    "{% else %}",
    "{% endif %}",
    "<a href=\"",
    "/x\">",
    "<form",
    " method=post>",
    "</form>",
    "{% include 'page.html' %}",
    "{% include 'other.html' %}",
    "{% extends 'other.html' %}",
    "{% macro m(a) %}",
    "{% endmacro %}",
    "{{ m(1) }}",
    "{% set p = products[0] %}",
    "{{ p|sort(attribute='x') }}",
    "<!--",
    "-->",
    "<script>",
    "é{{ ü }}",
    "{% import 'page.html' as ui %}",
    "{{ ui.m() }}",
    "{{ total.x[1:2].y() }}",
];
