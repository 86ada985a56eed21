"""The figures as tables and curves, and the handbook's chapter made of them."""

from .curves import Line, chart, figure

HEAD = """What becomes of a site that grows: a catalogue with more rows, visitors who come at once, a folder with more pages.
The figures here are measured by `bench/growth`, which anybody can run.

MACHINE

Both scales of each curve are logarithmic. A line that stays level means that it costs nothing to grow; one that rises
by a step for each step to the right means that ten times as much costs ten times as much.
"""

ROWS = """
## Rows

A catalogue of lamps: one by its key, twenty in a list from any place on, and a search for a word that fifty of them
have, among {least} to {most} rows. With the cache switched off, so that each visit asks the database; *kept* is the page
of one product as it is served by default.

![Requests per second by rows](/growth-rows.svg)
![Time within which 99 of 100 answers come, by rows](/growth-rows-p99.svg)

{table}

What makes the difference is whether a query finds its rows by an index. A list that goes on with `where id > :after … limit
20` costs the same on each of its pages and at each size; `offset` reads all that it skips. A search index of ten million
texts is several trees, each of which is looked through.
"""

CONNECTIONS = """
## Connections

All of them ask for a file of 1 KiB, or for a kept page, again and again.

![Requests per second by connections](/growth-connections.svg)
![Time within which 99 of 100 answers come, by connections](/growth-connections-p99.svg)

{table}

From some connections on the one core is busy, and answers wait for each other: with ten times the connections, each waits
about ten times as long, while as many come in a second. With thousands each connection finds the processor's caches full
of what belongs to others. A single one wakes the server anew for each request, which costs more than the answer.
`limits.connections` is how many there may be.
"""

PAGES = """
## Pages

A folder of {least} to {most} pages, each a template with two queries under one layout, which has a query, too. *Start* is
the time from the command to the first answer; the site is checked before. *Reload* is from the change of one file, or
from `SIGHUP`, to the first page that shows it.

![Time to start, check and reload by pages](/growth-pages.svg)
![Memory at rest by pages](/growth-pages-memory.svg)

{table}

How many pages a folder has makes no difference to a visit.
"""


def charts(data: dict) -> dict[str, str]:
    """All curves by the names of their files."""
    made: dict[str, str] = {}
    if rows := data.get("rows"):
        pick = lambda key: [Line(name, [(one["rows"], one[name][key]) for one in rows]) for name in KINDS]  # noqa: E731
        made["growth-rows.svg"] = chart("Requests per second", "rows", pick("rate"))
        made["growth-rows-p99.svg"] = chart("99 of 100 answers within, ms", "rows", pick("p99_ms"))
    if connections := data.get("connections"):
        def lines(key):
            return [Line(name, [(one["connections"], one[name][key]) for one in connections]) for name in ("file", "kept")]
        made["growth-connections.svg"] = chart("Requests per second", "connections", lines("rate"))
        made["growth-connections-p99.svg"] = chart("99 of 100 answers within, ms", "connections", lines("p99_ms"))
    if pages := data.get("pages"):
        keys = {"check": "check_ms", "start": "start_ms", "reload": "reload_ms", "dev": "dev_ms"}
        lines = [Line(name, [(one["pages"], one[key]) for one in pages]) for name, key in keys.items()]
        made["growth-pages.svg"] = chart("Milliseconds", "pages", lines)
        memory = [Line("at rest", [(one["pages"], one["resident_mib"]) for one in pages])]
        made["growth-pages-memory.svg"] = chart("Resident memory, MiB", "pages", memory)
    return made


# What is asked of a catalogue, as its lines are named.
KINDS = ("kept", "product", "list", "search")


def markdown(data: dict) -> str:
    """The chapter's text."""
    parts = [HEAD.replace("MACHINE", data["machine"])]
    sections = (("rows", ROWS, rows_table), ("connections", CONNECTIONS, connections_table), ("pages", PAGES, pages_table))
    for key, text, made in sections:
        if found := data.get(key):
            least, most = found[0][key], found[-1][key]
            parts.append(text.format(least=figure(least), most=figure(most), table=made(found)))
    return "{% raw %}" + "".join(parts).strip() + "\n{% endraw %}\n"


def rows_table(found: list[dict]) -> str:
    """Each kind of page at each size, and how that compares with the smallest catalogue."""
    head = ["page", "rows", "requests/s", "of the first", "half within", "99 % within", "CPU"]
    lines = []
    for name in KINDS:
        for one in found:
            share = f"{one[name]['rate'] / found[0][name]['rate']:.2f}"
            lines.append([name, figure(one["rows"]), figure(one[name]["rate"]), share, *rest(one[name])])
    memory = ", ".join(f"{one['resident_mib']:.0f} MiB" for one in found)
    size = ", ".join(f"{figure(one['database_mib'])} MiB" for one in found)
    return f"{table(head, lines)}\n\nMemory after that: {memory}. Size of the databases: {size}."


def connections_table(found: list[dict]) -> str:
    """A file and a kept page for each number of connections."""
    head = ["page", "connections", "requests/s", "half within", "99 % within", "CPU"]
    lines = []
    for name in ("file", "kept"):
        for one in found:
            lines.append([name, figure(one["connections"]), figure(one[name]["rate"]), *rest(one[name])])
    memory = ", ".join(f"{one['resident_mib']:.0f} MiB" for one in found)
    return f"{table(head, lines)}\n\nMemory after that: {memory}."


def rest(load: dict) -> list[str]:
    """The times of answers, and what one costs."""
    return [f"{figure(load['p50_ms'])} ms", f"{figure(load['p99_ms'])} ms", f"{load['cpu_us']:.0f} µs"]


def pages_table(found: list[dict]) -> str:
    """Times and memory."""
    head = ["pages", "`check`", "start", "reload by `SIGHUP`", "reload in `dev`", "memory"]
    keys = ("check_ms", "start_ms", "reload_ms", "dev_ms")
    lines = [
        [figure(one["pages"]), *(f"{figure(one[key])} ms" for key in keys), f"{one['resident_mib']:.0f} MiB"] for one in found
    ]
    return table(head, lines)


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown, figures to the right."""
    rule = ["---" if not any(line[at][0].isdigit() for line in lines) else "---:" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
