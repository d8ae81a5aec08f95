"""The results as Markdown, on standard output and between the markers of `docs/performance.md`, and as a picture beside it."""

import datetime
from dataclasses import dataclass, field

from lib import bars, page, tools
from peers import contestants, idle, latency, streams
from peers.measure import MAX_NOISE

KEY = "peers"

# Columns of words; all others hold figures.
WORDS = ("load", "proxy", "against", "why", "")

# Judged by the gates.
OURS = (contestants.OURS, contestants.PGO)

# The second nginx is there for the noise floor, not as a peer.
TWIN = "nginx again"


@dataclass
class Findings:
    """All that a run has found. `refused` are pairs of a title and reasons, `unjudged` the titles of those that have gates."""

    results: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    unjudged: list = field(default_factory=list)
    fixed: object = None
    memory: dict = field(default_factory=dict)
    streams: dict = field(default_factory=dict)
    latency: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)

    def anything(self):
        """Whether there is something to report."""
        return bool(self.results or self.fixed or self.memory or self.streams or self.latency)


@dataclass
class Origin:
    """How the findings came to be."""

    versions: list
    command: str
    rounds: int
    seconds: int


def markdown(findings, origin, picture=None):
    """Returns the whole report; `picture` is the name of the plot beside the page."""
    parts = [
        f"Measured on {datetime.date.today().isoformat()} by `{origin.command}`: at most {origin.rounds} rounds of {origin.seconds} s.\n",
        f"Machine: {tools.machine()}.\n",
        f"Versions: {', '.join(origin.versions)}.\n",
        *(f"{note}\n" for note in findings.notes),
    ]
    if findings.results:
        parts += [f"Noise floor, nginx against nginx: {noise(findings.results)}.\n"]
        if picture:
            parts += [f"![CPU per request relative to nginx]({picture})\n"]
        parts += ["CPU per request relative to nginx; less is better:\n", ratios(findings.results)]
    rows = gates(findings)[0]
    if rows:
        parts += ["Gates:\n", table(["load", "proxy", "against", "ratio (95% interval)", "gate", ""], rows)]
    if findings.refused:
        rows = [[title, "refused: " + first_of(reasons)] for title, reasons in findings.refused]
        parts += ["Not believed, and left out:\n", table(["load", "why"], rows)]
    if findings.results:
        rows = [row for result in findings.results for row in details(result)]
        parts += ["The figures behind it:\n", table(["load", "proxy", "us each", "to nginx", "95% interval", "rounds", "busy", "requests/s", "p99"], rows)]
    parts += others(findings)
    return "\n".join(parts)


def others(findings):
    """Returns the tables of what is no load at saturation."""
    parts = []
    if fixed := findings.fixed:
        rows = [[name, f"{fixed.us(name):.2f}", f"{fixed.ratio(name):.2f}", f"{fixed.least_busy(name):.2f}"] for name in fixed.samples]
        parts += [f"{fixed.scenario.title}, not judged:\n", table(["proxy", "us/request", "to nginx", "busy"], rows)]
    if findings.memory:
        parts += [f"{idle.TITLE}, one request each:\n", table(["proxy", "KiB each", "MiB before", "MiB with them"], memory(findings.memory))]
    if findings.streams:
        head = ["proxy", "us/chunk", "to nginx", "received alone", "delay p50", "delay p99"]
        parts += [f"{streams.TITLE}, not judged:\n", table(head, stream_rows(findings.streams))]
    if findings.latency:
        head = ["proxy", "p50", "p99", "added to p50", "added to p99"]
        parts += [f"{latency.TITLE}, not judged:\n", table(head, latency_rows(findings.latency))]
    return parts


