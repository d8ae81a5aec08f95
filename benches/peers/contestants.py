"""The proxies that are compared, each with the settings that are fair to it.

A new one is a subclass of `Contestant` and a line in `chosen`.
"""

import os

from lib import tools
from peers.base import Contestant
from peers.envoy import Envoy

OURS = "tidegate"
PGO = "tidegate pgo"


class Nginx(Contestant):
    """nginx, the measure of all: connections to endpoints kept, nothing logged, nothing on disk.

    It speaks no HTTP/2 to endpoints: its fourth listener is like its second.
    """

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
worker_processes {around.workers};
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
  keepalive_timeout 600s;
  upstream endpoints {{
{servers}
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{self.ports.h1} backlog=4096;
    listen 127.0.0.1:{self.ports.h2c} http2 backlog=4096;
    listen 127.0.0.1:{self.ports.h2h2} http2 backlog=4096;
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
    """HAProxy: connections to endpoints shared, nothing logged."""

    name = "haproxy"

    def version(self):
        words = tools.version("haproxy", "-v").split()
        return f"haproxy {words[2].split('-')[0]}" if len(words) > 2 else "haproxy"

    def configure(self, folder, around):
        # One PEM file with chain and key is how HAProxy wants it.
        both = folder / "both.pem"
        both.write_text(around.certificate.read_text() + around.key.read_text())
        servers = [f"  server e{index} 127.0.0.1:{port}" for index, port in enumerate(around.endpoints)]
        newline = "\n"
        # It asks for two descriptors a connection: more would not fit below a limit of 20,000.
        (folder / "haproxy.cfg").write_text(f"""global
  nbthread {around.workers}
  maxconn 9600
defaults
  mode http
  no log
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  option forwardfor
  option http-no-delay
  http-reuse always
frontend proxy
  bind 127.0.0.1:{self.ports.h1}
  bind 127.0.0.1:{self.ports.h2c} proto h2
  bind 127.0.0.1:{self.ports.tls} ssl crt {both} alpn http/1.1
  default_backend endpoints
frontend h2h2
  bind 127.0.0.1:{self.ports.h2h2} proto h2
  default_backend endpoints-h2
backend endpoints
{newline.join(servers)}
backend endpoints-h2
{newline.join(server + " proto h2" for server in servers)}
""")
        return [tools.find("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


class Tidegate(Contestant):
    """Tidegate: no admin server, everything else as it is by default."""

    def __init__(self, binary, name=OURS):
        super().__init__()
        self.binary = binary
        self.name = name

    def version(self):
        return tools.version(str(self.binary), "version")

    def text(self, around):
        """Returns the configuration."""
        endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in around.endpoints)
        return f"""workers: {around.workers}
listeners:
  - {{ name: h1, bind: "127.0.0.1:{self.ports.h1}", pool: endpoints }}
  - {{ name: h2c, bind: "127.0.0.1:{self.ports.h2c}", pool: endpoints }}
  - {{ name: h2h2, bind: "127.0.0.1:{self.ports.h2h2}", pool: endpoints-h2 }}
  - name: tls
    bind: 127.0.0.1:{self.ports.tls}
    tls: {{ certificate: {around.certificate}, key: {around.key} }}
    pool: endpoints
pools:
  endpoints:
    endpoints: [{endpoints}]
  endpoints-h2:
    endpoints: [{endpoints}]
    upstream: {{ protocol: http2 }}
admin: {{ bind: none }}
"""

    def configure(self, folder, around):
        (folder / "tidegate.yaml").write_text(self.text(around))
        return [str(self.binary), "run", "--config", str(folder / "tidegate.yaml")]


def chosen(tidegate, pgo, envoy):
    """Returns the contestants: nginx twice, because what differs between the two is noise; others only when they are there."""
    peers = [Nginx("nginx"), Nginx("nginx again"), Haproxy()]
    peers += [Envoy(envoy)] if envoy else []
    ours = [(tidegate, OURS), (pgo, PGO)]
    return [*peers, *(Tidegate(binary, name) for binary, name in ours if binary)]
