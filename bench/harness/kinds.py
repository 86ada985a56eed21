"""What can be done to a server in a round. A kind begins with a server and then gives rounds."""

import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field

from . import load
from .fault import Fault
from .load import CONNECTIONS, SCRIPTS, Round
from .sameness import condition
from .servers import Server

VISITORS = 64
IDLE = 10_000  # connections
SETTLE = 3  # seconds after which a resting connection has given up what it gives up
PATIENCE = 50  # seconds for all connections to be answered; servers close resting ones after 60
START_LIMIT = 30  # seconds
COLUMNS = ("rate", "cpu_us", "p99_ms", "memory_mib")


@dataclass(frozen=True)
class Get:
    """`bench/reader` asking for one address again and again: where an answer costs little, wrk would be the limit."""

    path: str
    headers: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = COLUMNS
    side_by_side = True  # all servers run at once and take turns
    loader = "reader"

    def begin(self, server: Server):
        """Does what comes before the rounds; they and `end` are given what it returns."""
        return self.headers

    def round(self, server: Server, headers: dict, seconds: int, core: int) -> Round:
        path = server.contestant.path(self.path)
        return load.run_round(server, lambda: load.reader(server.place.port, path, headers, seconds, core))

    def end(self, server: Server, headers: dict, rounds: list[Round]) -> list[str]:
        return []


class GetUnchanged(Get):
    """The same, asking whether a file has changed, which it hasn't."""

    def begin(self, server: Server) -> dict[str, str]:
        name, value = condition(server.browser().get(server.contestant.path(self.path)))
        return {name: value}


@dataclass(frozen=True)
class Script(Get):
    """wrk with a script that names each request, from a list made beforehand; or one that names none, for answers of which
    nobody says beforehand how long they are."""

    loader = "wrk"
    script: str = ""
    given: tuple[str, ...] = ()

    def round(self, server: Server, begun, seconds: int, core: int) -> Round:
        url = server.contestant.address(server.place) + server.contestant.path(self.path)
        return load.run_round(server, lambda: load.wrk(url, self.script, self.arguments(begun), {}, seconds, core))

    def arguments(self, begun) -> list[str]:
        return [*self.given]


class Cart(Script):
    """wrk sending the cart's form for 64 visitors. No answered write may be missing afterwards."""

    def begin(self, server: Server) -> tuple[str, int]:
        file = server.place.folder / "cookies"
        file.write_text("".join(f"{new_visitor(server)}\n" for _ in range(VISITORS)))
        return str(file), held_writes(server)

    def arguments(self, begun) -> list[str]:
        return [begun[0]]

    def end(self, server: Server, begun, rounds: list[Round]) -> list[str]:
        """Compares what the carts hold with what was answered.

        Each round may end with a write per connection done but not yet answered.
        """
        acknowledged = begun[1] + sum(each["requests"] - each["failed"] for each in rounds)
        held = held_writes(server)
        if acknowledged <= held <= acknowledged + len(rounds) * CONNECTIONS:
            return []
        return [f"{server.title}: answered {acknowledged:.0f} writes, the carts hold {held}"]


def new_visitor(server: Server) -> str:
    """A visitor who has put one thing in the cart and seen the cart."""
    browser = server.browser()
    answer = browser.post("/cart", "product=1&qty=1")
    browser.get("/cart")
    if answer.status != 303 or not browser.cookies:
        raise Fault(f"{server.title}: POST /cart gave {answer.status} and cookies {browser.cookies}")
    return browser.cookie_header()


def held_writes(server: Server) -> int:
    try:
        with closing(sqlite3.connect(f"file:{server.place.database}?mode=ro", uri=True)) as connection:
            return connection.execute("select coalesce(sum(qty), 0) from cart_lines").fetchone()[0]
    except sqlite3.Error as cause:
        raise Fault(f"{server.title}: its database can't be read: {cause}") from cause


@dataclass(frozen=True)
class Http2(Get):
    """h2load asking for one address over HTTP/2 without TLS."""

    loader = "h2load"
    columns: tuple[str, ...] = ("rate", "cpu_us", "memory_mib")
    streams: int = 1

    def round(self, server: Server, begun, seconds: int, core: int) -> Round:
        url = server.contestant.address(server.place, http2=True) + server.contestant.path(self.path)
        return load.run_round(server, lambda: load.h2load(url, self.streams, seconds, core))


@dataclass(frozen=True)
class Idle:
    """10,000 connections that rest after one answer each, and what each of them holds."""

    path: str
    columns: tuple[str, ...] = ("per_connection_kib", "memory_mib")
    side_by_side = False
    loader = None

    def round(self, server: Server, core: int) -> Round:
        with server:
            server.browser().get(self.path)
            before = server.memory_kib()
            holder = hold_connections(server, self.path, core)
            with holder:
                try:
                    expect(holder, "open")
                    time.sleep(SETTLE)
                    held = server.memory_kib()
                    holder.stdin.write("again\n")
                    holder.stdin.flush()
                    answered = int(expect(holder, "answered").split()[1])
                finally:
                    holder.kill()
            server.check_alive()
        grown = (held - before) / IDLE
        return {"per_connection_kib": grown, "memory_mib": held / 1024, "failed": IDLE - answered}


def hold_connections(server: Server, path: str, core: int) -> subprocess.Popen:
    program = [sys.executable, str(SCRIPTS / "idle.py"), str(server.place.port), path, str(IDLE)]
    pipe = subprocess.PIPE
    return subprocess.Popen(["taskset", "-c", str(core), *program], stdin=pipe, stdout=pipe, text=True)


def expect(holder: subprocess.Popen, word: str) -> str:
    """The next line of the program that holds the connections; it begins with a word."""
    ready, _, _ = select.select([holder.stdout], [], [], PATIENCE)
    line = holder.stdout.readline() if ready else "nothing in time"
    if not line.startswith(word):
        raise Fault(f"holding {IDLE} connections open failed: {line.strip() or 'see above'}")
    return line


@dataclass(frozen=True)
class Start:
    """From the start of the process to the end of the first answer, and the memory at rest after it."""

    path: str
    columns: tuple[str, ...] = ("start_ms", "memory_mib")
    side_by_side = False
    loader = None

    def round(self, server: Server, core: int) -> Round:
        if server.contestant.fresh:
            shutil.rmtree(server.place.database.parent)
            server.place.database.parent.mkdir()
        began = time.perf_counter()
        server.launch()
        try:
            status = first_answer(server.place.port, server.contestant.path(self.path))
            took = time.perf_counter() - began
            time.sleep(0.5)  # what it still does after the first answer counts as memory
            return {"start_ms": took * 1e3, "memory_mib": server.memory_kib() / 1024, "failed": int(status != 200)}
        finally:
            server.stop()


def first_answer(port: int, path: str) -> int:
    """The status of the first answer to anybody who asks without pause."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(request)
                answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
                return int(answer.split(b" ", 2)[1])
        except ConnectionError:
            time.sleep(0.0005)
    raise Fault(f"nothing answered on port {port} within {START_LIMIT} s")
