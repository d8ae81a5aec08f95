"""Rounds, medians with their confidence intervals, and the reasons to throw a round or a run away.

CPU time is read from the scheduler's own account (`/proc/PID/task/*/schedstat`, nanoseconds on a core) before and after a
client has run, so that what the proxy did while others were measured does not count.
"""

import http.client
import random
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from statistics import median

from lib import tools
from peers.base import BOTH_CORES
from peers.scenarios import CLIENT_CORE

# Two equal proxies that differ by more say that the machine is not quiet.
MAX_NOISE = 0.05
# The width of a ratio's confidence interval, relative to the ratio: rounds go on until all are this narrow ...
GOOD_WIDTH = 0.06
# ... and a run that ends with a wider one than this is refused.
MAX_WIDTH = 0.15
CONFIDENCE = 0.95
# Fewer rounds have no such interval.
LEAST_ROUNDS = 6
# Opens the connections to the endpoints and fills the caches.
WARM_UP_SECONDS = 1


@dataclass
class Sample:
    """One contestant in one round."""

    us: float
    busy: float
    idle: float
    rate: float
    p99_ms: float | None
    errors: int

    def why_not_busy(self, least):
        """Tells a machine that is not quiet from a client that is too slow."""
        others = max(0, 1 - self.busy - self.idle)
        whose = "others took the core" if others > self.idle else "client or endpoints were the limit"
        return f"busy for {self.busy:.2f} of a round, less than {least}; {whose} (core idle {self.idle:.2f}, others {others:.2f})"


@dataclass
class Result:
    """The rounds of a scenario; `samples` by contestant, in the order of the rounds, `dropped` why a round does not count,
    `left_out` why a peer does not.
    """

    scenario: object
    samples: dict = field(default_factory=dict)
    dropped: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)

    def us(self, name):
        """Median CPU per request, in microseconds."""
        return median(sample.us for sample in self.samples[name])

    def ratio(self, name, to="nginx"):
        """Median of the ratios of one round: what drifts slowly cancels out."""
        return median(one.us / other.us for one, other in zip(self.samples[name], self.samples[to]))

    def interval(self, name, to="nginx"):
        """Where the true ratio lies with a confidence of 95% or more, whatever the noise's distribution; None for too few rounds."""
        ratios = sorted(one.us / other.us for one, other in zip(self.samples[name], self.samples[to]))
        cut = outside(len(ratios))
        return (ratios[cut - 1], ratios[-cut]) if cut else None

    def width(self, name, to="nginx"):
        """How wide the interval is, relative to the ratio."""
        bounds = self.interval(name, to)
        return (bounds[1] - bounds[0]) / self.ratio(name, to) if bounds else float("inf")

    def settled(self):
        """Whether more rounds would tell little."""
        return all(self.width(name) <= GOOD_WIDTH for name in self.samples if name != "nginx")

    def take(self, samples):
        """Keeps a round in which every proxy was the limit, and drops any other as a whole; `samples` by contestant."""
        name, worst = min(samples.items(), key=lambda pair: pair[1].busy)
        if worst.busy < self.scenario.min_busy:
            self.dropped.append(f"{name}: {worst.why_not_busy(self.scenario.min_busy)}")
            return
        for name, sample in samples.items():
            self.samples[name].append(sample)

    def kept(self):
        """How many rounds count."""
        return len(self.samples["nginx"])

    def leave_out(self, *needed):
        """Takes out the peers whose ratio is not known well enough, but for those without whom there is no result."""
        for name in [name for name in self.samples if name not in ("nginx", "nginx again", *needed) and self.width(name) > MAX_WIDTH]:
            self.left_out[name] = self.too_wide(name)
            del self.samples[name]

    def too_wide(self, name):
        """Says how little is known of a ratio."""
        low, high = self.interval(name)
        return f"{name}: ratio known only to lie between {low:.2f} and {high:.2f}"

    def least_busy(self, name):
        """The round in which the proxy had most to spare."""
        return min(sample.busy for sample in self.samples[name])

    def rate(self, name):
        """Median requests per second."""
        return median(sample.rate for sample in self.samples[name])

    def p99_ms(self, name):
        """Median of the rounds' p99, None when the client has no percentiles."""
        values = [sample.p99_ms for sample in self.samples[name]]
        return None if None in values else median(values)

    def noise(self):
        """How far nginx is from nginx."""
        return abs(self.ratio("nginx again") - 1)

    def objections(self):
        """Says why the run must not be believed; empty when it may."""
        if self.kept() < LEAST_ROUNDS:
            why = f": {self.dropped[-1]}" if self.dropped else ""
            return [f"{self.kept()} of {self.kept() + len(self.dropped)} rounds can be used, {LEAST_ROUNDS} are needed{why}"]
        found = []
        if self.noise() > MAX_NOISE:
            found.append(f"nginx differs from nginx by {self.noise():.3f}, more than {MAX_NOISE}")
        for name, samples in self.samples.items():
            errors = sum(sample.errors for sample in samples)
            if errors:
                found.append(f"{name}: {errors} requests failed")
            # Of nginx against itself the median is judged, above: its interval is for the reader.
            if name not in ("nginx", "nginx again") and self.width(name) > MAX_WIDTH:
                found.append(self.too_wide(name))
        return found


