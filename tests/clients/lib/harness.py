"""Runs checks: each a function whose name is a sentence, each with a deadline."""

import signal
import sys
import time
import traceback

CHECK_SECONDS = 45

CHECKS = []


class TooLong(Exception):
    """A check did not end in time."""


def check(function):
    """Registers a check."""
    CHECKS.append(function)
    return function


def equal(found, expected, what="value"):
    """Fails when the two differ, and shows both."""
    if found != expected:
        raise AssertionError(f"{what}: {shortened(found)} instead of {shortened(expected)}")


def true(condition, what):
    """Fails with the sentence when the condition does not hold."""
    if not condition:
        raise AssertionError(what)


def shortened(value):
    """Returns the value as text that fits a terminal."""
    text = repr(value)
    return text if len(text) < 600 else f"{text[:600]}... ({len(text)} characters)"


def run(lab, words):
    """Runs the checks whose sentence holds all words; returns the number of failures."""
    signal.signal(signal.SIGALRM, expired)
    passed, failed = 0, 0
    for function in CHECKS:
        sentence = function.__name__.replace("_", " ")
        if not all(word in sentence for word in words):
            continue
        problem = attempt(function, lab)
        print(f"{'FAILED' if problem else 'ok':6} {sentence}", flush=True)
        if problem:
            failed += 1
            print(f"       {problem}", flush=True)
        else:
            passed += 1
    print(f"\n{passed} passed, {failed} failed")
    if passed + failed == 0:
        print("no check has such a name", file=sys.stderr)
        return 1
    return failed


def attempt(function, lab):
    """Runs one check; returns what went wrong, None when nothing did."""
    began = time.monotonic()
    lab.endpoint.reset()
    signal.alarm(CHECK_SECONDS)
    try:
        function(lab)
        return None
    except AssertionError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001: whatever it is, the other checks go on
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{error!r} in {where.name}, after {time.monotonic() - began:.1f} s"
    finally:
        signal.alarm(0)


def expired(_signal, _frame):
    raise TooLong(f"took longer than {CHECK_SECONDS} s")
