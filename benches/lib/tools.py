"""Foreign programs, free ports, child processes and facts about the machine.

Everything that is started here ends with the script: children get SIGTERM when it is killed, and a deadline when it is not.
"""

import ctypes
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "taskset": "util-linux",
    "valgrind": "valgrind",
    "vgdb": "valgrind",
    "strace": "strace",
}

# Debian keeps servers where a plain user's PATH does not look.
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """Something that the user has to know; printed without a trace."""


def require(programs):
    """Installs what is missing when that is allowed, else ends the script with the Debian install line."""
    missing = [program for program in programs if not find(program)]
    if not missing:
        return
    packages = sorted({PACKAGES[program] for program in missing})
    install(packages)
    missing = [program for program in missing if not find(program)]
    if missing:
        print(f"missing: {', '.join(missing)}\ninstall: sudo apt-get install {' '.join(packages)}", file=sys.stderr)
        sys.exit(1)


def install(packages):
    """Installs Debian packages when that is allowed; whether they are there now is for the caller to look."""
    if os.geteuid() != 0 or not find("apt-get"):
        return
    print(f"installing: {' '.join(packages)}", file=sys.stderr, flush=True)
    quiet = {"check": False, "stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-q"], **quiet)
    subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", *packages], **quiet)


def find(program):
    """Returns the path of a program, or None."""
    return shutil.which(program, path=SEARCH)


def raise_file_limit():
    """Raises the soft limit to the hard one and returns it: for thousands of connections the usual 1024 descriptors are not enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_ports(count):
    """Returns ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def start(core, command, log, **options):
    """Starts a program in a group of its own, on one core or a list of them (`"0,1"`) when there is one."""

    def before_exec():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    if core is not None:
        command = [find("taskset"), "-c", str(core), *command]
    options.setdefault("stdout", log)
    return subprocess.Popen(command, stderr=log, preexec_fn=before_exec, start_new_session=True, **options)


def stop(process):
    """Ends a program that `start` started: politely, then not."""
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        # A loop of the lowest scheduling needs a moment of a core to end, and others may have them all.
        process.wait(60)


def end(process, seconds):
    """Asks a program to end; returns what was wrong with that, or None."""
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"did not end within {seconds} s"
    return None if status == 0 else f"ended with status {status}"


def wait_for_port(port, process, seconds=10):
    """Returns True once something accepts on the port, False when the process has ended instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def build(folder, target, *extra):
    """Builds a cargo workspace for release."""
    if not find("cargo"):
        raise Failed("missing: cargo\ninstall: Rust by https://rustup.rs")
    command = [find("cargo"), "build", "--release", "--manifest-path", str(folder / "Cargo.toml"), "--target-dir", str(target), *extra]
    if subprocess.run(command, check=False).returncode != 0:
        raise Failed(f"build failed: {' '.join(command)}")


def certificate(folder):
    """Makes a self-signed ECDSA certificate, the kind with cheap handshakes; returns both paths."""
    pem, key = folder / "server.pem", folder / "server.key"
    command = [find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return pem, key


def version(program, *arguments):
    """Returns the first line that says a version, without what a distribution adds behind it."""
    ran = subprocess.run([find(program), *arguments], capture_output=True, text=True, timeout=10, check=False)
    lines = (ran.stdout + ran.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def machine():
    """Describes the machine in one line."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{model}, {os.cpu_count()} cores, {round(pages / 2**30)} GiB, Linux {kernel}"
