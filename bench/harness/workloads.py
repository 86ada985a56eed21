"""The three workloads: what is asked of the servers, and who is measured."""

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from .browser import Browser
from .fault import Fault
from .load import CONNECTIONS, Round, run_round
from .servers import Contestant, Server

VISITORS = 64


@dataclass(frozen=True)
class Workload:
    """What is asked, and which ratio of Tableside to the peer is aimed at."""

    key: str
    title: str
    aim: float
    script: str
    # Rows for information: the peer in other ways, made from the peer.
    variants: tuple[Callable[[Contestant], Contestant], ...] = ()
    writes: bool = False
    postgres: bool = False  # the database is PostgreSQL, on the load generator's core


def with_access_log(peer: Contestant) -> Contestant:
    return replace(peer, key="peer_log", title="peer, with a line logged per request", options=("--access-log",))


def from_memory(peer: Contestant) -> Contestant:
    return replace(peer, key="peer_memory", title="peer, file from memory", static_path="/memory/1k.txt")


def less_durable(peer: Contestant) -> Contestant:
    title = "peer, synchronous=NORMAL (not durable)"
    return replace(peer, key="peer_normal", title=title, options=("--synchronous", "normal"))


WORKLOADS = (
    Workload("static", "Static file of 1 KiB", 1.0, "static.lua", (with_access_log, from_memory)),
    Workload("page", "Page of one row by key, out of 10,000", 0.9, "page.lua", (with_access_log,)),
    Workload("postgres", "The same page on PostgreSQL", 0.9, "page.lua", (with_access_log,), postgres=True),
    Workload("action", "Cart action with a durable commit", 1.0, "action.lua", (with_access_log, less_durable), True),
)


@dataclass
class Measured:
    """All rounds of a workload: for each contestant's key, in order."""

    workload: Workload
    contestants: list[Contestant]
    rounds: dict[str, list[Round]]
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How long and where."""

    rounds: int
    seconds: int
    warm_up: int
    server_core: int
    load_core: int
    site: Path
    logs: Path | None


def run_workload(workload: Workload, contestants: list[Contestant], plan: Plan, folder: Path, tell) -> Measured:
    """Starts all contestants, lets them take turns, and stops them."""
    measured = Measured(workload, contestants, {contestant.key: [] for contestant in contestants})
    servers = []
    with ExitStack() as running:
        for contestant in contestants:
            server = Server(contestant, plan.site, folder, plan.server_core, plan.logs)
            servers.append(running.enter_context(server))
        arguments = {server: arguments_for(workload, server, folder) for server in servers}
        acknowledged = {server: VISITORS for server in servers}
        for number in range(plan.rounds + 1):
            seconds = plan.seconds if number else plan.warm_up
            for server in in_turn(servers, number):
                path = server.contestant.static_path
                done = run_round(server, workload.script, path, arguments[server], seconds, plan.load_core)
                acknowledged[server] += done.requests - done.failed
                if number:
                    measured.rounds[server.contestant.key].append(done)
                tell(f"{workload.key} {number}/{plan.rounds}  {server.contestant.title}: {done.rate:,.0f}/s")
    for server in servers:
        measured.faults += round_faults(server.contestant, measured.rounds)
        if workload.writes:
            measured.faults += lost_writes(server, acknowledged[server], plan.rounds + 1)
    return measured


def in_turn(servers: list[Server], number: int) -> list[Server]:
    """Each round begins with the next server, so that none is always first."""
    first = number % len(servers)
    return servers[first:] + servers[:first]


def arguments_for(workload: Workload, server: Server, folder: Path) -> list[str]:
    """The load script's arguments; for writing, a file of visitors' cookies."""
    if not workload.writes:
        return []
    file = folder / f"{server.contestant.key}.cookies"
    file.write_text("".join(f"{new_visitor(server)}\n" for _ in range(VISITORS)))
    return [str(file)]


def new_visitor(server: Server) -> str:
    """A visitor who has put one thing in the cart and seen the cart."""
    browser = Browser(server.port)
    answer = browser.post("/cart", "product=1&qty=1")
    browser.get("/cart")
    if answer.status != 303 or not browser.cookies:
        raise Fault(f"{server.contestant.title}: POST /cart gave {answer.status} and cookies {browser.cookies}")
    return browser.cookie_header()


def round_faults(contestant: Contestant, rounds: dict[str, list[Round]]) -> list[str]:
    failed = sum(done.failed for done in rounds[contestant.key])
    return [f"{contestant.title}: {failed} requests failed"] if failed else []


def lost_writes(server: Server, acknowledged: int, runs: int) -> list[str]:
    """Compares what the carts hold with what was answered.

    Each run may end with a write per connection done but not yet answered.
    """
    database = server.contestant.database(server.site)
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (held,) = connection.execute("select sum(qty) from cart_lines").fetchone()
    except sqlite3.Error as cause:
        return [f"{server.contestant.title}: {database.name} can't be read afterwards: {cause}"]
    if acknowledged <= held <= acknowledged + runs * CONNECTIONS:
        return []
    return [f"{server.contestant.title}: answered {acknowledged} writes, the carts hold {held}"]
