"""Sites of any size: one with many pages, and a catalogue with many rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

PAGES_IN_A_SECTION = 100

LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{% block title %}{% endblock %} - {{ site.name }}</title>
<link rel="stylesheet" href="{{ asset("app.css") }}">
</head>
<body>
<header><a href="/">{{ site.name }}</a></header>
<nav>
<ul>
{% for entry in menu %}
<li><a href="{{ entry.address }}">{{ entry.title }}</a></li>
{% endfor %}
</ul>
</nav>
<main>
{% block main %}{% endblock %}
</main>
<footer>{% include "_foot.html" %}</footer>
</body>
</html>
"""

START = """{% extends "_layout.html" %}
{% block title %}Start{% endblock %}
{% block main %}<h1>Start</h1>{% endblock %}
"""

LAYOUT_SQL = """-- name: menu :many
select address, title from menu order by place
"""

FOOT = """<p>Made to be measured. {% if user %}Hello.{% else %}Welcome.{% endif %}</p>
"""

PAGE = """{% extends "_layout.html" %}
{% block title %}{{ article.title }}{% endblock %}
{% block main %}
<h1>{{ article.title }}</h1>
<p class="lead">{{ article.lead }}</p>
<p>By {{ article.author|default("somebody") }}, {{ article.words }} words.</p>
<h2>Notes</h2>
{% for note in notes %}
<article id="note-{{ note.id }}"><p>{{ note.body }}</p></article>
{% else %}
<p>None yet.</p>
{% endfor %}
<p><a href="PREVIOUS">Back</a> <a href="NEXT">On</a> <a href="SECTION">All of them</a></p>
{% endblock %}
"""

PAGE_SQL = """-- name: article :one
select id, title, lead, author, words from articles where slug = 'SLUG'

-- name: notes :many
select id, body from notes where article_id = @article.id order by id limit 10
"""

SECTION = """{% extends "_layout.html" %}
{% block title %}Section{% endblock %}
{% block main %}
<h1>Section</h1>
<ul>
{% for article in articles %}
<li>{{ article.title }}</li>
{% endfor %}
</ul>
{% endblock %}
"""

SECTION_SQL = """-- name: articles :many
select title from articles where section = 'NAME' order by slug limit 100
"""

SCHEMA = """create table menu (
  address text primary key,
  title text not null,
  place integer not null
);
insert into menu values ('/', 'Start', 1);

create table articles (
  id integer primary key,
  slug text not null unique,
  section text not null,
  title text not null,
  lead text not null,
  author text,
  words integer not null
);
create index articles_by_section on articles (section, slug);

create table notes (
  id integer primary key,
  article_id integer not null references articles (id),
  body text not null
);
create index notes_by_article on notes (article_id);

with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < COUNT)
insert into articles (slug, section, title, lead, author, words)
select printf('p%05d', n), printf('s%03d', n / 100), 'Article ' || n, 'What article ' || n || ' is about.', 'Nobody', n
from numbers;
"""

CATALOGUE_SCHEMA = """create table products (
  id integer primary key,
  slug text not null,
  name text not null,
  price integer not null,
  stock integer not null
);
create unique index products_by_slug on products (slug);
create virtual table products_search using fts5 (name, content = 'products', content_rowid = 'id', detail = 'none');
"""

# The names hold a word that fifty products share, whatever their number: a search finds as much in each catalogue.
CATALOGUE_ROWS = """with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < :rows)
insert into products (id, slug, name, price, stock)
select n, 'p' || n, 'Lamp w' || (n * 7919 % (:rows / 50)) || ' & shade', 199 + n * 37 % 9000, n % 400 from numbers
"""

