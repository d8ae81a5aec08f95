"""What is concluded from samples and counts."""

from dataclasses import dataclass

# The heap reaches its size by the largest coincidence of requests so far, which takes minutes.
WARM_UP_SHARE = 0.4
WARM_UP_SECONDS = 240

# Both must be passed. A short run has a steep line by chance, so its growth is bounded too: 25 MiB swing by 8 MiB between
# the kinds of load. At 8,000 requests a second, ten minutes find what loses 3 bytes a request. Measured: docs/soak.md.
MAX_SLOPE_KIB_PER_MINUTE = 1024
NOISE_KIB = 8192

# Connections of the admin client, the access log, what the runtime opens late.
MORE_DESCRIPTORS = 16


@dataclass
class Slope:
    """A straight line through samples."""

    per_minute: float
    growth: float


def slope(points):
    """Least squares through (seconds, value); zero for fewer than two points."""
    if len(points) < 2:
        return Slope(0.0, 0.0)
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    each = sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
    return Slope(each * 60, each * (points[-1][0] - points[0][0]))


def warm_up(seconds):
    """How long samples are left out at the begin of a run of this length."""
    return min(WARM_UP_SECONDS, seconds * WARM_UP_SHARE)


def memory(points):
    """Says what is wrong with the memory, or None."""
    line = slope(points)
    if line.per_minute > MAX_SLOPE_KIB_PER_MINUTE and line.growth > NOISE_KIB:
        return f"memory grows by {line.per_minute:.0f} KiB/min ({line.growth:.0f} KiB in all); at most {MAX_SLOPE_KIB_PER_MINUTE} KiB/min is noise"
    return None


def descriptors(before, after):
    """Says what is wrong with the file descriptors after the load has ended, or None."""
    if after > before + MORE_DESCRIPTORS:
        return f"{after} file descriptors are open after the load has ended, {before} were before it; at most {MORE_DESCRIPTORS} more are fine"
    return None


def counters(metrics, journal):
    """Returns what does not agree between the proxy's counts and the clients'."""
    found = []
    served = metrics.by("tidegate_requests_total", "route")
    good = metrics.by("tidegate_requests_total", "route", status_class="2xx")
    for kind in sorted(journal.done):
        low, high = journal.done[kind], journal.done[kind] + journal.unsure[kind]
        if not low <= served[kind] <= high:
            found.append(f"route {kind}: the proxy counted {served[kind]:.0f} requests, the clients {between(low, high)}")
        if kind not in journal.unsure and good[kind] != low:
            found.append(f"route {kind}: the proxy counted {good[kind]:.0f} answers 2xx, the clients {low}")
    for name, what in [
        ("tidegate_requests_in_flight", "requests in flight"),
        ("tidegate_endpoint_in_flight", "requests in flight to endpoints"),
        ("tidegate_connections_open", "client connections open"),
        ("tidegate_panics_total", "panics"),
        ("tidegate_worker_restarts_total", "restarted workers"),
        ("tidegate_connections_refused_total", "connections that could not be accepted"),
    ]:
        if metrics.sum(name) != 0:
            found.append(f"{metrics.sum(name):.0f} {what} after the load has ended, instead of 0 ({name})")
    for result in ("invalid", "refused"):
        if count := metrics.sum("tidegate_config_reloads_total", result=result):
            found.append(f"{count:.0f} reloads were {result}")
    return found


def between(low, high):
    """Names a count that is known, or nearly."""
    return f"{low}" if low == high else f"between {low} and {high}"


def log_lines(lines, dropped, served):
    """Says what is wrong with the number of lines of the access log, or None."""
    if lines + dropped != served:
        return f"the access log has {lines} lines and dropped {dropped:.0f}, the proxy counted {served:.0f} requests"
    return None
