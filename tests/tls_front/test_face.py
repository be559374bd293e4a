"""A face in this process, its loop turned by hand: time-outs, exhaustion, errors that were not foreseen."""

from __future__ import annotations

import contextlib
import resource
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.tls_front import MAX_ORIGIN_BYTES, CertificateFiles, CertificateStore
from cloudd.tls_front import _face as face_module
from cloudd.tls_front._face import HANDSHAKE_S, LINGER_S, LINGER_SILENCE_S, STUCK_S, Face
from cloudd.tls_front._loop import Loop
from cloudd.tls_front._messages import receive_packet
from cloudd.tls_front._relay import LINGER, OPEN, Relay

from . import certificates


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        key, certificate = certificates.write(self.folder, certificates.make())
        store = CertificateStore(CertificateFiles(key, certificate))
        store.load()
        self.errors = 0
        self.loop = Loop(self.failed)
        self.face = Face("api", self.loop, store)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        channel, self.workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.workers.setblocking(False)
        self.face.serve(listener, channel)
        self.addCleanup(self.end)

    def failed(self) -> None:
        self.errors += 1

    def end(self) -> None:
        self.face.cut_off()
        self.turn()
        self.workers.close()
        self.loop._epoll.close()

    def turn(self) -> None:
        self.loop.later(0.005, lambda: None)  # a turn does not wait for ever
        self.loop._turn()

    def turn_until(self, done: Callable[[], Any]) -> Any:
        for _ in range(2000):
            found = done()
            if found:
                return found
            self.turn()
        self.fail("nothing happened")

    def pass_time(self, seconds: float) -> None:
        """What the sweep would do after some time."""
        self.loop.now += seconds
        self.face.sweep()

    def raw(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(client.close)
        return client

    def shake_hands(self, client: socket.socket) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        secure = context.wrap_socket(client, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        self.addCleanup(secure.close)

        def done() -> bool:
            with contextlib.suppress(ssl.SSLWantReadError):
                secure.do_handshake()
                return True
            return False

        self.turn_until(done)
        return secure

    def open(self) -> tuple[ssl.SSLSocket, socket.socket, Relay]:
        """Both ends of a connection, and what is between them."""
        before = set(self.face.relays)
        client = self.shake_hands(self.raw())
        worker = self.turn_until(self.take)
        self.addCleanup(worker.close)
        (relay,) = self.face.relays - before
        return client, worker, relay

    def take(self) -> socket.socket | None:
        with contextlib.suppress(BlockingIOError):
            _data, (descriptor,) = receive_packet(self.workers, MAX_ORIGIN_BYTES, 1)
            return socket.socket(fileno=descriptor)
        return None


class TimeTests(Case):
    def test_handshake(self) -> None:
        """A client that does not shake hands in time is dropped; one that has is left alone."""
        self.raw()
        self.turn_until(lambda: len(self.face.relays) == 1)
        _client, _worker, relay = self.open()
        self.pass_time(HANDSHAKE_S - 1)
        self.assertEqual(len(self.face.relays), 2)
        self.pass_time(2)
        self.assertEqual(self.face.relays, {relay})
        self.assertEqual(self.face.failures, {"timed out": 1})
        self.pass_time(100_000)
        self.assertEqual(self.face.relays, {relay})

    def test_lingering_client(self) -> None:
        """A client that neither closes nor sends is awaited for a short time, one that goes on sending a bit longer."""
        silent, silent_worker, silent_relay = self.open()
        busy, busy_worker, busy_relay = self.open()
        for worker in (silent_worker, busy_worker):
            worker.sendall(b"answer")
            worker.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: silent_relay.stage == busy_relay.stage == LINGER)
        for client in (silent, busy):
            self.assertEqual(client.recv(10), b"answer")
        for _ in range(int(LINGER_S / LINGER_SILENCE_S)):
            self.loop.now += LINGER_SILENCE_S - 1
            busy.send(b"more")
            self.turn_raw(busy_relay)
            self.face.sweep()
        self.assertNotIn(silent_relay, self.face.relays)
        self.assertIn(busy_relay, self.face.relays)
        self.pass_time(LINGER_S)
        self.assertEqual(self.face.relays, set())

    def turn_raw(self, relay: Relay) -> None:
        """Let what has come be read, at the time that the test has set."""
        relay._on_tls(1)

    def test_stuck_client(self) -> None:
        """A client that does not take the rest of an answer whose worker has closed is dropped after some time."""
        client, worker, relay = self.open()
        worker.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                worker.send(bytes(65_536))
                self.turn()
        worker.close()
        self.turn_until(lambda: relay in self.face._stuck)
        self.pass_time(STUCK_S - 1)
        self.assertIn(relay, self.face.relays)
        client.recv(65_536)
        self.pass_time(2 + STUCK_S)
        self.assertEqual(self.face.relays, set())


class TroubleTests(Case):
    def test_no_descriptors(self) -> None:
        """Without descriptors the face rests, drops nobody, and goes on when there are some again."""
        self.patch(face_module, "_REST_S", 0.05)
        client, worker, relay = self.open()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = self.raw()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            self.turn_until(lambda: self.face.failures["out of descriptors"])
            client.send(b"still")
            self.turn()
            self.assertEqual(worker.recv(10), b"still")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.shake_hands(waiting)
        self.turn_until(self.take)
        self.assertIn(relay, self.face.relays)

    def test_no_descriptors_for_the_pair(self) -> None:
        """A client that has shaken hands when they run out waits for its worker."""
        self.patch(face_module, "_REST_S", 0.05)
        client = self.raw()
        self.turn_until(lambda: self.face.relays)
        pair = socket.socketpair
        self.patch(socket, "socketpair", self.exhausted)
        self.shake_hands(client)
        self.turn_until(lambda: self.face.failures["out of descriptors"])
        self.assertIsNone(self.take())
        self.patch(socket, "socketpair", pair)
        self.turn_until(self.take)
        (relay,) = self.face.relays
        self.assertEqual(relay.stage, OPEN)

    def exhausted(self, *_: Any) -> Any:
        raise OSError(24, "Too many open files")

    def test_unforeseen(self) -> None:
        """An error that nobody foresaw ends the one connection, is logged, and does not make the loop spin."""
        client, worker, _relay = self.open()
        _other_client, other_worker, other = self.open()
        self.patch(Relay, "_move_up", self.explode)
        client.send(b"x")
        self.turn_until(lambda: self.errors)
        self.assertEqual(self.face.relays, {other})
        self.assertEqual(self.errors, 1)
        self.assertEqual(worker.recv(10), b"")
        other_worker.send(b"y")
        for _ in range(5):
            self.turn()
        self.assertEqual(self.errors, 1)

    def explode(self, *_: Any) -> None:
        raise ZeroDivisionError
