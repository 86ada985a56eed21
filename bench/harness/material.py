"""The files of a run that are too large or too dull to be kept in the repository."""

import gzip
import os
import random
from pathlib import Path

from .browser import Browser
from .fault import Fault

WORDS = "table side lamp shade cable switch bulb price stock order page folder query column row answer visit form".split()
TEXT_SIZE = 20_000


def make(folder: Path) -> Path:
    """64 KiB and 10 MiB that can't be compressed, and a text that can."""
    folder.mkdir()
    chance = random.Random(1)  # the same in each run
    (folder / "64k.bin").write_bytes(chance.randbytes(64 << 10))
    (folder / "10m.bin").write_bytes(chance.randbytes(10 << 20))
    text = paragraphs(chance).encode()
    (folder / "text.txt").write_bytes(text)
    # For those who serve what somebody compressed beforehand.
    (folder / "text.txt.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    for file in folder.iterdir():
        os.chmod(file, 0o644)
    return folder


def paragraphs(chance: random.Random) -> str:
    written, size = [], 0
    while size < TEXT_SIZE:
        words = " ".join(chance.choice(WORDS) + str(chance.randrange(40)) for _ in range(60))
        written.append(f"{words}.\n\n")
        size += len(written[-1])
    return "".join(written)


def keep_page(folder: Path, browser: Browser, path: str) -> None:
    """Makes a file of a page, for a file server to serve the same bytes."""
    answer = browser.get(path)
    if answer.status != 200:
        raise Fault(f"GET {path} gave {answer.status}")
    (folder / "kept.html").write_bytes(answer.body)
