"""HTTP connections move between two real processes, in whatever state they are."""

from __future__ import annotations

import hashlib
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
MIB = 1_048_576


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
        assert status.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")), status
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


class MovingCase(SynchronousTestCase):
    """One server, which hands over to another one."""

    folder = ""
    window_s = 1

    def setUp(self) -> None:
        module = "tests.protocols.http.moving_server"
        command = [sys.executable, "-m", module, "serve", self.folder, str(self.window_s)]
        self.server = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert self.server.stderr is not None
        watchdog = threading.Timer(110, self.server.kill)
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

    def hand_over(self) -> str:
        """What it says when all that can move at once has moved."""
        self.server.send_signal(signal.SIGUSR2)
        said = self.said("moved")
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text()
        self.pids = [int(pid) for pid in children.split()]
        return said


class MovingTests(MovingCase):
    """``MovableHTTP`` and ``HTTPAdopter``."""

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

        self.assertEqual(self.hand_over(), "moved 101 later 1\n")

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


class LargeBodyTests(MovingCase):
    """Objects of 64 MiB, on disk, in the middle of their way in and out."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        self.folder = str(folder)
        super().setUp()
        self.data = os.urandom(MIB) * 64
        self.digest = hashlib.md5(self.data).hexdigest()

    def request(self, method: str, name: str, *fields: str) -> bytes:
        lines = [f"{method} /v1/AUTH_p1/c/{name} HTTP/1.1", "Host: x", "X-Auth-Token: alice", *fields, "", ""]
        return "\r\n".join(lines).encode()

    def chunks(self, data: bytes) -> bytes:
        pieces = [data[begin : begin + 100_003] for begin in range(0, len(data), 100_003)]
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)

    def expect_object(self, name: str) -> None:
        """The object is whole, as another process serves it."""
        (client,) = self.connect(1)
        client.send(self.request("GET", name))
        self.assertEqual(hashlib.md5(client.answer()).hexdigest(), self.digest)

    def test_uploads_and_downloads(self) -> None:
        """
        With a length and chunked, standing still and flowing; whole, in a range, and of what is deleted meanwhile.
        """
        begun, chunked, source, whole, part, steady = self.connect(6)
        source.send(self.request("PUT", "source", f"Content-Length: {len(self.data)}") + self.data)
        source.answer()

        begun.send(self.request("PUT", "begun", f"Content-Length: {len(self.data)}", f"ETag: {self.digest}"))
        begun.send(self.data[: 20 * MIB + 12_345])
        chunked.send(self.request("PUT", "chunked", "Transfer-Encoding: chunked", f"ETag: {self.digest}"))
        chunked.send(self.chunks(self.data[: 30 * MIB]))
        whole.send(self.request("GET", "source"))
        part.send(self.request("GET", "source", "Range: bytes=1000001-60000000"))
        early = [client.socket.recv(5 * MIB, socket.MSG_WAITALL) for client in (whole, part)]
        steady.send(self.request("PUT", "steady", f"Content-Length: {len(self.data)}", f"ETag: {self.digest}"))
        flowing, moved, answered = threading.Event(), threading.Event(), threading.Event()

        def flow() -> None:
            """Never rest; the slower, the less is left before the move."""
            sent = 0
            while sent < len(self.data):
                size = MIB // 4 if moved.is_set() or len(self.data) - sent > 16 * MIB else 1_000
                steady.send(self.data[sent : sent + size])
                sent += size
                if sent > 8 * MIB:
                    flowing.set()
                moved.wait(0.01)
            steady.answer()
            answered.set()

        thread = threading.Thread(target=flow)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(moved.set)
        flowing.wait(20)

        self.assertEqual(self.hand_over(), "moved 6 later 0\n")
        self.assertFalse(answered.is_set())
        moved.set()
        source.send(self.request("DELETE", "source"))
        source.file.readline()

        begun.send(self.data[20 * MIB + 12_345 :])
        begun.answer()
        chunked.send(self.chunks(self.data[30 * MIB :]) + b"0\r\n\r\n")
        chunked.answer()
        for client, before, expected in (
            (whole, early[0], self.data),
            (part, early[1], self.data[1_000_001:60_000_001]),
        ):
            head, _, body = before.partition(b"\r\n\r\n")
            self.assertEqual(head[:11], b"HTTP/1.1 20")
            got = body + client.file.read(len(expected) - len(body))
            self.assertEqual(hashlib.md5(got).hexdigest(), hashlib.md5(expected).hexdigest())
        self.assertTrue(answered.wait(30))
        # The first process has ended, and what it had begun is whole.
        self.assertEqual(self.said("over").split()[:3], ["over", "moved", "6"])
        self.server.wait(20)
        for name in ("begun", "chunked", "steady"):
            self.expect_object(name)
        objects = Path(self.folder) / "objects"
        self.assertEqual(len([*objects.glob("data/*/*")]), 3)
        (whole,) = self.connect(1)
        whole.send(self.request("HEAD", "source"))
        self.assertEqual(whole.file.readline()[:12], b"HTTP/1.1 404")


class HandedBackTests(LargeBodyTests):
    """The same, and in the time of supervision everything is handed back."""

    window_s = 30

    def test_uploads_and_downloads(self) -> None:
        """Each goes on where it had come to in the new process."""
        upload, download, idle = self.connect(3)
        upload.send(self.request("PUT", "source", f"Content-Length: {len(self.data)}") + self.data)
        upload.answer()
        upload.send(self.request("PUT", "upload", f"Content-Length: {len(self.data)}", f"ETag: {self.digest}"))
        upload.send(self.data[: 10 * MIB])
        download.send(self.request("GET", "source"))
        early = download.socket.recv(5 * MIB, socket.MSG_WAITALL)
        self.assertEqual(idle.get(), b"1 ")

        self.assertEqual(self.hand_over(), "moved 3 later 0\n")
        self.assertEqual(idle.get(), b"2 ")
        upload.send(self.data[10 * MIB : 30 * MIB])
        early += download.socket.recv(5 * MIB, socket.MSG_WAITALL)
        self.server.send_signal(signal.SIGUSR1)
        self.assertEqual(self.said("back"), "back 3 of 3\n")
        self.assertEqual(idle.get(), b"1 ")
        upload.send(self.data[30 * MIB :])
        upload.answer()
        body = early.partition(b"\r\n\r\n")[2]
        body += download.file.read(len(self.data) - len(body))
        self.assertEqual(hashlib.md5(body).hexdigest(), self.digest)
        self.expect_object("upload")
