"""Draws the figures as an SVG: readable on a phone, on light ground and on dark."""

from xml.sax.saxutils import escape

# The workloads that tell most, with headings that fit.
CHOSEN = {
    "static-1k": "A file of 1 KiB",
    "kept": "A cached page, a file of the same size",
    "fortunes": "A page of 13 rows, SQLite",
    "page-postgres": "A page of one row, PostgreSQL",
    "mixed": "95 % readings, 5 % writings",
    "action": "A form, committed (NORMAL: not durable)",
}
WIDTH, MARGIN = 360, 14
NAMES, BAR = 148, 128  # widths of the column of names and of the longest bar
LINE, BREAK = 19, 16  # heights of a row and of the gap before a heading

STYLE = """
  .ground { fill: #ffffff; stroke: #d8dee6 }
  text { font: 11px system-ui, sans-serif; fill: #1c2733 }
  .heading { font-size: 12px; font-weight: 600 }
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
    groups = {CHOSEN[key]: measured[key] for key in CHOSEN if key in measured}
    groups = groups or {each["title"]: each for each in measured.values()}
    machine, settings = data["machine"], data["settings"]
    parts, at = [], MARGIN + 12
    parts.append(text(MARGIN, at, "Thousand requests a second on one core", "heading"))
    for heading, group in groups.items():
        at += BREAK + LINE
        parts.append(text(MARGIN, at, heading, "heading"))
        for name, rate, share in bars(group):
            at += LINE
            parts += bar(at, name, rate, share)
    at += BREAK + LINE
    parts.append(text(MARGIN, at, f"{machine['processor']}, {settings['connections']} connections", "small"))
    height = at + MARGIN
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    ground = f'<rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>'
    label = escape("Bars: " + "; ".join(groups))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{label}</title>\n<style>{STYLE}</style>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def bars(group: dict) -> list[tuple[str, float, float]]:
    """Name and rate of each row, fastest first, and its bar as a share of the longest.

    Of nginx with sendfile and without, the faster one stands for both.
    """
    rates: dict[str, float] = {}
    for key, row in group["rows"].items():
        name = "nginx" if key.startswith("nginx") else row["title"].partition(" (")[0]
        rates[name] = max(rates.get(name, 0), row["rate"]["median"])
    most = max(rates.values())
    return [(name, rate, rate / most) for name, rate in sorted(rates.items(), key=lambda each: -each[1])]


def bar(at: int, name: str, rate: float, share: float) -> list[str]:
    kind = "own" if name.startswith("Tableside") else "other"
    width = max(1, round(BAR * share))
    shape = f'<rect class="{kind}" x="{MARGIN + NAMES}" y="{at - 11}" width="{width}" height="13" rx="2"/>'
    return [text(MARGIN, at, name, kind), shape, text(MARGIN + NAMES + width + 6, at, f"{rate / 1000:.1f}", kind)]


def text(x: int, y: int, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'
