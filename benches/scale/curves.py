"""The curves: what grows, at which sizes, and how a point is measured."""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from lib import callgrind, tools
from scale import client, configs
from scale.proxy import Proxy

# Descriptors that both sides need beside idle connections.
SPARE_FILES = 900
# More than the client has connections.
FREE_SLOTS = 32
# A sweep each half second: fewer would be counted as one more or one less.
IDLE_SECONDS = 8
# What the worker does each half second for its idle connections is no unrest.
MAX_SWEEP = 10_000_000
RELOADS = 3
CHANGES = 10


@dataclass
class Setting:
    """What all measurements share."""

    binary: object
    endpoint: int
    files: int
    # Requests of the smaller of two loads; the larger has three times as many.
    count: int
    is_quick: bool
    say: object

    def sizes(self, sizes):
        """Returns the sizes to measure: all, or first, middle and last."""
        return [sizes[0], sizes[len(sizes) // 2], sizes[-1]] if self.is_quick and len(sizes) > 3 else sizes


@dataclass
class Curve:
    """A figure that grows; `lines` maps a name to points (N, cost)."""

    name: str
    title: str
    unit: str
    lines: dict = field(default_factory=dict)
    # Must not grow faster than the logarithm.
    is_judged: bool = False
    # Proportional at least, so that not its shape but its exponent says something.
    is_proportional: bool = False
    decimals: int = 0
    # What N counts, where the title does not say it in one word.
    each: str = ""

    def add(self, line, n, cost):
        """Adds a point."""
        self.lines.setdefault(line, []).append((n, cost))


class Counter:
    """A proxy under callgrind, and what is asked of it."""

    def __init__(self, setting, proxy):
        self.setting, self.proxy = setting, proxy
        self.program = proxy.program

    def fill(self, requests, count):
        """Opens what stays open, without counting."""
        client.load(self.proxy.ports.public, requests, count)

    def per_request(self, requests, count=None, idle=0):
        """Returns the instructions of one request; `idle` is what the worker does in a second without any."""
        load = lambda some: client.load(self.proxy.ports.public, requests, some)  # noqa: E731
        return callgrind.per_request(self.program, load, count or self.setting.count, idle)

    def change(self, endpoint, requests):
        """Returns the instructions of a change of an endpoint with the request after it, all threads together."""
        callgrind.settle(self.program)
        for turn in range(CHANGES):
            self.proxy.weigh(endpoint, 1.5 + turn % 2)
            client.load(self.proxy.ports.public, requests, 1)
        self.proxy.weigh(endpoint, None)
        return callgrind.settle(self.program) / CHANGES

    def turn_to(self, text):
        """Takes another config, and counts from when that is over."""
        self.program.off()
        self.proxy.follow(text)
        self.program.on()
        callgrind.settle(self.program)

    def reload(self, text):
        """Returns the instructions of a reload, all threads together."""
        callgrind.settle(self.program)
        self.proxy.follow(text)
        return callgrind.settle(self.program)


def counted(setting, text):
    """Starts a proxy under callgrind with `text(ports)`; use as a context."""
    return Running(setting, text)


class Running:
    """The context of `counted`."""

    def __init__(self, setting, text):
        self.setting, self.text = setting, text
        self.proxy = Proxy(setting.binary, setting.endpoint, counted=True)

    def __enter__(self):
        self.proxy.__enter__()
        try:
            self.proxy.start(self.text(self.proxy.ports))
        except BaseException:
            self.proxy.__exit__()
            raise
        return Counter(self.setting, self.proxy)

    def __exit__(self, *failure):
        self.proxy.__exit__(*failure)


def endpoints(setting):
    """Endpoints of one pool, each strategy: all have a connection before anything is counted."""
    requests = configs.paths()
    picks = Curve("picks", "A request, by endpoints of its pool", "instructions per request", is_judged=True)
    reloads = Curve("endpoint-reloads", "A reload that changes one endpoint, by endpoints", "instructions", is_proportional=True)
    changes = Curve("changes", "A change of one endpoint, and the request after it, by endpoints", "instructions", is_proportional=True)
    for size in setting.sizes([4, 10, 100, 1_000, 10_000]):
        with counted(setting, lambda ports: configs.endpoints(ports, size, nudged=True)) as counter:
            ports = counter.proxy.ports
            # Strict rotation reaches every endpoint.
            counter.fill(requests, size + 100)
            for strategy in configs.STRATEGIES:
                counter.turn_to(configs.endpoints(ports, size, strategy))
                picks.add(strategy, size, counter.per_request(requests))
                changes.add(strategy, size, counter.change(configs.address(0, ports.endpoint), requests))
                setting.say(f"  {size} endpoints, {strategy}: {picks.lines[strategy][-1][1]:,.0f}, after a change {changes.lines[strategy][-1][1]:,.0f}")
            text = lambda nudged: configs.endpoints(ports, size, configs.STRATEGIES[1], nudged=nudged)  # noqa: E731
            counter.turn_to(text(False))
            reloads.add("endpoints", size, counter.reload(text(True)))
    return [picks, changes, reloads]


def busy(setting):
    """Endpoints of one slot that are all taken for long, but for a few: as with agents that work for minutes."""
    requests = configs.paths()
    picks = Curve("busy", "A request, by endpoints whose slots are nearly all taken", "instructions per request", is_judged=True)
    # Each takes two connections of the proxy.
    most = (setting.files - SPARE_FILES) // 2
    for size in setting.sizes([size for size in (40, 100, 1_000, 5_000) if size < most]):
        with counted(setting, lambda ports: configs.slots(ports, size, "round_robin", nudged=True)) as counter:
            ports = counter.proxy.ports
            # Strict rotation reaches every endpoint.
            counter.fill(requests, size + 100)
            held = counter.proxy.stack.enter_context(ExitStack())
            client.hold(held, ports.public, size - FREE_SLOTS, client.request("/hold"), answered=False)
            wait_for(lambda: counter.proxy.in_flight() >= size - FREE_SLOTS)
            for strategy in configs.STRATEGIES:
                counter.turn_to(configs.slots(ports, size, strategy))
                picks.add(strategy, size, counter.per_request(requests))
                setting.say(f"  {size} endpoints, {FREE_SLOTS} free, {strategy}: {picks.lines[strategy][-1][1]:,.0f}")
            # The rest but two: of the clients, most wait in the queue.
            client.hold(held, ports.public, FREE_SLOTS - 2, client.request("/hold"), answered=False)
            wait_for(lambda: counter.proxy.in_flight() >= size - 2)
            counter.turn_to(configs.slots(ports, size, "least_connections"))
            picks.add("waiting in the queue", size, counter.per_request(requests))
            setting.say(f"  {size} endpoints, 2 free: {picks.lines['waiting in the queue'][-1][1]:,.0f}")
    return [picks]


def wait_for(condition, seconds=120):
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise tools.Failed(f"the proxy did not get to where it should be in {seconds} s")
        time.sleep(0.2)


def weights(setting):
    """Weights that all differ, in the strategy that keeps a rotation for each."""
    curve = Curve("weights", "A request in weighted_round_robin, by different weights", "instructions per request", is_judged=True)
    for size in setting.sizes([4, 10, 100, 1_000, 10_000]):
        text = lambda ports, strategy: configs.endpoints(ports, size, strategy, distinct=size)  # noqa: E731
        with counted(setting, lambda ports: text(ports, "round_robin")) as counter:
            counter.fill(configs.paths(), size + 100)
            counter.turn_to(text(counter.proxy.ports, "weighted_round_robin"))
            curve.add("weighted_round_robin", size, counter.per_request(configs.paths()))
            setting.say(f"  {size} different weights: {curve.lines['weighted_round_robin'][-1][1]:,.0f}")
    return [curve]


def routes(setting):
    """Routes to one pool, by what tells them apart."""
    matches = Curve("matches", "A request, by routes", "instructions per request", is_judged=True)
    reloads = Curve("route-reloads", "A reload that changes one route, by routes", "instructions", is_proportional=True)
    for kind in configs.ROUTES:
        for size in setting.sizes([1, 10, 100, 1_000, 10_000]):
            requests = configs.route_requests(size, kind)
            with counted(setting, lambda ports: configs.routes(ports, size, kind)) as counter:
                # Every route that is asked for has been used before.
                counter.fill(requests, max(200, 2 * len(requests)))
                counter.program.on()
                matches.add(kind, size, counter.per_request(requests))
                setting.say(f"  {size} routes, {kind}: {matches.lines[kind][-1][1]:,.0f}")
                if kind in ("prefix", "host"):
                    reloads.add(kind, size, counter.reload(configs.routes(counter.proxy.ports, size, kind, nudged=True)))
    return [matches, reloads]


def pools(setting):
    """Pools of one endpoint, each behind a route of its own."""
    curve = Curve("pools", "A request, by pools", "instructions per request", is_judged=True)
    reloads = Curve("pool-reloads", "A reload that changes one route, by pools", "instructions", is_proportional=True)
    for size in setting.sizes([1, 10, 100, 1_000]):
        requests = [configs.by_prefix(number)[1] for number in range(size)]
        with counted(setting, lambda ports: configs.pools(ports, size)) as counter:
            counter.fill(requests, max(200, 2 * size))
            counter.program.on()
            curve.add("pools", size, counter.per_request(requests))
            setting.say(f"  {size} pools: {curve.lines['pools'][-1][1]:,.0f}")
            reloads.add("pools", size, counter.reload(configs.pools(counter.proxy.ports, size, nudged=True)))
    return [curve, reloads]


def connections(setting):
    """Clients that stay connected and say nothing, while others send."""
    curve = Curve("connections", "A request, by idle connections beside it", "instructions per request", is_judged=True)
    sweeps = Curve("connection-sweeps", "A second without requests, by idle connections", "instructions of the worker", is_proportional=True)
    memory = Curve("connection-memory", "Memory, by idle connections", "MiB", decimals=1, each="connection")
    sizes = [1, 10, 100, 1_000, 10_000]
    most = setting.files - SPARE_FILES
    sizes = [size for size in sizes if size < most] + [most]
    request = client.request("/held")
    for size in setting.sizes(sizes):
        with counted(setting, lambda ports: configs.endpoints(ports, 4)) as counter:
            client.hold(counter.proxy.stack, counter.proxy.ports.public, size, request)
            counter.program.on()
            callgrind.settle(counter.program, MAX_SWEEP)
            idle = callgrind.idle_rate(counter.program, IDLE_SECONDS)
            sweeps.add("connections", size, idle)
            curve.add("connections", size, counter.per_request(configs.paths(), idle=idle))
        with Proxy(setting.binary, setting.endpoint) as proxy:
            proxy.start(configs.endpoints(proxy.ports, 4))
            client.load(proxy.ports.public, [request], 200)
            before = proxy.pss()
            client.hold(proxy.stack, proxy.ports.public, size, request)
            time.sleep(IDLE_SECONDS)
            after = proxy.pss()
            memory.add("connections", size, after / 2**20)
            setting.say(f"  {size} idle connections: {curve.lines['connections'][-1][1]:,.0f}, {(after - before) / size / 1024:.1f} KiB each")
    return [curve, sweeps, memory]


def headers(setting):
    """Header fields of requests and of replies."""
    curve = Curve("headers", "A request, by header fields", "instructions per request", each="field")
    with counted(setting, lambda ports: configs.endpoints(ports, 4)) as counter:
        counter.fill(configs.paths(), 200)
        counter.program.on()
        for size in setting.sizes([5, 10, 25, 50, 100]):
            # Three fields are there already.
            fields = [f"x-field-{number}: value-{number}" for number in range(size - 3)]
            curve.add("fields of the request", size, counter.per_request([client.request("/", fields=fields)]))
            curve.add("fields of the reply", size, counter.per_request([client.request(f"/headers/{size}")]))
            setting.say(f"  {size} fields: {', '.join(f'{points[-1][1]:,.0f}' for points in curve.lines.values())}")
    return [curve]


def bodies(setting):
    """Bodies in both directions."""
    curve = Curve("bodies", "A request, by size of its body", "instructions per request", each="byte")
    with counted(setting, lambda ports: configs.endpoints(ports, 4)) as counter:
        counter.fill(configs.paths(), 200)
        counter.program.on()
        for size in setting.sizes([1 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]):
            count = max(4, min(setting.count, (16 << 20) // size))
            curve.add("download", size, counter.per_request([client.request(f"/bytes/{size}")], count))
            curve.add("upload", size, counter.per_request([client.request("/", body=b"x" * size)], count))
            setting.say(f"  {size >> 10} KiB: {', '.join(f'{points[-1][1]:,.0f}' for points in curve.lines.values())}")
    return [curve]


def memory(setting):
    """Memory, time of a reload and work while nothing happens; not under callgrind."""
    pss = Curve("memory", "Memory, by entries of the config", "MiB", decimals=1, each="entry")
    reload = Curve("reload-time", "Time of a reload, by entries of the config", "ms", is_proportional=True, decimals=1)
    idle = Curve("idle", "Work while nothing happens, by entries of the config", "ms of CPU per second", decimals=2)
    kinds = {
        "endpoints": lambda ports, size, nudged: configs.endpoints(ports, size, "least_connections", nudged=nudged),
        "endpoints with health checks": with_health,
        "routes": lambda ports, size, nudged: configs.routes(ports, size, "prefix", nudged),
        "pools": configs.pools,
    }
    for name, text in kinds.items():
        for size in setting.sizes([10, 100, 1_000] if name == "pools" else [10, 100, 1_000, 10_000]):
            with Proxy(setting.binary, setting.endpoint) as proxy:
                proxy.start(text(proxy.ports, size, False))
                time.sleep(IDLE_SECONDS / 2)
                before = proxy.cpu()
                time.sleep(IDLE_SECONDS)
                # With health checks it is never idle.
                if "health" not in name:
                    idle.add(name, size, (proxy.cpu() - before) / IDLE_SECONDS * 1000)
                pss.add(name, size, proxy.pss() / 2**20)
                times = [proxy.reload(text(proxy.ports, size, turn % 2 == 0)) for turn in range(RELOADS)]
                reload.add(name, size, statistics.median(times) * 1000)
                setting.say(f"  {size} {name}: {pss.lines[name][-1][1]:.1f} MiB, {reload.lines[name][-1][1]:.1f} ms")
    return [pss, reload, idle]


def with_health(ports, size, nudged):
    """Endpoints with checks that come too seldom to be seen."""
    return configs.endpoints(ports, size, "least_connections", nudged=nudged, more="    health: { http: {}, interval: 10m, unhealthy_interval: 10m }\n")


GROUPS = {
    "endpoints": endpoints,
    "busy": busy,
    "weights": weights,
    "routes": routes,
    "pools": pools,
    "connections": connections,
    "headers": headers,
    "bodies": bodies,
    "memory": memory,
}


def measure(key, setting):
    """Returns the curves of a group."""
    if key not in GROUPS:
        raise tools.Failed(f"no such group: {key}")
    return GROUPS[key](setting)
