"""How the clients of our own are spoken with: `bench-client`, beside the endpoints."""

import subprocess
from contextlib import contextmanager

from lib import endpoint, tools
from peers.scenarios import CLIENT_CORE


class Client:
    """A running client."""

    def __init__(self, process, words):
        self.process = process
        self.words = words

    def ready(self):
        """Waits until it says that it is ready."""
        line = self.process.stdout.readline()
        if line.strip() != "ready":
            self.failed(line)

    def said(self):
        """Returns what it has found, by name, while it goes on."""
        line = self.process.stdout.readline()
        if len(line.split()) < 2 or self.process.poll() not in (None, 0):
            self.failed(line)
        return read(line)

    def figures(self):
        """Ends its input and returns what it has found, by name."""
        try:
            text, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired as error:
            raise tools.Failed(f"bench-client {self.words} did not end") from error
        if self.process.returncode != 0:
            self.failed(text)
        return read(text)

    def failed(self, text):
        """Says why."""
        rest = self.process.stdout.read() if not self.process.stdout.closed else ""
        raise tools.Failed(f"bench-client {self.words}: {(text + rest).strip() or 'it said nothing'}")


def read(text):
    """Reads one line of `name value` pairs."""
    words = text.split()
    try:
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    except ValueError as error:
        raise tools.Failed(f"bench-client said {text!r}") from error


@contextmanager
def client(*words):
    """Starts a client on the client's core."""
    words = [str(word) for word in words]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = tools.start(CLIENT_CORE, [str(endpoint.CLIENT), *words], subprocess.STDOUT, **pipes)
    try:
        yield Client(process, " ".join(words))
    finally:
        if process.poll() is None:
            tools.stop(process)
