"""Grouped horizontal bars as SVG: no scripts, text as text, readable on light and dark pages."""

from dataclasses import dataclass
from html import escape

WIDTH = 880
LABEL_WIDTH = 270
RIGHT = 56
TOP = 84
BAR = 13
GAP = 16
FOOT = 44

# Told apart by lightness too, for those who see no hue. One each for light and dark, on a background of the picture's own: a page's
# colours do not always follow what the reader's system prefers.
COLOURS = [("#3d8a63", "#56b083"), ("#9aa4af", "#7d8893"), ("#d29a4a", "#c99a55"), ("#1f5fd0", "#58a6ff")]
STYLE = """text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; } .small { font-size: 12px; fill: #59636e; }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 2px; }
.paper { fill: #ffffff; } .grid { stroke: #d1d9e0; } .base { stroke: #1f2328; stroke-width: 1.5; } .mark { stroke: #cf222e; stroke-width: 2.5; }
.under { stroke: #ffffff; stroke-width: 5; }"""
DARK = """text { fill: #f0f6fc; } .small { fill: #9198a1; } .value { stroke: #0d1117; } .paper { fill: #0d1117; } .grid { stroke: #3d444d; } .base { stroke: #f0f6fc; }
.mark { stroke: #ff7b72; } .under { stroke: #0d1117; }"""


@dataclass
class Group:
    """Bars that belong together: `values` in the order of the series, None where there is none; `mark` is a limit to draw on the last one.

    The label gets a second line behind its first comma.
    """

    label: str
    values: list
    mark: float | None = None


def svg(title, note, series, groups, base=1.0, mark="limit"):
    """Returns the picture; `base` is the value that all are compared with."""
    most = max([base, *(value for group in groups for value in [*group.values, group.mark] if value is not None)])
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100) if most / step <= 8)
    end = step * (int(most / step) + 1)
    scale = (WIDTH - LABEL_WIDTH - RIGHT) / end
    tall = len(series) * BAR + GAP
    height = TOP + len(groups) * tall + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{style(len(series))}\n</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
        *legend(series, mark if any(group.mark is not None for group in groups) else None),
        *grid(step, end, scale, base, height),
    ]
    for number, group in enumerate(groups):
        parts += bars(group, TOP + number * tall + GAP / 2, scale)
    parts += [f'<text class="small" x="16" y="{height - 10}">{escape(note)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def style(count):
    """Returns the style sheet. The last series is the one to look at: it always has the last colour."""
    chosen = COLOURS[-count:]
    light = " ".join(f".s{number} {{ fill: {pair[0]}; }}" for number, pair in enumerate(chosen))
    dark = " ".join(f".s{number} {{ fill: {pair[1]}; }}" for number, pair in enumerate(chosen))
    return f"{STYLE}\n{light}\n@media (prefers-color-scheme: dark) {{\n{DARK}\n{dark}\n}}"


def legend(series, mark):
    """Returns the names of the series."""
    left, parts = 16, []
    for number, name in enumerate(series):
        parts.append(f'<rect class="s{number}" x="{left}" y="43" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{left + 18}" y="54">{escape(name)}</text>')
        left += 44 + 8 * len(name)
    if mark:
        parts.append(f'<line class="mark" x1="{left + 6}" x2="{left + 6}" y1="42" y2="56"/>')
        parts.append(f'<text x="{left + 18}" y="54">{escape(mark)}</text>')
    return parts


def grid(step, end, scale, base, height):
    """Returns the lines behind the bars, with their figures."""
    parts, bottom = [], height - FOOT + 4
    for number in range(round(end / step) + 1):
        value = number * step
        x = round(LABEL_WIDTH + value * scale, 1)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="small" x="{x}" y="{TOP - 7}" text-anchor="middle">{value:g}</text>')
    x = round(LABEL_WIDTH + base * scale, 1)
    parts.append(f'<line class="base" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
    return parts


def bars(group, top, scale):
    """Returns one group."""
    first, _, second = group.label.partition(", ")
    middle = top + len(group.values) * BAR / 2 + (-3 if second else 4)
    parts = [f'<text x="{LABEL_WIDTH - 12}" y="{middle:g}" text-anchor="end">{escape(first)}</text>']
    if second:
        parts.append(f'<text class="small" x="{LABEL_WIDTH - 12}" y="{middle + 15:g}" text-anchor="end">{escape(second)}</text>')
    for number, value in enumerate(group.values):
        if value is None:
            continue
        y = top + number * BAR
        parts.append(f'<rect class="s{number}" x="{LABEL_WIDTH}" y="{y:g}" width="{value * scale:.1f}" height="{BAR - 2}" rx="1"/>')
        last = number == len(group.values) - 1 and group.mark is not None
        right = LABEL_WIDTH + max(value, group.mark if last else 0) * scale
        parts.append(f'<text class="small value" x="{right + 6:.1f}" y="{y + BAR - 3:g}">{value:.2f}</text>')
        if last:
            x = LABEL_WIDTH + group.mark * scale
            place = f'x1="{x:.1f}" x2="{x:.1f}" y1="{y - 1:g}" y2="{y + BAR - 1:g}"'
            # On a bar of any colour, a red line needs a rim to be seen.
            parts += [f'<line class="under" {place}/>', f'<line class="mark" {place}/>']
    return parts
