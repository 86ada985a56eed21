"""One round of load on one server: runs wrk, reader or h2load, reads what it and the kernel say."""

import json
import os
import re
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import build
from .build import BENCH
from .fault import Fault
from .servers import Server

SCRIPTS = BENCH / "load"
CONNECTIONS = 64
TICKS = os.sysconf("SC_CLK_TCK")
TRIES = 3
GRACE = 30  # seconds that a load generator may take beyond the round

# A round: its measures by name (see report.py), and `failed`, the number of requests
# answered with 400 and above or not at all.
Round = dict[str, float]


def run_round(server: Server, load: Callable[[], dict]) -> Round:
    """Loads one server for some seconds and leaves it running."""
    for _ in range(TRIES):
        done = try_round(server, load)
        if done:
            return done
    raise Fault(f"{server.title} answered nothing at all in {TRIES} rounds")


def try_round(server: Server, load: Callable[[], dict]) -> Round | None:
    """A round, or nothing when the machine was too busy with other things for a single answer."""
    before = clocks(server)
    said = load()
    after = clocks(server)
    server.check_alive()
    took, server_cpu, load_cpu, machine_cpu = (b - a for a, b in zip(before, after))
    if said["bytes"] == 0:
        return None
    requests = max(1, said["requests"])  # of large files none may have come to its end
    measures = {
        "requests": said["requests"],
        "failed": said["failed"],
        "rate": said["requests"] / said["seconds"],
        "cpu_us": server_cpu * 1e6 / requests,
        "gb_per_s": said["bytes"] / 1e9 / said["seconds"],
        "cpu_per_gb": server_cpu * 1e9 / said["bytes"],
        "memory_mib": server.memory_kib() / 1024,
        # The share of its core that the load generator used, and the cores that anything else used.
        "load_busy": load_cpu / took,
        "noise": max(0.0, (machine_cpu - server_cpu - load_cpu) / took),
    }
    return measures | {name: said[name] for name in ("p50_ms", "p99_ms") if name in said}


def wrk(url: str, script: str, arguments: list[str], headers: dict[str, str], seconds: int, core: int) -> dict:
    """Runs wrk on its core; what the line that `report.lua` prints says."""
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "5s"]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    return round_line(run(core, seconds, [*command, "--script", script, url, "--", *arguments]))


def reader(port: int, path: str, headers: dict[str, str], seconds: int, core: int) -> dict:
    """Runs `bench/reader` on its core; it counts as wrk does."""
    fields = [f"{name}: {value}" for name, value in headers.items()]
    command = [str(reader_program()), str(port), path, str(CONNECTIONS), str(seconds), *fields]
    return round_line(run(core, seconds, command))


def reader_program() -> Path:
    return build.cargo(BENCH / "reader" / "Cargo.toml", "reader")


def round_line(said: str) -> dict:
    """What the line says that wrk by `report.lua`, and reader print at the end."""
    lines = [line for line in said.splitlines() if line.startswith("round {")]
    if not lines:
        raise Fault(f"the load generator told nothing of its round:\n{said}")
    told = json.loads(lines[-1].removeprefix("round "))
    latencies = {name: told.pop(f"{name}_us") / 1e3 for name in ("p50", "p99")}
    return told | {"seconds": told["duration_us"] / 1e6} | {f"{name}_ms": each for name, each in latencies.items()}


def h2load(url: str, streams: int, seconds: int, core: int) -> dict:
    """Runs h2load on its core: HTTP/2 without TLS, both sides knowing so. It tells no p99."""
    command = ["h2load", "--clients", str(CONNECTIONS), "--max-concurrent-streams", str(streams), "--threads", "1"]
    said = run(core, seconds, [*command, "--duration", str(seconds), url])
    counts = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", said)
    size = re.search(r"traffic: .*?\((\d+)\) total", said)
    if "Application protocol: h2c" not in said or not counts or not size:
        raise Fault(f"h2load failed:\n{said}")
    done, succeeded = map(int, counts.groups())
    return {"requests": done, "failed": done - succeeded, "seconds": seconds, "bytes": int(size[1])}


def run(core: int, seconds: int, command: list[str]) -> str:
    pinned = ["taskset", "-c", str(core), *command]
    try:
        done = subprocess.run(pinned, cwd=SCRIPTS, capture_output=True, text=True, timeout=seconds + GRACE)
    except subprocess.TimeoutExpired:
        raise Fault(f"{command[0]} didn't end within {seconds + GRACE} s") from None
    if done.returncode != 0:
        raise Fault(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def clocks(server: Server) -> tuple[float, float, float, float]:
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
