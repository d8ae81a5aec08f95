"""Event streams: 400 of them, an event as a chunk each 10 ms. What does a chunk cost, and does each come alone and at once?"""

import random
from dataclasses import dataclass
from statistics import median

from peers import measure, own

KEY = "streams"
TITLE = "400 streams, a chunk each 10 ms"
STREAMS = 400
CHUNKS_PER_SECOND = 100
ROUNDS = 3
SECONDS = 3
DIRECT = "(direct)"
# Less than the endpoints sent in the time: they, or the client, did not keep up, and the figures are about them.
MIN_CHUNKS = 0.95
# Of the two nginx. Far from saturation a chunk's cost depends on what else wakes up, so this is wider than for the loads.
MAX_NOISE = 0.10


@dataclass
class Sample:
    """One proxy in one round; `us` is CPU for each chunk, None without a proxy."""

    us: float | None
    chunks: int
    alone: float
    p50_ms: float
    p99_ms: float
    ended: int


def run(contestants, direct_port, rounds, seconds, say):
    """Returns the samples by name, and objections; `direct` is the client at an endpoint without a proxy."""
    found = {DIRECT: [], **{contestant.name: [] for contestant in contestants}}
    for number in range(rounds):
        order = [None, *contestants]
        random.shuffle(order)
        for contestant in order:
            name = contestant.name if contestant else DIRECT
            found[name].append(sample(contestant, contestant.ports.h1 if contestant else direct_port, seconds))
        said = ", ".join(f"{name} {samples[-1].us:.2f}" for name, samples in found.items() if name != DIRECT)
        say(f"  round {number + 1}: {said} us/chunk")
    return found, objections(found, seconds)


def sample(contestant, port, seconds):
    """Runs the client once; what opening and ending the streams cost is not counted."""
    with own.client(KEY, port, STREAMS, seconds) as client:
        client.ready()
        before = measure.cpu(contestant.pids()) if contestant else {}
        figures = client.said()
        spent = measure.between(before, measure.cpu(contestant.pids())) if contestant else None
    return read(figures, spent)


def read(figures, spent):
    """Turns the client's figures and the proxy's nanoseconds into a sample."""
    chunks = figures["chunks"]
    alone = 1 - figures["merged"] / max(chunks, 1)
    us = None if spent is None else spent / 1000 / max(chunks, 1)
    return Sample(us, chunks, alone, figures["p50_ns"] / 1e6, figures["p99_ns"] / 1e6, figures["ended"])


def objections(found, seconds):
    """Says why the figures must not be believed."""
    expected = STREAMS * CHUNKS_PER_SECOND * seconds
    said = []
    noise = abs(ratio(found, "nginx again") - 1)
    if noise > MAX_NOISE:
        said.append(f"nginx differs from nginx by {noise:.3f}, more than {MAX_NOISE}")
    for name, samples in found.items():
        if ended := sum(sample.ended for sample in samples):
            said.append(f"{name}: {ended} streams ended")
        least = min(sample.chunks for sample in samples)
        if least < MIN_CHUNKS * expected:
            said.append(f"{name}: {least} chunks of {expected:.0f} came in time")
    return said


def ratio(found, name):
    """Median of the rounds' ratios to nginx."""
    return median(one.us / other.us for one, other in zip(found[name], found["nginx"]))


def middle(samples, key):
    """Median of one figure."""
    return median(getattr(sample, key) for sample in samples)
