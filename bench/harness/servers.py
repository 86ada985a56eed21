"""Starts, watches and stops the servers, each pinned to the server's core."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .browser import Browser
from .contestants import Contestant, Place
from .fault import Fault, StartFault

START_LIMIT = 60  # seconds until the first answer; includes the migration
STOP_LIMIT = 15  # seconds between SIGTERM and SIGKILL
FOREIGN = ("PORT", "DATABASE_URL")  # settings that would set up a server differently


def make_place(contestant: Contestant, site: Path, material: Path, folder: Path, url: str | None) -> Place:
    """A folder for a contestant, with a copy of the site and the files of the run."""
    folder = folder / contestant.key
    place = Place(folder, folder / "site", free_port(), free_port(), url)
    shutil.copytree(contestant.site or site, place.site, ignore=shutil.ignore_patterns("data"))
    (place.site / "data").mkdir()
    place.public.mkdir(exist_ok=True)
    for file in material.iterdir():
        if contestant.site is None and (contestant.precompressed or file.suffix != ".gz"):
            os.link(file, place.public / file.name)
    contestant.prepare(place)
    return place


class Server:
    """A contestant at work in its place; use in a `with`."""

    def __init__(self, contestant: Contestant, place: Place, core: int, logs: Path | None):
        self.contestant = contestant
        self.place = place
        self.core = core
        name = f"{place.folder.parent.name}-{contestant.key}.log"
        self.log = logs / name if logs else Path(os.devnull)
        self.processes: list[subprocess.Popen] = []

    def __enter__(self):
        self.launch()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def title(self) -> str:
        return self.contestant.title

    def browser(self) -> Browser:
        return Browser(self.place.port)

    def launch(self) -> None:
        """Starts its processes and waits for nothing."""
        with open(self.log, "ab") as log:
            for command in self.contestant.commands(self.place):
                # taskset becomes the server by exec: its process id is the server's.
                process = subprocess.Popen(
                    ["taskset", "-c", str(self.core), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment(),
                    start_new_session=True,
                )
                self.processes.append(process)

    def _environment(self) -> dict[str, str]:
        own = self.contestant.environment(self.place)
        kept = {k: v for k, v in os.environ.items() if k not in FOREIGN and not k.startswith("TABLESIDE_")}
        return kept | own

    def _wait_until_it_answers(self) -> None:
        path = self.contestant.path(self.contestant.ready)
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end and not self._ended():
            try:
                if self.browser().get(path).status == 200:
                    return
            except Fault:
                pass  # not yet
            time.sleep(0.05)
        commands = "\n  ".join(" ".join(command) for command in self.contestant.commands(self.place))
        raise StartFault(
            f"{self.title} doesn't answer GET {path}; its command:\n  {commands}\n"
            "Run bench/run with --logs FOLDER to keep what it says."
        )

    def stop(self) -> None:
        """Asks it to stop, then makes it stop. Harmless when it has stopped."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            end_session(process.pid)
        self.processes = []

    def check_alive(self) -> None:
        if self._ended():
            raise Fault(f"{self.title} ended by itself; run bench/run with --logs FOLDER to keep what it says")

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes that live, with all their threads.

        The clock's number is what clock_getcpuclockid(3) gives; /proc counts
        in hundredths of a second only.
        """
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._tree())

    def memory_kib(self) -> int:
        """What its processes hold in memory; pages that they share count once (proc(5), smaps_rollup)."""
        return sum(proportional_kib(pid) for pid in self._tree())

    def _tree(self) -> list[int]:
        """The ids of its processes and of all that they started."""
        children: dict[int, list[int]] = {}
        for each in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(each.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
            children.setdefault(parent, []).append(int(each.parent.name))
        found = [process.pid for process in self.processes]
        for pid in found:
            found += children.get(pid, [])  # the list grows while it is read
        return found


def proportional_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended meanwhile
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def end_session(session: int) -> None:
    """Ends what a server may have left behind."""
    try:
        os.killpg(session, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
