"""Counts the instructions of a program outside the kernel, under valgrind's callgrind.

Unlike time they do not depend on what else the machine does. One process is counted in pieces: `Counted.taken` tells what each
thread has done since it was asked last, so that what a start, a warm-up or a reload costs does not mix with what a request costs.
"""

import re
import subprocess
import time

from lib import tools

# A program that sleeps in the kernel is woken for the answer; one that works answers at its next stop.
ANSWER_SECONDS = 60
PAUSE_SECONDS = 0.5
# Timers of an idle program are below, the least of what is worth waiting for above.
QUIET = 2_000_000


class Counted:
    """A program under callgrind; counts only between `on` and `off`, and runs about ten times faster outside."""

    def __init__(self, stack, folder, command):
        """Starts it in a folder of its own; the stack ends it."""
        self.folder = folder
        self.dumps = folder / "callgrind.out"
        self.log = folder / "log"
        valgrind = [tools.find("valgrind"), "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no", "--dump-line=no"]
        valgrind += [f"--callgrind-out-file={self.dumps}", f"--vgdb-prefix={folder}/vgdb", "-q"]
        log = stack.enter_context(open(self.log, "ab"))
        self.process = tools.start(None, [*valgrind, *command], log)
        stack.callback(tools.stop, self.process)

    def on(self):
        """Begins to count."""
        self._ask("instrumentation", "on")

    def off(self):
        """Stops counting."""
        self._ask("instrumentation", "off")

    def taken(self):
        """Returns the instructions of each thread, by valgrind's number, since this was called last."""
        self._ask("dump")
        found = {}
        for path in self.dumps.parent.glob(self.dumps.name + ".*"):
            with open(path, encoding="utf-8", errors="replace") as lines:
                thread, instructions = read(lines)
            found[thread] = found.get(thread, 0) + instructions
            path.unlink()
        return found

    def _ask(self, *words):
        command = [tools.find("vgdb"), f"--vgdb-prefix={self.folder}/vgdb", f"--pid={self.process.pid}", "--wait=10", *words]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
        except subprocess.TimeoutExpired as late:
            raise tools.Failed(f"callgrind did not answer in {ANSWER_SECONDS} s; valgrind must be allowed to ptrace its child") from late
        if ran.returncode != 0 or self.process.poll() is not None:
            said = self.log.read_text(errors="replace")[-1000:]
            raise tools.Failed(f"callgrind did not answer: {ran.stderr.strip()}\n{said}")


def read(lines):
    """Returns the thread and its instructions of one dump."""
    thread, total = 0, None
    for line in lines:
        if found := re.match(r"(thread|totals): *(\d+)", line):
            if found[1] == "thread":
                thread = int(found[2])
            else:
                total = int(found[2])
    if total is None:
        raise tools.Failed("callgrind wrote a file without totals")
    return thread, total


def busiest(threads):
    """Returns the thread that did most: the worker, when there is one worker and it had something to do."""
    if not threads:
        raise tools.Failed("callgrind counted nothing")
    return max(threads, key=threads.get)


def per_request(program, load, count, idle=0):
    """Returns the instructions per request of the worker: the difference of two loads, so that what both pay alike cancels out.

    `load(count)` sends that many requests. The first load warms up. `idle` is what the worker does in a second without requests:
    under callgrind a second holds a fiftieth of the usual requests, and each would be charged with fifty times its share.
    """
    load(count)
    program.taken()
    began = time.monotonic()
    load(count)
    few, between = program.taken(), time.monotonic()
    load(3 * count)
    many, ended = program.taken(), time.monotonic()
    worker = busiest(many)
    longer = (ended - between) - (between - began)
    return (many[worker] - few.get(worker, 0) - idle * longer) / (2 * count)


def idle_rate(program, seconds):
    """Returns the instructions per second of whichever thread does most while nothing is asked of the program."""
    program.taken()
    began = time.monotonic()
    time.sleep(seconds)
    threads = program.taken()
    return max(threads.values()) / (time.monotonic() - began)


def settle(program, quiet=QUIET, seconds=ANSWER_SECONDS):
    """Waits until background work has ended; returns what it took. For an idle program that is being counted."""
    total = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
        done = sum(program.taken().values())
        total += done
        if done < quiet:
            return total
    raise tools.Failed(f"the program did not come to rest in {seconds} s")
