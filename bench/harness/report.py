"""Medians, ratios, aims, and how they are shown: Markdown for people, JSON for programs."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .contest import Measured, Plan
from .load import CONNECTIONS, Round, commit_microseconds
from .workloads import Aim

LOAD_IS_FULL = 0.95  # a load generator busier than this may be what is measured
TOO_NOISY = 0.10  # cores used by others, above which figures deserve no trust


@dataclass(frozen=True)
class Measure:
    """How a measure of a round is named and written."""

    title: str
    form: str = "{:.1f}"
    more_is_better: bool = False


MEASURES = {
    "rate": Measure("requests/s", "{:,.0f}", True),
    "cpu_us": Measure("CPU µs/request"),
    "gb_per_s": Measure("GB/s", "{:.2f}", True),
    "cpu_per_gb": Measure("CPU s/GB", "{:.3f}"),
    "p99_ms": Measure("p99 ms", "{:.2f}"),
    "memory_mib": Measure("memory MiB"),
    "per_connection_kib": Measure("KiB/connection"),
    "start_ms": Measure("ms"),
}


def spread(values: list[float]) -> dict[str, float]:
    found = {"median": median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 4) for name, value in found.items()}


def ratio(measure: str, one: list[Round], other: list[Round]) -> dict[str, float]:
    """One by the other, round by round: rounds side by side had the same weather."""
    return spread([a[measure] / max(b[measure], 1e-9) for a, b in zip(one, other)])


def as_data(plan: Plan, quick: bool, measured: list[Measured], differences: list[str]) -> dict:
    """Everything, as it is written as JSON."""
    settings = {"rounds": plan.rounds, "seconds": plan.seconds, "connections": CONNECTIONS, "quick": quick}
    settings |= {"server_core": plan.server_core, "load_core": plan.load_core}
    return {
        "machine": machine_data(plan.folder),
        "settings": settings,
        "skipped": plan.skipped,
        "differences": differences,
        "workloads": {each.workload.key: workload_data(each) for each in measured},
    }


def workload_data(measured: Measured) -> dict:
    workload, rounds = measured.workload, measured.rounds
    first = measured.contestants[0].key
    shared = [name for name in ("cpu_us", *workload.kind.columns) if name in rounds[first][0]]
    rows = {}
    for each in measured.contestants:
        names = [name for name in rounds[first][0] if name in rounds[each.key][0]]
        row: dict = {"title": each.title} | {name: spread([one[name] for one in rounds[each.key]]) for name in names}
        compared = {name: ratio(name, rounds[first], rounds[each.key]) for name in dict.fromkeys(shared)}
        rows[each.key] = row | {"first_by_this": compared, "rounds": rounds[each.key]}
    aims = [found for aim in workload.aims if (found := aim_data(aim, rows, rounds))]
    columns = list(workload.kind.columns)
    shown = {"title": workload.title, "postgres": workload.postgres, "columns": columns}
    return shown | {"rows": rows, "aims": aims, "faults": measured.faults}


def aim_data(aim: Aim, rows: dict, rounds: dict[str, list[Round]]) -> dict | None:
    """What came of an aim; nothing when one of its rows wasn't measured."""
    more = MEASURES[aim.measure].more_is_better
    others = [key for key in aim.against if key in rows]
    if aim.row not in rows or (aim.against and not others):
        return None
    data = {"row": aim.row, "measure": aim.measure, "bound": aim.bound, "at_least": more}
    if not others:
        found = rows[aim.row][aim.measure]
    else:
        best = (max if more else min)(others, key=lambda key: rows[key][aim.measure]["median"])
        found = ratio(aim.measure, rounds[aim.row], rounds[best])
        data["against"] = best
        if aim.measure == "rate":
            data["cpu"] = ratio("cpu_us", rounds[aim.row], rounds[best])
    reached = found["median"] >= aim.bound if more else found["median"] <= aim.bound
    return data | {"found": found, "reached": reached}


def machine_data(folder: Path) -> dict:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "congestion_control": congestion_control(),
        "file_system": file_system(folder),
        "durable_4k_write_us": round(commit_microseconds(folder)),
    }


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
    return name.partition(":")[2].strip()


def congestion_control() -> str:
    """What the system's TCP is set to."""
    try:
        return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    except OSError:
        return "unknown"


def file_system(folder: Path) -> str:
    """The type of the file system that a folder lies on."""
    asked = subprocess.run(["df", "--output=fstype", str(folder)], capture_output=True, text=True, timeout=10)
    return asked.stdout.split()[-1] if asked.returncode == 0 else "unknown file system"


def in_short(data: dict) -> dict:
    """The figures that the tables show, without each single round: short enough to print."""
    workloads = {}
    for key, each in data["workloads"].items():
        shown = {"title", "first_by_this", "failed", *each["columns"]}
        rows = {name: {k: v for k, v in row.items() if k in shown} for name, row in each["rows"].items()}
        workloads[key] = each | {"rows": rows}
    return data | {"workloads": workloads}


