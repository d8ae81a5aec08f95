"""What can stand in a route's way, as it is written into the configuration, and a Tidegate with it."""

from dataclasses import dataclass, field

from peers import contestants


@dataclass
class Layer:
    """What is written into the file: keys of the route, of its pool, and of the top level."""

    key: str
    title: str
    route: list = field(default_factory=list)
    pool: list = field(default_factory=list)
    top: list = field(default_factory=list)


PLAIN = Layer("plain", "nothing: `retry: off`, `circuit_breaker: off`", ["retry: off"], ["circuit_breaker: off"])

# Limits are so high, and times so long, that nothing is ever refused: what is counted is the price of looking.
LAYERS = [
    Layer("retry", "`retry`, on by default", ["retry: {}"]),
    Layer("breaker", "`circuit_breaker`, on by default", pool=["circuit_breaker: {}"]),
    Layer("queue", "slots and a queue: `max_connections: 10000`", pool=["max_connections: 10000"]),
    Layer("bulkhead", "`bulkhead`", ["bulkhead: wide"], top=["bulkheads: { wide: { max_concurrent: 10000 } }"]),
    Layer("hedge", "`hedge: { after: 10s }`", ["hedge: { after: 10s }"]),
    Layer("total", "`timeouts.total`", ["timeouts: { total: 60s }"]),
    Layer("attempt", "`timeouts.attempt`", ["timeouts: { attempt: 60s }"]),
    Layer("rate", "`rate_limit` for the route", ["rate_limit: { requests: 1000000, per: 1s }"]),
    Layer("client", "`rate_limit` for each client address", ['rate_limit: { requests: 1000000, per: 1s, key: client_address }']),
    Layer("outlier", "`outlier`", pool=["outlier: {}"]),
    Layer("health", "`health`: a check each 30 s", pool=["health: { tcp: {} }"]),
    Layer("failover", "`failover` to another pool", ["failover: [spare]"]),
    Layer("mirror", "`mirror` of no request", ["mirror: { pool: spare, share: 0% }"]),
    Layer("overload", "`overload.max_requests`", top=["overload: { max_requests: 100000 }"]),
]


class Layered(contestants.Tidegate):
    """Tidegate with one route and some layers."""

    def __init__(self, binary, layers):
        super().__init__(binary)
        self.layers = layers

    def text(self, around):
        endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in around.endpoints)
        route = merged(self.layers, "route")
        pool = merged(self.layers, "pool")
        lines = ["workers: 1", f'listeners: [{{ name: h1, bind: "127.0.0.1:{self.ports.h1}" }}]', "admin: { bind: none }"]
        lines += ["routes:", "  - name: all", "    pool: endpoints", *(f"    {line}" for line in route)]
        lines += ["pools:", "  endpoints:", f"    endpoints: [{endpoints}]", *(f"    {line}" for line in pool)]
        lines += ["  spare:", f"    endpoints: [{endpoints}]"]
        lines += [line for layer in self.layers for line in layer.top]
        return "\n".join(lines) + "\n"


def merged(layers, where):
    """Returns the keys of all layers at one place: of a key that several have, the value of the last, or of all when they are mappings of one key."""
    found = {}
    for layer in layers:
        for line in getattr(layer, where):
            key, value = line.split(": ", 1)
            if key == "timeouts" and key in found:
                value = f"{found[key][:-2]}, {value[2:]}"
            found[key] = value
    return [f"{key}: {value}" for key, value in found.items()]
