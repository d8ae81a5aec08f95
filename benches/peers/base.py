"""What every proxy of the comparison is: listeners, surroundings, a process.

All have the same listeners in front of the same four endpoints: plain HTTP/1.1, HTTP/2 by prior knowledge, HTTP/1.1 over TLS, and
HTTP/2 on both sides.
"""

from dataclasses import dataclass
from pathlib import Path

from lib import tools

PROXY_CORE = 0
BOTH_CORES = "0,1"


@dataclass
class Ports:
    """One proxy's listeners; `h2h2` also speaks HTTP/2 to the endpoints, where the proxy can."""

    h1: int
    h2c: int
    tls: int
    h2h2: int


@dataclass
class Surroundings:
    """What every contestant is given."""

    folder: Path
    endpoints: list
    certificate: Path
    key: Path
    workers: int = 1


class Contestant:
    """A proxy: how it is configured, started and named."""

    name = ""

    def __init__(self):
        self.ports = None
        self.process = None

    def version(self):
        """Says which version runs."""
        raise NotImplementedError

    def configure(self, folder, around):
        """Writes the files into `folder` and returns the command."""
        raise NotImplementedError

    def start(self, around):
        """Starts it on free ports; a port that somebody else took meanwhile is a reason to choose again."""
        folder = around.folder / self.name.replace(" ", "-")
        folder.mkdir()
        # nginx gives up its rights and still has to reach its own folder.
        folder.chmod(0o755)
        for _ in range(3):
            self.ports = Ports(*tools.free_ports(4))
            command = self.configure(folder, around)
            with open(folder / "log", "ab") as log:
                self.process = tools.start(PROXY_CORE if around.workers == 1 else BOTH_CORES, command, log)
            if all(tools.wait_for_port(port, self.process) for port in vars(self.ports).values()):
                return
            self.stop()
        said = (folder / "log").read_text(errors="replace")[-2000:]
        raise tools.Failed(f"{self.name} did not start:\n{said}")

    def stop(self):
        """Ends it."""
        if self.process is not None:
            tools.stop(self.process)
            self.process = None

    def pids(self):
        """Returns its processes: the one that was started and all below it."""
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
        return found
