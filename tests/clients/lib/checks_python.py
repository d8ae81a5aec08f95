"""Checks by Python's own clients and by bare sockets: keep-alive, pipelining, odd ends, ambiguous framing, WebSocket."""

import base64
import hashlib
import http.client
import json
import os
import socket
import ssl
import threading

from lib.endpoint import WEBSOCKET_KEY, frame_length
from lib.harness import check, equal, true

# Each must be refused, never repaired (RFC 9112 sections 2.2, 5.1, 6.1, 6.3, 7.1; RFC 9110 section 7.2).
AMBIGUOUS = {
    "both framings": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "negative length": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "signed length": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "unknown coding": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "space before colon": b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n",
    "folded line": b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n",
    "bare CR": b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-A: 1\r2\r\n\r\n",
    "NUL": b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-A: 1\x002\r\n\r\n",
    "no host": b"GET /smuggled HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /smuggled HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "odd host": b"GET /smuggled HTTP/1.1\r\nHost: a b\r\n\r\n",
    "space in the target": b"GET /smuggled x HTTP/1.1\r\nHost: a\r\n\r\n",
    "nonsense": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
}


def until_closed(connection):
    """Reads to the end; a reset is an end too."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def statuses(received):
    """Returns the statuses in what was received; bodies of the answers must not look like one."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def request(path, *fields):
    """Returns a request without body."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


@check
def python_keeps_one_connection_for_a_hundred_requests(lab):
    client = http.client.HTTPConnection("127.0.0.1", lab.ports["plain"], timeout=10)
    client.connect()
    first = client.sock
    for number in range(100):
        client.request("POST" if number % 2 else "GET", "/echo", b"x" * number if number % 2 else None)
        answer = client.getresponse()
        equal((answer.status, json.loads(answer.read())["length"]), (200, number if number % 2 else 0), f"request {number}")
        true(client.sock is first, f"connection closed after request {number}")
    client.close()


@check
def python_keeps_one_connection_over_tls(lab):
    context = ssl.create_default_context(cafile=str(lab.folder / "server.pem"))
    client = http.client.HTTPSConnection("localhost", lab.ports["secure"], timeout=10, context=context)
    client.connect()
    first = client.sock
    for number in range(20):
        client.request("GET", "/bytes/20000")
        answer = client.getresponse()
        equal((answer.status, len(answer.read())), (200, 20000), f"request {number}")
        true(client.sock is first, f"connection closed after request {number}")
    client.close()


@check
def many_python_clients_at_once_get_their_own_answers(lab):
    problems = []

    def one(name):
        try:
            client = http.client.HTTPConnection("127.0.0.1", lab.ports["plain"], timeout=20)
            for number in range(40):
                client.request("GET", f"/echo?{name}-{number}")
                path = json.loads(client.getresponse().read())["path"]
                equal(path, f"/echo?{name}-{number}", "path")
            client.close()
        except Exception as error:  # noqa: BLE001: told to the check's own thread
            problems.append(repr(error))

    threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    equal(problems, [], "problems")
    true(not any(thread.is_alive() for thread in threads), "a client still waits")


@check
def chunked_answer_arrives_whole(lab):
    client = http.client.HTTPConnection("127.0.0.1", lab.ports["plain"], timeout=10)
    client.request("GET", "/chunked/500")
    equal(client.getresponse().read(), b"".join(b"chunk %d\n" % number for number in range(500)), "body")
    client.close()


@check
def chunked_upload_of_python_arrives_whole(lab):
    client = http.client.HTTPConnection("127.0.0.1", lab.ports["plain"], timeout=10)
    parts = [os.urandom(1000 + number) for number in range(50)]
    client.request("POST", "/echo", iter(parts), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    equal(json.loads(client.getresponse().read())["sha256"], hashlib.sha256(b"".join(parts)).hexdigest(), "hash")
    client.close()


@check
def pipelined_requests_are_answered_in_order(lab):
    with lab.connect("plain") as connection:
        paths = [f"/status/{status}" for status in (200, 404, 418, 500, 201)] * 4
        connection.sendall(b"".join(map(request, paths[:-1])) + request(paths[-1], "Connection: close"))
        equal(statuses(until_closed(connection)), [200, 404, 418, 500, 201] * 4, "statuses")


@check
def pipelined_request_behind_a_body_is_answered(lab):
    with lab.connect("plain") as connection:
        upload = b"POST /status/202 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        connection.sendall(upload + request("/status/201", "Connection: close"))
        equal(statuses(until_closed(connection)), [202, 201], "statuses")


@check
def request_that_arrives_byte_by_byte_is_answered(lab):
    with lab.connect("plain") as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("/status/200", "Connection: close"):
            connection.sendall(bytes([byte]))
        equal(statuses(until_closed(connection)), [200], "statuses")


@check
def half_closed_client_gets_a_whole_answer_or_none(lab):
    # A client that has left and one that only has nothing more to say look the same on the wire (RFC 9112 section 9.6 allows
    # both readings): what must not happen is a part that looks like a whole, or a connection that stays.
    with lab.connect("plain") as connection:
        connection.sendall(request("/bytes/100000"))
        connection.shutdown(socket.SHUT_WR)
        received = until_closed(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    true(not received or (statuses(head) == [200] and len(body) == 100000), f"{len(received)} bytes: {head!r}")


@check
def connection_that_says_nothing_may_leave(lab):
    lab.connect("plain").close()
    with lab.connect("plain") as connection:
        connection.sendall(b"GET /ec")
    with lab.connect("secure") as connection:
        connection.sendall(b"\x16\x03")
    with lab.connect("plain") as connection:
        connection.sendall(request("/status/200", "Connection: close"))
        equal(statuses(until_closed(connection)), [200], "statuses")


@check
def http_1_0_client_gets_an_answer_that_ends_with_the_connection(lab):
    with lab.connect("plain") as connection:
        connection.sendall(b"GET /chunked/3 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    true(b"transfer-encoding" not in head.lower(), f"chunks for a client that does not know them: {head!r}")
    equal(body, b"chunk 0\nchunk 1\nchunk 2\n", "body")


@check
def connection_closes_when_the_client_asks_for_it(lab):
    with lab.connect("plain") as connection:
        connection.sendall(request("/bytes/10", "Connection: close") + request("/bytes/10"))
        received = until_closed(connection)
    equal(statuses(received), [200], "statuses")
    true(b"connection: close" in received.lower(), f"not announced: {received!r}")


@check
def ambiguous_requests_are_refused_and_never_forwarded(lab):
    accepted = []
    for name, sent in AMBIGUOUS.items():
        with lab.connect("plain") as connection:
            connection.settimeout(3)
            connection.sendall(sent)
            # Not closed by us: that the connection ends is a part of the refusal.
            try:
                received = until_closed(connection)
            except TimeoutError:
                accepted.append((name, "connection stays open"))
                continue
        if any(status not in (400, 501, 505) for status in statuses(received)):
            accepted.append((name, received[:40]))
    equal(accepted, [], "accepted")
    true(not any("smuggled" in path for path in lab.endpoint.paths), "one of them reached the endpoint")


@check
def address_from_the_proxy_protocol_reaches_the_endpoint(lab):
    version_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton("203.0.113.7") + socket.inet_aton("127.0.0.1") + b"\x10\x00\x00\x50"
    for header in (b"PROXY TCP4 203.0.113.7 127.0.0.1 4096 80\r\n", version_2):
        with lab.connect("announced") as connection:
            connection.sendall(header + request("/echo", "Connection: close"))
            _, _, body = until_closed(connection).partition(b"\r\n\r\n")
        fields = dict((name.lower(), value) for name, value in json.loads(body)["headers"])
        equal(fields.get("x-forwarded-for"), "203.0.113.7", "x-forwarded-for")


@check
def unknown_method_reaches_the_endpoint(lab):
    with lab.connect("plain") as connection:
        connection.sendall(b"PROPFIND /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        _, _, body = until_closed(connection).partition(b"\r\n\r\n")
    equal(json.loads(body)["method"], "PROPFIND", "method at the endpoint")


@check
def websocket_echoes_messages_of_every_length(lab):
    for listener in ("plain", "secure"):
        with lab.connect(listener) as connection:
            if listener == "secure":
                connection = ssl.create_default_context(cafile=str(lab.folder / "server.pem")).wrap_socket(connection, server_hostname="localhost")
            key = base64.b64encode(os.urandom(16))
            upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key.decode()}")
            connection.sendall(request("/websocket", *upgrade))
            stream = connection.makefile("rb")
            head = b"".join(iter(stream.readline, b"\r\n"))
            true(head.startswith(b"HTTP/1.1 101"), f"no upgrade: {head!r}")
            true(base64.b64encode(hashlib.sha1(key + WEBSOCKET_KEY).digest()) in head, f"no accept key: {head!r}")
            for length in (0, 5, 126, 70_000):
                message = os.urandom(length)
                connection.sendall(frame(2, message))
                equal(stream.read(1 + len(frame_length(length)) + length), b"\x82" + frame_length(length) + message, "echo")
            connection.sendall(frame(8, b"\x03\xe8"))
            equal(stream.read(), b"\x88\x02\x03\xe8", "close frame and end")
            connection.close()


def frame(opcode, data):
    """Returns a final, masked frame (RFC 6455 section 5.2)."""
    length = frame_length(len(data))
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    return bytes([0x80 | opcode, 0x80 | length[0]]) + length[1:] + mask + masked
