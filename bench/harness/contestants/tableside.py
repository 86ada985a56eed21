"""Tableside, as `serve` runs it."""

from dataclasses import dataclass, replace
from pathlib import Path

from .. import build
from .base import Contestant, Place

# As many connections as the others are given: when it is full it lets resting ones go.
ROOM = ("--set", "limits.connections=16384")
KEPT = {"/kept.html": "/products/product-1"}


@dataclass(frozen=True)
class Tableside(Contestant):
    given: Path | None = None  # `--tableside PROGRAM`: this one, instead of building one

    family = "tableside"

    def obtain(self, asked_for: bool) -> None:
        self._program()

    def commands(self, place: Place) -> list[list[str]]:
        listen = f"127.0.0.1:{place.port}"
        return [[str(self._program()), "serve", str(place.site), "--listen", listen, *self.options]]

    def environment(self, place: Place) -> dict[str, str]:
        return {"DATABASE_URL": place.url} if place.url else {}

    def _program(self) -> Path:
        return self.given or build.cargo(build.ROOT / "Cargo.toml", "tableside")


def as_asked(row: Contestant, given: Path | None, options: list[str]) -> Contestant:
    """The row with the command line's program and options."""
    if not isinstance(row, Tableside):
        return row
    return replace(row, given=given, options=(*row.options, *options))


FIRST_PAGE = {"/1k.txt": "/"}
MARKET = build.ROOT / "examples" / "market"
ROWS = (
    Tableside("tableside", "Tableside", ROOM, paths=KEPT),
    Tableside("tableside_uncached", "Tableside, cache off", (*ROOM, "--set", "limits.cache=0"), paths=KEPT),
    Tableside("market", "Tableside, examples/market", site=MARKET, paths=FIRST_PAGE),
    Tableside("market_fresh", "Tableside, examples/market, new database", site=MARKET, paths=FIRST_PAGE, fresh=True),
)
