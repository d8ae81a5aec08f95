"""An HTTP/1.1 endpoint that tells what reached it, and misbehaves when asked to.

It runs in threads of the test's own process, so that a check can hold a stream back and let it go: no check waits for a clock.
"""

import base64
import hashlib
import json
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_SECONDS = 15
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class Endpoint(ThreadingHTTPServer):
    """The server; the events are what checks wait for and set."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.go = threading.Semaphore(0)
        self.left = threading.Event()
        self.paths = []
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reset(self):
        """Forgets what the last check has left behind."""
        while self.go.acquire(blocking=False):
            pass
        self.left.clear()
        self.paths.clear()

    def handle_error(self, request, client_address):
        """A connection that breaks is a part of many checks: nothing to print."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Prints nothing."""

    def parse_request(self):
        """Notes what arrives, also what no handler is there for."""
        understood = super().parse_request()
        if understood:
            self.server.paths.append(self.path)
        return understood

    def handle_expect_100(self):
        """Refuses an upload before its body when asked to."""
        if self.path.startswith("/refuse"):
            self.send(413, b"no", close=True)
            return False
        return super().handle_expect_100()

    def do_GET(self):
        """Chooses by the first segment of the path."""
        name, _, rest = self.path.split("?")[0].strip("/").partition("/")
        known = getattr(self, f"path_{name or 'echo'}", None)
        if known is None:
            return self.send(404, b"unknown path")
        return known(rest)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_PROPFIND = do_GET

    def path_echo(self, _):
        """Tells as JSON what reached the endpoint."""
        body = self.body()
        told = {"method": self.command, "path": self.path, "version": self.request_version, "headers": self.headers.items()}
        told |= {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        self.send(200, json.dumps(told).encode(), ("content-type", "application/json"))

    def path_bytes(self, rest):
        """Sends that many bytes."""
        self.send(200, b"x" * int(rest))

    def path_status(self, rest):
        """Sends that status."""
        self.body()
        self.send(int(rest), b"" if rest in ("204", "304") else b"status")

    def path_refuse(self, _):
        """Refuses an upload whose expectation was met on the way."""
        self.body()
        self.send(413, b"no")

    def path_cookies(self, _):
        """Sends two cookies as two lines."""
        self.send(200, b"", ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/"))

    def path_redirect(self, _):
        """Sends the client elsewhere."""
        self.send(302, b"", ("location", "http://elsewhere.example/x?y=1"))

    def path_hints(self, _):
        """Sends an informational answer before the real one."""
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n")
        self.send(200, b"after the hints")

    def path_chunked(self, rest):
        """Sends that many chunks."""
        self.start_chunks("text/plain")
        for number in range(int(rest)):
            self.chunk(f"chunk {number}\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def path_events(self, rest):
        """Sends that many events, each one after the first only when the check says go."""
        self.start_chunks("text/event-stream")
        for number in range(int(rest)):
            if number and not self.server.go.acquire(timeout=WAIT_SECONDS):
                self.close_connection = True
                return
            self.chunk(f"data: {number}\n\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def path_hang(self, _):
        """Answers with a head, then waits for the client to leave."""
        self.start_chunks("text/event-stream")
        self.chunk(b"data: 0\n\n")
        self.close_connection = True
        if select.select([self.connection], [], [], WAIT_SECONDS)[0] and not self.connection.recv(1):
            self.server.left.set()

    def path_truncated(self, _):
        """Promises more than it sends."""
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 500)
        self.close_connection = True

    def path_truncatedchunks(self, _):
        """Leaves before the last chunk."""
        self.start_chunks("text/plain")
        self.chunk(b"x" * 500)
        self.close_connection = True

    def path_websocket(self, _):
        """Echoes text and binary messages, RFC 6455."""
        accept = base64.b64encode(hashlib.sha1(self.headers["sec-websocket-key"].encode() + WEBSOCKET_KEY).digest()).decode()
        self.send_response(101)
        for name, value in (("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while True:
            first, second = self.rfile.read(2)
            length = second & 0x7F
            if length > 125:
                length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
            self.wfile.write(bytes([first]) + frame_length(len(data)) + data)
            if first & 0x0F == 8:
                return

    def body(self):
        """Reads the body, whatever its framing."""
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def send(self, status, body, *fields, close=False):
        """Sends a whole answer."""
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("content-length", str(len(body)))
        if close:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def start_chunks(self, kind):
        """Sends the head of a chunked answer."""
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def chunk(self, data):
        """Sends one chunk in one write."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def frame_length(length):
    """Returns the length field of an unmasked frame."""
    if length < 126:
        return bytes([length])
    if length < 1 << 16:
        return b"\x7e" + length.to_bytes(2, "big")
    return b"\x7f" + length.to_bytes(8, "big")
