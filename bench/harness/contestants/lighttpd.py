"""lighttpd, Debian's."""

from .base import PEERS, Contestant, Place


class Lighttpd(Contestant):
    family = program = package = "lighttpd"

    def commands(self, place: Place) -> list[list[str]]:
        file = place.fill(PEERS / "lighttpd" / "lighttpd.conf")
        return [["lighttpd", "-D", "-f", str(file)]]


ROWS = (Lighttpd("lighttpd", "lighttpd", info=True),)
