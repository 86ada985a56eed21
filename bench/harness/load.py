"""One round of load on one server: runs wrk, reads what it and the kernel say."""

import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .fault import Fault
from .servers import Server

SCRIPTS = Path(__file__).resolve().parent.parent / "load"
CONNECTIONS = 64
TICKS = os.sysconf("SC_CLK_TCK")
GRACE = 30  # seconds that wrk may take beyond the round


@dataclass(frozen=True)
class Round:
    """What one round gave."""

    requests: int
    failed: int  # answers of 400 and above, broken and timed-out connections
    rate: float  # requests per second
    p50_us: int
    p99_us: int
    cpu_us: float  # the server's CPU time per request, in microseconds
    resident_kib: int  # at the round's end
    load_busy: float  # share of its core that the load generator used
    noise: float  # cores that anything else on the machine used


def run_round(server: Server, script: str, path: str, arguments: list[str], seconds: int, core: int) -> Round:
    """Loads one server for some seconds and leaves it running."""
    before = measure(server)
    said = run_wrk(server.port, script, path, arguments, seconds, core)
    after = measure(server)
    server.check_alive()
    took, server_cpu, load_cpu, machine_cpu = (b - a for a, b in zip(before, after))
    requests = said["requests"]
    if requests == 0:
        raise Fault(f"{server.contestant.title} answered no request at all during a round")
    return Round(
        requests=requests,
        failed=said["failed"],
        rate=requests * 1e6 / said["duration_us"],
        p50_us=said["p50_us"],
        p99_us=said["p99_us"],
        cpu_us=server_cpu * 1e6 / requests,
        resident_kib=server.resident_kib(),
        load_busy=load_cpu / took,
        noise=max(0.0, (machine_cpu - server_cpu - load_cpu) / took),
    )


def run_wrk(port: int, script: str, path: str, arguments: list[str], seconds: int, core: int) -> dict:
    """Runs wrk on its core and returns the line that `report.lua` prints."""
    command = ["taskset", "-c", str(core), "wrk", "--threads", "1", "--connections", str(CONNECTIONS)]
    command += ["--duration", f"{seconds}s", "--timeout", "5s", "--script", script]
    command += [f"http://127.0.0.1:{port}{path}", "--", *arguments]
    try:
        done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, timeout=seconds + GRACE)
    except subprocess.TimeoutExpired:
        raise Fault(f"wrk didn't end within {seconds + GRACE} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("round {")]
    if done.returncode != 0 or not lines:
        raise Fault(f"wrk failed:\n{done.stdout}{done.stderr}")
    return json.loads(lines[-1].removeprefix("round "))


def measure(server: Server) -> tuple[float, float, float, float]:
    """Now; CPU seconds so far of the server, of ended children, of the machine."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.monotonic(),
        server.cpu_seconds(),
        children.ru_utime + children.ru_stime,
        machine_cpu_seconds(),
    )


def machine_cpu_seconds() -> float:
    """All that isn't idle or waiting, of all cores (proc(5), stat)."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq = (int(ticks) for ticks in first[:7])
    return (user + nice + system + irq + softirq) / TICKS


def commit_microseconds(folder: Path, times: int = 200) -> float:
    """The median time to make 4 KiB durable here: what a commit costs at least."""
    block = os.urandom(4096)
    taken = []
    file = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY)
    try:
        for at in range(times):
            started = time.perf_counter()
            os.pwrite(file, block, at * 4096)
            os.fdatasync(file)
            taken.append(time.perf_counter() - started)
    finally:
        os.close(file)
        os.unlink(folder / "probe")
    return sorted(taken)[times // 2] * 1e6
