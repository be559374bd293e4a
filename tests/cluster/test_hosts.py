"""Hosts, their cuts, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .hosts import Host, Network, _links, _names, processes_in, sweep

CHECKOUT = Path(__file__).parents[2]
ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], 7))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    while data := connection.recv(100):
        connection.sendall(data)
"""
SEND = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', (sys.argv[1], 9))"
LIVE = """
import sys, time
from tests.cluster.hosts import Network
network = Network()
[host] = network.make("one")
import subprocess
subprocess.Popen([*host.enter, "sleep", "1000"], stdout=subprocess.DEVNULL)
while not host.processes():  # it enters by itself
    time.sleep(0.01)
print(network.prefix, network._guard.pid, flush=True)
time.sleep(1000)
"""


def needs_root() -> None:
    if os.geteuid() != 0:
        raise SkipTest("network namespaces need root")


class NetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        needs_root()
        self.network = Network()
        self.addCleanup(self.network.remove)
        self.one, self.two = self.network.make("one", "two")

    def echo(self, host: Host) -> socket.socket:
        """A connection to a program there that says what it hears."""
        server = subprocess.Popen(
            [*host.enter, sys.executable, "-c", ECHO, host.address], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        assert server.stdout is not None
        self.assertEqual(server.stdout.readline(), "ready\n")
        connection = socket.create_connection((host.address, 7), timeout=5)
        self.addCleanup(connection.close)
        return connection

    def test_both_ways(self) -> None:
        """Each host has a program on the same port; a connection says which."""
        for host in (self.one, self.two):
            connection = self.echo(host)
            connection.sendall(b"hello")
            self.assertEqual(connection.recv(100), b"hello")
            self.assertEqual(len(host.processes()), 1)

    def heard(self, sender: Host, receiver: Host) -> bool:
        """Whether a datagram arrives."""
        listen = (
            "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.bind((sys.argv[1], 9)); "
            "s.settimeout(1); print('ready', flush=True); s.recv(9)"
        )
        listener = subprocess.Popen(
            [*receiver.enter, sys.executable, "-c", listen, receiver.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert listener.stdout is not None
        listener.stdout.readline()
        subprocess.run([*sender.enter, sys.executable, "-c", SEND, receiver.address], check=True)
        listener.communicate()
        return listener.returncode == 0

    def test_cut(self) -> None:
        """A cut is one way, a parting both; neither is noticed by the sender; mended, everything arrives."""
        self.assertTrue(self.heard(self.one, self.two))
        self.network.cut(self.one, self.two)
        self.assertFalse(self.heard(self.one, self.two))
        self.assertTrue(self.heard(self.two, self.one))
        self.network.part(self.one, self.two)
        self.assertFalse(self.heard(self.two, self.one))
        self.network.mend()
        self.assertTrue(self.heard(self.one, self.two))
        self.assertTrue(self.heard(self.two, self.one))

    def test_removed(self) -> None:
        """With what runs there."""
        self.echo(self.one)
        namespace, prefix = self.one.namespace, self.network.prefix
        self.network.remove()
        self.assertEqual((processes_in(namespace), _names(prefix), _links(prefix)), ([], [], []))


class LeftTests(SynchronousTestCase):
    def start(self) -> tuple[subprocess.Popen[str], str, int]:
        needs_root()
        owner = subprocess.Popen(
            [sys.executable, "-c", LIVE],
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        self.addCleanup(owner.communicate)
        self.addCleanup(owner.kill)
        assert owner.stdout is not None
        prefix, guard = owner.stdout.readline().split()
        self.assertEqual((len(_names(prefix)), len(_links(prefix))), (1, 2))
        self.assertEqual(len(processes_in(f"{prefix}-one")), 1)
        return owner, prefix, int(guard)

    def gone(self, prefix: str) -> bool:
        deadline = time.monotonic() + 20
        while _names(prefix) or _links(prefix):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def test_killed(self) -> None:
        """Its guard removes everything."""
        owner, prefix, _guard = self.start()
        owner.kill()
        owner.wait(10)
        self.assertTrue(self.gone(prefix))

    def test_both_killed(self) -> None:
        """The next one sweeps up after both; what has an owner stays."""
        other, kept, _ = self.start()
        owner, prefix, guard = self.start()
        os.kill(guard, signal.SIGKILL)
        owner.kill()
        owner.wait(10)
        self.assertEqual(len(_names(prefix)), 1)
        sweep()
        self.assertTrue(self.gone(prefix))
        self.assertEqual(len(_names(kept)), 1)
        other.kill()
        other.wait(10)
        self.assertTrue(self.gone(kept))
