"""
A real daemon that runs a very small application: its processes, sockets and signals are the real ones.

The tree has the kernel of this checkout and an application of its own, so that these tests say nothing of identity and
objects, and need neither.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.database.choice import DaemonDatabase
from tests.lent_code import lend_code
from tests.ports import free_port
from tests.running_cloud import CHECKOUT

KERNEL = (
    "interfaces",
    "daemon",
    "database",
    "control",
    "messaging",
    "protocols/amqp",
    "protocols/bus",
    "protocols/http",
    "protocols/control",
    "tls_front",
)
PATIENCE_S = 90.0

APPLICATION = """
import asyncio
import json
import os

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from cloudd.interfaces.application import IApplication, PartHealth
from cloudd.words import WORD
from reload import Converters, States

VERSIONS = {"small-stream": 1, "small-download": 1}
CONVERTERS = Converters()


def version_of(kind):
    return kind, VERSIONS[kind]


def told(fields):
    return fields


def read(state):
    return state


async def prepare(resources):
    if WORD == "unprepared":
        raise ValueError("cannot prepare")
    first = not (resources.settings.state / "seen").exists()
    (resources.settings.state / "seen").touch()
    login = {"admin_password": "a", "demo_password": "d", "ec2_access": "k", "ec2_secret": "s"}
    return {"identity": login if first else {}}


def credentials_kept(resources):
    (resources.settings.state / "kept").touch()


def build(resources):
    return Small(resources)


@implementer(IApplication)
class Small:
    def __init__(self, resources):
        self.resources = resources
        self.count = 0

    async def self_check(self):
        if WORD == "bad":
            raise ValueError("the word is bad")

    def start(self, state):
        self.count = state.get("count", 0)

    def snapshot(self):
        return {"count": self.count}

    def health(self):
        return [PartHealth("word", WORD != "sick", "" if WORD != "sick" else "the word is sick")]

    def states(self):
        return States(VERSIONS, CONVERTERS)

    def note(self, kind, data):
        with (self.resources.settings.state / "noted").open("a") as file:
            print(json.dumps([kind, data]), file=file)

    def retire(self):
        pass

    def handle(self, request):
        return self.answer(request)

    async def answer(self, request):
        self.count += 1
        name, _, rest = request.path.decode().strip("/").partition("/")
        request.route = "items" if name == "items" else "small"
        if name == "health":
            try:
                health = await self.resources.host.health()
            except CancelledError:
                raise
            except Exception as error:  # the anchor is just being replaced: as the real face, it says so
                part = {"status": "failed", "cause": str(error)}
                health = {"status": "failed", "parts": {"anchor": part}}
            request.respond(200 if health["status"] == "ok" else 503, [], json.dumps(health).encode())
        elif name == "metrics":
            request.respond(200, [], await self.resources.host.metrics())
        elif name == "host":
            host = self.resources.host
            what, _, argument = rest.partition("/")
            calls = {"status": host.status, "plan": host.plan, "rates": host.rates, "audit": host.audit}
            answer = await calls[what](*([int(argument)] if argument else []))
            request.respond(200, [], json.dumps(answer).encode())
        elif name == "exit":
            os._exit(int(rest))
        elif name == "slow":
            await deferLater(self.resources.reactor, float(rest), lambda: None)
            request.respond(200, [], WORD.encode())
        elif name == "until":
            while not (self.resources.settings.state.parent / rest).exists():
                await deferLater(self.resources.reactor, 0.02, lambda: None)
            request.respond(200, [], WORD.encode())
        elif name == "stuck":
            await Deferred()
        elif name == "stream":
            if request.resumed is None:
                request.start(200, [])
            while not request.client_gone:
                state = version_of("small-stream")
                request.can_move(lambda: told({"word": WORD}), lambda: None, follows=True, state=state)
                came_from = read(request.resumed)["word"] if request.resumed else "nowhere"
                request.write(f"{WORD} from {came_from}\\n".encode())
                await deferLater(self.resources.reactor, 0.05, lambda: None)
        elif name == "upload":
            received = await request.body.read(1_000_000)
            request.respond(200, [], b"%d %d" % (len(received), sum(received)))
        elif name == "download":
            await self.send_numbers(request)
        elif name == "items" and WORD != "one":
            await self.misbehave(request)
        else:
            request.respond(200, [], f"{WORD} {os.getpid()} {self.count}".encode())

    async def send_numbers(self, request):
        # Lines of 16 bytes, each with its number, until the client leaves.
        if request.resumed is None:
            request.start(200, [])
        number = read(request.resumed)["next"] if request.resumed else 0
        while not request.client_gone:
            request.can_move(lambda: told({"next": number}), lambda: None, state=version_of("small-download"))
            if not request.held:
                request.write(b"%015d\\n" % number)
                number += 1
            await deferLater(self.resources.reactor, 0.01, lambda: None)

    async def misbehave(self, request):
        if WORD == "slow":
            await deferLater(self.resources.reactor, 0.1, lambda: None)
        elif WORD == "hanging":
            await Deferred()
        elif WORD == "leaking":
            os.open("/dev/null", os.O_RDONLY)
        elif WORD == "crashing":
            os._exit(9)
        status = {"failing": 500, "refusing": 404}.get(WORD, 200)
        request.respond(status, [], WORD.encode())
