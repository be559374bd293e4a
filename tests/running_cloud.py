"""
A real cloudd for tests that drive real clients: its own state folder, free ports, one per test process.

``running_cloud()`` starts it at the first call and ends it when the test process ends.
"""

from __future__ import annotations

import atexit
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.database.choice import DaemonDatabase
from tests.lent_code import lend_code
from tests.ports import free_port

CHECKOUT = Path(__file__).resolve().parent.parent
CLIENTS = CHECKOUT / ".venv-clients" / "bin"
SOMEBODYS = "CLOUDD_TEST_CLOUD"  # in the environment: a daemon that runs already


class RunningCloud:
    """
    One daemon, from ``start`` to ``stop``; the state folder outlives a stop and goes with ``remove``.

    :param tree: the code tree it is started from
    :ivar context: what clients verify its certificates by, where its ports speak TLS
    :ivar address: where its faces listen; ``addresses`` of faces that listen elsewhere
    :ivar enter: words before its command, which lead to another network namespace
    :ivar more: what its environment has besides the test's
    :ivar ready_s: one that is not ready by then never is; its end is waited for as long
    """

    context: ssl.SSLContext | None = None
    address = "127.0.0.1"
    addresses: Mapping[str, str] = {}
    enter: tuple[str, ...] = ()
    more: dict[str, str] = {}
    ready_s = 60.0

    def __init__(self, settings: str = "", tree: Path = CHECKOUT) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-test-"))
        self.tree = tree
        self.state = self.folder / "state"
        self.ports = {face: free_port() for face in ("api", "object", "s3")}
        self.settings_file = self.folder / "cloudd.toml"
        self.database = DaemonDatabase()
        self.settings_file.write_text(settings)
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, face: str) -> str:
        return f"http{'s' if self.context else ''}://{self.address}:{self.ports[face]}"

    def endpoint(self, face: str) -> str:
        return f"tcp:{self.ports[face]}:interface={self.addresses.get(face, self.address)}"

    def connect(self, face: str, timeout_s: float = 30.0) -> http.client.HTTPConnection:
        """A client's connection, not open yet."""
        if self.context is None:
            return http.client.HTTPConnection(self.address, self.ports[face], timeout=timeout_s)
        return http.client.HTTPSConnection(self.address, self.ports[face], timeout=timeout_s, context=self.context)

    def start(self) -> None:
        """Start twistd from the tree in the foreground and wait until ``/health`` says 200."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """The same without the wait."""
        lend_code(self.state)
        self.database.enter(self.settings_file)
        command = [
            *self.enter,
            str(Path(sys.executable).parent / "twistd"),
            "--nodaemon",
            "--pidfile=",
            "cloudd",
            "--config",
            str(self.settings_file),
            "--state",
            str(self.state),
        ]
        # Where the machine's guests are led to there is room for one daemon: a cloud of a test says if it wants that.
        command += [] if "metadata" in self.ports else ["--metadata="]
        for face in self.ports:
            command += [f"--{face}", self.endpoint(face)]
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.tree,
                env={**os.environ, "PYTHONPATH": str(self.tree), **self.more},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + self.ready_s
        said = ""
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.url("api") + "/health", timeout=5, context=self.context) as answer:
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"cloudd did not become ready: {said}\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")[-8000:]

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Send one signal to the anchor and wait for its end."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(sign)
        self.process.wait(self.ready_s)
        self.process = None

    def remove(self) -> None:
        self.stop()
        self.database.drop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tenant(self) -> tuple[str, str]:
        """User name and password of the tenant's cloud in ``clouds.yaml``."""
        return self.login("cloudd")

    def login(self, cloud: str) -> tuple[str, str]:
        """User name and password of one cloud in ``clouds.yaml``."""
        found = {}
        inside = False
        for line in (self.state / "clouds.yaml").read_text().splitlines():
            if line.startswith("  ") and line[2] != " ":
                inside = line.strip() == f"{cloud}:"
            name, _, value = line.strip().partition(": ")
            if inside:
                found[name] = value.strip("\"'")
        return found["username"], found["password"]

    def environment(self, cloud: str = "cloudd") -> dict[str, str]:
        """Environment for the OpenStack and S3 clients: nothing of the caller's but what a shell needs."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        kept.setdefault("LC_ALL", "C.UTF-8")
        kept["PATH"] = f"{CLIENTS}:{kept['PATH']}"
        kept["HOME"] = str(self.folder)
        kept["OS_CLIENT_CONFIG_FILE"] = str(self.state / "clouds.yaml")
        kept["OS_CLOUD"] = cloud
        for line in (self.state / "s3.env").read_text().splitlines():
            name, found, value = line.removeprefix("export ").partition("=")
            if found and not name.startswith("#"):
                kept[name.strip()] = value.strip().strip("'\"")
        kept["AWS_ENDPOINT_URL"] = self.url("s3")
        kept["AWS_DEFAULT_REGION"] = kept["AWS_REGION"] = "us-east-1"
        return kept


class SomebodysCloud(RunningCloud):
    """A daemon that another process started and looks after, for example a bench that upgrades it meanwhile."""

    def __init__(self, description: str) -> None:
        known = json.loads(description)
        self.folder, self.ports, self.address = Path(known["folder"]), known["ports"], known["address"]
        self.tree, self.state, self.database = CHECKOUT, self.folder / "state", DaemonDatabase()
        self.process = None

    def start(self) -> None:
        self.wait_ready()


def described(cloud: RunningCloud) -> dict[str, str]:
    """What another process has to have in its environment, so that its ``running_cloud()`` is this one."""
    return {SOMEBODYS: json.dumps({"folder": str(cloud.folder), "ports": cloud.ports, "address": cloud.address})}


@cache
def running_cloud() -> RunningCloud:
    """The daemon that all walks of this process share."""
    if SOMEBODYS in os.environ:
        return SomebodysCloud(os.environ[SOMEBODYS])
    cloud = RunningCloud()
    atexit.register(cloud.remove)
    cloud.start()
    return cloud
