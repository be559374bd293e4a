"""HTTP connections move between two real processes, in whatever state they are."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[3]
_BODY = bytes(range(256)) * 40


class Client:
    """A blocking client of one connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=40)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: bytes = b"/") -> bytes:
        self.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        return self.answer()

    def answer(self) -> bytes:
        """The body of the next answer."""
        status = self.file.readline()
        assert status == b"HTTP/1.1 200 OK\r\n", status
        length = 0
        while (line := self.file.readline()) not in {b"\r\n", b""}:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return self.file.read(length)

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def end_process(pid: int) -> None:
    """End a process that is not our child, in order if it can."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], 10)[0]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


class MovingTests(SynchronousTestCase):
    """``MovableHTTP`` and ``HTTPAdopter``."""

    def setUp(self) -> None:
        command = [sys.executable, "-m", "tests.protocols.http.moving_server", "serve"]
        self.server = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert self.server.stderr is not None
        watchdog = threading.Timer(50, self.server.kill)
        watchdog.start()
        self.pids: list[int] = []
        self.addCleanup(self.server.stderr.close)
        self.addCleanup(self.end)
        self.addCleanup(watchdog.cancel)
        self.port = int(self.said("port").split()[1])

    def end(self) -> None:
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        for pid in {*pids, *self.pids} - {self.server.pid}:
            end_process(pid)
        self.server.terminate()
        self.server.wait()

    def said(self, word: str) -> str:
        assert self.server.stderr is not None
        while word not in (line := self.server.stderr.readline()):
            assert line, f"the server ended before it said {word!r}"
        return line

    def connect(self, count: int) -> list[Client]:
        clients = [Client(self.port) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
        return clients

    def test_all_states(self) -> None:
        """Unused, idle, in a head, in a document, with an answer unsent: all move; an upload follows after its end."""
        fresh, idle, head, document, large = (self.connect(20) for _ in range(5))
        (upload,) = self.connect(1)
        for client in idle:
            self.assertEqual(client.get(), b"1 ")
        for client in head:
            client.send(b"GET / HTTP/1.1\r\nHo")
        for client in document:
            client.send(b"POST /document HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY[:5000])
        for client in large:
            client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(client.socket.recv(1, socket.MSG_PEEK), b"H")
        upload.send(b"PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
        # An answer on a later connection: what the others sent before has been read.
        (last,) = self.connect(1)
        self.assertEqual(last.get(), b"1 ")

        self.server.send_signal(signal.SIGUSR2)
        self.assertEqual(self.said("moved"), "moved 101 later 1\n")
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text()
        self.pids = [int(pid) for pid in children.split()]

        for client in fresh + idle:
            self.assertEqual(client.get(), b"2 ")
        for client in head:
            client.send(b"st: x\r\n\r\n")
            self.assertEqual(client.answer(), b"2 ")
        for client in document:
            client.send(_BODY[5000:])
            self.assertEqual(client.answer(), b"2 " + _BODY)
        for client in large:
            self.assertTrue(client.answer() == b"1 " + b"x" * 2_000_000)
            self.assertEqual(client.get(), b"2 ")
        upload.send(b"3\r\nfgh\r\n0\r\n\r\n")
        self.assertEqual(upload.answer(), b"1 8")
        self.assertEqual(upload.get(), b"2 ")

        # Every request is reported once, where it ended: the documents there, all answers that had begun here.
        self.assertEqual(self.said("over"), "over moved 102 20 42\n")
        finished, requests, _ = (int(number) for number in last.get(b"/counts").split()[1:])
        self.assertEqual(finished, requests)
        self.assertEqual(requests, 20 + 20 + 20 + 20 + 20 + 1)
