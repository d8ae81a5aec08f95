"""The curves as tables between the markers of `docs/scale.md`, and as charts beside it."""

import datetime

from lib import page, plot, tools
from scale import fit

PAGE = tools.ROOT / "docs" / "scale.md"


def sizes(curve):
    """Returns every N of a curve, rising."""
    return sorted({n for points in curve.lines.values() for n, _ in points})


def size_text(curve):
    """Returns what writes an N of this curve."""
    return octets if curve.name == "bodies" else "{:,}".format


def octets(size):
    """Returns a size of a body: 64 KiB."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def growth(curve, points):
    """Says how one line of a curve grows."""
    if curve.is_proportional:
        return f"N^{fit.exponent(points):.2f} at the end"
    unit = {"instructions per request": "instructions"}.get(curve.unit, curve.unit)
    return fit.fit(points).says(unit, curve.each)


def judge(curve):
    """Returns a sentence for each line that grows faster than it may."""
    if not curve.is_judged:
        return []
    fitted = {name: fit.fit(points) for name, points in curve.lines.items()}
    return [f"{curve.title}: {name} is {found.says()}" for name, found in fitted.items() if not found.is_bounded()]


def markdown(curve):
    """Returns title, chart and table of a curve."""
    columns = sizes(curve)
    write = size_text(curve)
    rows = []
    for name, points in curve.lines.items():
        known = dict(points)
        figures = [f"{known[n]:,.{curve.decimals}f}" if n in known else "" for n in columns]
        rows.append([name, *figures, growth(curve, points)])
    table = page.table(["", *(write(n) for n in columns), "growth"], rows, ("", "growth"))
    about = f"{curve.unit[0].upper()}{curve.unit[1:]}. {datetime.date.today().isoformat()}, {tools.machine()}."
    return f"### {curve.title}\n\n![{curve.title}]({chart_path(curve).name})\n\n{table}\n{about}\n"


def chart_path(curve):
    """Returns where the chart of a curve is."""
    return PAGE.parent / f"scale-{curve.name}.svg"


def chart(curve):
    """Returns the chart of a curve as SVG."""
    # What is proportional spans decades in both directions.
    is_wide = curve.is_proportional or curve.name in ("bodies", "connection-memory", "memory")
    x_label = curve.title.rsplit("by ", 1)[-1]
    x_text = octets if curve.name == "bodies" else None
    return plot.svg(plot.Chart(curve.title, x_label, curve.unit, curve.lines, log_y=is_wide, x_text=x_text))


def write(measured):
    """Puts the groups into the page and their charts beside it; `measured` maps keys to curves."""
    page.write(PAGE, {f"scale {key}": "\n".join(markdown(curve) for curve in curves) for key, curves in measured.items()})
    for curve in (curve for curves in measured.values() for curve in curves):
        chart_path(curve).write_text(chart(curve), encoding="utf-8")
