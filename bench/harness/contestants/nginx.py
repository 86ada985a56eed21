"""nginx, Debian's, one worker."""

from .base import PEERS, Contestant, Place


class Nginx(Contestant):
    family = program = "nginx"
    package = "nginx-light"
    http2_apart = True  # before 1.25.1 a port without TLS speaks one of both
    precompressed = True

    def commands(self, place: Place) -> list[list[str]]:
        (sendfile,) = self.options
        file = place.fill(PEERS / "nginx" / "nginx.conf", sendfile=sendfile)
        return [["nginx", "-e", "stderr", "-p", str(place.folder), "-c", str(file)]]


ROWS = (
    Nginx("nginx", "nginx, sendfile on", ("on",)),
    Nginx("nginx_off", "nginx, sendfile off", ("off",)),
)
