"""Django behind gunicorn, in a virtual environment of its own."""

import sys
from pathlib import Path

from .. import build
from .base import PEERS, Contestant, Place


class Django(Contestant):
    family = "django"
    ready = "/fortunes"
    makes_database = False

    def obtain(self, asked_for: bool) -> None:
        requirements = PEERS / "django" / "requirements.txt"
        with build.once(environment_folder(), requirements) as needed:
            if needed:
                build.run("making Django's virtual environment", [sys.executable, "-m", "venv", "--clear", environment_folder()])
                build.run("installing Django", [environment_folder() / "bin" / "pip", "install", "-q", "-r", requirements])

    def commands(self, place: Place) -> list[list[str]]:
        # A second worker has work while the first waits for PostgreSQL; on SQLite it only costs.
        workers = "2" if place.url else "1"
        program = str(environment_folder() / "bin" / "gunicorn")
        listen = ["--bind", f"127.0.0.1:{place.port}", "--chdir", str(PEERS / "django"), "--log-level", "error"]
        return [[program, "--no-control-socket", *listen, "--workers", workers, *self.options, "shop:application"]]

    def environment(self, place: Place) -> dict[str, str]:
        return {"SHOP_DATABASE": place.url or str(place.database), "PYTHONDONTWRITEBYTECODE": "1"}


def environment_folder() -> Path:
    return build.cache("django")


ROWS = (Django("django", "Django (gunicorn)", ("--worker-class", "gthread", "--threads", "1")),)
