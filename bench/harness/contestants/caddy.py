"""Caddy, Debian's."""

from .base import PEERS, Contestant, Place


class Caddy(Contestant):
    family = program = package = "caddy"
    precompressed = True

    def commands(self, place: Place) -> list[list[str]]:
        file = place.fill(PEERS / "caddy" / "Caddyfile")
        return [["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]]

    def environment(self, place: Place) -> dict[str, str]:
        # It writes below these.
        return {"HOME": str(place.folder), "XDG_CONFIG_HOME": str(place.folder), "XDG_DATA_HOME": str(place.folder)}


ROWS = (Caddy("caddy", "Caddy"),)
