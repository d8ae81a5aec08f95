"""Rounds, medians, and the reasons to throw a run away.

CPU time is read from the scheduler's own account (`/proc/PID/task/*/schedstat`, nanoseconds on a core) before and after a
client has run, so that what the proxy did while others were measured does not count.
"""

import http.client
import os
import random
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from lib import tools
from peers.base import BOTH_CORES, PROXY_CORE
from peers.scenarios import CLIENT_CORE

# Two equal proxies that differ by more say that the machine is not quiet.
MAX_NOISE = 0.05
MAX_SPREAD = 0.15
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


@dataclass
class Result:
    """All rounds of a scenario; `samples` by contestant, in the order of the rounds."""

    scenario: object
    samples: dict = field(default_factory=dict)

    def us(self, name):
        """Median CPU per request, in microseconds."""
        return median(sample.us for sample in self.samples[name])

    def ratio(self, name, to="nginx"):
        """Median of the ratios of one round: what drifts slowly cancels out."""
        return median(one.us / other.us for one, other in zip(self.samples[name], self.samples[to]))

    def spread(self, name):
        """How far the rounds lie apart, relative to the median."""
        values = [sample.us for sample in self.samples[name]]
        return (max(values) - min(values)) / median(values)

    def least_busy(self, name):
        """The round in which the proxy had most to spare."""
        return min(sample.busy for sample in self.samples[name])

    def why_not_busy(self, name):
        """Tells a machine that is not quiet from a client that is too slow."""
        worst = min(self.samples[name], key=lambda sample: sample.busy)
        others = max(0, 1 - worst.busy - worst.idle)
        whose = "others took the core" if others > worst.idle else "client or endpoints were the limit"
        return f"busy for {worst.busy:.2f} of a round, less than {self.scenario.min_busy}; {whose} (core idle {worst.idle:.2f}, others {others:.2f})"

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
        found = []
        if self.noise() > MAX_NOISE:
            found.append(f"nginx differs from nginx by {self.noise():.3f}, more than {MAX_NOISE}")
        for name, samples in self.samples.items():
            errors = sum(sample.errors for sample in samples)
            if errors:
                found.append(f"{name}: {errors} requests failed")
            if self.least_busy(name) < self.scenario.min_busy:
                found.append(f"{name}: {self.why_not_busy(name)}")
            if self.spread(name) > MAX_SPREAD:
                found.append(f"{name}: spread of {self.spread(name):.0%}, more than {MAX_SPREAD:.0%}")
        return found


def run(scenario, contestants, rounds, seconds, say):
    """Runs all rounds of a scenario."""
    for contestant in contestants:
        check(scenario, contestant)
        sample(scenario, contestant, WARM_UP_SECONDS)
    result = Result(scenario, {contestant.name: [] for contestant in contestants})
    for number in range(rounds):
        order = list(contestants)
        random.shuffle(order)
        for contestant in order:
            result.samples[contestant.name].append(sample(scenario, contestant, seconds))
        said = ", ".join(f"{name} {samples[-1].us:.2f}" for name, samples in result.samples.items())
        say(f"  round {number + 1}: {said} us/{scenario.unit}")
    return result


def sample(scenario, contestant, seconds):
    """Runs the client once."""
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
    return Sample(spent / 1000 / load.requests, spent / 1e9 * rate / load.requests, idle / wall, rate, load.p99_ms, load.errors)


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


def core_idle():
    """Returns the seconds that the proxies' core has had nothing to do."""
    with open("/proc/stat", encoding="utf-8") as lines:
        times = next(line.split() for line in lines if line.startswith(f"cpu{PROXY_CORE} "))
    return int(times[4]) / os.sysconf("SC_CLK_TCK")


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
