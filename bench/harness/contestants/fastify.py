"""Fastify on Node.js with better-sqlite3 and pg."""

import shutil

from .. import build
from ..fault import Fault
from .base import PEERS, Contestant, Place


class Fastify(Contestant):
    family = "fastify"
    ready = "/fortunes"
    makes_database = False

    def obtain(self, asked_for: bool) -> None:
        if not shutil.which("node") or not shutil.which("npm"):
            raise Fault("Node.js is missing: apt-get install nodejs npm")
        folder, package = build.cache("fastify"), PEERS / "fastify" / "package.json"
        with build.once(folder, package) as needed:
            if needed:
                shutil.copy(package, folder)
                build.run("installing Fastify", ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], folder)
        shutil.copy(PEERS / "fastify" / "server.js", folder)

    def commands(self, place: Place) -> list[list[str]]:
        return [["node", str(build.cache("fastify") / "server.js"), str(place.port)]]

    def environment(self, place: Place) -> dict[str, str]:
        return {"NODE_ENV": "production", "SHOP_DATABASE": place.url or str(place.database)}


ROWS = (Fastify("fastify", "Fastify"),)
