"""The bad link of the cluster's tests is as bad as it says."""

from __future__ import annotations

import socket
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from .relay import Relay


class RelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        threading.Thread(target=self.echo, daemon=True).start()
        self.relay = Relay(self.server.getsockname())
        self.relay.start()
        self.addCleanup(self.relay.stop)

    def echo(self) -> None:
        """Each connection until it ends."""
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                try:
                    while data := connection.recv(65_536):
                        connection.sendall(data)
                except OSError:
                    continue

    def client(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.relay.port), timeout=10)
        self.addCleanup(client.close)
        return client

    def round_trip(self, client: socket.socket, data: bytes = b"hello") -> float:
        """Seconds."""
        began = time.monotonic()
        client.sendall(data)
        heard = b""
        while len(heard) < len(data):
            heard += client.recv(65_536)
        self.assertEqual(heard, data)
        return time.monotonic() - began

    def test_good(self) -> None:
        """Without figures it passes on what it gets, and the end."""
        client = self.client()
        self.round_trip(client, bytes(range(256)) * 2000)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(1), b"")

    def test_delay(self) -> None:
        client = self.client()
        self.relay.delay_s = 0.05
        self.assertGreaterEqual(self.round_trip(client), 0.1)

    def test_bytes_per_s(self) -> None:
        client = self.client()
        self.relay.bytes_per_s = 100_000
        self.assertGreaterEqual(self.round_trip(client, b"x" * 10_000), 0.2)

    def test_stall(self) -> None:
        client = self.client()
        self.relay.stall, self.relay.stall_s = 1.0, 0.1
        self.assertGreaterEqual(self.round_trip(client), 0.2)
        self.assertEqual(self.relay.stalls, 2)

    def test_reset(self) -> None:
        """Both sides lose the connection; the next one is another matter."""
        client = self.client()
        self.relay.reset = 1.0
        client.sendall(b"hello")
        self.assertRaises(ConnectionResetError, client.recv, 1)
        self.assertEqual(self.relay.resets, 1)
        self.relay.reset = 0.0
        self.round_trip(self.client())
