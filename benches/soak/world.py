"""What surrounds the traffic and changes all the time: the config, and endpoints that come, go and die."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from lib import tools

AGENT = Path(__file__).resolve().parent / "agent.py"
STRATEGIES = ["least_connections", "round_robin", "least_response_time", "weighted_round_robin"]

EDIT_SECONDS = 1.0
REPLACE_SECONDS = 4.0
KILL_SECONDS = 5.0
AGENTS = 3

# A request that was sent to an endpoint just before the reload has to arrive before the endpoint stops accepting.
SETTLE_SECONDS = 0.5
# The longest stream is 120 events of 60 ms; on a busy machine they take longer.
LEAVE_SECONDS = 60
APPLY_SECONDS = 10

MASS_KINDS = ["h1", "h2", "tls", "tls1", "upload", "close"]
STEADY_KINDS = ["post", "sse", "leave"]


class Replica:
    """One agent: a process of `agent.py`."""

    def __init__(self, log):
        command = [sys.executable, str(AGENT)]
        self.process = tools.start(None, command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = None

    async def ready(self):
        """Waits for its port."""
        said = (await asyncio.to_thread(self.process.stdout.readline)).split()
        if said[:1] != ["port"]:
            raise tools.Failed(f"an agent said {said} instead of its port")
        self.port = int(said[1])
        return self

    async def leave(self):
        """Lets it end what runs; returns what was wrong with that, or None."""
        return await asyncio.to_thread(tools.end, self.process, LEAVE_SECONDS)

    def stop(self):
        """Ends it, however it stands."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)


class World:
    """The config file and the endpoints in it."""

    def __init__(self, stack, folder, journal, ports, mass, certificate, seed):
        self.folder = folder
        self.journal = journal
        self.ports = ports
        self.mass = mass
        self.certificate = certificate
        self.random = random.Random(seed)
        self.stack = stack
        self.log = stack.enter_context(open(folder / "agents.log", "wb"))
        self.steady, self.fragile = [], []
        self.generation = 0
        self.edited = asyncio.Event()
        self.ending = asyncio.Event()
        self.leaving = set()

    async def start(self):
        """Starts the first endpoints and writes the first config."""
        self.steady = [await self.replica() for _ in range(AGENTS)]
        self.fragile = [await self.replica() for _ in range(AGENTS)]
        self.write()

    async def replica(self):
        """Starts an endpoint that ends with the script."""
        replica = Replica(self.log)
        self.stack.callback(replica.stop)
        return await replica.ready()

    def tasks(self):
        """Starts what changes the world."""
        return [asyncio.create_task(task) for task in (self.edit(), self.replace(), self.kill())]

    async def edit(self):
        """Writes another config each second and waits until it is in force."""
        while not self.ending.is_set():
            began = time.monotonic()
            await self.apply()
            await asyncio.sleep(max(0, began + EDIT_SECONDS - time.monotonic()))

    async def apply(self):
        """Writes the next config and waits until it is in force."""
        before = (await self.ask("/api/v1/config"))["generation"]
        self.edited.clear()
        self.write()
        for _ in range(APPLY_SECONDS * 20):
            await asyncio.sleep(0.05)
            now = await self.ask("/api/v1/config")
            if now["generation"] > before:
                self.journal.events["reloads"] += 1
                self.edited.set()
                return
        self.journal.fail("reload", f"edit {self.generation}", f"not in force after {APPLY_SECONDS} s; last error: {now['last_error']}")
        self.edited.set()

    async def in_force(self):
        """Waits for an edit that began after this call to be in force."""
        for _ in range(2):
            self.edited.clear()
            await self.edited.wait()
        await asyncio.sleep(SETTLE_SECONDS)

    async def replace(self):
        """Replaces a steady endpoint: the new one comes first, the old one goes when nobody is sent to it any more."""
        while not self.ending.is_set():
            await asyncio.sleep(REPLACE_SECONDS)
            if self.ending.is_set():
                return
            self.steady.append(await self.replica())
            old = self.steady.pop(0)
            task = asyncio.create_task(self.see_off(old))
            self.leaving.add(task)
            task.add_done_callback(self.leaving.discard)

    async def see_off(self, replica):
        """Ends an endpoint that is no longer in the config."""
        await self.in_force()
        if wrong := await replica.leave():
            self.journal.fail("drain", f"endpoint 127.0.0.1:{replica.port}", wrong)
        else:
            self.journal.events["replaced"] += 1

    async def kill(self):
        """Kills a fragile endpoint; only then the config learns of it."""
        while not self.ending.is_set():
            await asyncio.sleep(self.random.uniform(0.6, 1.4) * KILL_SECONDS)
            if self.ending.is_set():
                return
            victim = self.random.choice(self.fragile)
            victim.stop()
            self.journal.events["kills"] += 1
            await asyncio.sleep(self.random.uniform(0, 1.5))
            self.fragile[self.fragile.index(victim)] = await self.replica()

    async def ask(self, path):
        """Returns a page of the admin API."""
        return json.loads(await self.page(path))

    async def page(self, path):
        """Returns a page of the admin server as text."""

        def get():
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}{path}", timeout=10) as answer:
                return answer.read().decode()

        return await asyncio.to_thread(get)

    def write(self):
        """Writes the next config beside the file and renames it: nobody reads half of it."""
        self.generation += 1
        part = self.folder / "tidegate.yaml.part"
        part.write_text(self.text(), encoding="utf-8")
        os.replace(part, self.folder / "tidegate.yaml")

    def text(self):
        """Returns a config that differs from the last one in all its parts but the listeners."""
        turn = f"turn-{self.generation % 2}"
        mass = [port for index, port in enumerate(self.mass) if index != self.generation % len(self.mass)]
        steady = [replica.port for replica in self.steady]
        routes = [route(kind, "mass", 'rewrite: { prefix: "/" }, ') for kind in MASS_KINDS]
        routes += [route(kind, "steady") for kind in STEADY_KINDS] + [route("get", "fragile"), route("turn", turn)]
        routes.append(f'  - {{ name: extra-{self.generation}, match: {{ path: "/extra-{self.generation}" }}, respond: {{ body: "{self.generation}" }} }}')
        pools = [self.pool("mass", mass), self.pool("steady", steady), self.pool("fragile", [item.port for item in self.fragile]), self.pool(turn, steady)]
        pem, key = self.certificate
        return f"""listeners:
  - {{ name: plain, bind: "127.0.0.1:{self.ports['plain']}" }}
  - {{ name: tls, bind: "127.0.0.1:{self.ports['tls']}", tls: {{ certificate: {pem}, key: {key} }} }}
routes:
{chr(10).join(routes)}
pools:
{chr(10).join(pools)}
admin: {{ bind: "127.0.0.1:{self.ports['admin']}" }}
telemetry:
  access_log: {{ path: {self.folder}/access.log }}
  log: {{ level: warn }}
"""

    def pool(self, name, ports):
        """Returns a pool; idle connections go soon, so that the end of the load can be seen in file descriptors."""
        strategy = STRATEGIES[self.generation % len(STRATEGIES)]
        endpoints = "\n".join(f"      - {{ address: 127.0.0.1:{port}, weight: {1 + (port + self.generation) % 3} }}" for port in ports)
        return f"  {name}:\n    strategy: {strategy}\n    upstream: {{ idle_timeout: 3s }}\n    endpoints:\n{endpoints}"


def route(kind, pool, more=""):
    """Returns a route for one kind of traffic, by the first segment of the path."""
    return f'  - {{ name: {kind}, match: {{ path: "/{kind}" }}, {more}pool: {pool} }}'
