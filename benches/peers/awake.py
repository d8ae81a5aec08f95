"""Keeps the cores awake, so that no round waits for a core to wake up.

A core with nothing to do is halted. In a virtual machine the host then gives it to somebody else, and getting it back may take
longer than many requests: the proxy is measured as idle, with cold caches, for what the host does. A loop of the lowest kind of
scheduling (`SCHED_IDLE`) gives way at once to everything else and is charged to itself.
"""

import subprocess
import sys

from lib import tools
from peers import measure
from peers.base import PROXY_CORE
from peers.scenarios import CLIENT_CORE

LOOP = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


def keep(stack):
    """Starts a loop on each core, until the stack ends them; returns them by core."""
    keepers = {core: tools.start(core, [sys.executable, "-c", LOOP], subprocess.DEVNULL) for core in (PROXY_CORE, CLIENT_CORE)}
    for keeper in keepers.values():
        stack.callback(tools.stop, keeper)
    return keepers


def idle(keeper):
    """Returns the nanoseconds that a core has had nothing else to do."""
    return sum(measure.cpu([keeper.pid]).values())
