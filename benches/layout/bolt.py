"""BOLT, the optimiser of LLVM for programs that are linked already (Panchenko et al., "BOLT: A Practical Binary Optimizer for Data Centers and
Beyond", CGO 2019): what runs often is put side by side, branches that are taken become branches that are not, and what hardly ever runs goes elsewhere.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from lib import tools

# Debian's packages carry LLVM's version in their names and put the programs where PATH does not look.
VERSIONS = range(25, 15, -1)

# The counting program keeps names in a buffer of 4 KiB, several at a time, and gives up when they do not fit. Names of generic functions are longer.
LONGEST_NAME = 900

# As the Rust project lays out its compiler; without `-split-eh` landing pads would stay among what is hot.
OPTIONS = ["-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold", "-split-eh", "-icf=1"]


def require():
    """Installs BOLT when it is missing and that is allowed, else says how."""
    if find("llvm-bolt") is None and os.geteuid() == 0 and tools.find("apt-get"):
        quiet = {"check": False, "stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-q"], **quiet)
        for version in VERSIONS:
            print(f"installing: bolt-{version}, when there is one", file=sys.stderr, flush=True)
            if subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", f"bolt-{version}"], stderr=subprocess.DEVNULL, **quiet).returncode == 0:
                break
    for program in ("llvm-bolt", "merge-fdata"):
        if find(program) is None:
            raise tools.Failed(f"missing: {program}\ninstall: sudo apt-get install bolt-22, or whichever `apt-cache search '^bolt-'` names")
    for program in ("nm", "objcopy"):
        if tools.find(program) is None:
            raise tools.Failed(f"missing: {program}\ninstall: sudo apt-get install binutils")


def find(program):
    """Returns the path of one of BOLT's programs, of the newest version that is there, or None."""
    candidates = [program, *(f"/usr/lib/llvm-{version}/bin/{program}" for version in VERSIONS), *(f"{program}-{version}" for version in VERSIONS)]
    return next((path for path in map(tools.find, candidates) if path), None)


def shorten(program, into):
    """Copies a program, its longest names cut: what is debugged goes by the line tables."""
    said = run([tools.find("nm"), "--just-symbols", str(program)])
    names = into.with_suffix(".names")
    names.write_text("".join(f"{old} {new}\n" for old, new in renamed(said.split())), encoding="utf-8")
    run([tools.find("objcopy"), f"--redefine-syms={names}", str(program), str(into)])


def renamed(names):
    """Returns the names that are too long, each with a short one that nobody has."""
    return [(name, f"long_name_{number}") for number, name in enumerate(sorted({name for name in names if len(name) > LONGEST_NAME}))]


def count(program, into, profile):
    """Writes a program that counts how often each branch of `program` is taken, and leaves that at its end in `profile`, a file for each process."""
    run([find("llvm-bolt"), str(program), "-instrument", "-o", str(into), f"--instrumentation-file={profile}", "--instrumentation-file-append-pid"])


def merge(profile, into):
    """Adds up what the processes have counted; returns how many there were."""
    found = sorted(profile.parent.glob(f"{profile.name}.*"))
    if not found:
        raise tools.Failed("nothing was counted: no process has ended as it should")
    run([find("merge-fdata"), *map(str, found), "-o", str(into)])
    return len(found)


def lay_out(program, profile, into):
    """Writes the program anew, laid out after the profile; returns what BOLT says of branches that are taken, before and after, or None."""
    said = run([find("llvm-bolt"), str(program), "-o", str(into), "-data", str(profile), "-dyno-stats", *OPTIONS])
    return taken(said)


def taken(said):
    """Reads how many branches were taken before and after."""
    counts = [int(count) for count in re.findall(r"^\s*(\d+) : taken branches\b", said, re.MULTILINE)]
    return tuple(counts) if len(counts) == 2 else None


def run(command):
    """Runs a program and returns what it printed; what it said is the error when it fails."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if ran.returncode != 0:
        raise tools.Failed(f"{Path(command[0]).name} failed:\n{ran.stdout[-2000:]}")
    return ran.stdout
