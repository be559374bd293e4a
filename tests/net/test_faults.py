"""Faults of a host while two guests ping each other each millisecond: each is put right, and no ping is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from net import Applied, Dhcp, HostNetwork, Plan, Update

from .namespaces import Host, Pings, end
from .plans import plan_of, port_of

PLAN = plan_of(5, 6, 7)
OTHER = "cld00000007-000"


class FaultsTest(SynchronousTestCase):
    """Guests are at the ports 5 and 6; what is broken is at port 7, or belongs to all."""

    def setUp(self) -> None:
        self.host = Host(self)
        self.network = HostNetwork()
        self.addCleanup(self.network.close)
        self.host.call(lambda: self.network.apply(PLAN))
        first, second = (self.host.guest(port_of(number)).configure() for number in (5, 6))
        self.assertTrue(first.pings(second.fixed.address))
        self.pings: Pings = first.ping_on(second.fixed.address)
        self.pings.more(50)

    def assert_nothing_lost(self) -> None:
        """And the host is as planned."""
        self.pings.more(50)
        sent, lost = self.pings.finished()
        self.assertEqual(lost, 0, f"of {sent}")
        stranger = HostNetwork()
        self.addCleanup(stranger.close)
        self.assertEqual(self.host.call(lambda: stranger.apply(PLAN)), Applied(()))

    def _broken_and_mended(self, command: str) -> None:
        mends: list[Callable[[], Applied]] = [
            lambda: self.network.change(Update()),
            self.network.repair,
            lambda: self.network.apply(PLAN),
        ]
        for mend in mends:
            self.host.run(command)
            self.pings.more(50)
            self.assertTrue(self.host.call(mend).changes)
            self.pings.more(50)
        self.assert_nothing_lost()

    def test_tables_flushed(self) -> None:
        """Somebody empties nftables."""
        self._broken_and_mended("nft flush ruleset")

    def test_tap_deleted(self) -> None:
        """Somebody deletes the tap of another port."""
        self._broken_and_mended(f"ip link del {OTHER}")

    def test_routes_flushed(self) -> None:
        """Somebody flushes the routes and addresses of another tap."""
        self._broken_and_mended(f"ip route flush dev {OTHER}; ip addr flush dev {OTHER}")

    def test_killed_and_started_again(self) -> None:
        """What applies the plan is killed -9 after each of its changes, and started again."""
        for changes in range(1, 8):
            self.host.run(f"ip link del {OTHER}", check=False)
            command = ["nsenter", f"--net={self.host.path}", sys.executable, "-m", "tests.net.applier", str(changes)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.addCleanup(end, process)
            assert process.stdout
            done = [process.stdout.readline() for _ in range(changes)]
            self.assertEqual(done[0], "make tap\n")
            process.kill()
            process.wait()
        self.host.call(lambda: self.network.apply(PLAN))
        self.assert_nothing_lost()

    def test_others_are_plugged(self) -> None:
        """Twenty ports come and go."""
        for number in range(20, 40):
            self.host.call(lambda number=number: self.network.change(Update(ports=(port_of(number),))))  # type: ignore[misc]
        gone = {port_of(number).id for number in range(20, 40)}
        self.host.call(lambda: self.network.change(Update(gone_ports=gone)))
        self.assert_nothing_lost()

    def test_dnsmasq_killed(self) -> None:
        """It is found dead and started again by the next apply."""
        folder = Path(tempfile.mkdtemp(prefix="dhcp"))
        self.addCleanup(folder.rmdir)
        dhcp = Dhcp(folder)
        self.addCleanup(lambda: self.host.call(lambda: dhcp.apply(Plan())))
        self.host.call(lambda: dhcp.apply(PLAN))
        pid = dhcp.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        while dhcp.pid() == pid:
            os.sched_yield()
        self.assertEqual(self.host.call(lambda: dhcp.apply(PLAN)), ("start",))
        self.assert_nothing_lost()
