"""Builds the programs and makes sure that wrk is there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .fault import Fault

BUILD_LIMIT = 3600  # seconds; a first build of everything on a small machine
INSTALL_LIMIT = 300


def program(manifest: Path, name: str) -> Path:
    """Builds a package in release mode and returns the path of its program."""
    command = ["cargo", "build", "--release", "--manifest-path", str(manifest), "--bin", name]
    command += ["--message-format", "json-render-diagnostics"]
    print(f"Building {name} ...", file=sys.stderr, flush=True)
    try:
        built = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=BUILD_LIMIT)
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


def need_tools() -> None:
    """Installs wrk when root, and refuses to go on without it or taskset."""
    if shutil.which("taskset") is None:
        raise Fault("taskset is missing; it is in the package util-linux")
    if shutil.which("wrk"):
        return
    install("wrk")
    if shutil.which("wrk") is None:
        raise Fault("wrk, the load generator, is missing; as root: apt-get update && apt-get install wrk")


def install(package: str) -> None:
    """Installs a Debian package when root; the caller sees whether it is there."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {package} ...", file=sys.stderr, flush=True)
        command = ["apt-get", "install", "-y", "--no-install-recommends", package]
        subprocess.run(command, stdout=sys.stderr, timeout=INSTALL_LIMIT, check=False)
