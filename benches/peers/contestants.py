"""The proxies that are compared, each with the settings that are fair to it.

A new one is a subclass of `Contestant` and a line in `chosen`. All have the same three listeners in front of the same four
endpoints: plain HTTP/1.1, HTTP/2 by prior knowledge, HTTP/1.1 over TLS.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from lib import tools

PROXY_CORE = 0


@dataclass
class Ports:
    """One proxy's listeners."""

    h1: int
    h2c: int
    tls: int


@dataclass
class Surroundings:
    """What every contestant is given."""

    folder: Path
    endpoints: list
    certificate: Path
    key: Path


class Contestant:
    """A proxy: how it is configured, started and named."""

    name = ""

    def __init__(self):
        self.ports = None
        self.process = None

    def version(self):
        """Says which version runs."""
        raise NotImplementedError

    def configure(self, folder, around):
        """Writes the files into `folder` and returns the command."""
        raise NotImplementedError

    def start(self, around):
        """Starts it on free ports; a port that somebody else took meanwhile is a reason to choose again."""
        folder = around.folder / self.name.replace(" ", "-")
        folder.mkdir()
        # nginx gives up its rights and still has to reach its own folder.
        folder.chmod(0o755)
        for _ in range(3):
            self.ports = Ports(*tools.free_ports(3))
            command = self.configure(folder, around)
            with open(folder / "log", "ab") as log:
                self.process = tools.start(PROXY_CORE, command, log)
            if all(tools.wait_for_port(port, self.process) for port in vars(self.ports).values()):
                return
            self.stop()
        said = (folder / "log").read_text(errors="replace")[-2000:]
        raise tools.Failed(f"{self.name} did not start:\n{said}")

    def stop(self):
        """Ends it."""
        if self.process is not None:
            tools.stop(self.process)
            self.process = None

    def pids(self):
        """Returns its processes: the one that was started and all below it."""
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
        return found


class Nginx(Contestant):
    """nginx, the measure of all: `worker_processes 1`, connections to endpoints kept, nothing logged, nothing on disk."""

    def __init__(self, name="nginx"):
        super().__init__()
        self.name = name

    def version(self):
        return tools.version("nginx", "-v").replace("nginx version: ", "").replace("nginx/", "nginx ")

    def configure(self, folder, around):
        servers = "\n".join(f"    server 127.0.0.1:{port};" for port in around.endpoints)
        # Without `user`, a root's nginx would run its worker as somebody who cannot enter the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"""{user}
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream endpoints {{
{servers}
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{self.ports.h1} backlog=4096;
    listen 127.0.0.1:{self.ports.h2c} http2 backlog=4096;
    listen 127.0.0.1:{self.ports.tls} ssl backlog=4096;
    ssl_certificate {around.certificate};
    ssl_certificate_key {around.key};
    location / {{
      proxy_pass http://endpoints;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
""")
        return [tools.find("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


class Haproxy(Contestant):
    """HAProxy: one thread, connections to endpoints shared, nothing logged."""

    name = "haproxy"

    def version(self):
        words = tools.version("haproxy", "-v").split()
        return f"haproxy {words[2]}" if len(words) > 2 else "haproxy"

    def configure(self, folder, around):
        # One PEM file with chain and key is how HAProxy wants it.
        both = folder / "both.pem"
        both.write_text(around.certificate.read_text() + around.key.read_text())
        servers = "\n".join(f"  server e{index} 127.0.0.1:{port}" for index, port in enumerate(around.endpoints))
        (folder / "haproxy.cfg").write_text(f"""global
  nbthread 1
  maxconn 8000
defaults
  mode http
  no log
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  option http-no-delay
  http-reuse always
frontend proxy
  bind 127.0.0.1:{self.ports.h1}
  bind 127.0.0.1:{self.ports.h2c} proto h2
  bind 127.0.0.1:{self.ports.tls} ssl crt {both} alpn http/1.1
  default_backend endpoints
backend endpoints
{servers}
""")
        return [tools.find("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


class Tidegate(Contestant):
    """Tidegate: one worker, no admin server, everything else as it is by default."""

    name = "tidegate"

    def __init__(self, binary):
        super().__init__()
        self.binary = binary

    def version(self):
        return tools.version(str(self.binary), "version")

    def configure(self, folder, around):
        endpoints = "\n".join(f"      - 127.0.0.1:{port}" for port in around.endpoints)
        (folder / "tidegate.yaml").write_text(f"""workers: 1
listeners:
  - {{ name: h1, bind: "127.0.0.1:{self.ports.h1}", pool: endpoints }}
  - {{ name: h2c, bind: "127.0.0.1:{self.ports.h2c}", pool: endpoints }}
  - name: tls
    bind: 127.0.0.1:{self.ports.tls}
    tls: {{ certificate: {around.certificate}, key: {around.key} }}
    pool: endpoints
pools:
  endpoints:
    endpoints:
{endpoints}
admin: {{ bind: none }}
""")
        return [str(self.binary), "run", "--config", str(folder / "tidegate.yaml")]


def chosen(tidegate):
    """Returns the contestants: nginx twice, because what differs between the two is noise."""
    peers = [Nginx("nginx"), Nginx("nginx again"), Haproxy()]
    return peers if tidegate is None else [*peers, Tidegate(tidegate)]
