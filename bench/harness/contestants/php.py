"""PHP: php-fpm with a static pool, behind nginx."""

import glob
import shutil
from pathlib import Path

from .. import build
from ..fault import Fault
from .base import PEERS, Contestant, Place, as_root

# Scripts are compiled once and never looked at again.
OPCACHE = ("opcache.enable=1", "opcache.validate_timestamps=0", "opcache.jit=tracing", "opcache.jit_buffer_size=64M")


class Php(Contestant):
    family = "php"
    ready = "/fortunes"
    makes_database = False

    def obtain(self, asked_for: bool) -> None:
        build.need("nginx", "nginx-light")
        if not programs() or not drivers():
            build.install("php-fpm", "php-sqlite3", "php-pgsql")
        if not programs() or not drivers():
            raise Fault("php-fpm with PDO's drivers is missing: apt-get install php-fpm php-sqlite3 php-pgsql")

    def commands(self, place: Place) -> list[list[str]]:
        folder = PEERS / "php"
        values = {"www": folder / "www", "dsn": data_source(place)}
        nginx = place.fill(folder / "nginx.conf", **values)
        fpm = place.fill(folder / "php-fpm.conf", **values)
        settings = [part for each in OPCACHE for part in ("-d", each)]
        pool = [programs()[-1], "--nodaemonize", "--fpm-config", str(fpm), *settings]
        return [pool + (["--allow-to-run-as-root"] if as_root() else []), ["nginx", "-e", "stderr", "-c", str(nginx)]]


def data_source(place: Place) -> str:
    """The database in PDO's words."""
    if place.url is None:
        return f"sqlite:{place.database}"
    user, _, rest = place.url.removeprefix("postgres://").partition("@")
    host, _, name = rest.partition("/")
    address, _, port = host.partition(":")
    return f"pgsql:host={address};port={port};dbname={name.partition('?')[0]};user={user};sslmode=disable"


def programs() -> list[str]:
    """Debian names the version in the program's name."""
    named = shutil.which("php-fpm")
    return sorted(glob.glob("/usr/sbin/php-fpm*")) or ([named] if named else [])


def drivers() -> bool:
    """Whether PDO's drivers lie where Debian puts them; elsewhere they are taken for granted."""
    folders = [Path(each) for each in glob.glob("/usr/lib/php/2*")]
    return not folders or any((each / "pdo_sqlite.so").exists() and (each / "pdo_pgsql.so").exists() for each in folders)


ROWS = (Php("php", "PHP (php-fpm, nginx)"),)
