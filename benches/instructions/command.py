"""What the commands here do about deadlines and errors."""

import signal
import sys

from lib import tools


def deadline(seconds):
    """Ends the script, and with it everything that it started, when it takes longer or is told to end."""
    signal.signal(signal.SIGALRM, lambda *_: fail(f"took longer than {seconds} s"))
    signal.signal(signal.SIGTERM, lambda *_: fail("ended from outside"))
    signal.alarm(seconds)


def fail(text):
    raise tools.Failed(text)


def guarded(name, main):
    """Runs `main` and returns the exit status; failures are a line instead of a trace."""
    try:
        return main()
    except tools.Failed as failure:
        print(f"{name}: {failure}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
