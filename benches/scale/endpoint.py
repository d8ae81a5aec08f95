#!/usr/bin/env python3
"""The endpoint of the growth measurements: any path, any address of 127.0.0.0/8, bodies and heads of any size.

Only instructions of the proxy are counted, so this one need not be fast. Its one port answers on all 16 million loopback
addresses: ten thousand endpoints, each with an address and connections of its own, are one process. `/bytes/N` has a body of N
bytes, `/headers/N` has N header fields, `/hold` is never answered, every other path has 1 KiB. It prints its port and ends when its standard input closes.
"""

import asyncio
import re
import socket
import sys

USUAL_BODY = 1024
USUAL_FIELDS = 3
BACKLOG = 4096


def reply(path):
    """Returns the reply to a path."""
    asked = re.match(rb"/(bytes|headers)/(\d+)", path)
    size = int(asked[2]) if asked and asked[1] == b"bytes" else USUAL_BODY
    fields = int(asked[2]) if asked and asked[1] == b"headers" else USUAL_FIELDS
    head = [b"HTTP/1.1 200 OK", b"content-type: application/octet-stream", b"content-length: %d" % size]
    head += [b"x-field-%d: value-%d" % (number, number) for number in range(fields - len(head) + 1)]
    return b"\r\n".join(head) + b"\r\n\r\n" + b"x" * size


class Connection(asyncio.Protocol):
    """One connection of the proxy: one request at a time."""

    replies = {}

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport, self.held, self.skip, self.path = transport, b"", 0, None

    def data_received(self, data):
        while data:
            if self.skip:
                taken = min(self.skip, len(data))
                self.skip, data = self.skip - taken, data[taken:]
            else:
                head, end, data = (self.held + data).partition(b"\r\n\r\n")
                if not end:
                    self.held = head
                    return
                self.held = b""
                self.path = head.split(b" ", 2)[1]
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                self.skip = int(length[1]) if length else 0
            if not self.skip:
                self.answer()

    def answer(self):
        """Answers the request that has ended."""
        if self.path == b"/hold":
            return
        # A few paths have large replies, thousands have the usual one.
        key = self.path if self.path.startswith((b"/bytes/", b"/headers/")) else b""
        if key not in self.replies:
            self.replies[key] = reply(key)
        self.transport.write(self.replies[key])


def listener():
    """Returns a socket that hears every loopback address, and nothing that does not come over loopback."""
    heard = socket.socket()
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    heard.bind(("0.0.0.0", 0))
    heard.listen(BACKLOG)
    heard.setblocking(False)
    return heard


async def main():
    """Serves until the standard input closes."""
    heard = listener()
    server = await asyncio.get_running_loop().create_server(Connection, sock=heard, backlog=BACKLOG)
    print("port", heard.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
