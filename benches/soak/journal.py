"""What the clients have counted, and what has failed."""

import time
from collections import Counter
from dataclasses import dataclass

# Enough to see a pattern; the count is exact in any case.
KEPT = 30


@dataclass
class Failure:
    """Something that must not happen."""

    at: float
    kind: str
    request: str
    what: str

    def line(self):
        """Says it in one line."""
        return f"{self.at:7.1f} s  {self.kind:7} {self.request}: {self.what}"


class Journal:
    """Counts by kind of traffic, and the failures."""

    def __init__(self, say):
        self.began = time.monotonic()
        self.done = Counter()
        # Requests that may or may not have reached the proxy as such, because the client left.
        self.unsure = Counter()
        self.events = Counter()
        self.failures = []
        self.failed = 0
        self.say = say

    def seconds(self):
        """Time since the begin."""
        return time.monotonic() - self.began

    def fail(self, kind, request, what, count=1):
        """Notes a failure, and says it at once while they are few."""
        self.failed += count
        if len(self.failures) < KEPT:
            failure = Failure(self.seconds(), kind, request, what)
            self.failures.append(failure)
            self.say(f"FAILED {failure.line()}")
