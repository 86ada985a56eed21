"""Draws the figures as an SVG: readable on a phone, on light ground and on dark."""

from xml.sax.saxutils import escape

CHOSEN = ("static-1k", "kept", "fortunes", "page-postgres", "mixed", "action")
WIDTH, MARGIN = 360, 14
NAMES, BAR = 148, 128  # widths of the column of names and of the longest bar
LINE, BREAK = 19, 16  # heights of a row and of the gap before a heading

STYLE = """
  .ground { fill: #ffffff; stroke: #d8dee6 }
  text { font: 11px system-ui, sans-serif; fill: #1c2733 }
  .heading { font-size: 13px; font-weight: 600 }
  .small { fill: #5b6875 }
  rect.other { fill: #a9b6c4 }
  rect.own { fill: #c2410c }
  .own { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #151b22; stroke: #303a45 }
    text { fill: #e6ebf1 }
    .small { fill: #9aa7b4 }
    rect.other { fill: #566473 }
    rect.own { fill: #fb923c }
  }
"""


def draw(data: dict) -> str:
    """A chart of requests per second, a group of bars for each workload."""
    measured = {key: each for key, each in data["workloads"].items() if each["columns"][0] == "rate"}
    groups = [measured[key] for key in CHOSEN if key in measured] or list(measured.values())
    machine, settings = data["machine"], data["settings"]
    parts, at = [], MARGIN + 12
    parts.append(text(MARGIN, at, "Thousand requests a second, server on one core", "heading"))
    for group in groups:
        at += BREAK + LINE
        parts.append(text(MARGIN, at, group["title"], "heading"))
        for key, row, share in bars(group):
            at += LINE
            parts += bar(at, key, row, share)
    at += BREAK + LINE
    parts.append(text(MARGIN, at, f"{machine['processor']}, {settings['connections']} connections", "small"))
    height = at + MARGIN
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    ground = f'<rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>'
    label = escape("Bars: " + "; ".join(group["title"] for group in groups))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{label}</title>\n<style>{STYLE}</style>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def bars(group: dict) -> list[tuple[str, dict, float]]:
    """The rows, fastest first, and the length of each one's bar as a share of the longest."""
    rows = sorted(group["rows"].items(), key=lambda row: -row[1]["rate"]["median"])
    most = rows[0][1]["rate"]["median"]
    return [(key, row, row["rate"]["median"] / most) for key, row in rows]


def bar(at: int, key: str, row: dict, share: float) -> list[str]:
    own = "own" if key.startswith("tableside") else "other"
    name = row["title"].partition(" (")[0]
    width = max(1, round(BAR * share))
    shape = f'<rect class="{own}" x="{MARGIN + NAMES}" y="{at - 11}" width="{width}" height="13" rx="2"/>'
    value = f"{row['rate']['median'] / 1000:.1f}"
    return [text(MARGIN, at, name, own), shape, text(MARGIN + NAMES + width + 6, at, value, own)]


def text(x: int, y: int, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'
