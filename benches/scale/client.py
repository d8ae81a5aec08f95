"""A client that sends an exact number of requests over HTTP/1.1 and looks at every answer.

It need not be fast, as the proxy runs under callgrind, but each request may have a path, host and header fields of its own, which
the usual load generators do not offer.
"""

import re
import selectors
import socket
import time

from lib import tools

CONNECTIONS = 16
READ = 1 << 18
DEADLINE = 300
# Python names it from 3.12 on.
IP_BIND_ADDRESS_NO_PORT = 24


class Exchange:
    """One connection: the request that is being sent, and what has come of its answer."""

    def __init__(self, port, source="127.0.0.1"):
        self.socket = socket.socket()
        self.socket.settimeout(10)
        # The port is chosen at the connect: one that a bind has taken is lost to every other client of the machine.
        self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent, self.head, self.missing = memoryview(b""), b"", 0

    def begin(self, request):
        """Takes the next request."""
        self.unsent, self.head, self.missing = memoryview(request), b"", 0

    def send(self):
        """Sends what the kernel takes; tells whether all is sent."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        return not self.unsent

    def receive(self):
        """Takes what has come; tells whether the answer is whole."""
        data = self.socket.recv(READ)
        if not data:
            raise tools.Failed("the proxy closed a connection in the middle")
        if self.missing:
            self.missing -= len(data)
            return self.missing == 0
        head, end, body = (self.head + data).partition(b"\r\n\r\n")
        if not end:
            self.head = head
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            raise tools.Failed(f"the proxy answered {(head + body[:300]).decode(errors='replace')}")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        self.missing = int(length[1]) - len(body)
        return self.missing == 0


def load(port, requests, count, connections=CONNECTIONS):
    """Sends `count` requests, taken from `requests` in turn, each connection one after the other."""
    deadline = time.monotonic() + DEADLINE
    begun = ended = 0
    with selectors.DefaultSelector() as selector:
        opened = [Exchange(port) for _ in range(min(connections, count))]
        try:
            for exchange in opened:
                exchange.begin(requests[begun % len(requests)])
                begun += 1
                selector.register(exchange.socket, wants(exchange), exchange)
            while ended < count:
                if time.monotonic() > deadline:
                    raise tools.Failed(f"{count - ended} of {count} requests not answered in {DEADLINE} s")
                for key, events in selector.select(1):
                    exchange = key.data
                    if events & selectors.EVENT_WRITE and exchange.send():
                        selector.modify(exchange.socket, selectors.EVENT_READ, exchange)
                    if events & selectors.EVENT_READ and exchange.receive():
                        ended += 1
                        if begun < count:
                            exchange.begin(requests[begun % len(requests)])
                            begun += 1
                            selector.modify(exchange.socket, wants(exchange), exchange)
                        else:
                            selector.unregister(exchange.socket)
        finally:
            for exchange in opened:
                exchange.socket.close()


def wants(exchange):
    """Sends at once what fits, and returns what to wait for."""
    return selectors.EVENT_READ if exchange.send() else selectors.EVENT_READ | selectors.EVENT_WRITE


def hold(stack, port, count, request, answered=True):
    """Opens connections that have had one request each, or wait for its answer, and then stay; the stack closes them."""
    for number in range(count):
        # One address has 28,000 ports; more connections need more addresses.
        exchange = Exchange(port, f"127.0.0.{2 + number // 20000}")
        stack.callback(exchange.socket.close)
        exchange.begin(request)
        exchange.socket.settimeout(30)
        while not exchange.send():
            pass
        while answered and not exchange.receive():
            pass
        exchange.socket.setblocking(False)


def request(path="/", host="localhost", fields=(), body=b""):
    """Returns a request with the header fields of an ordinary client, and more."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"host: {host}", "user-agent: scale/1", "accept: */*", *fields]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