def as_markdown(data: dict) -> str:
    lines = heading(data) + summary(data)
    return "\n".join([*lines, *(line for each in data["workloads"].values() for line in section(each))])


def heading(data: dict) -> list[str]:
    machine, settings = data["machine"], data["settings"]
    lines = [
        "# Tableside beside others",
        "",
        f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, TCP set to "
        f"{machine.get('congestion_control', 'unknown')}; "
        f"{settings['rounds']} rounds of {settings['seconds']} s each in turn, {settings['connections']} connections, "
        f"server on core {settings['server_core']}, load on core {settings['load_core']}; "
        f"{machine['file_system']}, a durable write of 4 KiB takes {machine['durable_4k_write_us']} µs.",
        "Medians, in brackets the least and the most.",
    ]
    if machine["file_system"] in ("tmpfs", "ramfs"):
        lines += ["", "**The folder is in memory: commits cost nothing here. Use --folder.**"]
    if data["skipped"]:
        lines += ["", "Not measured:", *(f"- {name}: {why}" for name, why in data["skipped"].items())]
    if data["differences"]:
        lines += ["", "**The servers did not do the same:**", *(f"- {each}" for each in data["differences"])]
    return lines


def summary(data: dict) -> list[str]:
    """All aims on one screen."""
    if not data["workloads"]:
        return ["", "Nothing was measured." if data["differences"] else "All give the same; nothing was measured."]
    lines = ["", "## Aims", "", "| workload | what | aim | found | |", "|---|---|---|---|---|"]
    for workload in data["workloads"].values():
        for aim in workload["aims"]:
            bound = f"{'≥' if aim['at_least'] else '≤'} {aim['bound']:g}"
            found = spread_text(aim["found"], "{:.2f}") + (" 1)" if load_was_full(workload, aim) else "")
            cells = [workload["title"], aim_text(workload, aim), bound, found, "reached" if aim["reached"] else "**missed**"]
            lines.append("| " + " | ".join(cells) + " |")
    full = any(" 1) |" in line for line in lines)
    return lines + (["", "1) The load generator used its core up; compare the CPU time."] if full else [])


def aim_text(workload: dict, aim: dict) -> str:
    """What an aim is about, such as `Tableside / nginx, requests/s`."""
    rows, what = workload["rows"], MEASURES[aim["measure"]].title
    against = f" / {rows[aim['against']]['title']}" if "against" in aim else ""
    cpu = f" (CPU {aim['cpu']['median']:.2f})" if "cpu" in aim else ""
    return f"{rows[aim['row']]['title']}{against}: {what}{cpu}"


def load_was_full(workload: dict, aim: dict) -> bool:
    busy = workload["rows"][aim["row"]].get("load_busy")
    return busy is not None and busy["median"] > LOAD_IS_FULL


def section(workload: dict) -> list[str]:
    """One workload: a row a server; in the last columns the first server by this one."""
    rows = list(workload["rows"].values())
    columns = [name for name in workload["columns"] if any(name in row for row in rows)]
    compared = [name for name in ("rate", "gb_per_s", "cpu_us", "cpu_per_gb", "per_connection_kib", "start_ms") if name in columns]
    titles = [MEASURES[name].title for name in columns] + [f"{rows[0]['title']} / this: {MEASURES[name].title}" for name in compared]
    lines = ["", f"## {workload['title']}", "", "| server | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for row in rows:
        cells = [row["title"], *(spread_text(row[name], MEASURES[name].form) if name in row else "" for name in columns)]
        cells += [f"{row['first_by_this'][name]['median']:.2f}" for name in compared]
        lines.append("| " + " | ".join(cells) + " |")
    notes = cautions(rows, workload["postgres"]) + workload["faults"]
    return lines + ([""] if notes else []) + [f"- **{note}**" for note in notes]


def spread_text(values: dict, form: str) -> str:
    middle, least, most = (form.format(values[name]) for name in ("median", "min", "max"))
    return f"{middle} ({least}-{most})"


def cautions(rows: list[dict], with_postgres: bool) -> list[str]:
    """What to beware of. A database server that works meanwhile is no noise."""
    full = [row["title"] for row in rows if "load_busy" in row and row["load_busy"]["median"] > LOAD_IS_FULL]
    noise = max((row["noise"]["median"] for row in rows if "noise" in row), default=0)
    notes = [f"The load generator used its core up and may be the limit: {', '.join(full)}"] if full else []
    if noise > TOO_NOISY and not with_postgres:
        notes.append(f"Something else used up to {noise:.2f} cores meanwhile; run it on a quiet machine")
    return notes
