#!/usr/bin/env python3
"""Makes the shop's catalogue from the npm package `openmoji`.

    npm pack openmoji@17.0.0 && tar xzf openmoji-17.0.0.tgz
    python3 catalogue/build.py package

Writes `migrations/0003_groups.csv`, `0004_designers.csv` and `0005_stickers.csv`, and copies the colour drawings with
their licence to `public/stickers/`. The same package always gives the same files. README.md tells the rules.
"""

import csv
import json
import re
import shutil
import sys
import unicodedata
import zlib
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent

# Slug, name, base price in cents, the drawing that stands for the group, a line for its page.
GROUPS = [
    ("smileys-emotion", "Smileys", 150, "1F917", "Faces for every mood, hearts for every occasion, and a few monkeys."),
    ("people-body", "People", 180, "1F483", "At work, at play, in love, in costume. Hands, too."),
    ("animals-nature", "Animals & nature", 190, "1F98A", "Everything that crawls, swims, flies or flowers."),
    ("food-drink", "Food & drink", 170, "1F355", "Breakfast to midnight snack, none of it edible."),
    ("travel-places", "Travel & places", 160, "1F682", "Ways to get there, places to be, and the weather on arrival."),
    ("activities", "Activities", 160, "1F3A8", "Games, sports, parties and prizes."),
    ("objects", "Objects", 140, "1F4F7", "Tools, clothes, instruments and the things in the kitchen drawer."),
    ("symbols", "Symbols", 110, "262F", "Arrows, signs, shapes and the whole zodiac."),
    ("flags", "Flags", 120, "1F3F3-FE0F-200D-1F308", "Countries, regions and causes to wave for."),
    ("extras-openmoji", "OpenMoji extras", 200, "E004", "Drawings that you find on no keyboard: whales, technology, gardening, first aid."),
    ("extras-unicode", "Unicode extras", 130, "1F16D", "Signs from the far corners of the code charts."),
    ("component", "Hair & skin", 100, "1F9B0", "The parts that people are made of."),
]

# Names that the package carries with a damaged letter.
REPAIRED = {"1F3F4-E0065-E0073-E0063-E006C-E007F": "Castile and León flag"}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: build.py FOLDER (the unpacked npm package `openmoji`)")
    package = Path(sys.argv[1])
    entries = json.loads((package / "data" / "openmoji.json").read_text(encoding="utf-8"))
    entries = [entry for entry in entries if not entry["skintone"]]
    for entry in entries:
        entry["annotation"] = clean(REPAIRED.get(entry["hexcode"], entry["annotation"]))

    designers = designer_slugs(entries)
    copy_drawings(package, entries)
    write("0003_groups.csv", group_rows())
    write("0004_designers.csv", [["slug", "name"]] + sorted([slug, name] for name, slug in designers.items()))
    write("0005_stickers.csv", sticker_rows(package, entries, designers))
    print(f"{len(entries)} stickers by {len(designers)} designers in {len(GROUPS)} groups")


def group_rows():
    rows = [["slug", "name", "position", "base_price", "emblem", "about"]]
    for position, (slug, name, price, emblem, about) in enumerate(GROUPS, 1):
        rows.append([slug, name, position, price, emblem, about])
    return rows


def sticker_rows(package, entries, designers):
    order = {group[0]: position for position, group in enumerate(GROUPS)}
    base = {group[0]: group[2] for group in GROUPS}
    # Python's sort keeps the package's own order within a group.
    entries = sorted(entries, key=lambda entry: order[entry["group"]])
    slugs = sticker_slugs(entries)
    rows = [["id", "slug", "name", "emoji", "hexcode", "group_slug", "subgroup", "designer_slug", "drawn_on", "tags",
             "price", "stock"]]
    for number, (entry, slug) in enumerate(zip(entries, slugs), 1):
        drawing = package / "color" / "svg" / (entry["hexcode"] + ".svg")
        rows.append([
            number, slug, entry["annotation"], emoji(entry), entry["hexcode"], entry["group"], entry["subgroups"],
            designers[clean(entry["openmoji_author"])], entry["openmoji_date"], ", ".join(tags(entry)),
            price(base[entry["group"]], drawing.stat().st_size), stock(entry["hexcode"]),
        ])
    return rows


def price(base, size):
    """More lines, more ink: ten cents for each KiB that the drawing takes beyond the first, at most two euros."""
    return base + min(200, 10 * (size // 1024))


def stock(hexcode):
    """A made-up number that never changes: the checksum of the code, from 0 (sold out) to 59."""
    return zlib.crc32(hexcode.encode("ascii")) % 60


def tags(entry):
    """Both lists of the package, without doubles and without what the name says already."""
    words = (clean(word) for word in (entry["tags"] + "," + entry["openmoji_tags"]).split(","))
    seen = {entry["annotation"].lower(), ""}
    kept = []
    for word in words:
        if word.lower() not in seen:
            seen.add(word.lower())
            kept.append(word)
    return kept


def emoji(entry):
    """The character itself; nothing for OpenMoji's own drawings, whose codes no keyboard shows."""
    return "" if "\ue000" <= entry["emoji"][0] <= "\uf8ff" else entry["emoji"]


def sticker_slugs(entries):
    """The name as a slug; of several stickers with one name the later ones carry their code."""
    taken = set()
    slugs = []
    for entry in entries:
        slug = slugify(entry["annotation"]) or entry["hexcode"].lower()
        if slug in taken:
            slug = slug + "-" + entry["hexcode"].lower()
        taken.add(slug)
        slugs.append(slug)
    return slugs


def designer_slugs(entries):
    names = sorted({clean(entry["openmoji_author"]) for entry in entries})
    slugs = {name: slugify(name) for name in names}
    if len(set(slugs.values())) != len(names):
        sys.exit("two designers share a slug")
    return slugs


def clean(text):
    """One spelling for one name: composed letters, single spaces, none at the ends."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()


def slugify(text):
    text = text.replace("ß", "ss").replace("ø", "o").replace("’", "").replace("#", " number sign ").replace("*", " asterisk ")
    letters = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")


def copy_drawings(package, entries):
    folder = SITE / "public" / "stickers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for entry in entries:
        name = entry["hexcode"] + ".svg"
        shutil.copyfile(package / "color" / "svg" / name, folder / name)
    shutil.copyfile(package / "LICENSE.txt", folder / "LICENSE.txt")


def write(name, rows):
    with open(SITE / "migrations" / name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
