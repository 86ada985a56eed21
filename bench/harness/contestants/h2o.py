"""h2o, Debian's, one thread."""

from .base import PEERS, Contestant, Place


class H2o(Contestant):
    family = program = package = "h2o"
    precompressed = True

    def commands(self, place: Place) -> list[list[str]]:
        return [["h2o", "--mode", "worker", "--conf", str(place.fill(PEERS / "h2o" / "h2o.conf"))]]


ROWS = (H2o("h2o", "h2o", info=True),)
