"""What every check works with: Tidegate in front of a Python endpoint and of nginx, on free ports."""

import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack

from lib.endpoint import Endpoint

PACKAGES = {"curl": "curl", "h2load": "nghttp2-client", "nginx": "nginx", "openssl": "openssl"}
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
LISTENERS = ["plain", "secure", "announced", "small", "files", "fickle", "dead", "routed"]
START_SECONDS = 20
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """The lab cannot be built."""


def find(program):
    """Returns the path of a program, or None."""
    return shutil.which(program, path=SEARCH)


def missing():
    """Returns what to tell when a foreign program is missing, None when all are there."""
    absent = [program for program in PACKAGES if not find(program)]
    if not absent:
        return None
    packages = " ".join(sorted(PACKAGES[program] for program in absent))
    return f"missing: {', '.join(absent)}\ninstall: sudo apt-get install {packages}"


def free_ports(count):
    """Returns ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def start(command, log):
    """Starts a program that ends with this one, whatever happens."""

    def before_exec():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before_exec)


def stop(process):
    """Ends it: politely, then not."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(3)


def accepts(port, process):
    """Waits until the port accepts; False when the process has ended instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


class Lab:
    """Everything that runs during the checks; a context manager that ends it all."""

    def __init__(self, binary):
        self.binary = binary
        self.stack = ExitStack()
        self.ports = {}
        self.proxy = None
        self.endpoint = None
        self.folder = None

    def build(self, folder):
        """Starts endpoints and proxy."""
        self.folder = folder
        # Raised for h2load and for nginx; checks open few connections themselves.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.endpoint = Endpoint()
        self.stack.callback(self.endpoint.server_close)
        self.certificate()
        files, fickle = self.nginx()
        # Bound and never listening: every connection to it is refused, and nobody else can take it.
        dead = self.stack.enter_context(socket.socket())
        dead.bind(("127.0.0.1", 0))
        pools = {"agents": self.endpoint.port, "files": files, "fickle": fickle, "dead": dead.getsockname()[1]}
        self.ports, self.proxy = self.tidegate("tidegate", pools)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def certificate(self):
        """Makes a certificate for localhost, which is its own authority."""
        command = [find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", str(self.folder / "server.key"), "-out", str(self.folder / "server.pem")]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    def nginx(self):
        """Starts nginx as an endpoint with files, and as one that closes each connection after three requests."""
        root = self.folder / "files"
        root.mkdir()
        (root / "page.txt").write_text("a page of nginx\n" * 64)
        (root / "large.bin").write_bytes(os.urandom(8 << 20))
        # nginx gives up its rights and still has to reach its files.
        for folder in (self.folder, root):
            folder.chmod(0o755)
        user = "user root;" if os.geteuid() == 0 else ""
        for _ in range(3):
            files, fickle = free_ports(2)
            (self.folder / "nginx.conf").write_text(f"""{user}
worker_processes 1;
daemon off;
pid {self.folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {self.folder}/body;
  proxy_temp_path {self.folder}/proxy;
  fastcgi_temp_path {self.folder}/fastcgi;
  uwsgi_temp_path {self.folder}/uwsgi;
  scgi_temp_path {self.folder}/scgi;
  root {root};
  add_header x-connection $connection always;
  server {{ listen 127.0.0.1:{files}; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{fickle}; keepalive_requests 3; }}
}}
""")
            log = self.stack.enter_context(open(self.folder / "nginx.log", "ab"))
            arguments = ["-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
            process = start([find("nginx"), *arguments], log)
            self.stack.callback(stop, process)
            if accepts(files, process) and accepts(fickle, process):
                return files, fickle
        raise Failed(f"nginx did not start:\n{(self.folder / 'nginx.log').read_text()[-2000:]}")

    def tidegate(self, name, pools):
        """Starts a Tidegate with all listeners; returns its ports by listener, and its process."""
        log = self.stack.enter_context(open(self.folder / f"{name}.log", "ab"))
        for _ in range(3):
            ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
            config = self.folder / f"{name}.yaml"
            config.write_text(self.config(ports, pools))
            process = start([str(self.binary), "run", "--config", str(config)], log)
            self.stack.callback(stop, process)
            if all(accepts(port, process) for port in ports.values()):
                return ports, process
            stop(process)
        raise Failed(f"tidegate did not start:\n{self.said(name)}")

    def said(self, name="tidegate"):
        """Returns the end of what a Tidegate has logged."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def config(self, ports, pools):
        """Returns the file of a Tidegate."""
        bind = {name: f'"127.0.0.1:{port}"' for name, port in ports.items()}
        groups = "\n".join(f"  {name}: {{ endpoints: [127.0.0.1:{port}] }}" for name, port in pools.items())
        return f"""listeners:
  - {{ name: plain, bind: {bind['plain']}, pool: agents }}
  - name: secure
    bind: {bind['secure']}
    tls: {{ certificate: {self.folder}/server.pem, key: {self.folder}/server.key }}
    pool: agents
  - {{ name: announced, bind: {bind['announced']}, proxy_protocol: true, pool: agents }}
  - {{ name: small, bind: {bind['small']}, limits: {{ request_body: 1KiB, header_bytes: 8KiB }}, pool: agents }}
  - {{ name: files, bind: {bind['files']}, pool: files }}
  - {{ name: fickle, bind: {bind['fickle']}, pool: fickle }}
  - {{ name: dead, bind: {bind['dead']}, pool: dead }}
  - {{ name: routed, bind: {bind['routed']} }}
routes:
  - name: below
    match: {{ listeners: [routed], path: {{ prefix: /below }} }}
    pool: agents
    rewrite: {{ prefix: /echo }}
pools:
{groups}
admin: {{ bind: none }}
"""

    def url(self, listener, path="/"):
        """Returns the address of a path on a listener."""
        return f"{'https' if listener == 'secure' else 'http'}://localhost:{self.ports[listener]}{path}"

    @property
    def files(self):
        """The folder that nginx serves."""
        return self.folder / "files"

    def connect(self, listener):
        """Opens a plain TCP connection to a listener."""
        return socket.create_connection(("127.0.0.1", self.ports[listener]), 10)
