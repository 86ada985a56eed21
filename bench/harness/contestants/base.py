"""What all contestants have in common."""

import getpass
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from .. import build, postgres
from ..fault import Fault

PEERS = build.BENCH / "peers"


@dataclass
class Place:
    """Where a contestant is at work."""

    folder: Path  # its own, for configuration, sockets, temporary files
    site: Path  # its own copy of the site
    port: int
    http2_port: int  # for who needs one of its own
    url: str | None  # PostgreSQL's, instead of a file of its own

    @property
    def public(self) -> Path:
        return self.site / "public"

    @property
    def database(self) -> Path:
        return self.site / "data" / "site.db"

    def fill(self, template: Path, **values: object) -> Path:
        """Copies a file of configuration, each `@name@` replaced by its value."""
        text = template.read_text()
        known = {"folder": self.folder, "site": self.site, "public": self.public, "port": self.port}
        known |= {"http2_port": self.http2_port, "user": getpass.getuser(), "database": self.database} | values
        for name, value in known.items():
            text = text.replace(f"@{name}@", str(value))
        filled = self.folder / template.name
        filled.write_text(text)
        return filled


@dataclass(frozen=True)
class Contestant:
    """A server in one way of running it: a row of the tables."""

    key: str  # the row's name in the JSON
    title: str  # the row's name for people
    options: tuple[str, ...] = ()
    paths: dict[str, str] = field(default_factory=dict)  # where it has something at an address of its own
    info: bool = False  # for information: `--quick` leaves it out
    fresh: bool = False  # whether it begins each start without a database
    site: Path | None = None  # another site than the benchmark's

    family = ""  # its name for `--with` and `--without`
    package = ""  # Debian's, if it is one
    program = ""  # what must be found, if it is a package
    ready = "/1k.txt"  # what is asked to see whether it serves
    http2_apart = False  # whether HTTP/2 without TLS needs a port of its own
    precompressed = False  # whether somebody compressed its texts beforehand
    makes_database = True  # whether it makes its own tables, or uses none

    def obtain(self, asked_for: bool) -> None:
        """Makes sure that it can be started; a Fault says why it can't."""
        if self.program:
            build.need(self.program, self.package)

    def prepare(self, place: Place) -> None:
        """Puts tables and rows in place before the first start."""
        if not self.makes_database:
            fill_database(place)

    def commands(self, place: Place) -> list[list[str]]:
        """The command lines of its processes; each is told to stop at the end."""
        raise NotImplementedError

    def environment(self, place: Place) -> dict[str, str]:
        return {}

    def path(self, path: str) -> str:
        return self.paths.get(path, path)

    def address(self, place: Place, http2: bool = False) -> str:
        port = place.http2_port if http2 and self.http2_apart else place.port
        return f"http://127.0.0.1:{port}"


def fill_database(place: Place) -> None:
    """The migrations, for those who don't apply them themselves."""
    scripts = [file.read_text() for file in sorted((place.site / "migrations").glob("*.sql"))]
    if place.url:
        command = [str(postgres.programs() / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", place.url]
        done = subprocess.run(command, input="\n".join([*scripts, "analyze;"]), text=True, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise Fault(f"psql failed:\n{done.stderr}")
        return
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("pragma journal_mode = wal")
        for script in scripts:
            connection.executescript(script)


def as_root() -> bool:
    return os.geteuid() == 0
