"""The endpoint behind every proxy that is measured: `benches/backend`."""

import subprocess

from lib import tools

TARGET = tools.ROOT / "target" / "benches"


# The clients of the same crate, for what no tool can do.
CLIENT = TARGET / "release" / "bench-client"


def build():
    """Builds it, and the clients beside it."""
    tools.build(tools.ROOT / "benches" / "backend", TARGET)


def start(stack, folder, core=None):
    """Starts it and returns its ports; the stack ends it."""
    log = stack.enter_context(open(folder / "endpoint.log", "wb"))
    command = [str(TARGET / "release" / "bench-backend")]
    process = tools.start(core, command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(tools.stop, process)
    said = process.stdout.readline().split()
    if said[:1] != ["ports"]:
        raise tools.Failed(f"the endpoint said {said}")
    return [int(port) for port in said[1:]]
