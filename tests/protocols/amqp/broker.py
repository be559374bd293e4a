"""A RabbitMQ of one's own: on private ports, in a folder that goes with it."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from attrs import define, field

from tests.ports import free_port

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
START_S = 60.0
EPMD = "epmd"
COOKIE = ".erlang.cookie"


@define
class Broker:
    """
    One node.

    :param seed: of which cluster it becomes a member when it is started for the first time
    :param address: where it listens
    :param enter: words before its command, which lead to another network namespace
    :ivar port: of AMQP, at that address
    """

    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="cloudd-broker-")))
    port: int = field(factory=free_port)
    settings: str = ""
    seed: Broker | None = None
    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None
    _names: subprocess.Popen[bytes] | None = None  # Erlang's own name server, which would outlive its nodes
    _environment: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.address}:{self.port}\nlog.file = log\nlog.console = false\n{self.settings}"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP": os.devnull,
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(free_port()) if self.seed is None else self.seed._environment["ERL_EPMD_PORT"],
            "ERL_EPMD_ADDRESS": self.address,
            "RABBITMQ_NODENAME": f"cloudd-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 1:1",
        }

    def start(self) -> None:
        """Until it answers."""
        joins = self.seed is not None and not (self.folder / "mnesia").exists()
        self.launch()
        self._await_start()
        if joins and self.seed is not None:
            for words in (("stop_app",), ("join_cluster", self.seed.name), ("start_app",)):
                self.control(*words)

    def launch(self) -> None:
        """The same without the wait."""
        if self.seed is not None:
            shutil.copy(self.seed.folder / COOKIE, self.folder / COOKIE)
        elif self._names is None:
            self._names = subprocess.Popen([*self.enter, EPMD], env=self._environment, stdin=subprocess.DEVNULL)
            self._await_names()
        with (self.folder / "console").open("ab") as console:
            self._process = subprocess.Popen(
                [*self.enter, PROGRAMS / "rabbitmq-server"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def _await_start(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"RabbitMQ did not start:\n{(self.folder / 'console').read_text()[-3000:]}")
            time.sleep(0.1)

    @property
    def has_ended(self) -> bool:
        """By itself, or killed; not by ``stop``."""
        return self._process is not None and self._process.poll() is not None

    @property
    def name(self) -> str:
        """Of the node."""
        return self._environment["RABBITMQ_NODENAME"]

    def _await_names(self) -> None:
        """Else the node would start a name server of its own."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection((self.address, int(self._environment["ERL_EPMD_PORT"])), timeout=5).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it, in order or with SIGKILL."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            os.killpg(process.pid, sign)
            process.wait(60)

    @property
    def group(self) -> int:
        """Number of its group of processes, while it runs."""
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """Let it hang."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, sign: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, sign)

    def control(self, *words: str) -> str:
        """``rabbitmqctl``; what it prints."""
        done = subprocess.run(
            [*self.enter, PROGRAMS / "rabbitmqctl", "--quiet", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise AssertionError(f"rabbitmqctl {words}: {done.stdout}{done.stderr}")
        return done.stdout

    def remove(self) -> None:
        """End it and all that it left."""
        self.stop(signal.SIGKILL)
        if self._names is not None:
            self._names.kill()
            self._names.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=5) as trial:
                trial.sendall(b"AMQP\x00\x00\x09\x01")
                return trial.recv(1) == b"\x01"
        except OSError:
            return False


@cache
def shared_broker() -> Broker:
    """One for all tests of a process; started when the first asks."""
    broker = Broker()
    atexit.register(broker.remove)
    broker.start()
    return broker
