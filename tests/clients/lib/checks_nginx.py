"""Checks with nginx as the endpoint: what a file server is asked for, over connections that are kept."""

import http.client

from lib.curl import curl
from lib.harness import check, equal, true


@check
def file_of_nginx_arrives_byte_for_byte(lab):
    expected = (lab.files / "large.bin").read_bytes()
    for version in ("--http1.1", "--http2-prior-knowledge"):
        answer = curl(lab, version, lab.url("files", "/large.bin"))
        equal((answer.code, answer.status, len(answer.body)), (0, 200, len(expected)), f"{version}: exit, status, length")
        true(answer.body == expected, f"{version}: other bytes")


@check
def file_that_nginx_has_not_changed_is_304(lab):
    first = curl(lab, lab.url("files", "/page.txt"))
    conditions = [("If-None-Match", first.fields("etag")[0]), ("If-Modified-Since", first.fields("last-modified")[0])]
    for name, value in conditions:
        for version in ("--http1.1", "--http2-prior-knowledge"):
            answer = curl(lab, version, "--header", f"{name}: {value}", lab.url("files", "/page.txt"))
            equal((answer.code, answer.status, answer.body), (0, 304, b""), f"{version} {name}")


@check
def range_of_a_file_of_nginx_is_that_range(lab):
    content = (lab.files / "page.txt").read_bytes()
    answer = curl(lab, "--range", "10-19", lab.url("files", "/page.txt"))
    equal((answer.status, answer.body), (206, content[10:20]), "status and body")
    equal(answer.fields("content-range"), [f"bytes 10-19/{len(content)}"], "content-range")
    equal(curl(lab, "--range", "999999-", lab.url("files", "/page.txt")).status, 416, "status beyond the end")
    several = curl(lab, "--range", "0-3,8-11", lab.url("files", "/page.txt"))
    true(several.status == 206 and several.fields("content-type")[0].startswith("multipart/byteranges"), several.head)


@check
def head_of_a_file_of_nginx_has_its_length(lab):
    size = str((lab.files / "large.bin").stat().st_size)
    for version in ("--http1.1", "--http2-prior-knowledge"):
        answer = curl(lab, version, "--head", "--output", "/dev/null", lab.url("files", "/large.bin"))
        equal((answer.code, answer.status, answer.fields("content-length")), (0, 200, [size]), version)


@check
def refusals_of_nginx_arrive_as_they_are(lab):
    equal(curl(lab, lab.url("files", "/nothing-here")).status, 404, "status")
    answer = curl(lab, "--data", "x=1", lab.url("files", "/page.txt"))
    equal((answer.code, answer.status), (0, 405), "exit and status")


@check
def connection_to_nginx_is_kept(lab):
    client = http.client.HTTPConnection("127.0.0.1", lab.ports["files"], timeout=10)
    used = []
    for path in ("/page.txt", "/nothing-here", "/page.txt", "/large.bin", "/page.txt") * 2:
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        used.append(answer.getheader("x-connection"))
    client.close()
    kept(used)


@check
def connection_to_nginx_is_kept_after_head_and_304(lab):
    client = http.client.HTTPConnection("127.0.0.1", lab.ports["files"], timeout=10)
    used, etag = [], ""
    for method in ("GET", "HEAD") * 5:
        client.request(method, "/page.txt", headers={"If-None-Match": etag} if etag else {})
        answer = client.getresponse()
        answer.read()
        etag = answer.getheader("etag")
        used.append(answer.getheader("x-connection"))
    client.close()
    kept(used)


@check
def nginx_that_closes_every_third_connection_loses_no_request(lab):
    client = http.client.HTTPConnection("127.0.0.1", lab.ports["fickle"], timeout=10)
    for number in range(60):
        client.request("GET", "/page.txt")
        answer = client.getresponse()
        answer.read()
        equal(answer.status, 200, f"status of request {number}")
    client.close()


def kept(used):
    """Fails when requests of one client, one after the other, had connections of their own.

    Exactly one is not asked for: the next request may come before a connection is known to be free again.
    """
    true(len(set(used)) <= len(used) // 3, f"{len(set(used))} connections to nginx for {len(used)} requests: {used}")
