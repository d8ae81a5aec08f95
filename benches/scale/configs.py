"""The configs that grow: text for Tidegate, and the requests that go with it."""

from scale.client import request

STRATEGIES = ["round_robin", "least_connections", "weighted_round_robin", "least_response_time", "resource_based", "consistent_hashing"]

# The same number of distinct weights at every size: what they cost is another curve.
WEIGHTS = 4

# Requests differ by as many paths, hosts or fields at most; all of them warm up in a few seconds.
ASKED = 500

# Bodies of 16 MiB are measured, and connections that stay idle while thousands of others are opened under callgrind.
LISTENER = "limits: {{ connections: 100000, headers: 200 }}, timeouts: {{ keep_alive: 30m }}"

# Upstream connections stay while thousands of others are opened.
UPSTREAM = "upstream: { idle_timeout: 30m }"


def base(ports, fallback="main"):
    """Returns the head of a config; requests that no route takes go to the pool `fallback`."""
    pool = f", pool: {fallback}" if fallback else ""
    return (
        "workers: 1\n"
        f'admin: {{ bind: "127.0.0.1:{ports.admin}" }}\n'
        f'listeners:\n  - {{ name: public, bind: "127.0.0.1:{ports.public}"{pool}, {LISTENER.format()} }}\n'
    )


def address(number, port):
    """Returns the address of an endpoint: each has its own, and all belong to one process."""
    return f"127.{1 + number // 62500}.{1 + number // 250 % 250}.{1 + number % 250}:{port}"


def endpoints(ports, count, strategy="round_robin", distinct=WEIGHTS, nudged=False, more=""):
    """Returns a config with one pool of `count` endpoints; `nudged` changes the weight of the last one."""
    lines = [base(ports), "pools:\n  main:\n", f"    strategy: {strategy}\n    {UPSTREAM}\n", "    hash: { key: path }\n" if strategy == "consistent_hashing" else "", more, "    endpoints:\n"]
    for number in range(count):
        hundredths = 100 + number % distinct * (100 if distinct <= WEIGHTS else 1)
        weight = 50 if nudged and number == count - 1 else hundredths
        lines.append(f'      - {{ address: "{address(number, ports.endpoint)}", weight: {weight / 100:.2f} }}\n')
    return "".join(lines)


def slots(ports, count, strategy, nudged=False):
    """Returns a config with `count` endpoints of one slot each, whose requests may take as long as they like."""
    lines = [endpoints(ports, count, strategy, 1, nudged, "    max_connections: 1\n    queue: { capacity: 100000, timeout: 10m }\n")]
    lines.append("routes:\n  - { name: patient, match: { path: / }, pool: main, timeouts: { first_byte: none, idle: none } }\n")
    return "".join(lines)


def paths(count=ASKED):
    """Returns requests with different paths, which is what the hash of `consistent_hashing` goes by."""
    return [request(f"/sessions/{number}") for number in range(count)]


def by_exact(number):
    return f"path: {{ exact: /v1/agents/agent-{number} }}", request(f"/v1/agents/agent-{number}")


def by_prefix(number):
    return f"path: {{ prefix: /v1/agents/agent-{number} }}", request(f"/v1/agents/agent-{number}/chat")


def by_host(number):
    return f"hosts: [agent-{number}.example.com]", request("/v1/chat", f"agent-{number}.example.com")


def by_header(number):
    return f"headers: {{ x-tenant: tenant-{number} }}", request("/v1/chat", fields=[f"x-tenant: tenant-{number}"])


def by_nothing(number):
    return f"path: {{ exact: /v1/agents/agent-{number} }}", request("/v1/somewhere/else")


ROUTES = {"exact path": by_exact, "prefix": by_prefix, "host": by_host, "header": by_header, "none fits": by_nothing}


def routes(ports, count, kind, nudged=False):
    """Returns a config with `count` routes to one pool; `nudged` changes the last one."""
    lines = [base(ports), f"pools:\n  main:\n    {UPSTREAM}\n    endpoints:\n"]
    lines += [f'      - "{address(number, ports.endpoint)}"\n' for number in range(4)]
    lines.append("routes:\n")
    for number in range(count):
        more = ", priority: 1" if nudged and number == count - 1 else ""
        lines.append(f"  - {{ name: r{number}, match: {{ {ROUTES[kind](number)[0]} }}, pool: main{more} }}\n")
    return "".join(lines)


def asked(count, most=ASKED):
    """Returns numbers below `count`, evenly spread, the last one among them."""
    step = max(1, count // most)
    return list(range(count - 1, -1, -step))[:most]


def route_requests(count, kind):
    """Returns requests for routes all over the table."""
    return [ROUTES[kind](number)[1] for number in asked(count)]


def pools(ports, count, nudged=False):
    """Returns a config with `count` pools of one endpoint, each with its route."""
    lines = [base(ports, None), "pools:\n"]
    for number in range(count):
        lines.append(f'  p{number}: {{ {UPSTREAM}, endpoints: ["{address(number, ports.endpoint)}"] }}\n')
    lines.append("routes:\n")
    for number in range(count):
        more = ", priority: 1" if nudged and number == count - 1 else ""
        lines.append(f"  - {{ name: r{number}, match: {{ {by_prefix(number)[0]} }}, pool: p{number}{more} }}\n")
    return "".join(lines)
