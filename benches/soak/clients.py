"""Clients of the standard library that look at every byte of what they get."""

import asyncio
import hashlib
import json
import random
import socket
import ssl
import struct
from dataclasses import dataclass

from soak import agent

# No request takes longer: it is lost.
PATIENCE = 30
# A connection carries so many requests, so that there are always new ones.
REUSE = 40


class Wrong(Exception):
    """An answer that is not what it should be."""


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: dict
    body: bytes


class Connection:
    """A connection to the proxy."""

    def __init__(self, port, trusting=None):
        self.port = port
        self.trusting = trusting
        self.reader = self.writer = None
        self.left = 0

    async def open(self):
        """Opens it anew when it is closed or has been used enough."""
        if self.writer is None or self.left == 0:
            self.close()
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trusting, limit=1 << 18)
            self.left = REUSE
        self.left -= 1

    def close(self, reset=False):
        """Closes it, politely or with a reset."""
        if self.writer is None:
            return
        if reset and (raw := self.writer.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()
        self.writer = None

    def send(self, method, path, *fields):
        """Sends a head."""
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", "host: soak.test", *fields, "", ""]).encode())

    async def head(self):
        """Reads the head of an answer."""
        line, *fields = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
        return int(line.split(" ")[1]), headers

    async def answer(self):
        """Reads an answer to its end."""
        status, headers = await self.head()
        body = b"".join([part async for part in self.body(headers)])
        if headers.get("connection", "").lower() == "close":
            self.close()
        if not 200 <= status < 300:
            raise Wrong(described(status, headers, body))
        return Answer(status, headers, body)

    async def body(self, headers):
        """Yields the body as it comes; one that ends early is an error."""
        if "chunked" not in headers.get("transfer-encoding", ""):
            yield await self.reader.readexactly(int(headers["content-length"]))
            return
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass


def described(status, headers, body):
    """Says what the proxy itself gives as the reason."""
    if headers.get("content-type") == "application/problem+json":
        problem = json.loads(body)
        return f"{status} {problem.get('reason')}: {problem.get('detail')}"
    return f"{status} of the endpoint: {body[:200]!r}"


class Clients:
    """Everybody who talks to the proxy by hand; each method of one kind is a task that runs until `ending` is set."""

    def __init__(self, journal, port, tls_port, seed):
        self.journal = journal
        self.port = port
        self.tls_port = tls_port
        self.random = random.Random(seed)
        self.ending = asyncio.Event()
        self.serial = 0
        self.trusting = ssl.create_default_context()
        self.trusting.check_hostname, self.trusting.verify_mode = False, ssl.CERT_NONE

    def tasks(self):
        """Starts all of them."""
        kinds = [(self.get, 4), (self.get_tls, 2), (self.turn, 2), (self.post, 3), (self.sse, 16), (self.leave, 4)]
        return [asyncio.create_task(self.keep_on(kind)) for kind, count in kinds for _ in range(count)]

    async def keep_on(self, kind):
        """Repeats one kind of request on a connection of its own."""
        connection = Connection(self.tls_port, self.trusting) if kind == self.get_tls else Connection(self.port)
        while not self.ending.is_set():
            self.serial += 1
            token = f"t{self.serial}"
            name = "get" if kind == self.get_tls else kind.__name__
            try:
                async with asyncio.timeout(PATIENCE):
                    await connection.open()
                    await kind(connection, token)
            except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError, Wrong) as error:
                self.journal.fail(name, token, f"{type(error).__name__}: {error}")
                connection.close()
            # Open loop enough: the mass comes from elsewhere, and these have to be looked at.
            await asyncio.sleep(self.random.uniform(0.002, 0.03))
        connection.close()

    async def get(self, connection, token):
        """A small GET to endpoints that may be killed: retries have to hide that."""
        size = self.random.randrange(8000)
        connection.send("GET", f"/get/get/{size}/{token}")
        self.same(await connection.answer(), agent.content(size, token))
        self.journal.done["get"] += 1

    async def get_tls(self, connection, token):
        """The same over TLS."""
        await self.get(connection, token)

    async def turn(self, connection, token):
        """A GET by a route whose pool is exchanged each second."""
        size = self.random.randrange(200_000)
        connection.send("GET", f"/turn/get/{size}/{token}")
        self.same(await connection.answer(), agent.content(size, token))
        self.journal.done["turn"] += 1

    async def post(self, connection, token):
        """An upload of any size, framed either way, in parts."""
        body = agent.content(self.random.choice([0, 10, 3000, 70_000, 300_000]), token)
        chunked = self.random.random() < 0.5
        connection.send("POST", f"/post/post/{token}", "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}")
        for start in range(0, len(body), 50_000):
            part = body[start : start + 50_000]
            connection.writer.write(agent.chunk(part) if chunked else part)
            await connection.writer.drain()
        if chunked:
            connection.writer.write(b"0\r\n\r\n")
        told = json.loads((await connection.answer()).body)
        if told != {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}:
            raise Wrong(f"{len(body)} bytes were sent, the endpoint got {told}")
        self.journal.done["post"] += 1

    async def sse(self, connection, token):
        """A stream, which must be whole."""
        events = self.random.randrange(10, 120)
        connection.send("GET", f"/sse/sse/{events}/{self.random.randrange(5, 60)}/{token}", "accept: text/event-stream")
        status, headers = await connection.head()
        parts = [part async for part in connection.body(headers)]
        if status != 200:
            raise Wrong(described(status, headers, b"".join(parts)))
        expected = b"".join(agent.event(number, token) for number in range(events)) + agent.LAST
        if b"".join(parts) != expected:
            raise Wrong(f"stream of {events} events: {sum(map(len, parts))} of {len(expected)} bytes, or others")
        self.journal.done["sse"] += 1
        self.journal.events["streams"] += 1

    async def leave(self, connection, token):
        """Leaves in the middle: of a stream, of a large answer, of an upload, or right after asking."""
        how, reset = self.random.randrange(4), self.random.random() < 0.5
        if how == 0:
            connection.send("GET", f"/leave/sse/1000/20/{token}")
            await connection.head()
            await connection.reader.readuntil(b"\n\n")
        elif how == 1:
            connection.send("GET", f"/leave/get/4000000/{token}")
            await connection.head()
        elif how == 2:
            connection.send("POST", f"/leave/post/{token}", "content-length: 100000")
            connection.writer.write(b"x" * 40_000)
            await connection.writer.drain()
            await asyncio.sleep(0.01)
        else:
            connection.send("GET", f"/leave/get/4000000/{token}")
            await connection.writer.drain()
        connection.close(reset)
        # A reset overtakes what has not been read: whether there was a request only the proxy can tell.
        if how in (0, 1):
            self.journal.done["leave"] += 1
        else:
            self.journal.unsure["leave"] += 1
        self.journal.events["left"] += 1
        await asyncio.sleep(0.05)

    @staticmethod
    def same(answer, expected):
        """Compares a body with what it should be."""
        if answer.body != expected:
            raise Wrong(f"{len(answer.body)} bytes instead of {len(expected)}, or others")
