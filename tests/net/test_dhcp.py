"""DHCP of a host: what dnsmasq is told, and what a real client gets from it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, INGRESS, Dhcp, FixedIP, Group, HostNetwork, HostRoute, NetError, Plan, Port, Rule, Update
from net._dhcp import Served, plan_dhcp
from net._values import eui_64

from .namespaces import Guest, Host
from .plans import GROUP, plan_of, port_of

FOLDER = Path("/run/dhcp")
ROUTER = "2001:db8::1"
SIX = FixedIP(address="2001:db8::5", prefix_length=64, gateway=ROUTER)
PATIENCE_S = 30
SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev eth0
echo "ip=$ip mask=$mask domain=$domain mtu=$mtu dns=$dns hostname=$hostname lease=$lease routes=$staticroutes"
set -- $staticroutes
while [ $# -ge 2 ]; do ip route add $1 via $2; shift 2; done
"""


def _rich_plan() -> Plan:
    fixed = FixedIP(
        address="10.0.0.5",
        prefix_length=16,
        gateway="10.0.255.254",
        dns=("9.9.9.9", "2620:fe::fe"),
        routes=(HostRoute("10.50.0.0/16", "10.0.0.6"),),
    )
    port = evolve(port_of(5), fixed_ips=(fixed,), mtu=1400, host_name="web-1")
    return Plan(ports=(port, port_of(6)), groups=(GROUP,))


