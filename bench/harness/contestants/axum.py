"""The hand-written program of bench/peer: axum, rusqlite, askama."""

from pathlib import Path

from .. import build
from .base import Contestant, Place


class Axum(Contestant):
    family = "axum"
    precompressed = True

    def obtain(self, asked_for: bool) -> None:
        self._program()

    def commands(self, place: Place) -> list[list[str]]:
        database = place.url or str(place.database)
        listen = f"127.0.0.1:{place.port}"
        return [[str(self._program()), str(place.site), "--listen", listen, "--database", database, *self.options]]

    def _program(self) -> Path:
        return build.cargo(build.BENCH / "peer" / "Cargo.toml", "peer")


KEPT = {"/kept.html": "/products/product-1"}
NORMAL = ("--synchronous", "normal")
ROWS = (
    Axum("axum", "axum", paths=KEPT),
    Axum("axum_again", "axum again", paths=KEPT),
    Axum("axum_fresh", "axum, new database", fresh=True),
    Axum("axum_log", "axum, with a log", ("--access-log",), info=True),
    Axum("axum_memory", "axum, file from memory", paths={"/1k.txt": "/memory/1k.txt"}, info=True),
    Axum("axum_normal", "axum, NORMAL (a commit isn't durable)", NORMAL),
    Axum("axum_together", "axum, in batches (of up to 64 writes)", ("--together", "64"), info=True),
)
