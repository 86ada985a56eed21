"""SQLPage, built from its source in the registry: that takes long, so only when it is asked for."""

import shutil
from pathlib import Path

from .. import build
from ..fault import Fault
from .base import PEERS, Contestant, Place

VERSION = "0.47.0"


class SqlPage(Contestant):
    family = "sqlpage"
    ready = "/fortunes"
    makes_database = False

    def obtain(self, asked_for: bool) -> None:
        if program().exists():
            return
        if not asked_for:
            raise Fault(f"SQLPage isn't built yet; `bench/run --with {self.family}` builds it, which takes half an hour")
        command = ["cargo", "install", "sqlpage", "--version", VERSION, "--locked", "--features", "odbc-static"]
        build.run("building SQLPage", [*command, "--root", build.cache("sqlpage")])

    def commands(self, place: Place) -> list[list[str]]:
        shutil.copytree(PEERS / "sqlpage", place.folder / "web", dirs_exist_ok=True)
        return [[str(program()), "--web-root", str(place.folder / "web")]]

    def environment(self, place: Place) -> dict[str, str]:
        database = place.url or f"sqlite://{place.database}"
        return {
            "LISTEN_ON": f"127.0.0.1:{place.port}",
            "DATABASE_URL": database,
            "RUST_LOG": "error",
            "SQLPAGE_ENVIRONMENT": "production",
            "SQLPAGE_CONFIGURATION_DIRECTORY": str(place.folder / "web" / "sqlpage"),
        }


def program() -> Path:
    return build.cache("sqlpage") / "bin" / "sqlpage"


ROWS = (SqlPage("sqlpage", "SQLPage"),)
