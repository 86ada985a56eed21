"""The table of workloads: what is asked, of whom, and what is aimed at."""

from dataclasses import dataclass

from .kinds import Cart, Get, GetUnchanged, Http2, Idle, Script, Start

NGINX = ("nginx", "nginx_off")  # the better one counts
FILE_SERVERS = ("tableside", *NGINX, "caddy", "axum", "lighttpd", "h2o")
PROGRAMS = ("tableside", "tableside_uncached", "axum", "php", "django", "fastify", "sqlpage")
PACKED = {"Accept-Encoding": "gzip, deflate, br, zstd"}  # as browsers ask


@dataclass(frozen=True)
class Aim:
    """What a row's measure should be: so many times another row's, or so much."""

    measure: str
    bound: float
    against: tuple[str, ...] = ()  # the best of these that was measured
    row: str = "tableside"


@dataclass(frozen=True)
class Workload:
    """What is asked, of whom, and what is aimed at."""

    key: str
    title: str
    kind: Get | Idle | Start
    rows: tuple[str, ...]
    aims: tuple[Aim, ...]
    same: tuple[str, ...] = ()  # what must be the same, by its names in sameness.py
    postgres: bool = False  # the database is PostgreSQL, on the load generator's core


def rate(bound: float, *against: str, row: str = "tableside") -> Aim:
    return Aim("rate", bound, against, row)


# Pages that are made by programs: with the cache, and without.
MADE = (rate(1.5, "axum"), rate(0.9, "axum", row="tableside_uncached"))
FORTUNES, PAGE = Script("/fortunes", script="report.lua"), Script("", script="each.lua", given=("/products/product-%d",))
DATA = Script("", script="each.lua", given=("/api/products/product-%d",))
PLAIN = tuple(row for row in PROGRAMS if row != "sqlpage")

WORKLOADS = (
    Workload("static-1k", "Static file of 1 KiB", Get("/1k.txt"), (*FILE_SERVERS, "axum_memory"), (rate(1.0, *NGINX),), ("1k",)),
    Workload("static-64k", "Static file of 64 KiB", Get("/64k.bin"), FILE_SERVERS, (rate(1.0, *NGINX),), ("64k",)),
    Workload(
        "static-10m",
        "Static file of 10 MiB",
        Get("/10m.bin", columns=("gb_per_s", "cpu_per_gb", "memory_mib")),
        FILE_SERVERS,
        (Aim("cpu_per_gb", 0.75, NGINX),),
        ("10m",),
    ),
    Workload("unchanged", "Unchanged file (304)", GetUnchanged("/1k.txt"), FILE_SERVERS, (rate(0.95, *NGINX),), ("unchanged",)),
    Workload(
        "compressed",
        "Compressed text of 20 KiB",
        Get("/text.txt", PACKED),
        tuple(row for row in FILE_SERVERS if row != "lighttpd"),  # its module is a package of its own
        (rate(1.1, *NGINX),),
        ("compressed",),
    ),
    Workload(
        "kept",
        "Page from the cache, beside a static file of the same bytes",
        Get("/kept.html"),
        ("tableside", *NGINX, "axum", "h2o"),
        (rate(1.0, *NGINX), rate(1.5, "axum")),
        ("kept",),
    ),
    Workload("fortunes", "Page of fortunes", FORTUNES, PROGRAMS, MADE, ("fortunes",)),
    Workload("fortunes-postgres", "Page of fortunes on PostgreSQL", FORTUNES, PROGRAMS, MADE, ("fortunes",), True),
    Workload("page", "Page of one row by key, out of 10,000", PAGE, (*PROGRAMS, "axum_log"), MADE, ("pages",)),
    Workload("page-postgres", "The same page on PostgreSQL", PAGE, PROGRAMS, MADE, ("pages",), True),
    Workload("data", "Data endpoint: one row of 10,000 as JSON", DATA, PLAIN, MADE, ("data",)),
    Workload(
        "action",
        "Cart action with a durable commit",
        Cart("", script="action.lua"),
        ("tableside", "axum", "axum_normal", "axum_together"),
        (rate(1.3, "axum_normal"), rate(3.0, "axum")),
        ("cart",),
    ),
    Workload(
        "mixed",
        "95 % readings of the page, 5 % writings",
        Script("", script="mixed.lua"),
        ("tableside", "axum", "axum_normal"),
        (rate(1.3, "axum"), rate(1.3, "axum_normal")),
        ("pages", "stock"),
    ),
    Workload("http2-1", "HTTP/2, 1 KiB, 1 stream", Http2("/1k.txt"), ("tableside", *NGINX, "caddy", "h2o"), (rate(1.0, *NGINX),)),
    Workload(
        "http2-10",
        "HTTP/2, 1 KiB, 10 streams",
        Http2("/1k.txt", streams=10),
        ("tableside", *NGINX, "caddy", "h2o"),
        (rate(1.0, *NGINX),),
    ),
    Workload(
        "idle",
        "10,000 connections at rest",
        Idle("/1k.txt"),
        ("tableside", "nginx", "caddy", "axum", "lighttpd", "h2o"),
        (Aim("per_connection_kib", 8),),
    ),
    Workload(
        "start",
        "Start until the first answer",
        Start("/1k.txt"),
        ("market", "market_fresh", "nginx", "caddy", "axum", "axum_fresh"),
        (
            Aim("start_ms", 50, row="market"),
            Aim("start_ms", 50, row="market_fresh"),
            Aim("memory_mib", 30, row="market"),
        ),
    ),
)
# How much the machine's noise is worth: a server against itself.
ITSELF = (Workload("itself", "axum against itself", PAGE, ("axum", "axum_again"), (), ("pages",)),)
