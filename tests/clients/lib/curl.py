"""Runs curl, and says what it got."""

import json
import subprocess
from dataclasses import dataclass

from lib.lab import find

# From the manual page, "EXIT CODES".
REFUSED_OR_CUT = {52, 55, 56}
PARTIAL_FILE = 18
HTTP2_ENDED = {16, 92}


@dataclass
class Answer:
    """One answer; `code` is curl's exit status, `version` that of HTTP, `connects` counts new connections."""

    code: int
    status: int
    version: str
    connects: int
    head: str
    body: bytes

    def json(self):
        """Reads the body as JSON."""
        return json.loads(self.body)

    def fields(self, name):
        """Returns the values of a header field of the last head, in order."""
        last = self.head.replace("\r\n", "\n").strip().split("\n\n")[-1]
        lines = [line.partition(":") for line in last.split("\n")[1:]]
        return [value.strip() for key, _, value in lines if key.lower() == name]


def command(lab, *arguments):
    """Returns the command line. Proxies named in the environment are none of ours."""
    fixed = ["--silent", "--show-error", "--noproxy", "*", "--ipv4", "--max-time", "20", "--cacert", str(lab.folder / "server.pem")]
    return [find("curl"), *fixed, *map(str, arguments)]


def curl(lab, *arguments, body=None):
    """Runs it once."""
    head = lab.folder / "curl.head"
    head.unlink(missing_ok=True)
    # Written to standard output behind the body: the last line is ours.
    extra = ["--dump-header", head, "--write-out", "\n%{http_code} %{http_version} %{num_connects}"]
    ran = subprocess.run(command(lab, *extra, *arguments), input=body, capture_output=True, timeout=30, check=False)
    received, _, line = ran.stdout.rpartition(b"\n")
    status, version, connects = line.decode().split()
    text = head.read_text("latin-1") if head.exists() else ""
    return Answer(ran.returncode, int(status), version, int(connects), text, received)


def stream(lab, *arguments):
    """Starts it unbuffered; the caller reads its standard output while it runs."""
    return subprocess.Popen(command(lab, "--no-buffer", *arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
