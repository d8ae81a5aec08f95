"""What the program is compiled for: the loads of the comparison, and all policies at once.

What no load here runs through is taken to be rare, and made small instead of fast. So there is more here than is measured: the layers that a route can have.
"""

import os
import subprocess

from instructions.layering import LAYERS, PLAIN, Layered
from lib import tools
from peers import base, contestants
from peers.scenarios import CLIENT_CORE, SCENARIOS

STOP_SECONDS = 60
CLIENT_SECONDS = 60


def train(binary, around, seconds, say):
    """Runs a program that counts under all loads, `seconds` for each, and lets it end."""
    plain = Counted(contestants.Tidegate(binary), around)
    with plain:
        for scenario in SCENARIOS:
            say(scenario.title)
            plain.load(scenario, seconds)
    layered = Counted(Layered(binary, [PLAIN, *LAYERS]), around, listeners=["h1"])
    with layered:
        say("all policies")
        layered.load(SCENARIOS[0], seconds)


class Counted:
    """A program that counts, between its start and its end, which must be a good one: it writes down its counts there."""

    def __init__(self, proxy, around, listeners=("h1", "h2c", "tls", "h2h2")):
        self.proxy, self.around, self.listeners = proxy, around, listeners

    def __enter__(self):
        folder = self.around.folder / type(self.proxy).__name__
        folder.mkdir()
        self.log = folder / "log"
        self.proxy.ports = base.Ports(*tools.free_ports(4))
        with open(self.log, "wb") as log:
            counts = os.environ | {"LLVM_PROFILE_FILE": str(self.around.folder / "%p.profraw")}
            self.process = tools.start(base.PROXY_CORE, self.proxy.configure(folder, self.around), log, env=counts)
        if not all(tools.wait_for_port(getattr(self.proxy.ports, name), self.process) for name in self.listeners):
            tools.stop(self.process)
            raise tools.Failed(f"Tidegate did not start:\n{self.said()}")
        return self

    def __exit__(self, kind, *_):
        wrong = tools.end(self.process, STOP_SECONDS)
        if wrong and kind is None:
            raise tools.Failed(f"Tidegate {wrong}:\n{self.said()}")

    def said(self):
        """Returns the end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    def load(self, scenario, seconds):
        """Sends requests of one kind."""
        command = [tools.find("taskset"), "-c", str(CLIENT_CORE), *scenario.command(getattr(self.proxy.ports, scenario.listener), seconds)]
        text = subprocess.run(command, capture_output=True, text=True, timeout=seconds + CLIENT_SECONDS, check=False).stdout
        load = scenario.read([text])
        if load.errors or not load.requests:
            raise tools.Failed(f"{scenario.title}: {load.errors} of {load.requests} requests failed:\n{self.said()}")
