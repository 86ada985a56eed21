"""A PostgreSQL of this run alone, on the load generator's core."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .build import install
from .fault import Fault

STOP_LIMIT = 15  # seconds between a fast shutdown and a kill
START_LIMIT = 60  # seconds for initdb and for the first connection
USER = "postgres"  # who runs it when we are root, which it refuses


class Cluster:
    """A new cluster with the defaults of PostgreSQL; use in a `with`."""

    def __init__(self, folder: Path, core: int):
        self.folder = folder / "cluster"
        self.core = core
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]

    def __enter__(self):
        self.programs = programs()
        self.folder.mkdir(mode=0o700)
        self._let_in()
        self._run("initdb", "--pgdata", self.folder, "--auth", "trust", "--username", USER, "--locale", "C", "--encoding", "UTF8")
        command = self._command("postgres", "-D", self.folder, "-p", self.port, "-h", "127.0.0.1", "-k", "")
        with open(os.devnull, "wb") as nowhere:
            pinned = ["taskset", "-c", str(self.core), *command]
            self.process = subprocess.Popen(pinned, stdout=nowhere, stderr=nowhere, start_new_session=True)
        end = time.monotonic() + START_LIMIT
        while self._answers() != 0:
            if time.monotonic() > end or self.process.poll() is not None:
                self.stop()
                raise Fault("PostgreSQL doesn't start")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.stop()

    def database(self, name: str) -> str:
        """Creates a database and gives its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", USER, name)
        return f"postgres://{USER}@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def stop(self) -> None:
        """A fast shutdown, then a kill. Harmless when it has stopped."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> int:
        asked = self._command("pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port)
        return subprocess.run(asked, timeout=START_LIMIT).returncode

    def _run(self, program: str, *arguments) -> None:
        done = subprocess.run(self._command(program, *arguments), capture_output=True, text=True, timeout=START_LIMIT)
        if done.returncode != 0:
            raise Fault(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _command(self, program: str, *arguments) -> list[str]:
        command = [str(self.programs / program), *map(str, arguments)]
        if os.geteuid() == 0:
            # The program takes setpriv's place, so its process id is the server's.
            return ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", *command]
        return command

    def _let_in(self) -> None:
        """Gives the folder to the user who runs the server, and a way to it."""
        if os.geteuid() != 0:
            return
        user = pwd.getpwnam(USER)
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        for above in self.folder.parents:
            mode = above.stat().st_mode
            if mode & 0o001 == 0 and "bench-" in str(above):
                above.chmod(mode | 0o001)


def programs() -> Path:
    """The folder of PostgreSQL's programs; installs them when root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        install("postgresql")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    named = shutil.which("postgres")
    if named is None:
        raise Fault("PostgreSQL is missing; as root: apt-get install postgresql")
    return Path(named).resolve().parent
