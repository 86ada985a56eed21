"""Medians, ratios, and how they are shown: Markdown for people, JSON for programs."""

import os
import platform
from dataclasses import asdict
from statistics import median

from .load import CONNECTIONS, Round
from .servers import Contestant
from .workloads import Measured, Plan

LOAD_IS_FULL = 0.95  # a load generator busier than this may be what is measured
TOO_NOISY = 0.10  # cores used by others, above which figures deserve no trust


def spread(values: list[float]) -> dict[str, float]:
    found = {"median": median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def ratios(one: list[Round], other: list[Round]) -> dict:
    """One by the other, round by round: rounds side by side had the same weather."""
    pairs = list(zip(one, other))
    return {
        "rate": spread([a.rate / b.rate for a, b in pairs]),
        "cpu": spread([a.cpu_us / b.cpu_us for a, b in pairs]),
    }


def as_data(plan: Plan, machine: dict, measured: list[Measured], differences: list[str]) -> dict:
    """Everything, as it is written as JSON."""
    settings = {"rounds": plan.rounds, "seconds": plan.seconds, "connections": CONNECTIONS}
    settings |= {"server_core": plan.server_core, "load_core": plan.load_core}
    workloads = {each.workload.key: workload_data(each) for each in measured}
    return {"machine": machine, "settings": settings, "differences": differences, "workloads": workloads}


def workload_data(measured: Measured) -> dict:
    first, second, *variants = measured.contestants
    rows = {each.key: row_data(each, measured.rounds[each.key]) for each in measured.contestants}
    compared = {
        f"{first.key}/{each.key}": ratios(measured.rounds[first.key], measured.rounds[each.key])
        for each in (second, *variants)
    }
    return {
        "title": measured.workload.title,
        "aim": measured.workload.aim,
        "postgres": measured.workload.postgres,
        "rows": rows,
        "ratios": compared,
        "faults": measured.faults,
    }


def row_data(contestant: Contestant, rounds: list[Round]) -> dict:
    shown = ("rate", "cpu_us", "p50_us", "p99_us", "resident_kib", "load_busy", "noise")
    data: dict = {name: spread([getattr(each, name) for each in rounds]) for name in shown}
    data["failed"] = sum(each.failed for each in rounds)
    return {"title": contestant.title} | data | {"rounds": [asdict(each) for each in rounds]}


def machine_data(commit_us: float, file_system: str) -> dict:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "file_system": file_system,
        "durable_4k_write_us": round(commit_us),
    }


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
    return name.partition(":")[2].strip()


def as_markdown(data: dict) -> str:
    return "\n".join([*heading(data), *(line for each in data["workloads"].values() for line in section(each))])


def heading(data: dict) -> list[str]:
    machine, settings = data["machine"], data["settings"]
    lines = [
        "# Tableside beside a hand-written program",
        "",
        f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}; "
        f"{settings['rounds']} rounds of {settings['seconds']} s each in turn, {settings['connections']} connections, "
        f"server on core {settings['server_core']}, load on core {settings['load_core']}; "
        f"{machine['file_system']}, a durable write of 4 KiB takes {machine['durable_4k_write_us']} µs.",
        "Medians, in brackets the least and the most.",
    ]
    if machine["file_system"] in ("tmpfs", "ramfs"):
        lines += ["", "**The folder is in memory: commits cost nothing here. Use --folder.**"]
    if data["differences"]:
        lines += ["", "**The servers did not do the same:**", *(f"- {each}" for each in data["differences"])]
    return lines


def section(workload: dict) -> list[str]:
    """One workload: a row a server, then the ratios."""
    lines = ["", f"## {workload['title']}", ""]
    lines += ["| server | requests/s | CPU µs/request | p99 ms | resident MiB |", "|---|---|---|---|---|"]
    lines += [table_row(row) for row in workload["rows"].values()]
    lines += ["", *ratio_lines(workload)]
    notes = [note for row in workload["rows"].values() for note in row_notes(row, workload["postgres"])]
    notes += workload["faults"]
    return lines + ([""] if notes else []) + [f"- **{note}**" for note in notes]


def table_row(row: dict) -> str:
    cells = [
        row["title"],
        spread_text(row["rate"], "{:,.0f}"),
        spread_text(row["cpu_us"], "{:.1f}"),
        spread_text({name: value / 1e3 for name, value in row["p99_us"].items()}, "{:.2f}"),
        f"{row['resident_kib']['median'] / 1024:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def spread_text(values: dict, form: str) -> str:
    middle, least, most = (form.format(values[name]) for name in ("median", "min", "max"))
    return f"{middle} ({least}-{most})"


def ratio_lines(workload: dict) -> list[str]:
    """A line a ratio; the one with an aim is Tableside's to the plain peer."""
    lines = []
    titles = {key: row["title"] for key, row in workload["rows"].items()}
    for pair, ratio in workload["ratios"].items():
        one, other = pair.split("/")
        text = f"{titles[one]} / {titles[other]}: requests/s **{spread_text(ratio['rate'], '{:.2f}')}**, "
        text += f"CPU per request {spread_text(ratio['cpu'], '{:.2f}')}"
        if pair == "tableside/peer":
            reached = "reached" if ratio["rate"]["median"] >= workload["aim"] else "missed"
            text += f"; aim {workload['aim']:.1f}: {reached}"
        lines.append(f"- {text}")
    return lines


def row_notes(row: dict, with_postgres: bool) -> list[str]:
    """What to beware of. A database server that works meanwhile is no noise."""
    notes = []
    if row["load_busy"]["median"] > LOAD_IS_FULL:
        notes.append(f"{row['title']}: the load generator was busy {row['load_busy']['median']:.0%}; it may be the limit")
    if row["noise"]["median"] > TOO_NOISY and not with_postgres:
        notes.append(f"{row['title']}: others used {row['noise']['median']:.2f} cores meanwhile; run it on a quiet machine")
    return notes
