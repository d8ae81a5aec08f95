"""Line charts as SVG, written by hand: no scripts, no fonts of their own, readable on light and dark pages."""

import math
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 190, 52, 56
# Lines of text must not touch each other at the right edge.
LABEL_GAP = 16

# Told apart by people who see colours differently (Okabe and Ito); light page, dark page.
COLOURS = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8c42"),
    ("#008f68", "#2fc99a"),
    ("#b0558f", "#e69ac8"),
    ("#8a6d00", "#f0e442"),
    ("#555555", "#bbbbbb"),
    ("#7a3fd0", "#b79cf5"),
]
MARKS = ["circle", "square", "diamond", "triangle", "ring", "cross", "bar"]


@dataclass
class Chart:
    """What is drawn; `lines` maps a name to its points (x, y), x above 0."""

    title: str
    x_label: str
    y_label: str
    lines: dict = field(default_factory=dict)
    log_y: bool = False
    x_text: object = None
    y_text: object = None


def number(value):
    """Returns a figure as short as can be: 1500 is 1.5 k."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def svg(chart):
    """Returns the chart as a document."""
    xs = sorted({x for points in chart.lines.values() for x, _ in points})
    ys = [y for points in chart.lines.values() for _, y in points]
    if not xs:
        raise ValueError(f"{chart.title}: nothing to draw")
    ticks = y_ticks(min(ys), max(ys), chart.log_y)
    at_x = scale(math.log(xs[0]), math.log(xs[-1]), LEFT, WIDTH - RIGHT)
    lowest, highest = (math.log(ticks[0]), math.log(ticks[-1])) if chart.log_y else (ticks[0], ticks[-1])
    at_y = scale(lowest, highest, HEIGHT - BOTTOM, TOP)
    place = lambda x, y: (at_x(math.log(x)), at_y(math.log(y) if chart.log_y else y))  # noqa: E731
    parts = [head(chart), *grid(chart, ticks, xs, place)]
    ends = []
    for index, (name, points) in enumerate(chart.lines.items()):
        placed = [place(x, y) for x, y in points]
        track = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline class="line c{index % len(COLOURS)}" points="{track}"/>')
        parts += [mark(index, x, y) for x, y in placed]
        ends.append((placed[-1][1], index, name))
    parts += labels(ends)
    parts.append("</svg>\n")
    return "\n".join(parts)


def scale(low, high, start, end):
    """Returns the function that maps low..high to start..end; one value alone is put in the middle."""
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def y_ticks(low, high, is_log):
    """Returns round values that enclose the data: from 0, or whole powers of ten."""
    if is_log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    high = high or 1
    rough = high / 5
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [step * count for count in range(math.ceil(high / step - 1e-9) + 1)]


def head(chart):
    """Returns the start of the document with colours for both kinds of page."""
    light = "".join(f".c{i}{{stroke:{a}}}.f{i}{{fill:{a}}}" for i, (a, _) in enumerate(COLOURS))
    dark = "".join(f".c{i}{{stroke:{b}}}.f{i}{{fill:{b}}}" for i, (_, b) in enumerate(COLOURS))
    names = ", ".join(chart.lines)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title about">
<title id="title">{escape(chart.title)}</title>
<desc id="about">{escape(f"{chart.y_label} against {chart.x_label}: {names}")}</desc>
<style>
text{{font:12px system-ui,sans-serif;fill:#333}}.name{{font-size:15px;font-weight:600;fill:#111}}.page{{fill:#fff;stroke:#ddd}}
.rule{{stroke:#e4e4e4}}.axis{{stroke:#888}}.line{{fill:none;stroke-width:2;stroke-linejoin:round}}.open{{fill:#fff;stroke-width:2}}
.lead{{stroke-width:1;opacity:.6;fill:none}}{light}
@media (prefers-color-scheme:dark){{text{{fill:#ccc}}.name{{fill:#eee}}.page{{fill:#16191d;stroke:#333}}.rule{{stroke:#2b2f35}}.axis{{stroke:#777}}.open{{fill:#16191d}}{dark}}}
</style>
<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>
<text class="name" x="{LEFT}" y="28">{escape(chart.title)}</text>"""


def grid(chart, ticks, xs, place):
    """Yields rules, axes and their texts."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in ticks:
        y = place(xs[0], tick)[1]
        yield f'<line class="rule" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape((chart.y_text or number)(tick))}</text>'
    yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    last = -100.0
    for x in xs:
        at = place(x, ticks[-1])[0]
        yield f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
        if at - last >= 44:
            yield f'<text x="{at:.1f}" y="{bottom + 19}" text-anchor="middle">{escape((chart.x_text or number)(x))}</text>'
            last = at
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 16}" text-anchor="middle">{escape(chart.x_label)}</text>'
    middle = (TOP + bottom) / 2
    yield f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">{escape(chart.y_label)}</text>'


def mark(index, x, y):
    """Returns a point: shapes differ too, for who sees no colours."""
    colour = index % len(COLOURS)
    kind = MARKS[index % len(MARKS)]
    if kind == "circle":
        return f'<circle class="f{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if kind == "ring":
        return f'<circle class="open c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    paths = {
        "square": "M-3.5-3.5h7v7h-7z",
        "diamond": "M0-5L5 0L0 5L-5 0z",
        "triangle": "M0-5L4.6 3.5H-4.6z",
        "cross": "M-4.5-2.5l2-2l2.5 2.5l2.5-2.5l2 2l-2.5 2.5l2.5 2.5l-2 2l-2.5-2.5l-2.5 2.5l-2-2l2.5-2.5z",
        "bar": "M-1.5-5h3v10h-3z",
    }
    return f'<path class="f{colour}" transform="translate({x:.1f} {y:.1f})" d="{paths[kind]}"/>'


def labels(ends):
    """Yields the names at the right, moved apart, each with a line to the end of its curve."""
    right = WIDTH - RIGHT
    spots = apart([y for y, _, _ in sorted(ends)], TOP, HEIGHT - BOTTOM)
    for spot, (y, index, name) in zip(spots, sorted(ends)):
        colour = index % len(COLOURS)
        yield f'<path class="lead c{colour}" d="M{right + 6} {y:.1f}L{right + 20} {spot:.1f}"/>'
        yield mark(index, right + 28, spot)
        yield f'<text x="{right + 38}" y="{spot + 4:.1f}">{escape(name)}</text>'


def apart(spots, top, bottom):
    """Moves rising positions apart, and keeps them between top and bottom as far as there is room."""
    moved = []
    for spot in spots:
        moved.append(max(spot, moved[-1] + LABEL_GAP if moved else top))
    limit = bottom
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - LABEL_GAP
    return moved
