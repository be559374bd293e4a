"""The client of the control socket: where it connects to, and streams that go wrong."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.cli._client import ControlClient, RefusedByDaemon, UnixConnection, Unreachable
from cloudd.control import Outcome
from cloudd.protocols.control import ControlFactory
from tests.control.daemon import WireConnection

OUTCOME = b'{"type":"outcome","action":"rollback","result":"failed"}\n'


class StreamTests(SynchronousTestCase):
    def read(self, body: bytes, length: int | None = None) -> list[Any]:
        """What a rollback gives whose answer is ``body``."""
        size = len(body) if length is None else length
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body

        class Protocol:
            def makeConnection(self, transport: Any) -> None:
                transport.write(answer)

            def dataReceived(self, data: bytes) -> None: ...

            def connectionLost(self, reason: object) -> None: ...

        factory = ControlFactory(None, Clock())  # type: ignore[arg-type]
        self.patch(factory, "buildProtocol", lambda _address: Protocol())
        return list(ControlClient(Path("/s"), lambda _path, _timeout_s: WireConnection(factory)).rollback())

    def test_the_outcome_ends_it(self) -> None:
        """A stream that is whole."""
        self.assertEqual(self.read(OUTCOME), [Outcome(action="rollback", result="failed")])

    def test_what_is_not_whole_is_not_taken_for_an_end(self) -> None:
        """Nothing, no outcome, half a line, no JSON, or less than was announced: none of them is success."""
        step = b'{"type":"progress","step":"stage","text":"copying"}\n'
        for body in (b"", step, step + OUTCOME[:20], b"oops\n", b'{"type":"other"}\n', b"\xff\n"):
            self.assertRaises(Unreachable, self.read, body)
        self.assertRaises(Unreachable, self.read, step, 1_000)


class SocketTests(SynchronousTestCase):
    """Needs the kernel: how long a socket's path may be is its affair."""

    def test_the_state_folder_may_lie_deep(self) -> None:
        """A path longer than the 107 bytes of a socket's name is reached all the same."""
        top = Path(tempfile.mkdtemp(prefix="cloudd-test-"))
        self.addCleanup(shutil.rmtree, top)
        folder = top / ("x" * 60) / ("y" * 60)
        folder.mkdir(parents=True)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        descriptor = os.open(folder, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        listener.bind(f"/proc/self/fd/{descriptor}/control.sock")
        listener.listen(1)
        connection = UnixConnection(folder / "control.sock", 5.0)
        self.addCleanup(connection.close)
        connection.connect()
        self.assertEqual(connection.sock.family, socket.AF_UNIX)

    def test_a_refusal_that_does_not_wait_for_the_question(self) -> None:
        """The daemon's words are read though it has closed before the request was sent."""
        folder = Path(tempfile.mkdtemp(prefix="cloudd-test-"))
        self.addCleanup(shutil.rmtree, folder)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "control.sock"))
            listener.listen(1)
            connection = UnixConnection(folder / "control.sock", 5.0)
            connection.connect()
            with listener.accept()[0] as door:
                body = b'{"cause":"only root may","status":403}'
                door.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        client = ControlClient(folder, lambda _path, _timeout_s: connection)
        error = self.assertRaises(RefusedByDaemon, client.status)
        self.assertEqual(str(error), "only root may")

    def test_no_folder_and_no_socket(self) -> None:
        """Each is told as no daemon."""
        for state in ("/nowhere/at/all", tempfile.gettempdir(), "/etc/hostname"):
            error = self.assertRaises(Unreachable, ControlClient(Path(state)).status)
            self.assertIn("no daemon runs on the state folder", str(error))
