"""Starts, watches and stops the servers, each pinned to the server's core."""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .browser import Browser
from .fault import Fault

START_LIMIT = 60  # seconds until the first answer; includes the migration
STOP_LIMIT = 15  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Contestant:
    """A server to measure: a program and how it is started."""

    key: str  # the row's name in the JSON
    title: str  # the row's name for people
    program: Path
    kind: str  # "tableside" or "peer": the command line that it takes
    options: tuple[str, ...] = ()
    static_path: str = "/1k.txt"
    url: str | None = None  # PostgreSQL's, instead of a file of its own

    def command(self, site: Path, port: int) -> list[str]:
        listen = f"127.0.0.1:{port}"
        if self.kind == "tableside":
            return [str(self.program), "serve", str(site), "--listen", listen, *self.options]
        database = ["--database", self.url or str(self.database(site))]
        return [str(self.program), str(site), "--listen", listen, *database, *self.options]

    def database(self, site: Path) -> Path:
        """Both keep their database in the site's data folder."""
        return site / "data" / "site.db"


class Server:
    """A contestant at work on its own copy of the site; use in a `with`."""

    def __init__(self, contestant: Contestant, site: Path, folder: Path, core: int, logs: Path | None):
        self.contestant = contestant
        self.site = folder / contestant.key
        shutil.copytree(site, self.site, ignore=shutil.ignore_patterns("data"))
        (self.site / "data").mkdir()
        self.port = free_port()
        self.core = core
        self.log = logs / f"{folder.name}-{contestant.key}.log" if logs else Path(os.devnull)

    def __enter__(self):
        command = ["taskset", "-c", str(self.core), *self.contestant.command(self.site, self.port)]
        with open(self.log, "wb") as log:
            # taskset becomes the server by exec: its process id is the server's.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(self.contestant)
            )
        try:
            self._wait_until_it_answers(command)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait_until_it_answers(self, command: list[str]) -> None:
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if Browser(self.port).get("/1k.txt").status == 200:
                    return
            except Fault:
                pass  # not yet
            time.sleep(0.05)
        raise Fault(
            f"{self.contestant.title} doesn't answer GET /1k.txt; its command:\n  {' '.join(command)}\n"
            "Run bench/run with --logs FOLDER to keep what it says."
        )

    def stop(self) -> None:
        """Asks it to stop, then makes it stop. Harmless when it has stopped."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far, ended ones too.

        The clock's number is what clock_getcpuclockid(3) gives; /proc counts
        in hundredths of a second only.
        """
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def resident_kib(self) -> int:
        """Resident memory now, in KiB (proc(5), status)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])

    def check_alive(self) -> None:
        if self.process.poll() is not None:
            raise Fault(
                f"{self.contestant.title} ended by itself with status {self.process.returncode}; "
                "run bench/run with --logs FOLDER to keep what it says"
            )


def environment(contestant: Contestant) -> dict[str, str]:
    """The run's environment without what would set up a server differently."""
    settings = ("PORT", "DATABASE_URL")
    own = {"DATABASE_URL": contestant.url} if contestant.url else {}
    return own | {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.startswith("TABLESIDE_")
    }


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
