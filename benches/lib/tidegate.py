"""The Tidegate that is measured."""

import os

from lib import tools


def binary(given=None):
    """Returns the program to measure: the one that is given, else a release build of this tree."""
    if given is None:
        tools.build(tools.ROOT, tools.ROOT / "target", "--bin", "tidegate")
        return tools.ROOT / "target" / "release" / "tidegate"
    if not os.access(given, os.X_OK):
        raise tools.Failed(f"{given}: no such program")
    return given.resolve()
