"""The results as Markdown, on standard output and between the markers of `docs/performance.md`."""

import datetime

from lib import tools
from peers.measure import MAX_NOISE

BEGIN = "<!-- peers: begin -->"
END = "<!-- peers: end -->"


def markdown(results, fixed, contestants, versions, command, rounds, seconds):
    """Returns the whole report."""
    names = [contestant.name for contestant in contestants]
    parts = [
        f"Measured on {datetime.date.today().isoformat()} by `{command}`: {rounds} rounds of {seconds} s.\n",
        f"Machine: {tools.machine()}.\n",
        f"Versions: {', '.join(versions)}.\n",
        f"Noise floor, nginx against nginx: {noise(results)}.\n",
        "CPU per request relative to nginx; less is better:\n",
        table(["load", *names], [summary(result, names) for result in results]),
        "The figures behind it:\n",
        table(
            ["load", "proxy", "us/req", "to nginx", "spread", "busy", "requests/s", "p99"],
            [row for result in results for row in details(result, names)],
        ),
    ]
    if fixed:
        parts += [f"{fixed.scenario.title}, not judged:\n", table(["proxy", "us/req", "busy"], [idle(fixed, name) for name in names])]
    if "tidegate" in names:
        parts += ["Gates:\n", table(["load", "against", "ratio", "gate", ""], gates(results)[0])]
    return "\n".join(parts)


def gates(results):
    """Returns the rows of the gates, and whether all are met."""
    rows, met = [], True
    for result in results:
        for peer, highest in result.scenario.gates.items():
            ratio = result.ratio("tidegate", peer)
            met &= ratio <= highest
            rows.append([result.scenario.title, peer, f"{ratio:.2f}", f"<= {highest:.2f}", "met" if ratio <= highest else "**missed**"])
    return rows, met


def write(path, text):
    """Puts the report between the markers."""
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise tools.Failed(f"{path}: needs the markers {BEGIN} and {END}, once each")
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    path.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}", encoding="utf-8")


def noise(results):
    """Returns the worst difference of the two nginx, and what is accepted."""
    worst = max(result.noise() for result in results)
    return f"{worst:.3f} at worst ({MAX_NOISE} is accepted)"


def summary(result, names):
    """One load's ratios."""
    return [result.scenario.title, *(f"{result.ratio(name):.2f}" for name in names)]


def details(result, names):
    """One load's figures, a row for each contestant."""
    for name in names:
        p99 = result.p99_ms(name)
        yield [
            result.scenario.title,
            name,
            f"{result.us(name):.2f}",
            f"{result.ratio(name):.3f}",
            f"{result.spread(name):.0%}",
            f"{result.least_busy(name):.2f}",
            f"{result.rate(name):,.0f}",
            "" if p99 is None else f"{p99:.2f} ms",
        ]


def idle(result, name):
    """One contestant at a fixed rate."""
    return [name, f"{result.us(name):.2f}", f"{result.least_busy(name):.2f}"]


def table(head, rows):
    """Returns a Markdown table, figures to the right."""
    lines = [head, ["---"] + ["---:" if text not in ("proxy", "against") else "---" for text in head[1:]], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
