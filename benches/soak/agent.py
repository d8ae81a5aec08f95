"""An endpoint that can be checked: `python3 agent.py` prints its port and serves HTTP/1.1 until its standard input closes.

    /KIND/get/SIZE/TOKEN           that many bytes that depend on the token
    /KIND/post/TOKEN               length and SHA-256 of the body, as it came in
    /KIND/sse/EVENTS/MS/TOKEN      so many events, one each MS milliseconds, numbered, with an event `done` at the end

SIGTERM drains: it accepts nobody, closes idle connections, ends what runs, and goes. SIGKILL is what it looks like.
"""

import asyncio
import hashlib
import json
import os
import signal
import threading


def content(size, token):
    """Returns bytes in which nothing can be missing or exchanged unseen."""
    seed = hashlib.sha256(token.encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]


def event(number, token):
    """Returns one event of a stream."""
    return f"id: {number}\ndata: {token} {number} {'.' * 64}\n\n".encode()


LAST = b"event: done\ndata: end\n\n"


class Agent:
    """The server and its connections."""

    def __init__(self):
        self.draining = False
        self.idle = set()
        self.connections = 0
        self.server = None
        self.over = asyncio.Event()

    async def serve(self):
        """Runs until it is drained."""
        # A burst of new connections must not meet a full backlog: that would look like a fault of the proxy.
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0, backlog=1024, limit=1 << 17)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.drain)
        print("port", self.server.sockets[0].getsockname()[1], flush=True)
        await self.over.wait()

    def drain(self):
        """Closes the door; those inside end what they do."""
        self.draining = True
        self.server.close()
        for writer in list(self.idle):
            writer.close()
        self.leave_when_empty()

    def leave_when_empty(self):
        if self.draining and self.connections == 0:
            self.over.set()

    async def connection(self, reader, writer):
        """Serves requests one after the other."""
        self.connections += 1
        try:
            while not self.draining:
                self.idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self.idle.discard(writer)
                await self.request(head.decode("latin-1"), reader, writer)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            # The proxy has closed the connection, which is its right at any time.
            pass
        finally:
            self.idle.discard(writer)
            writer.close()
            self.connections -= 1
            self.leave_when_empty()

    async def request(self, head, reader, writer):
        """Answers one request."""
        line, *fields = head.split("\r\n")
        path = line.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
        body = await read_body(headers, reader)
        _, _, what, *arguments = path.split("/")
        if what == "sse":
            return await self.stream(writer, int(arguments[0]), int(arguments[1]), arguments[2])
        if what == "post":
            answer = json.dumps({"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}).encode()
        else:
            answer = content(int(arguments[0]), arguments[1])
        # One write: the kernel has all of it or nothing when the agent is killed.
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()

    async def stream(self, writer, events, pause_ms, token):
        """Answers with events."""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(events):
            writer.write(chunk(event(number, token)))
            await writer.drain()
            await asyncio.sleep(pause_ms / 1000)
        writer.write(chunk(LAST) + b"0\r\n\r\n")
        await writer.drain()


async def read_body(headers, reader):
    """Reads a request's body, however it is framed."""
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(parts)


def chunk(data):
    """Frames one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def end_with_standard_input():
    """Ends the process when the one that started it has gone."""
    # Not through `sys.stdin`: its lock, held by this thread, would abort an interpreter that ends in peace.
    while os.read(0, 64):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    asyncio.run(Agent().serve())