def gates(findings):
    """Returns the rows of the gates, and whether all are met."""
    rows, met = [], True
    for result in findings.results:
        for peer, highest in result.scenario.gates.items():
            if peer in result.left_out:
                met = False
                rows.append([result.scenario.title, "", peer, "", f"<= {highest:.2f}", "not judged"])
            for name in (name for name in OURS if {peer, name} <= result.samples.keys()):
                ratio = result.ratio(name, peer)
                met &= ratio <= highest
                low, high = result.interval(name, peer)
                rows.append([result.scenario.title, name, peer, f"{ratio:.2f} ({low:.2f} to {high:.2f})", f"<= {highest:.2f}", verdict(ratio <= highest)])
    for peer, figure, highest, fine in idle.gates(findings.memory):
        met &= fine
        rows.append([idle.TITLE, contestants.OURS, peer, figure, f"<= {highest}", verdict(fine)])
    for title in findings.unjudged:
        met = False
        rows.append([title, "", "", "", "", "not judged: refused"])
    return rows, met


def first_of(reasons):
    """Returns the first reason, and how many more there are: a noisy machine gives every proxy one."""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return reasons[0] + more


def verdict(fine):
    """Says whether a gate is met."""
    return "met" if fine else "**missed**"


def ratios(results):
    """Returns the table that matters."""
    names = peers(results)
    head = ["load", "nginx, us", *names, "noise"]
    rows = []
    for result in results:
        figures = [f"{result.ratio(name):.2f}" if name in result.samples else "" for name in names]
        rows.append([result.scenario.title, f"{result.us('nginx'):.2f}", *figures, f"{result.noise():.3f}"])
    return table(head, rows)


def peers(results):
    """Returns who is compared with nginx, in order."""
    names = dict.fromkeys(name for result in results for name in result.samples)
    return [name for name in names if name not in ("nginx", TWIN)]


def plot(results, origin):
    """Returns the picture of the ratios, with the gates against nginx."""
    names = peers(results)
    groups = [
        bars.Group(
            result.scenario.title,
            [result.ratio(name) if name in result.samples else None for name in names],
            result.scenario.gates.get("nginx") if names[-1] in OURS else None,
        )
        for result in results
    ]
    note = f"{tools.machine()}; {', '.join(origin.versions[:-2])}; {datetime.date.today().isoformat()}"
    return bars.svg("CPU per request relative to nginx = 1; shorter is better", note, names, groups, mark="Tidegate's gate")


def noise(results):
    """Returns the worst difference of the two nginx, and what is accepted."""
    worst = max(result.noise() for result in results)
    return f"{worst:.3f} at worst ({MAX_NOISE} is accepted)"


def details(result):
    """One load's figures, a row for each contestant."""
    for name in result.samples:
        p99 = result.p99_ms(name)
        yield [
            result.scenario.title,
            name,
            f"{result.us(name):.2f}",
            f"{result.ratio(name):.3f}",
            "" if name == "nginx" else "{:.2f} to {:.2f}".format(*result.interval(name)),
            f"{result.kept()} of {result.kept() + len(result.dropped)}",
            f"{result.least_busy(name):.2f}",
            f"{result.rate(name):,.0f}",
            "" if p99 is None else f"{p99:.2f} ms",
        ]


def memory(found):
    """A row for each proxy's memory."""
    return [[name, f"{each.each():.2f}", f"{each.before / 1024:.1f}", f"{each.after / 1024:.1f}"] for name, each in found.items()]


def stream_rows(found):
    """A row for each proxy's streams."""
    for name, samples in found.items():
        judged = name != streams.DIRECT
        yield [
            name,
            f"{streams.middle(samples, 'us'):.2f}" if judged else "",
            f"{streams.ratio(found, name):.2f}" if judged else "",
            f"{streams.middle(samples, 'alone'):.2%}",
            f"{streams.middle(samples, 'p50_ms'):.2f} ms",
            f"{streams.middle(samples, 'p99_ms'):.2f} ms",
        ]


def latency_rows(found):
    """A row for each proxy's latency."""
    for name, rounds in found.items():
        figures = [latency.middle(rounds, 0), latency.middle(rounds, 1)]
        added = ["", ""] if name == latency.DIRECT else [f"{latency.added(found, name, which):.0f} us" for which in (0, 1)]
        yield [name, *(f"{figure:.0f} us" for figure in figures), *added]


def table(head, rows):
    """Returns a Markdown table."""
    return page.table(head, rows, WORDS)
