"""Runs a workload: servers take turns, what isn't being measured is idle."""

import resource
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import build, load, postgres, sameness
from .build import BENCH, tell
from .contestants import Contestant
from .fault import Fault, StartFault
from .kinds import IDLE, Idle
from .load import Round
from .servers import Server, make_place
from .workloads import Workload

SITE = BENCH / "site"
SPARE_FILES = 1000  # that a server opens besides its connections
STARTS, QUICK_STARTS = 11, 5  # rounds of the workload that starts servers


@dataclass
class Plan:
    """How long and where."""

    rounds: int
    seconds: int
    server_core: int
    load_core: int
    folder: Path
    material: Path
    logs: Path | None
    needed: set[str]  # the families that the run doesn't go on without
    rows: dict[str, Contestant] = field(default_factory=dict)  # who can be measured
    skipped: dict[str, str] = field(default_factory=dict)  # the families that can't, and why

    def contestants(self, workload: Workload) -> list[Contestant]:
        return [self.rows[key] for key in workload.rows if key in self.rows]

    def server(self, contestant: Contestant, folder: Path, cluster: postgres.Cluster | None = None) -> Server:
        url = cluster.database(f"{folder.name}_{contestant.key}") if cluster else None
        place = make_place(contestant, SITE, self.material, folder, url)
        return Server(contestant, place, self.server_core, self.logs)

    def drop(self, family: str, fault: Fault) -> None:
        """Goes on without a family of servers, unless it is needed."""
        if family in self.needed:
            raise fault
        tell(f"Without {family}: {fault}")
        self.skipped[family] = str(fault)
        self.rows = {key: row for key, row in self.rows.items() if row.family != family}

    def new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


@dataclass
class Measured:
    """All rounds of a workload: for each contestant's key, in order."""

    workload: Workload
    contestants: list[Contestant]
    rounds: dict[str, list[Round]]
    faults: list[str] = field(default_factory=list)


def need_tools(workload: Workload, measuring: bool) -> None:
    """Refuses a workload that lacks something on this machine."""
    kind = workload.kind
    if measuring and kind.loader == "reader":
        load.reader_program()
    if kind.loader == "h2load":
        build.need("h2load", "nghttp2-client")
    if workload.postgres:
        postgres.programs()
    if isinstance(kind, Idle):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if most < IDLE + SPARE_FILES:
            raise Fault(f"a process may open {most} files, {IDLE + SPARE_FILES} are needed: ulimit -Hn")


def check_sameness(plan: Plan, workloads: list[Workload], on_postgres: bool) -> list[str]:
    """Starts everybody once and lets a visitor go through all that must be the same."""
    wanted: dict[str, list[str]] = {}
    for workload in workloads:
        if workload.postgres == on_postgres:
            for contestant in plan.contestants(workload):
                names = wanted.setdefault(contestant.key, [])
                names += [name for name in workload.same if name not in names]
    wanted = {key: names for key, names in wanted.items() if names}
    if not wanted:
        return []
    folder = plan.new_folder("sameness-postgres" if on_postgres else "sameness")
    with ExitStack() as running:
        cluster = running.enter_context(postgres.Cluster(folder, plan.load_core)) if on_postgres else None
        answers = {}
        for key, names in wanted.items():
            if key not in plan.rows:
                continue
            try:
                with plan.server(plan.rows[key], folder, cluster) as server:
                    answers[server.title] = sameness.visit(server, names)
            except StartFault as fault:
                plan.drop(plan.rows[key].family, fault)
    suffix = " (on PostgreSQL)" if on_postgres else ""
    return [each + suffix for each in sameness.differences(answers)]


def run(workload: Workload, plan: Plan) -> Measured:
    """A workload in a folder of its own, with fresh databases."""
    folder = plan.new_folder(workload.key)
    contestants = plan.contestants(workload)
    measured = Measured(workload, contestants, {each.key: [] for each in contestants})
    with ExitStack() as running:
        cluster = running.enter_context(postgres.Cluster(folder, plan.load_core)) if workload.postgres else None
        servers = [plan.server(each, folder, cluster) for each in contestants]
        if workload.kind.side_by_side:
            for server in servers:
                running.enter_context(server)
            take_turns(servers, measured, plan)
        else:
            one_at_a_time(servers, measured, plan)
    for server in servers:
        failed = sum(each["failed"] for each in measured.rounds[server.contestant.key])
        measured.faults += [f"{server.title}: {failed:.0f} requests failed"] if failed else []
    return measured


def take_turns(servers: list[Server], measured: Measured, plan: Plan) -> None:
    """All run at once, one is loaded at a time; the first round of each warms up and doesn't count."""
    kind = measured.workload.kind
    shown = kind.columns[0]
    begun = [kind.begin(server) for server in servers]
    rounds: list[list[Round]] = [[] for _ in servers]
    for number in range(plan.rounds + 1):
        for at in in_turn(len(servers), number):
            seconds = plan.seconds if number else min(plan.seconds, 2)
            done = kind.round(servers[at], begun[at], seconds, plan.load_core)
            rounds[at].append(done)
            if number:
                measured.rounds[servers[at].contestant.key].append(done)
            tell(f"{measured.workload.key} {number}/{plan.rounds}  {servers[at].title}: {shown} {done[shown]:,.2f}")
    for at, server in enumerate(servers):
        measured.faults += kind.end(server, begun[at], rounds[at])


def one_at_a_time(servers: list[Server], measured: Measured, plan: Plan) -> None:
    """Each is started for its round and stopped after it; the first start fills databases and disk caches."""
    kind = measured.workload.kind
    starting = kind.columns[0] == "start_ms"
    quick = plan.rounds < 3
    rounds = (QUICK_STARTS if quick else STARTS) + 1 if starting else 1 if quick else 3
    for number in range(rounds):
        for at in in_turn(len(servers), number):
            done = kind.round(servers[at], plan.load_core)
            if number or not starting:
                measured.rounds[servers[at].contestant.key].append(done)
            tell(f"{measured.workload.key} {number + 1}/{rounds}  {servers[at].title}: {done[kind.columns[0]]:.2f}")


def in_turn(number_of_servers: int, number: int) -> list[int]:
    """Each round begins with the next server, so that none is always first."""
    first = number % number_of_servers
    return [*range(first, number_of_servers), *range(first)]
