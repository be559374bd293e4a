"""Two real processes, real sockets: the example in ``docs/examples`` with many clients, deaths included."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
_TIMEOUT_S = 60
_OUTPUT_BYTES = 1_048_576
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class Client:
    """A blocking client of one connection."""

    def __init__(self, port: int, small: bool = False) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(_TIMEOUT_S)
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        return self.file.readline()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Daemon:
    """A running example, its port, and what it says."""

    def __init__(self) -> None:
        command = [sys.executable, str(EXAMPLES / "counting_daemon.py"), "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_ENVIRONMENT)
        self.watchdog = threading.Timer(_TIMEOUT_S, self.process.kill)  # ends a ``said`` that would wait for ever
        self.watchdog.start()
        self.port = int(re.findall(r"port (\d+)", self.said("port"))[0])

    def said(self, word: str) -> str:
        """The next line with ``word``."""
        assert self.process.stderr is not None
        while word not in (line := self.process.stderr.readline()):
            assert line, f"the daemon ended before it said {word!r}"
        return line

    def hand_over(self) -> str:
        self.process.send_signal(signal.SIGUSR2)
        return self.said("moved")

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class ExampleTests(SynchronousTestCase):
    """The example does what it shows."""

    def start(self) -> Daemon:
        daemon = Daemon()
        self.addCleanup(daemon.process.wait)
        self.addCleanup(daemon.process.stderr.close)  # type: ignore[union-attr]
        self.addCleanup(self._kill, daemon)
        self.addCleanup(daemon.watchdog.cancel)
        return daemon

    def _kill(self, daemon: Daemon) -> None:
        for pid in [*daemon.children(), *self.pids, daemon.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def setUp(self) -> None:
        self.pids: list[int] = []

    def connect(self, daemon: Daemon, count: int, small: bool = False) -> list[Client]:
        clients = [Client(daemon.port, small) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
        return clients

    def each(self, clients: list[Client], call: Callable[[Client], object]) -> None:
        for client in clients:
            call(client)

    def assert_lines(self, clients: list[Client], line: bytes) -> None:
        self.assertEqual([client.line() for client in clients], [line] * len(clients))

    def test_show(self) -> None:
        """The script beside it shows a hand-over and the way back."""
        command = [sys.executable, str(EXAMPLES / "show_handover.py")]
        shown = subprocess.run(
            command, capture_output=True, text=True, env=_ENVIRONMENT, timeout=_TIMEOUT_S, check=True
        )
        for text in (
            "idle connection: 2 2 hello again",
            "now: 1 2 half a line",
            "1 1 slow answer",
            "back: 3 1 still here",
        ):
            self.assertIn(text, shown.stdout)

    def test_500_connections(self) -> None:
        """Idle, in the middle of a line, and with output that was not sent: all move, to the byte, and back again."""
        daemon = self.start()
        fresh, idle = self.connect(daemon, 50), self.connect(daemon, 200)
        half, unsent = self.connect(daemon, 230), self.connect(daemon, 20, small=True)
        self.each(idle, lambda client: client.send(b"first\n"))
        self.assert_lines(idle, b"1 1 first\n")
        self.each(half, lambda client: client.send(b"first\nsec"))
        self.assert_lines(half, b"1 1 first\n")
        self.each(unsent, lambda client: client.send(b"get %d\n" % _OUTPUT_BYTES))
        self.each(unsent, lambda client: self.assertEqual(client.socket.recv(1, socket.MSG_PEEK), b"\0"))

        self.assertIn("moved=500,", daemon.hand_over())
        self.pids = daemon.children()
        self.talk(fresh, idle, half, unsent, generation=2)

        daemon.process.send_signal(signal.SIGHUP)
        self.assertIn("taken=500,", daemon.said("returned"))
        self.each(fresh + idle + half + unsent, lambda client: client.send(b"back\n"))
        self.assert_lines(fresh, b"2 1 back\n")
        self.assert_lines(idle + half, b"3 1 back\n")
        self.assert_lines(unsent, b"3 1 back\n")

    def talk(
        self, fresh: list[Client], idle: list[Client], half: list[Client], unsent: list[Client], generation: int
    ) -> None:
        self.each(fresh, lambda client: client.send(b"first\n"))
        self.assert_lines(fresh, b"1 %d first\n" % generation)
        self.each(idle, lambda client: client.send(b"second\n"))
        self.each(half, lambda client: client.send(b"ond\n"))
        self.assert_lines(idle + half, b"2 %d second\n" % generation)
        expected = bytes(range(256)) * (_OUTPUT_BYTES // 256)
        self.each(unsent, lambda client: self.assertTrue(client.file.read(_OUTPUT_BYTES) == expected))
        self.each(unsent, lambda client: client.send(b"second\n"))
        self.assert_lines(unsent, b"2 %d second\n" % generation)

    def test_new_connections(self) -> None:
        """The listening socket goes too: who connects during and after is served."""
        daemon = self.start()
        (before,) = self.connect(daemon, 1)
        before.send(b"hello\n")
        self.assert_lines([before], b"1 1 hello\n")
        daemon.process.send_signal(signal.SIGUSR2)
        during = self.connect(daemon, 20)
        daemon.said("moved")
        self.pids = daemon.children()
        after = self.connect(daemon, 5)
        self.each(during + after, lambda client: client.send(b"hello\n"))
        self.assert_lines(during + after, b"1 2 hello\n")

    def test_new_process_cannot_start(self) -> None:
        """A new process that dies at its start changes nothing; the next attempt works."""
        daemon = self.start()
        (client,) = self.connect(daemon, 1)
        daemon.process.send_signal(signal.SIGUSR2)
        os.kill(int(re.findall(r"spawned (\d+)", daemon.said("spawned"))[0]), signal.SIGKILL)
        daemon.said("lost")
        client.send(b"hello\n")
        self.assert_lines([client], b"1 1 hello\n")
        daemon.hand_over()
        self.pids = daemon.children()
        client.send(b"again\n")
        self.assert_lines([client], b"2 2 again\n")

    def test_old_process_is_killed(self) -> None:
        """What has moved is the new process's, whatever becomes of the old one."""
        daemon = self.start()
        clients = self.connect(daemon, 3)
        daemon.hand_over()
        self.pids = daemon.children()
        daemon.process.kill()
        self.each(clients, lambda client: client.send(b"hello\n"))
        self.assert_lines(clients, b"1 2 hello\n")