def _read(path: Path) -> bytes:
    """Empty where the process has just gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _with(port: Port, *fixed_ips: FixedIP) -> Port:
    return evolve(port, fixed_ips=fixed_ips)


class PlanTest(SynchronousTestCase):
    def test_nobody(self) -> None:
        """Ports without DHCP, or without an address on the tap to answer from, are not served."""
        fixed = port_of(5).fixed_ips[0]
        for other in (evolve(fixed, dhcp=False), evolve(fixed, gateway=None)):
            plan = Plan(ports=(evolve(port_of(5), fixed_ips=(other,)),), groups=(GROUP,))
            self.assertEqual(plan_dhcp(plan, FOLDER, "cld"), Served())

    def test_options_are_shared(self) -> None:
        """A port costs one line; ports of one subnet share their options and its range, others have their own."""
        one, many = (plan_dhcp(plan_of(*range(1, 1 + count)), FOLDER, "cld") for count in (1, 50))
        self.assertEqual((one.configuration, one.options), (many.configuration, many.options))
        self.assertEqual((one.hosts.count("\n"), many.hosts.count("\n")), (1, 50))
        other = evolve(port_of(60), mtu=1400)
        plan = Plan(ports=(*plan_of(1, 2).ports, other), groups=(GROUP,))
        lines = plan_dhcp(plan, FOLDER, "cld").options.removeprefix(one.options).splitlines()
        self.assertIn("tag:cld0000003c-000,option:mtu,1400", lines)
        self.assertTrue(all(line.startswith("tag:cld0000003c-000,") for line in lines))
        self.assertEqual(len(lines), one.options.count("\n"))

    def test_ranges(self) -> None:
        """Each subnet is a range once; of IPv6 it says whether guests make their addresses themselves."""
        made = FixedIP(address=eui_64("2001:db8:1::", port_of(6).mac), prefix_length=64, gateway=ROUTER, slaac=True)
        ports = (_with(port_of(5), SIX), _with(port_of(6), made))
        lines = plan_dhcp(Plan(ports=ports, groups=(GROUP,)), FOLDER, "cld").configuration.splitlines()
        self.assertIn("enable-ra", lines)
        self.assertIn("dhcp-range=2001:db8::,static,off-link,64,1h", lines)
        self.assertIn("dhcp-range=2001:db8:1::,ra-stateless,off-link,64,1h", lines)

    def test_options(self) -> None:
        """The default route is among the static ones, which make clients ignore the router."""
        served = plan_dhcp(_rich_plan(), FOLDER, "cld")
        routes = "169.254.169.254/32,10.0.255.254,10.50.0.0/16,10.0.0.6,0.0.0.0/0,10.0.255.254"
        self.assertIn(f"option:classless-static-route,{routes}\n", served.options)
        self.assertIn("option:dns-server,9.9.9.9\n", served.options)
        self.assertIn(",10.0.0.5,web-1,", served.hosts)


class DnsmasqTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = Host(self)
        # Where the user that dnsmasq becomes may read, too.
        self.folder = Path(tempfile.mkdtemp(prefix="dhcp"))
        self.folder.chmod(0o755)
        self.addCleanup(self.folder.rmdir)
        self.addCleanup(self.apply, Plan())
        self.script = self.folder.parent / f"{self.folder.name}.sh"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        self.addCleanup(self.script.unlink)

    def apply(self, plan: Plan) -> tuple[str, ...]:
        """As a process that has just started does it: nothing is remembered but what is in the folder."""
        self.host.call(lambda: HostNetwork().apply(plan))
        return self.host.call(lambda: Dhcp(self.folder).apply(plan))

    def _ask(self, guest: Guest) -> str:
        asked = "-O domain -O 121 -O mtu -O dns -O hostname"
        return guest.run(f"busybox udhcpc -i eth0 -f -q -n -t 5 -T 1 {asked} -s {self.script}", check=False)

    def test_a_client_is_served(self) -> None:
        """A guest with nothing but DHCP has its address, MTU, name and routes, and reaches its neighbour."""
        plan = _rich_plan()
        self.apply(plan)
        first, second = (self.host.guest(port) for port in plan.ports)
        told = self._ask(first)
        for fact in (
            "ip=10.0.0.5 mask=16 domain= mtu=1400 dns=9.9.9.9 hostname=web-1 lease=3600",
            "10.50.0.0/16 10.0.0.6",
        ):
            self.assertIn(fact, told)
        self.assertIn("ip=10.0.0.6 mask=16 domain= mtu=1500", self._ask(second))
        routes = first.run("ip route")
        self.assertIn("169.254.169.254 via 10.0.255.254", routes)
        self.assertIn("default via 10.0.255.254", routes)
        self.assertTrue(first.pings("10.0.0.6"))

    def test_strangers_are_not(self) -> None:
        """A port that has no DHCP in the plan gets no address, while its neighbour does."""
        stranger = evolve(port_of(7), fixed_ips=(evolve(port_of(7).fixed_ips[0], dhcp=False),))
        plan = Plan(ports=(port_of(5), stranger), groups=(GROUP,))
        self.apply(plan)
        served, refused = (self.host.guest(port) for port in plan.ports)
        self.assertNotIn("ip=", self._ask(refused))
        self.assertIn("ip=10.0.0.5", self._ask(served))

    def test_another_tap(self) -> None:
        """Who asks with the MAC of another port is told nothing, also where no rule looks; on its own tap it is."""
        plan = Plan(ports=(port_of(5), port_of(6, port_security=False)), groups=(GROUP,))
        self.apply(plan)
        honest, liar = (self.host.guest(port) for port in plan.ports)
        liar.run(f"ip link set eth0 address {port_of(5).mac}")
        self.assertNotIn("ip=", self._ask(liar))
        self.assertIn("ip=10.0.0.5", self._ask(honest))

    def test_without_a_gateway(self) -> None:
        """A subnet without a gateway is served from an address of its own; neighbours are reached, nothing else is."""
        fixed = [evolve(port_of(number).fixed_ips[0], gateway=None, dhcp_server="10.0.255.1") for number in (5, 6)]
        first, second = (
            evolve(_with(port_of(n), ip), domain="a.example.") for n, ip in zip((5, 6), fixed, strict=True)
        )
        self.apply(Plan(ports=(first, second), groups=(GROUP,)))
        guests = [self.host.guest(port) for port in (first, second)]
        self.assertIn("ip=10.0.0.5 mask=16", self._ask(guests[0]))
        told = self._ask(guests[1])
        self.assertIn("routes=169.254.169.254/32 10.0.255.1\n", told)
        self.assertIn("domain=a.example ", told)
        self.assertNotIn("default", guests[0].run("ip route"))
        self.assertTrue(guests[0].pings("10.0.0.6"))

    def test_ipv6_given(self) -> None:
        """A guest of both versions gets exactly its addresses, and its default route; its neighbour is told nothing."""
        first, second = _with(port_of(5), *port_of(5).fixed_ips, SIX), port_of(6)
        self.apply(Plan(ports=(first, second), groups=(GROUP,)))
        guest, other = self.host.guest(first), self.host.guest(second)
        self._wait_for(guest, "ip -6 route show default", "proto ra")
        self.assertEqual(guest.run(f"{sys.executable} -m tests.net.dhcp6 {first.mac}"), "2001:db8::5")
        self.assertNotIn("2001:db8", guest.run("ip -6 addr show dev eth0"))
        self.assertIn("ip=10.0.0.5", self._ask(guest))
        self.assertEqual(other.run(f"{sys.executable} -m tests.net.dhcp6 {second.mac}"), "nothing")

    def test_ipv6_made(self) -> None:
        """Guests that make their addresses have exactly those of the plan, and reach each other by the router."""
        self.host.run("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        rules = (Rule(direction=EGRESS, version=6), Rule(direction=INGRESS, version=6, protocol="ipv6-icmp"))
        addresses = [eui_64("2001:db8::", port_of(number).mac) for number in (5, 6)]
        ports = tuple(
            _with(port_of(n), evolve(SIX, address=address, slaac=True))
            for n, address in zip((5, 6), addresses, strict=True)
        )
        self.apply(Plan(ports=ports, groups=(Group(id="web", rules=rules),)))
        guests = [self.host.guest(port) for port in ports]
        for guest, address in zip(guests, addresses, strict=True):
            self._wait_for(guest, "ip -6 addr show dev eth0 -tentative", f"{address}/64")
            self._wait_for(guest, "ip -6 route show default", "proto ra")
        self.assertTrue(guests[0].pings(addresses[1]))

    def _wait_for(self, guest: Guest, command: str, text: str) -> None:
        """The kernel asks for a router up to a second after its link is up, and looks for doubled addresses."""
        until = time.monotonic() + PATIENCE_S
        while text not in (said := guest.run(command)):
            self.assertLess(time.monotonic(), until, f"{command}: {said}")

    def test_it_lives_on(self) -> None:
        """The same plan does nothing; a new port is read by the same process; a killed one is started again."""
        done = self.apply(plan_of(5))
        self.assertEqual(done[-1], "start")
        pid = Dhcp(self.folder).pid()
        assert pid
        self.assertEqual(self.apply(plan_of(5)), ())
        self.assertEqual(self.apply(plan_of(5, 6)), ("write hosts", "reload"))
        self.assertEqual(Dhcp(self.folder).pid(), pid)
        self.assertIn("ip=10.0.0.6", self._ask(self.host.guest(port_of(6))))
        os.kill(pid, signal.SIGKILL)
        while Dhcp(self.folder).pid() == pid:
            os.sched_yield()
        self.assertEqual(self.apply(plan_of(5, 6)), ("start",))
        self.assertNotIn(Dhcp(self.folder).pid(), (None, pid))

    def test_small_changes(self) -> None:
        """A port comes and goes as by an apply of the whole."""
        self.apply(plan_of(5))
        dhcp = Dhcp(self.folder)
        self.assertRaises(NetError, dhcp.change, Update())
        self.host.call(lambda: dhcp.apply(plan_of(5)))
        self.assertEqual(self.host.call(lambda: dhcp.change(Update(ports=(port_of(6),)))), ("write hosts", "reload"))
        self.assertEqual(self.apply(plan_of(5, 6)), ())
        gone = Update(gone_ports={port_of(6).id})
        self.assertEqual(self.host.call(lambda: dhcp.change(gone)), ("write hosts", "reload"))
        self.assertEqual(self.apply(plan_of(5)), ())

    def test_killed_before_it_was_told(self) -> None:
        """Files that were written and not told of are told of by the next apply."""
        self.apply(plan_of(5))
        (self.folder / "hosts").write_text(plan_dhcp(plan_of(5, 6), self.folder, "cld").hosts)
        self.assertEqual(self.apply(plan_of(5, 6)), ("reload",))

    def test_whatever_the_umask(self) -> None:
        """A daemon that keeps its files to itself leaves those of dnsmasq readable, its folder too."""
        folder = self.folder / "made" / "here"
        dhcp = Dhcp(folder)
        self.addCleanup(shutil.rmtree, self.folder / "made")
        self.addCleanup(lambda: dhcp.apply(Plan()))
        self.folder.joinpath("made").mkdir(mode=0o755)
        self.addCleanup(os.umask, os.umask(0o077))
        plan = plan_of(5, 6)
        self.host.call(lambda: HostNetwork().apply(plan))
        self.host.call(lambda: dhcp.apply(plan_of(5)))
        self.host.call(lambda: dhcp.apply(plan))
        (folder / "hosts").chmod(0o600)
        self.assertEqual(self.host.call(dhcp.repair), ("write hosts", "reload"))
        self.assertIn("ip=10.0.0.6", self._ask(self.host.guest(port_of(6))))

    def test_read_again_after_a_lease(self) -> None:
        """The process that has given leases reads its files again and lives on, with the options of each."""
        other = evolve(port_of(7), mtu=1400, domain="b.example")
        plan = Plan(ports=(port_of(5), port_of(6), other), groups=(GROUP,))
        self.apply(plan_of(5))
        pid = Dhcp(self.folder).pid()
        guest = self.host.guest(port_of(5))
        self._ask(guest)
        self.assertEqual(self.apply(plan), ("write hosts", "write options", "reload"))
        self.assertIn("mtu=1500", self._ask(guest))
        self.assertIn("domain=b.example mtu=1400", self._ask(self.host.guest(other)))
        self.assertEqual(self.apply(plan_of(5)), ("write hosts", "write options", "reload"))
        self.assertIn("domain= mtu=1500", self._ask(guest))
        self.assertEqual(Dhcp(self.folder).pid(), pid)

    def test_an_address_is_used_again(self) -> None:
        """Who gets the address of a port that has gone is served at once, and the leases of others stay."""
        self.apply(plan_of(5, 6))
        for number in (5, 6):
            self.assertIn(f"ip=10.0.0.{number}", self._ask(self.host.guest(port_of(number))))
        self.assertEqual(self.apply(plan_of(6)), ("write hosts", "reload"))
        heir = _with(port_of(7), *port_of(5).fixed_ips)
        plan = Plan(ports=(port_of(6), heir), groups=(GROUP,))
        self.assertEqual(self.apply(plan), ("write hosts", "stop", "forget leases", "start"))
        self.assertIn(" 10.0.0.6 ", (self.folder / "leases").read_text())
        self.assertIn("ip=10.0.0.5", self._ask(self.host.guest(heir)))
        self.assertEqual(self.apply(plan), ())

    def test_an_address_comes_back(self) -> None:
        """A port that is plugged again keeps its lease: nothing is started anew."""
        self.apply(plan_of(5, 6))
        self.assertIn("ip=10.0.0.5", self._ask(self.host.guest(port_of(5))))
        self.apply(plan_of(6))
        self.assertEqual(self.apply(plan_of(5, 6)), ("write hosts", "reload"))

    def test_repaired(self) -> None:
        """A file that somebody has changed is put right and told of, and a dnsmasq that has ended is started."""
        dhcp = Dhcp(self.folder)
        self.host.call(lambda: HostNetwork().apply(plan_of(5)))
        self.host.call(lambda: dhcp.apply(plan_of(5)))
        (self.folder / "hosts").write_text("")
        self.assertEqual(self.host.call(dhcp.repair), ("write hosts", "reload"))
        (self.folder / "configuration").write_text("port=0\n")
        self.assertEqual(self.host.call(dhcp.repair), ("write configuration", "stop", "start"))
        pid = dhcp.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        while dhcp.pid() == pid:
            os.sched_yield()
        self.assertEqual(self.host.call(dhcp.repair), ("start",))
        self.assertIn("ip=10.0.0.5", self._ask(self.host.guest(port_of(5))))
        self.assertEqual(self.host.call(dhcp.repair), ())

    def test_nobody_left(self) -> None:
        """Without ports there is no process and no file."""
        self.apply(plan_of(5))
        pid = Dhcp(self.folder).pid()
        self.assertEqual(self.apply(Plan()), ("stop",))
        # One that has ended and was not yet waited for has no command line.
        command = Path(f"/proc/{pid}/cmdline")
        self.assertFalse(command.exists() and command.read_bytes())
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_start_without_end(self) -> None:
        """One that does not come up in time is ended, with what it has begun, and the next one may try."""
        program = self.script.with_suffix(".d")
        program.mkdir()
        self.addCleanup(shutil.rmtree, program)
        (program / "dnsmasq").write_text(f"#!/bin/sh\ntail -f {self.folder}/configuration\n")
        (program / "dnsmasq").chmod(0o755)
        with_it = self.patch(os, "environ", {**os.environ, "PATH": f"{program}:{os.environ['PATH']}"})
        dhcp = Dhcp(self.folder, start_s=0.2)
        error = self.assertRaises(NetError, lambda: self.host.call(lambda: dhcp.apply(plan_of(5))))
        self.assertIn("has not started within 0.2 s", error.cause)
        left = [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(self.folder).encode() in _read(each)]
        self.assertEqual(left, [])
        with_it.restore()
        self.assertEqual(self.host.call(lambda: dhcp.apply(plan_of(5))), ("start",))

    def test_a_number_of_another(self) -> None:
        """A pid file that names another process is not believed."""
        (self.folder / "pid").write_text(str(os.getpid()))
        self.assertIs(Dhcp(self.folder).pid(), None)