def outside(rounds):
    """Returns how many of the sorted values on each side, the last one included, bound the interval of a median; 0 when there are too few.

    The median lies outside with the chance that of `rounds` fair coins fewer than that many fall to one side: David and
    Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    cut, chance = 0, 0.0
    while cut < rounds // 2:
        chance += 2 * comb(rounds, cut) / 2**rounds
        if chance > 1 - CONFIDENCE:
            break
        cut += 1
    return cut


def run(scenario, contestants, bench, say):
    """Runs rounds of a scenario, `bench.rounds` at most, until the ratios are known well enough."""
    for contestant in contestants:
        check(scenario, contestant)
        sample(scenario, contestant, WARM_UP_SECONDS, bench.idle)
    result = Result(scenario, {contestant.name: [] for contestant in contestants})
    for number in range(bench.rounds):
        found = {}
        for contestant in random.sample(contestants, len(contestants)):
            found[contestant.name] = sample(scenario, contestant, bench.seconds, bench.idle)
        result.take(found)
        say(f"  round {number + 1}: " + ", ".join(f"{contestant.name} {found[contestant.name].us:.2f}" for contestant in contestants) + f" us/{scenario.unit}")
        if result.kept() >= LEAST_ROUNDS and result.settled():
            break
    return result


def sample(scenario, contestant, seconds, core_idle):
    """Runs the client once; `core_idle` tells the nanoseconds that the proxies' core has had nothing to do."""
    command = scenario.command(getattr(contestant.ports, scenario.listener), seconds)
    cores = CLIENT_CORE if scenario.workers == 1 else BOTH_CORES
    before, idle, began = cpu(contestant.pids()), core_idle(), time.monotonic()
    clients = [tools.start(cores, command, subprocess.STDOUT, stdout=subprocess.PIPE, text=True) for _ in range(scenario.processes)]
    try:
        texts = [client.communicate(timeout=seconds + 20)[0] for client in clients]
    except subprocess.TimeoutExpired as error:
        raise tools.Failed(f"{contestant.name}: {command[0]} did not end") from error
    finally:
        for client in clients:
            if client.poll() is None:
                tools.stop(client)
    wall, idle, after = time.monotonic() - began, core_idle() - idle, cpu(contestant.pids())
    spent = between(before, after)
    load = scenario.read(texts)
    if load.requests == 0:
        raise tools.Failed(f"{contestant.name}: no request was answered\n{texts[0]}")
    # The client's own time, when it says one: its start and end are no work for the proxy.
    rate = load.rate or load.requests / wall
    return Sample(spent / 1000 / load.requests, spent / 1e9 * rate / load.requests, idle / 1e9 / wall, rate, load.p99_ms, load.errors)


def cpu(pids):
    """Returns the nanoseconds that each thread has run."""
    times = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                times[task.name] = int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                # A thread that ended meanwhile.
                continue
    return times


def between(before, after):
    """Returns the nanoseconds that all threads have run from one account to another."""
    return sum(now - before.get(task, 0) for task, now in after.items())


def check(scenario, contestant):
    """Asks once and looks at the answer: a fast proxy that answers something else wins nothing."""
    if scenario.listener in ("h2c", "h2h2"):
        # No HTTP/2 client here; h2load's status codes tell.
        return
    port = getattr(contestant.ports, scenario.listener)
    if scenario.listener == "tls":
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        client = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=trusting)
    else:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("POST" if scenario.body else "GET", scenario.path, b"x" * scenario.body or None)
        answer = client.getresponse()
        size = len(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise tools.Failed(f"{contestant.name}: {scenario.title}: {error!r}") from error
    finally:
        client.close()
    if (answer.status, size) != (200, scenario.size):
        raise tools.Failed(f"{contestant.name}: {scenario.title}: status {answer.status} with {size} bytes instead of {scenario.size}")
