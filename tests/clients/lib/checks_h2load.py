"""Checks by h2load: many requests at once, none may fail. Speed is no question here."""

import re
import subprocess

from lib.harness import check, equal
from lib.lab import find

REQUESTS = 3000


def h2load(lab, *arguments):
    """Runs it; every request must end with a 2xx status."""
    command = [find("h2load"), "-n", str(REQUESTS), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", ran.stdout)
    codes = re.search(r"status codes: (\d+) 2xx", ran.stdout)
    found = (ran.returncode, *(int(count) for count in (counts.groups() if counts else ())), codes and int(codes[1]))
    equal(found, (0, REQUESTS, REQUESTS, 0, 0, 0, REQUESTS), "exit, done, succeeded, failed, errored, timeout, 2xx")


@check
def h2load_over_http_1_has_no_failed_request(lab):
    h2load(lab, "--h1", "-c", 32, lab.url("files", "/page.txt"))


@check
def h2load_over_http_2_has_no_failed_request(lab):
    h2load(lab, "-c", 4, "-m", 32, lab.url("files", "/page.txt"))


@check
def h2load_with_every_stream_that_is_allowed_has_no_failed_request(lab):
    h2load(lab, "-c", 2, "-m", 100, lab.url("files", "/page.txt"))


@check
def h2load_over_tls_has_no_failed_request(lab):
    h2load(lab, "-c", 4, "-m", 8, lab.url("secure", "/bytes/100"))
    h2load(lab, "--h1", "-c", 8, lab.url("secure", "/bytes/100"))


@check
def h2load_with_uploads_has_no_failed_request(lab):
    upload = lab.folder / "upload"
    upload.write_bytes(b"x" * 16384)
    h2load(lab, "-c", 4, "-m", 8, "-d", upload, lab.url("plain", "/echo"))
    h2load(lab, "--h1", "-c", 8, "-d", upload, lab.url("plain", "/echo"))


@check
def h2load_loses_nothing_to_an_endpoint_that_closes_connections(lab):
    h2load(lab, "--h1", "-c", 8, lab.url("fickle", "/page.txt"))
