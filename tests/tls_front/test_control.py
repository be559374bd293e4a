"""The front's control socket and its life: who may speak, what is answered, when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import unittest

from twisted.trial.unittest import SynchronousTestCase

from cloudd.tls_front import PROTOCOL, socket_name
from cloudd.tls_front._front import ORPHAN_S
from cloudd.tls_front._messages import MAX_MESSAGE_BYTES, close_descriptors, receive_message

from .process import PATIENCE_S, Control, FrontProcess


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.front = FrontProcess()
        self.addCleanup(self.front.remove)
        self.path = self.front.folder / socket_name(self.front.process.pid)

    def meet(self) -> Control:
        """Another control connection."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(connection.close)
        connection.connect(str(self.path))
        return Control(connection)

    def refuses(self) -> None:
        """The front has let go of its listening socket; when we have too, nobody can connect."""
        self.front.listener.close()

        def is_refused() -> bool:
            try:
                self.front.connect().close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:  # it was let go of while this one waited there: the next one is refused
                return False
            return False

        self.front.wait(is_refused, "a refused connection")

    def ended(self) -> int:
        return self.front.process.wait(PATIENCE_S)


class CallTests(Case):
    def test_hello(self) -> None:
        """Who comes later learns all it needs, with the sockets; and may serve with them again."""
        control = self.meet()
        hello, descriptors = control.call_with("hello")
        self.assertEqual(
            hello,
            {
                "pid": self.front.process.pid,
                "protocol": PROTOCOL,
                "code": "abc",
                "draining": False,
                "faces": ["api"],
            },
        )
        listener, channel = (os.fstat(descriptor).st_ino for descriptor in descriptors)
        self.assertEqual(listener, os.fstat(self.front.listener.fileno()).st_ino)
        self.assertEqual(channel, os.fstat(self.front.channel.fileno()).st_ino)
        client, worker = self.front.open()
        face = {"name": "api", "private_key": self.front.key, "certificate": self.front.certificate}
        self.assertEqual(control.call("serve", tuple(descriptors), faces=[face]), {"problems": []})
        close_descriptors(descriptors)
        client.sendall(b"still")
        self.assertEqual(worker.recv(10), b"still")
        self.front.open()

    def test_mode(self) -> None:
        """The socket is for the daemon's user alone."""
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_nonsense(self) -> None:
        """Whatever is said on a control connection, it is answered or closed, and the front goes on."""
        opened = self.front.descriptors()
        for said in (
            b"{",
            b"[]",
            b"null",
            b"{}",
            b'{"call": 7}',
            b'{"call": "explode"}',
            b'{"call": "serve"}',
            b'{"call": "serve", "faces": [{"name": "api"}]}',
            b'{"call": "serve", "faces": [{}, {}]}',
            b'{"call": "stop", "timeout_s": "soon"}',
            b"x" * (MAX_MESSAGE_BYTES + 10),
            b'"' + b"\xff" * 10,
        ):
            connection = self.meet().connection
            socket.send_fds(connection, [said], [0, 1, 2])
            answer, _descriptors = receive_message(connection)
            self.assertIn("error", answer, said)
            connection.close()
        self.front.wait(lambda: self.front.descriptors() == opened, "closed descriptors")
        self.front.open()

    @unittest.skipIf(os.geteuid() != 0, "only root can be another user")
    def test_other_users(self) -> None:
        """Another user is turned away, also if it can open the socket."""
        self.front.folder.chmod(0o755)
        self.path.chmod(0o666)
        code = (
            "import os, socket, sys\n"
            "os.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
            "s.connect(sys.argv[1])\n"
            "try:\n"
            '    s.send(b\'{"call": "hello"}\')\n'
            "    print(s.recv(1000))\n"
            "except OSError as error:\n"
            "    print(type(error).__name__)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.path)], capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        self.assertIn(done.stdout.strip(), {"b''", "BrokenPipeError", "ConnectionResetError"})
        self.front.wait(lambda: "refused user 65534" in self.front.log(), "a line in the log")

    def test_face_that_goes(self) -> None:
        """A face that is not served any more accepts nothing, and keeps its connections."""
        client, worker = self.front.open()
        self.front.control.call("serve", faces=[])
        self.refuses()
        client.sendall(b"still")
        self.assertEqual(worker.recv(10), b"still")
        client.close()
        worker.close()

    def test_status(self) -> None:
        """It tells counts and certificates, and fits one message."""
        client, worker = self.front.open()
        client.sendall(b"12345")
        worker.recv(10)
        status = self.front.control.call("status")
        self.assertEqual(status["faces"]["api"]["received_bytes"], 5)
        self.assertEqual([each["path"] for each in status["certificates"]], [self.front.certificate])
        self.assertEqual(status["certificate_count"], 1)
        self.assertLess(len(json.dumps(status)), MAX_MESSAGE_BYTES)


class EndTests(Case):
    def test_stop(self) -> None:
        """It accepts no more, lets connections end, and goes with the last one; its socket goes with it."""
        client, worker = self.front.open()
        self.assertEqual(self.front.control.call("stop", timeout_s=None), {})
        self.refuses()
        self.assertTrue(self.front.control.call("hello")["draining"])
        client.sendall(b"still")
        self.assertEqual(worker.recv(10), b"still")
        worker.sendall(b"here")
        worker.close()
        self.assertEqual(client.recv(10), b"here")
        client.close()
        self.assertEqual(self.ended(), 0)
        self.assertFalse(self.path.exists())

    def test_stop_in_time(self) -> None:
        """Connections that do not end are cut when the time has come; a second stop may bring that forward."""
        client, worker = self.front.open()
        self.front.control.call("stop", timeout_s=600)
        self.front.control.call("stop", timeout_s=0)
        self.assertEqual(self.ended(), 0)
        self.assertEqual(worker.recv(10), b"")
        client.close()

    def test_terminate(self) -> None:
        """SIGTERM is a stop; SIGINT and SIGHUP, which a terminal sends to all, do nothing."""
        client, worker = self.front.open()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            self.front.process.send_signal(number)
        client.sendall(b"still")
        self.assertEqual(worker.recv(10), b"still")
        self.front.process.send_signal(signal.SIGTERM)
        self.front.wait(lambda: self.front.control.call("hello")["draining"], "draining")
        worker.close()
        self.assertEqual(client.recv(10), b"")
        client.close()
        self.assertEqual(self.ended(), 0)

    def test_alone(self) -> None:
        """Without anchor and workers it stops accepting at once, keeps clients waiting, and ends after a while."""
        self.front.control.connection.close()
        self.front.workers.close()
        self.front.wait(lambda: self.front.process.poll() is None and not self.accepts(), "no more accepting")
        self.assertEqual(self.front.process.wait(ORPHAN_S + PATIENCE_S), 0)
        self.assertIn("nobody is left", self.front.log())

    def accepts(self) -> bool:
        with self.front.connect(0.3) as client:
            try:
                self.front.context().wrap_socket(client).close()
            except TimeoutError:
                return False
        return True

    def test_found_again(self) -> None:
        """A new anchor brings a new channel, and clients that wait meanwhile are served."""
        self.front.control.connection.close()
        self.front.workers.close()
        self.front.wait(lambda: not self.accepts(), "no more accepting")
        waiting = self.front.connect()
        self.front.channel.close()
        self.front.channel, self.front.workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.front.workers.settimeout(PATIENCE_S)
        self.front.serve({"private_key": self.front.key, "certificate": self.front.certificate}, self.meet())
        client = self.front.context().wrap_socket(waiting)
        _address = client.getsockname()
        while True:
            worker, origin = self.front.take()
            if origin.port == client.getsockname()[1]:
                break
            worker.close()  # of a client that did not want to wait
        client.sendall(b"hello")
        self.assertEqual(worker.recv(10), b"hello")

    def test_never_served(self) -> None:
        """A front whose anchor dies before it has said anything ends too."""
        process, control = self.front.start()
        control.connection.close()
        self.assertEqual(process.wait(ORPHAN_S + PATIENCE_S), 0)
