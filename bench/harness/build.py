"""Gets what a run needs: Rust programs by cargo, Debian's packages when root, others in a cache."""

import functools
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from .fault import Fault

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
BUILD_LIMIT = 2 * 3600  # seconds; a first build of everything on a small machine
INSTALL_LIMIT = 300


@functools.cache
def cargo(manifest: Path, name: str) -> Path:
    """Builds a package in release mode and returns the path of its program. The peer's SQLite is as rusqlite compiles it."""
    command = ["cargo", "build", "--release", "--manifest-path", str(manifest), "--bin", name]
    command += ["--message-format", "json-render-diagnostics"]
    tell(f"Building {name} ...")
    own = manifest == ROOT / "Cargo.toml"
    environment = os.environ if own else {**os.environ, "LIBSQLITE3_FLAGS": ""}
    try:
        built = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=BUILD_LIMIT, env=environment)
    except FileNotFoundError:
        raise Fault("cargo is missing: install Rust (https://rustup.rs)") from None
    except subprocess.TimeoutExpired:
        raise Fault(f"building {name} took more than {BUILD_LIMIT} s") from None
    if built.returncode != 0:
        raise Fault(f"{name} doesn't build, see above")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return Path(message["executable"])
    raise Fault(f"cargo built {manifest} but named no program {name}")


def run(what: str, command: list, folder: Path | None = None) -> None:
    """Runs something that takes a while and must go well."""
    tell(f"{what[0].upper()}{what[1:]} ...")
    try:
        done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=BUILD_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise Fault(f"{what} failed: {cause}") from cause
    if done.returncode != 0:
        raise Fault(f"{what} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def cache(name: str) -> Path:
    """The folder of what was installed for a contestant; kept between runs."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute() / "bench-peers" / name


@contextmanager
def once(folder: Path, recipe: Path):
    """Gives whether the folder must be made anew, and remembers what it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder.parent / f"{folder.name}.made-from"
    needed = not stamp.exists() or stamp.read_text() != recipe.read_text()
    yield needed
    stamp.write_text(recipe.read_text())


def need(program: str, package: str) -> None:
    """Refuses to go on without a program of Debian's; installs it when root."""
    if not shutil.which(program):
        install(package)
    if not shutil.which(program):
        raise Fault(f"{program} is missing: apt-get install {package}")


def install(*packages: str) -> None:
    """Installs Debian's packages when root; the caller sees whether they are there.

    Not where systemd would start them as services: that is for the owner to decide.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get") or Path("/run/systemd/system").exists():
        return
    tell(f"Installing {' '.join(packages)} ...")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    subprocess.run(command, stdout=sys.stderr, timeout=INSTALL_LIMIT, check=False)


def tell(text: str) -> None:
    """What happens, for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)
