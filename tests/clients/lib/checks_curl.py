"""Checks by curl: versions, uploads, streams, the PROXY protocol, errors made by Tidegate."""

import hashlib
import subprocess
import time

from lib.curl import HTTP2_ENDED, PARTIAL_FILE, REFUSED_OR_CUT, curl, stream
from lib.harness import check, equal, true

BIG = b"0123456789abcdef" * (1 << 16)
H2C = "--http2-prior-knowledge"


def told(answer, length=None):
    """Returns what the endpoint tells of the request, once the answer is a good one."""
    equal((answer.code, answer.status), (0, 200), "exit and status")
    told_by_endpoint = answer.json()
    if length is not None:
        equal(told_by_endpoint["length"], length, "length of the body at the endpoint")
    return told_by_endpoint


def field(request, name):
    """Returns the values of a field at the endpoint."""
    return [value for key, value in request["headers"] if key.lower() == name]


@check
def curl_gets_an_answer_over_http_1(lab):
    answer = curl(lab, "--http1.1", lab.url("plain", "/echo?a=1&b=%20x"))
    request = told(answer)
    equal(answer.version, "1.1", "version")
    equal((request["method"], request["path"]), ("GET", "/echo?a=1&b=%20x"), "request")


@check
def curl_gets_an_answer_over_http_2_by_prior_knowledge(lab):
    answer = curl(lab, H2C, lab.url("plain", "/echo"))
    equal(told(answer)["version"], "HTTP/1.1", "version at the endpoint")
    equal(answer.version, "2", "version")


@check
def curl_gets_http_2_by_alpn(lab):
    answer = curl(lab, "--http2", lab.url("secure", "/echo"))
    equal(field(told(answer), "x-forwarded-proto"), ["https"], "x-forwarded-proto")
    equal(answer.version, "2", "version")


@check
def curl_gets_http_1_by_alpn(lab):
    answer = curl(lab, "--http1.1", lab.url("secure", "/echo"))
    told(answer)
    equal(answer.version, "1.1", "version")


@check
def curl_gets_http_1_without_alpn(lab):
    answer = curl(lab, "--no-alpn", lab.url("secure", "/echo"))
    told(answer)
    equal(answer.version, "1.1", "version")


@check
def curl_reaches_tls_by_both_protocol_versions(lab):
    for version in ("--tlsv1.2", "--tlsv1.3"):
        newest = ["--tls-max", version[-3:]]
        told(curl(lab, version, *newest, lab.url("secure", "/echo")))


@check
def offer_to_upgrade_to_http_2_is_answered_over_http_1(lab):
    answer = curl(lab, "--http2", lab.url("plain", "/echo"))
    request = told(answer)
    equal(answer.version, "1.1", "version")
    equal(field(request, "http2-settings"), [], "http2-settings at the endpoint")


@check
def curl_uses_one_connection_for_several_requests(lab):
    # Over TLS for HTTP/2: curl 7.88 fails by itself when it uses a prior-knowledge connection again.
    for version, listener in (("--http1.1", "plain"), ("--http2", "secure")):
        url = lab.url(listener, "/bytes/10")
        answer = curl(lab, version, url, url, url)
        # The count is that of the last transfer, which had no need to connect.
        equal((answer.code, answer.connects), (0, 0), "exit and new connections")


@check
def curl_head_gets_the_length_and_no_body(lab):
    for version in ("--http1.1", H2C):
        answer = curl(lab, version, "--head", "--output", "/dev/null", lab.url("plain", "/bytes/1234"))
        equal((answer.code, answer.status), (0, 200), "exit and status")
        equal(answer.fields("content-length"), ["1234"], "content-length")


@check
def curl_downloads_a_mebibyte_over_every_version(lab):
    for version, listener in (("--http1.1", "plain"), (H2C, "plain"), ("--http2", "secure")):
        answer = curl(lab, version, lab.url(listener, "/bytes/1048576"))
        equal((answer.code, answer.status, len(answer.body)), (0, 200, 1 << 20), f"{version}: exit, status, length")


