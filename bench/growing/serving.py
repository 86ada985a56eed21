"""Starts Tableside, asks it, loads it, and reads what it takes."""

import json
import os
import resource
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

LOAD = Path(__file__).resolve().parent.parent / "load"
START_LIMIT = 300  # seconds until the first answer
STOP_LIMIT = 60  # seconds between SIGTERM and SIGKILL
GRACE = 60  # seconds that wrk may take beyond its time


class Fault(Exception):
    """What keeps a measurement from being one."""


@dataclass(frozen=True)
class Load:
    """What one round of load gave."""

    rate: float  # requests per second
    p50_ms: float
    p99_ms: float
    cpu_us: float  # the server's CPU time per request, in microseconds
    failed: int


class Served:
    """A site that is served; use in a `with`."""

    def __init__(self, program: Path, site: Path, first: str, options: tuple[str, ...] = (), command: str = "serve"):
        self.port = free_port()
        arguments = [str(program), command, str(site), "--listen", f"127.0.0.1:{self.port}", *options]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(server_core()), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=many_files,
        )
        try:
            self.await_answer(first)
        except BaseException:
            self.stop()
            raise
        self.start_ms = (time.perf_counter() - started) * 1e3
        self.start_cpu_ms = self.cpu_seconds() * 1e3

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def await_answer(self, address: str) -> None:
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end and self.process.poll() is None:
            try:
                status, _ = self.get(address)
            except OSError:
                time.sleep(0.0005)
                continue
            if status != 200:
                raise Fault(f"{address} answers {status}")
            return
        raise Fault(f"the server doesn't answer {address}")

    def get(self, address: str) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            head = f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return int(answer.split(b" ", 2)[1]), answer

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads; the clock's number is what clock_getcpuclockid(3) gives."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def resident_mib(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def load(self, script: str, arguments: list[str], seconds: int, connections: int = 64) -> Load:
        """Loads the server with wrk on the other core."""
        command = ["taskset", "-c", str(load_core()), "wrk", "--threads", "1", "--connections", str(connections)]
        command += ["--duration", f"{seconds}s", "--timeout", "20s", "--script", script]
        command += [f"http://127.0.0.1:{self.port}/", "--", *arguments]
        before = self.cpu_seconds()
        try:
            done = subprocess.run(
                command, cwd=LOAD, capture_output=True, text=True, timeout=seconds + GRACE, preexec_fn=many_files
            )
        except subprocess.TimeoutExpired:
            raise Fault(f"wrk didn't end within {seconds + GRACE} s") from None
        cpu = self.cpu_seconds() - before
        lines = [line for line in done.stdout.splitlines() if line.startswith("round {")]
        if done.returncode != 0 or not lines:
            raise Fault(f"wrk failed:\n{done.stdout}{done.stderr}")
        said = json.loads(lines[-1].removeprefix("round "))
        if said["requests"] == 0:
            raise Fault("the server answered no request at all during a round")
        rate = said["requests"] * 1e6 / said["duration_us"]
        return Load(rate, said["p50_us"] / 1e3, said["p99_us"] / 1e3, cpu * 1e6 / said["requests"], said["failed"])


def timed(command: list[str]) -> tuple[float, float]:
    """Runs a command to its success: milliseconds that it took, and its largest resident memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = (time.perf_counter() - started) * 1e3
    if process.returncode != 0:
        raise Fault(f"{' '.join(command)} failed:\n{errors.decode()[:2000]}")
    return took, used.ru_maxrss / 1024


def many_files() -> None:
    """Lets a child open as many files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def server_core() -> int:
    """The core on which the server runs."""
    return sorted(os.sched_getaffinity(0))[0]


def load_core() -> int:
    """The core on which the load generator runs."""
    return sorted(os.sched_getaffinity(0))[-1]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