CATALOGUE_PAGES = {
    "index.html": START,
    "_layout.html": LAYOUT,
    "_layout.sql": "-- name: menu :many\nselect '/list' as address, 'Products' as title\n",
    "_foot.html": FOOT,
    "products/[slug].sql": "-- name: product :one\nselect slug, name, price, stock from products where slug = :slug\n",
    "products/[slug].html": """{% extends "_layout.html" %}
{% block title %}{{ product.name }}{% endblock %}
{% block main %}
<h1>{{ product.name }}</h1>
<p class="price">{{ product.price }}, {{ product.stock }} left</p>
{% endblock %}
""",
    "list.sql": """-- :after int default=0
-- name: products :many
select id, slug, name, price from products where id > :after order by id limit 20
""",
    "list.html": """{% extends "_layout.html" %}
{% block title %}Products{% endblock %}
{% block main %}
<h1>Products</h1>
<ul>
{% for product in products %}
<li><a href="/products/{{ product.slug }}">{{ product.name }}</a> {{ product.price }}</li>
{% endfor %}
</ul>
{% endblock %}
""",
    "search.sql": """-- :q text
-- name: found :many
select products.slug, products.name from products_search join products on products.id = products_search.rowid
where products_search match :q order by products_search.rowid limit 20
""",
    "search.html": """{% extends "_layout.html" %}
{% block title %}Search{% endblock %}
{% block main %}
<h1>Found</h1>
<ul>
{% for product in found %}
<li><a href="/products/{{ product.slug }}">{{ product.name }}</a></li>
{% endfor %}
</ul>
{% endblock %}
""",
}

CSS = "body { max-width: 40rem; margin: auto; font: 1rem/1.5 sans-serif }\n" * 20


def site_of_rows(folder: Path) -> None:
    """Writes the site of a catalogue; its rows come later, by `fill`."""
    write(folder / "site.toml", '[site]\nname = "Growth"\n')
    write(folder / "public" / "app.css", CSS)
    write(folder / "public" / "1k.txt", "x" * 1024)
    write(folder / "migrations" / "0001_start.sql", CATALOGUE_SCHEMA)
    for name, text in CATALOGUE_PAGES.items():
        write(folder / "pages" / name, text)


def fill(database: Path, rows: int) -> None:
    """Fills the catalogue of a site that was started once and stopped. A power cut may lose it: it is made anew."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma synchronous = off")
        connection.execute("pragma cache_size = -262144")
        connection.execute("drop index products_by_slug")
        connection.execute(CATALOGUE_ROWS, {"rows": rows})
        connection.execute("create unique index products_by_slug on products (slug)")
        connection.execute("insert into products_search (products_search) values ('rebuild')")
        connection.commit()
        connection.execute("analyze")
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.commit()


def site_of_pages(folder: Path, count: int) -> str:
    """Writes a site of about `count` pages, most of them with two queries in one layout; gives a page's address."""
    write(folder / "site.toml", '[site]\nname = "Growth"\n')
    write(folder / "public" / "app.css", CSS)
    write(folder / "migrations" / "0001_start.sql", SCHEMA.replace("COUNT", str(count)))
    pages = folder / "pages"
    for name, text in {"_layout.html": LAYOUT, "_layout.sql": LAYOUT_SQL, "_foot.html": FOOT}.items():
        write(pages / name, text)
    write(pages / "index.html", START)
    addresses = [address_of(number) for number in range(count)]
    for number, address in enumerate(addresses):
        write_page(pages, number, address, addresses[number - 1], addresses[(number + 1) % count])
    for section in sorted({address.split("/")[1] for address in addresses}):
        write(pages / section / "index.html", SECTION)
        write(pages / section / "index.sql", SECTION_SQL.replace("NAME", section))
    return addresses[count // 2]


def write_page(pages: Path, number: int, address: str, previous: str, following: str) -> None:
    """A page with its queries."""
    text = PAGE.replace("PREVIOUS", previous).replace("NEXT", following).replace("SECTION", "/" + address.split("/")[1])
    write(pages / f"{address[1:]}.html", text)
    write(pages / f"{address[1:]}.sql", PAGE_SQL.replace("SLUG", f"p{number:05}"))


def address_of(number: int) -> str:
    """Where a page of the site of pages stands."""
    return f"/s{number // PAGES_IN_A_SECTION:03}/p{number:05}"


def write(file: Path, text: str) -> None:
    """Writes a file and the folders that it stands in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