@check
def curl_uploads_a_mebibyte_over_every_version(lab):
    for version, listener in (("--http1.1", "plain"), (H2C, "plain"), ("--http2", "secure")):
        request = told(curl(lab, version, "--data-binary", "@-", lab.url(listener, "/echo"), body=BIG), len(BIG))
        equal(request["sha256"], hashlib.sha256(BIG).hexdigest(), f"{version}: hash of the body")
        equal(field(request, "content-length"), [str(len(BIG))], f"{version}: content-length")


@check
def curl_uploads_in_chunks(lab):
    chunked = ["--http1.1", "--header", "Transfer-Encoding: chunked", "--upload-file", "-"]
    request = told(curl(lab, *chunked, lab.url("plain", "/echo"), body=BIG), len(BIG))
    equal(request["sha256"], hashlib.sha256(BIG).hexdigest(), "hash of the body")
    equal(field(request, "content-length"), [], "content-length")


@check
def curl_uploads_over_http_2_without_a_length(lab):
    request = told(curl(lab, H2C, "--upload-file", "-", lab.url("plain", "/echo"), body=BIG), len(BIG))
    equal(request["sha256"], hashlib.sha256(BIG).hexdigest(), "hash of the body")


@check
def curl_upload_that_expects_100_continue_does_not_wait_in_vain(lab):
    # With this patience, a missing 100 ends in curl's exit status for a timeout, and not in luck.
    patient = ["--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "15", "--max-time", "10"]
    answer = curl(lab, *patient, "--data-binary", "@-", lab.url("plain", "/echo"), body=BIG)
    told(answer, len(BIG))


@check
def curl_upload_that_is_refused_before_its_body_gets_the_refusal(lab):
    patient = ["--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "15", "--max-time", "10"]
    answer = curl(lab, *patient, "--data-binary", "@-", lab.url("plain", "/refuse"), body=BIG)
    equal(answer.status, 413, "status")


@check
def curl_gets_events_one_by_one(lab):
    for version in ("--http1.1", H2C):
        with stream(lab, version, lab.url("plain", "/events/4")) as running:
            for number in range(4):
                # The endpoint sends the next one only now: what is held back anywhere never comes.
                if number:
                    lab.endpoint.go.release()
                equal(running.stdout.readline(), f"data: {number}\n".encode(), f"{version}: event")
                equal(running.stdout.readline(), b"\n", f"{version}: end of the event")
            equal((running.stdout.read(), running.wait(10)), (b"", 0), f"{version}: rest and exit")


@check
def endpoint_learns_that_curl_has_left(lab):
    for version in ("--http1.1", H2C):
        lab.endpoint.left.clear()
        with stream(lab, version, lab.url("plain", "/hang")) as running:
            equal(running.stdout.readline(), b"data: 0\n", f"{version}: event")
            running.kill()
        true(lab.endpoint.left.wait(3), f"{version}: the endpoint still believed in its client after 3 s")


@check
def cut_body_never_looks_complete_to_curl(lab):
    for path in ("/truncated", "/truncatedchunks"):
        one = curl(lab, "--http1.1", lab.url("plain", path))
        true(one.code in REFUSED_OR_CUT | {PARTIAL_FILE}, f"HTTP/1.1 {path}: exit {one.code}")
        two = curl(lab, H2C, lab.url("plain", path))
        true(two.code in REFUSED_OR_CUT | HTTP2_ENDED | {PARTIAL_FILE}, f"HTTP/2 {path}: exit {two.code}")
        # HTTP/2 may drop what a reset overtakes.
        true(len(one.body) == 500 and len(two.body) <= 500, f"{path}: {len(one.body)} and {len(two.body)} bytes before the cut")


@check
def curl_with_the_proxy_protocol_is_let_in(lab):
    told(curl(lab, "--http1.1", "--haproxy-protocol", lab.url("announced", "/echo")))
    told(curl(lab, H2C, "--haproxy-protocol", lab.url("announced", "/echo")))


@check
def curl_without_the_proxy_protocol_is_turned_away_where_it_is_required(lab):
    answer = curl(lab, "--http1.1", lab.url("announced", "/echo"))
    true(answer.code in REFUSED_OR_CUT or answer.status == 400, f"exit {answer.code}, status {answer.status}")


@check
def early_hints_do_not_disturb_the_answer(lab):
    for version in ("--http1.1", H2C):
        answer = curl(lab, version, lab.url("plain", "/hints"))
        equal((answer.code, answer.status, answer.body), (0, 200, b"after the hints"), version)


@check
def statuses_without_a_body_arrive_without_one(lab):
    for version in ("--http1.1", H2C):
        for status in (204, 304):
            answer = curl(lab, version, lab.url("plain", f"/status/{status}"))
            equal((answer.code, answer.status, answer.body), (0, status, b""), version)


@check
def errors_of_the_endpoint_arrive_as_they_are(lab):
    for status in (404, 418, 500, 503):
        answer = curl(lab, lab.url("plain", f"/status/{status}"))
        equal((answer.code, answer.status, answer.body), (0, status, b"status"), "exit, status, body")


@check
def redirect_of_the_endpoint_arrives_unchanged(lab):
    answer = curl(lab, lab.url("plain", "/redirect"))
    equal((answer.status, answer.fields("location")), (302, ["http://elsewhere.example/x?y=1"]), "redirect")


@check
def two_cookies_stay_two_lines(lab):
    for version in ("--http1.1", H2C):
        equal(curl(lab, version, lab.url("plain", "/cookies")).fields("set-cookie"), ["a=1; Path=/", "b=2; Path=/"], version)


@check
def cookies_of_an_http_2_client_are_one_line_at_the_endpoint(lab):
    cookies = ["--header", "cookie: a=1", "--header", "cookie: b=2"]
    # RFC 9113 section 8.2.3: joined again before they go on over HTTP/1.1.
    equal(field(told(curl(lab, H2C, *cookies, lab.url("plain", "/echo"))), "cookie"), ["a=1; b=2"], "cookie")


@check
def fields_of_the_connection_stop_at_the_proxy(lab):
    sent = ["Connection: keep-alive, x-secret", "x-secret: 1", "Keep-Alive: timeout=5", "Proxy-Authorization: Basic eDp5", "TE: trailers"]
    headers = [part for line in sent for part in ("--header", line)]
    request = told(curl(lab, "--http1.1", *headers, lab.url("plain", "/echo")))
    for name in ("x-secret", "keep-alive", "proxy-authorization"):
        equal(field(request, name), [], name)


@check
def endpoint_is_told_about_the_client(lab):
    host = f"localhost:{lab.ports['plain']}"
    for version in ("--http1.1", H2C):
        request = told(curl(lab, version, lab.url("plain", "/echo")))
        equal(field(request, "host"), [host], "host")
        equal(field(request, "x-forwarded-for"), ["127.0.0.1"], "x-forwarded-for")
        equal(field(request, "x-forwarded-proto"), ["http"], "x-forwarded-proto")
        equal(field(request, "x-forwarded-host"), [host], "x-forwarded-host")
        for name in ("forwarded", "via", "x-request-id", "traceparent"):
            equal(len(field(request, name)), 1, f"number of {name}")


@check
def forged_address_of_a_client_is_replaced(lab):
    forged = ["--header", "X-Forwarded-For: 198.51.100.9", "--header", "Forwarded: for=198.51.100.9"]
    request = told(curl(lab, *forged, lab.url("plain", "/echo")))
    equal(field(request, "x-forwarded-for"), ["127.0.0.1"], "x-forwarded-for")
    true("198.51.100.9" not in field(request, "forwarded")[0], f"forwarded: {field(request, 'forwarded')}")


@check
def unreachable_endpoint_is_explained(lab):
    for version in ("--http1.1", H2C):
        answer = curl(lab, version, lab.url("dead", "/echo"))
        true(answer.status in (502, 503), f"status {answer.status}")
        equal(answer.fields("content-type"), ["application/problem+json"], "content-type")
        problem = answer.json()
        equal(problem["status"], answer.status, "status in the body")
        for key in ("title", "detail", "reason", "request_id"):
            true(problem.get(key), f"no {key} in {problem}")
        true(answer.fields("proxy-status"), f"no proxy-status in {answer.head}")


@check
def path_without_a_route_is_explained(lab):
    answer = curl(lab, lab.url("routed", "/elsewhere"))
    equal((answer.status, answer.fields("content-type")), (404, ["application/problem+json"]), "status and type")


@check
def prefix_is_rewritten(lab):
    equal(told(curl(lab, lab.url("routed", "/below/x?y=1")))["path"], "/echo/x?y=1", "path at the endpoint")


@check
def dot_segments_are_resolved_before_the_route_is_chosen(lab):
    equal(curl(lab, "--path-as-is", lab.url("routed", "/below/../elsewhere")).status, 404, "status")
    equal(told(curl(lab, "--path-as-is", lab.url("routed", "/x/../below/%2e/y")))["path"], "/echo/y", "path at the endpoint")


@check
def body_over_the_limit_is_refused(lab):
    for version in ("--http1.1", H2C):
        answer = curl(lab, version, "--header", "Expect:", "--data-binary", "@-", lab.url("small", "/echo"), body=b"x" * 4096)
        equal(answer.status, 413, f"{version}: status")
        told(curl(lab, version, "--data-binary", "@-", lab.url("small", "/echo"), body=b"x" * 1024), 1024)


@check
def body_of_unknown_length_over_the_limit_is_refused(lab):
    chunked = ["--http1.1", "--header", "Transfer-Encoding: chunked", "--header", "Expect:", "--upload-file", "-"]
    equal(curl(lab, *chunked, lab.url("small", "/echo"), body=b"x" * 4096).status, 413, "status")


@check
def head_over_the_limit_is_refused(lab):
    for version in ("--http1.1", H2C):
        answer = curl(lab, version, "--header", f"x-large: {'x' * 12000}", lab.url("small", "/echo"))
        # HTTP/2 has a way to say so before the request (RFC 9113 section 6.5.2), and a client that ignores it is reset.
        refused = answer.status == 431 or (version == H2C and answer.code in REFUSED_OR_CUT | HTTP2_ENDED)
        true(refused, f"{version}: exit {answer.code}, status {answer.status}")


@check
def running_stream_survives_the_end_of_the_proxy(lab):
    ports, process = lab.tidegate("leaving", pools_of(lab))
    with stream(lab, "--http1.1", f"http://localhost:{ports['plain']}/events/3") as running:
        equal(running.stdout.readline(), b"data: 0\n", "event")
        process.terminate()
        # Its log is the only sign from outside that the signal has arrived.
        true(within(5, lambda: "Draining" in lab.said("leaving")), "does not drain after SIGTERM")
        lab.endpoint.go.release(2)
        equal((running.stdout.read(), running.wait(10)), (b"\ndata: 1\n\ndata: 2\n\n", 0), "rest and exit of curl")
    try:
        equal(process.wait(10), 0, "exit of tidegate")
    except subprocess.TimeoutExpired as error:
        raise AssertionError("tidegate still runs though its last stream has ended") from error


@check
def new_connection_is_refused_while_the_proxy_leaves(lab):
    ports, process = lab.tidegate("refusing", pools_of(lab))
    with stream(lab, "--http1.1", f"http://localhost:{ports['plain']}/events/2") as running:
        equal(running.stdout.readline(), b"data: 0\n", "event")
        process.terminate()
        # curl's 7: the system refused. Anything else was taken in by a proxy that no longer serves.
        refused = within(5, lambda: curl(lab, "--http1.1", "--max-time", 1, f"http://localhost:{ports['plain']}/echo").code == 7)
        equal(process.poll(), None, "exit of tidegate while a stream still runs")
        lab.endpoint.go.release()
        running.stdout.read()
    true(refused, "a connection was still taken 5 s after SIGTERM")


def pools_of(lab):
    """Returns pools for a further Tidegate: all are the one endpoint."""
    return {name: lab.endpoint.port for name in ("agents", "files", "fickle", "dead")}


def within(seconds, holds):
    """Asks again until it holds or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False
