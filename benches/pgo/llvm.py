"""Profile-guided optimisation: rustc counts, `llvm-profdata` adds up, rustc compiles again.

A profile has a format of its LLVM's; so the program that reads it is asked for in the version that rustc is built with.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lib import tools

PROFDATA = "llvm-profdata"


@dataclass
class Compiler:
    """What rustc says of itself."""

    host: str
    llvm: str
    sysroot: Path


def compiler():
    """Asks rustc."""
    rustc = tools.find("rustc")
    if rustc is None:
        raise tools.Failed("missing: rustc\ninstall: Rust by https://rustup.rs")
    said = run([rustc, "--version", "--verbose"])
    return described(said, Path(run([rustc, "--print", "sysroot"]).strip()))


def described(said, sysroot):
    """Reads `rustc --version --verbose`."""
    host = re.search(r"^host: (\S+)$", said, re.MULTILINE)
    llvm = re.search(r"^LLVM version: (\d+)", said, re.MULTILINE)
    if not host or not llvm:
        raise tools.Failed(f"rustc said neither its host nor its LLVM:\n{said}")
    return Compiler(host[1], llvm[1], sysroot)


def profdata(rust):
    """Returns the path of `llvm-profdata`; installs it from Debian when it is missing and that is allowed, else says how."""
    if found := present(rust):
        return found
    tools.install([f"llvm-{rust.llvm}"])
    if found := present(rust):
        return found
    raise tools.Failed(f"missing: {PROFDATA} of LLVM {rust.llvm}\ninstall: rustup component add llvm-tools, or sudo apt-get install llvm-{rust.llvm}")


def present(rust):
    """Returns the path of `llvm-profdata` in rustc's version, or None: rustup's, or Debian's."""
    candidates = [rust.sysroot / "lib" / "rustlib" / rust.host / "bin" / PROFDATA, f"/usr/lib/llvm-{rust.llvm}/bin/{PROFDATA}", f"{PROFDATA}-{rust.llvm}"]
    return next((path for path in map(tools.find, map(str, candidates)) if path), None)


def build(rust, flag, target):
    """Builds the release with one more flag for rustc, and returns the program; build scripts and macros are compiled without the flag."""
    command = [tools.find("cargo") or "cargo", "build", "--release", "--bin", "tidegate", "--manifest-path", str(tools.ROOT / "Cargo.toml")]
    command += ["--target", rust.host, "--target-dir", str(target)]
    flags = f"{os.environ.get('RUSTFLAGS', '')} {flag}".strip()
    if subprocess.run(command, env=os.environ | {"RUSTFLAGS": flags}, check=False).returncode != 0:
        raise tools.Failed(f"build failed: RUSTFLAGS='{flags}' {' '.join(command)}")
    return target / rust.host / "release" / "tidegate"


def merge(program, folder, into):
    """Adds up what processes have counted into a profile; `program` is `llvm-profdata`."""
    counted = sorted(folder.glob("*.profraw"))
    if not counted:
        raise tools.Failed("nothing was counted: no process has ended as it should")
    run([program, "merge", "-o", str(into), *map(str, counted)])


def run(command):
    """Runs a program and returns what it printed; what it said is the error when it fails."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if ran.returncode != 0:
        raise tools.Failed(f"{Path(command[0]).name} failed:\n{ran.stdout[-2000:]}")
    return ran.stdout
