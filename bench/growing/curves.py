"""Curves as SVG: few lines, named at their ends, readable on a phone, in light and in dark."""

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 54, 72, 30, 34  # room for figures, names, the title and sizes

STYLE = """
text { font: 11px system-ui, sans-serif; fill: #1c2321 }
.title { font-weight: 600; font-size: 12px }
.soft { fill: #56635f }
.grid { stroke: #dfe2db; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9e6 }
  .soft { fill: #9fb0aa }
  .grid { stroke: #2d3834 }
}
"""

# Told apart by their lightness, too; in the order of the lines.
COLOURS = (("#0f766e", "#5ecabc"), ("#b45309", "#f0a860"), ("#6d28d9", "#b79bf0"), ("#475569", "#a8b6c8"))


@dataclass(frozen=True)
class Line:
    """One curve: its name, and its points."""

    name: str
    points: list[tuple[float, float]]


def chart(title: str, unit: str, lines: list[Line]) -> str:
    """A chart whose both scales are logarithmic: growth in proportion is a straight line that rises by a whole step."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [max(y, 1e-3) for line in lines for _, y in line.points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    high = max(high, low + 1)

    def across(x: float) -> float:
        span = math.log10(max(xs)) - math.log10(min(xs)) or 1
        return LEFT + (math.log10(x) - math.log10(min(xs))) / span * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(max(y, 1e-3)) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text class="title" x="4" y="14">{escape(title)}</text>']
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{figure(10.0**power)}</text>')
    for x in sorted(set(xs)):
        parts.append(
            f'<text class="soft" x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{figure(x)}</text>'
        )
    parts.append(f'<text class="soft" x="4" y="{HEIGHT - 4}">{escape(unit)}</text>')
    names = spread([up(line.points[-1][1]) for line in lines])
    for place, line in enumerate(lines):
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline class="line c{place}" points="{points}"/>')
        parts.extend(f'<circle class="dot{place}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5"/>' for x, y in line.points)
        parts.append(f'<text class="dot{place}" x="{WIDTH - RIGHT + 8}" y="{names[place] + 4:.1f}">{escape(line.name)}</text>')
    return document(title, lines, parts)


def document(title: str, lines: list[Line], parts: list[str]) -> str:
    """The whole file."""
    light = "".join(f".c{at} {{ stroke: {one} }} .dot{at} {{ fill: {one} }}\n" for at, (one, _) in enumerate(COLOURS))
    dark = "".join(f".c{at} {{ stroke: {two} }} .dot{at} {{ fill: {two} }}\n" for at, (_, two) in enumerate(COLOURS))
    told = "; ".join(
        f"{line.name}: " + ", ".join(f"{figure(x)} {figure(y)}" for x, y in line.points) for line in lines
    )
    style = f"{STYLE}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(told)}</desc>\n<style>{style}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def spread(heights: list[float]) -> list[float]:
    """Heights at which names don't stand in each other's way."""
    order = sorted(range(len(heights)), key=lambda at: heights[at])
    placed = list(heights)
    for before, at in zip(order, order[1:]):
        placed[at] = max(placed[at], placed[before] + 13)
    over = max((placed[at] for at in order), default=0) - (HEIGHT - BOTTOM)
    return [height - max(0, over) for height in placed]


def figure(value: float) -> str:
    """A short figure: 0.2, 35, 1,200, 10 M."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}"