"""


def copy_kernel(tree: Path) -> None:
    """Make a tree of the checkout's kernel, with the bytecode that it has, and the small application."""
    ignored = shutil.ignore_patterns("dropin.cache")
    for name in KERNEL:
        shutil.copytree(CHECKOUT / "cloudd" / name, tree / "cloudd" / name, ignore=ignored)
    shutil.copytree(CHECKOUT / "reload", tree / "reload", ignore=ignored)
    shutil.copytree(CHECKOUT / "twisted", tree / "twisted", ignore=ignored)
    for name in ("net", "storage"):
        (tree / name).mkdir()
        (tree / name / "__init__.py").write_text("")
    (tree / "cloudd" / "__init__.py").write_text("")
    (tree / "cloudd" / "protocols" / "__init__.py").write_text("")
    (tree / "cloudd" / "application.py").write_text(APPLICATION)


class SmallCloud:
    """
    One daemon; ``remove`` ends it with all its processes.

    :ivar is_lent: its state folder is begun with code that is staged already
    """

    is_lent = True

    def __init__(self, settings: str = "[workers]\nfront = 2\n") -> None:
        # Short paths: a unix socket's has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-small-"))
        self.tree = self.folder / "tree"
        copy_kernel(self.tree)
        self.say("one")
        self.state = self.folder / "state"
        self.settings_file = self.folder / "cloudd.toml"
        self.settings_file.write_text(settings)
        self.database = DaemonDatabase()
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def say(self, word: str) -> None:
        """Write the module that an upgrade swaps."""
        (self.tree / "cloudd" / "words.py").write_text(f"WORD = {word!r}\n")

    def spawn(self, *twistd: str, api: str = "", environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start twistd; ``--nodaemon`` unless other options are given."""
        if self.is_lent:
            lend_code(self.state)
        self.database.enter(self.settings_file)
        command = [
            sys.executable,
            str(Path(sys.executable).parent / "twistd"),
            *(twistd or ("--nodaemon", "--pidfile=")),
            "cloudd",
            f"--config={self.settings_file}",
            f"--state={self.state}",
            f"--api={api or f'tcp:{self.port}:interface=127.0.0.1'}",
            "--object=",
            "--s3=",
            "--metadata=",
        ]
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(self.tree), **(environment or {})},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self.process

    def start(self, api: str = "") -> None:
        """Start in the foreground and wait until it says that it is ready."""
        before = self.log().count("cloudd is ready")
        process = self.spawn(api=api)
        self.wait(lambda: process.poll() is not None or self.log().count("cloudd is ready") > before, "ready")
        assert process.poll() is None, self.log()

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until something is so, and give what ``condition`` gave."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"waited in vain: {what}\n{self.log()}")

    def log(self) -> str:
        file = self.folder / "daemon.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def connect(self) -> http.client.HTTPConnection:
        """A keep-alive connection to the API port."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def get(self, path: str, connection: http.client.HTTPConnection | None = None) -> tuple[int, str]:
        """Status and body; on a connection of its own unless one is given."""
        used = connection or self.connect()
        try:
            used.request("GET", path)
            answer = used.getresponse()
            return answer.status, answer.read().decode()
        finally:
            if connection is None:
                used.close()

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/health")[1])
        return found

    def control(self, method: str, path: str, body: Any = None) -> list[Any]:
        """Ask the control socket; gives the lines of its answer."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(self.state / "control.sock"))
            connection = http.client.HTTPConnection("control")
            connection.sock = client
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            return [json.loads(line) for line in answer.read().splitlines() if line]

    def status(self) -> Any:
        return self.control("GET", "status")[0]

    def upgrade(self, canary: float = 0) -> Any:
        """Load what the tree holds now, at once or after a canary; gives the outcome."""
        return self.control("POST", "upgrade", {"canary": canary})[-1]

    def worker_pids(self) -> dict[str, int]:
        return {worker["name"]: worker["pid"] for worker in self.status()["workers"]}

    def processes(self) -> list[int]:
        """All processes that use this state folder's code, or are its anchor."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    marks = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if os.fsencode(self.folder) in marks:
                    found.append(int(entry.name))
        return found

    def access_lines(self) -> list[str]:
        return (self.state / "log" / "access.log").read_text().splitlines()

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the anchor; gives its exit status."""
        process = self.process
        assert process is not None
        if process.poll() is None:
            process.send_signal(sign)
        return process.wait(PATIENCE_S)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.database.drop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def words(self, text: str) -> list[str]:
        """Lines of the daemon's log with these words."""
        return [line for line in self.log().splitlines() if re.search(text, line)]
