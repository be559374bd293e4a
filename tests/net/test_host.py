"""A host brought to its plan: real taps, routes and nftables in namespaces, as root."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import (
    EGRESS,
    INGRESS,
    Applied,
    BadPlan,
    Change,
    FixedIP,
    Group,
    HostNetwork,
    Metadata,
    Plan,
    Rule,
    Update,
)

from .frames import arp_claim, datagram
from .namespaces import Guest, Host, end
from .plans import GROUP, plan_of, port_of

A, B = "cld00000005-000", "cld00000006-000"
STRANGERS = "ip link add cldother type bridge; nft add table inet theirs; ip route add 10.77.0.0/16 dev lo proto 199"


class _Killed(Exception):
    """Stands for the end of the process that applies."""


def _serve_once(address: str, port: int) -> Callable[[], str]:
    """Answer one request over HTTP from this namespace; what is returned waits, and gives who asked."""
    server = socket.create_server((address, port))

    def answer() -> str:
        with server, server.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nmetadata")
            return str(connection.getpeername()[0])

    asked = ThreadPoolExecutor(max_workers=1).submit(answer)
    return asked.result


class _HostCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = Host(self)
        self.network = HostNetwork()

    def apply(self, plan: Plan) -> Applied:
        return self.host.call(lambda: self.network.apply(plan))

    def state(self) -> str:
        return self.host.run("ip -o link | cut -d' ' -f2; ip -o addr | grep -v fe80; ip route; nft list ruleset")


class ApplyTest(_HostCase):
    def test_a_second_time(self) -> None:
        """The same plan again writes nothing at all."""
        plan = evolve(plan_of(5, 6), metadata=Metadata("10.255.0.1", 8775))
        self.assertTrue(self.apply(plan).changes)
        self.assertEqual(self.apply(plan), Applied(()))

    def test_both_versions_of_ip(self) -> None:
        """Addresses and pairs of IPv6 are found again as they were made, too."""
        fixed = FixedIP(address="2001:db8::5", prefix_length=64, gateway="2001:db8::1")
        rules = (
            Rule(direction=INGRESS, version=6, protocol="icmp", first=128, last=0),
            Rule(direction=EGRESS, version=6),
        )
        port = evolve(port_of(5), fixed_ips=(fixed,))
        plan = Plan(ports=(port,), groups=(Group(id="web", rules=rules, members={"2001:db8::5"}),))
        self.apply(plan)
        self.assertIn(f"2001:db8::5 dev {A} proto 199", self.host.run("ip -6 route"))
        self.assertEqual(self.apply(plan), Applied(()))

    def test_nothing_is_left(self) -> None:
        """An empty plan removes all that was made, and nothing else."""
        self.host.run(STRANGERS)
        before = self.state()
        self.apply(plan_of(5, 6))
        self.assertNotEqual(self.state(), before)
        self.apply(Plan())
        self.assertEqual(self.state(), before)

    def test_one_port_goes(self) -> None:
        """The other's tap is not touched."""
        self.apply(plan_of(5, 6))
        index = self.host.run(f"ip -o link show {A} | cut -d: -f1")
        changes = self.apply(plan_of(5)).changes
        self.assertEqual([change.what for change in changes], ["delete tap", "change firewall"])
        self.assertEqual(self.host.run(f"ip -o link show {A} | cut -d: -f1"), index)
        self.assertNotIn(B, self.state())

    def test_drift(self) -> None:
        """What somebody deletes or adds by hand is put back, and that alone."""
        plan = plan_of(5, 6)
        self.apply(plan)
        before = self.state()
        firewall = Change("change firewall", "", "1 commands")
        # The kernel takes routes along with addresses.
        again = [Change("add address", A, "10.0.255.254/16"), Change("add route", A, "10.0.0.5")]
        drifts: list[tuple[str, list[Change]]] = [
            (f"ip route del 10.0.0.5 dev {A}", [Change("add route", A, "10.0.0.5")]),
            (f"ip addr del 10.0.255.254/16 dev {A}", [*again]),
            (f"ip addr add 10.6.6.6/32 dev {A}", [Change("delete address", A, "10.6.6.6/32"), *again]),
            (f"ip link set {A} mtu 1300", [Change("set link", A)]),
            (
                f"echo 0 > /proc/sys/net/ipv4/conf/{A}/proxy_arp",
                [Change("set sysctl", A, f"ipv4/conf/{A}/proxy_arp=1")],
            ),
            (f"nft delete element inet cloudd ports '{{ {A} }}'", [firewall]),
            ("nft add set inet cloudd mine '{ type ipv4_addr; }'", [firewall]),
        ]
        for command, changes in drifts:
            self.host.run(command)
            self.assertEqual(list(self.apply(plan).changes), changes, command)
            self.assertEqual(self.state(), before, command)

    def test_lost_rules_links_and_tables(self) -> None:
        """Whole parts that are gone come back."""
        plan = plan_of(5, 6)
        self.apply(plan)
        wanted = self.host.call(self.network.observe)
        for command in (
            "nft flush chain inet cloudd antispoof",
            "nft flush ruleset",
            f"ip link del {A}",
            f"ip link set {A} down",
        ):
            self.host.run(command)
            self.assertNotEqual(self.host.call(self.network.observe), wanted, command)
            self.apply(plan)
            self.assertEqual(self.host.call(self.network.observe), wanted, command)

    def test_another_gateway(self) -> None:
        """The kernel takes routes and other addresses along with an address: all are there again at once."""
        self.apply(plan_of(5))
        fixed = evolve(port_of(5).fixed_ips[0], gateway="10.0.255.253")
        plan = Plan(ports=(evolve(port_of(5), fixed_ips=(fixed,)),), groups=(GROUP,))
        self.apply(plan)
        self.assertEqual(self.apply(plan), Applied(()))

    def test_broken_off_after_each_change(self) -> None:
        """Wherever an apply ends, the next one comes to the same; so on the way there and on the way back."""
        for before, after in ((Plan(), plan_of(5, 6)), (plan_of(5, 6), plan_of(6, 7)), (plan_of(5), Plan())):
            self.apply(before)
            steps = len(self.apply(after).changes)
            wanted = self.host.call(self.network.observe)
            for step in range(1, steps + 1):
                self.apply(before)
                self._break_off(after, step)
                self.apply(after)
                self.assertEqual(self.host.call(self.network.observe), wanted)
                self.assertEqual(self.apply(after), Applied(()))

    def _break_off(self, plan: Plan, step: int) -> None:
        done: list[Change] = []

        def count(change: Change) -> None:
            done.append(change)
            if len(done) == step:
                raise _Killed

        broken = HostNetwork(on_change=count)
        self.assertRaises(_Killed, self.host.call, lambda: broken.apply(plan))

    def test_killed(self) -> None:
        """A process that was killed -9 in the middle leaves what the next apply goes on with."""
        command = ["nsenter", f"--net={self.host.path}", sys.executable, "-m", "tests.net.applier", "5"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(end, process)
        assert process.stdout
        done = [process.stdout.readline().strip() for _ in range(5)]
        self.assertEqual(done[:2], ["change firewall", "make tap"])
        process.kill()
        process.wait()
        left = self.host.call(self.network.observe)
        self.assertEqual(list(left.taps), [A])
        self.assertTrue(self.apply(plan_of(5, 6, 7)).changes)
        self.assertEqual(self.apply(plan_of(5, 6, 7)), Applied(()))

    def test_without_the_right(self) -> None:
        """Who may not change networks is told so, and what to do."""
        refused = self.host.run(f"setpriv --bounding-set=-net_admin {sys.executable} -m tests.net.applier 1")
        self.assertIn("refused: ", refused)
        self.assertIn("Run as root", refused)

    def test_a_link_of_others(self) -> None:
        """A name that is taken is said, the link stays as it is, and the other ports are made."""
        self.host.run(f"ip link add {A} type bridge")
        before = self.host.run(f"ip -d link show {A}")
        refused = self.apply(plan_of(5, 6)).refused
        self.assertEqual(list(refused), [port_of(5).id])
        self.assertIn(A, refused[port_of(5).id].cause)
        self.assertIn("not ours", refused[port_of(5).id].next_step)
        self.assertEqual(self.host.run(f"ip -d link show {A}"), before)
        self.assertIn(B, self.host.run("ip link"))
        self.host.run(f"ip link del {A}")
        self.assertEqual(self.apply(plan_of(5, 6)).refused, {})

    def test_two_prefixes(self) -> None:
        """Networks with different prefixes live on one host, and neither touches what is the other's."""
        self.apply(plan_of(5))
        other = HostNetwork("abc")
        self.addCleanup(other.close)
        self.host.call(lambda: other.apply(plan_of(6)))
        self.assertEqual(self.apply(plan_of(5)), Applied(()))
        self.assertEqual(self.host.call(lambda: other.apply(plan_of(6))), Applied(()))
        self.assertEqual(self.host.run("nft list tables").count("cloudd-abc"), 2)
        self.host.call(lambda: other.apply(Plan()))
        self.assertEqual(self.apply(plan_of(5)), Applied(()))
        self.assertNotIn("cloudd-abc", self.host.run("nft list tables"))

    def test_a_small_mtu(self) -> None:
        """An MTU that is too small takes IPv6 from the link, and the port lives on; it comes back with the MTU."""
        plan = plan_of(5)
        self.apply(plan)
        small = Plan(ports=(evolve(port_of(5), mtu=1000),), groups=(GROUP,))
        for each in (small, plan, small):
            applied = self.apply(each)
            self.assertTrue(applied.changes)
            self.assertEqual(applied.refused, {})
            self.assertEqual(self.apply(each), Applied(()))
        self.assertFalse(Path(f"/proc/sys/net/ipv6/conf/{A}").exists())

    def test_put_to_sleep(self) -> None:
        """A table that sleeps and a chain that drops what no rule names are seen, and made again."""
        self.apply(plan_of(5))
        for command in (
            "add table inet cloudd '{ flags dormant; }'",
            "add chain inet cloudd from-ports '{ type filter hook prerouting priority -300; policy drop; }'",
        ):
            self.host.run(f"nft {command}")
            self.assertTrue(self.apply(plan_of(5)).changes, command)
            self.assertEqual(self.apply(plan_of(5)), Applied(()))
            self.assertNotIn("dormant", self.host.run("nft list ruleset"))
            self.assertNotIn("policy drop", self.host.run("nft list ruleset"))

    def test_bad_prefix(self) -> None:
        """A prefix that leaves no room for ids is refused."""
        self.assertRaises(BadPlan, HostNetwork, prefix="much-too-long")


class TrafficTest(_HostCase):
    def plug(self, plan: Plan) -> list[Guest]:
        self.apply(plan)
        return [self.host.guest(port).configure() for port in plan.ports]

    def test_groups_decide(self) -> None:
        """Guests of one host reach each other where both sides' groups allow it, and the host reaches them likewise."""
        silent = Group(id="silent", rules=(Rule(direction=EGRESS),))
        mute = Group(id="mute", rules=(Rule(direction=INGRESS, protocol="icmp"),))
        ports = (port_of(5), port_of(6), port_of(7, ("silent",)), port_of(8, ("mute",)))
        web, other, closed, tied = self.plug(Plan(ports=ports, groups=(GROUP, silent, mute)))
        self.assertTrue(web.pings(other.fixed.address))
        self.assertTrue(closed.pings(web.fixed.address))
        self.assertTrue(web.pings(tied.fixed.address))
        self.assertFalse(web.pings(closed.fixed.address))
        self.assertFalse(tied.pings(web.fixed.address))
        self.assertTrue(web.pings("10.0.255.254"))
        self.assertIn(", 0% packet", self.host.run(f"busybox ping -c 1 -W 1 {web.fixed.address}"))
        unheard = self.host.run(f"busybox ping -c 1 -W 1 {closed.fixed.address}", check=False)
        self.assertNotIn(", 0% packet", unheard)

    def test_networks_are_apart(self) -> None:
        """A guest reaches those of its own network alone, whatever groups allow and with port security off or on."""
        red, also_red = port_of(5), port_of(6, port_security=False)
        blue, open_blue = port_of(7), port_of(8, port_security=False)
        ports = [evolve(port, network_id="red") for port in (red, also_red)]
        ports += [evolve(port, network_id="blue") for port in (blue, open_blue)]
        guests = self.plug(Plan(ports=tuple(ports), groups=(GROUP,)))
        for guest in guests:
            others = {other for other in guests if other is not guest}
            reached = {other for other in others if guest.pings(other.fixed.address)}
            self.assertEqual(reached, {other for other in others if other.port.network_id == guest.port.network_id})
            self.assertTrue(guest.pings("10.0.255.254"))

    def test_a_network_more(self) -> None:
        """Ports of other networks come and go by small changes, and those that are there stay apart from them."""
        self.apply(Plan(ports=(port_of(5),), groups=(GROUP,)))
        first = self.host.guest(port_of(5)).configure()
        other, own = evolve(port_of(6), network_id="blue"), port_of(7)
        self.host.call(lambda: self.network.change(Update(ports=(other, own))))
        stranger, friend = (self.host.guest(port).configure() for port in (other, own))
        self.assertEqual([guest.pings(first.fixed.address) for guest in (stranger, friend)], [False, True])
        self.host.call(lambda: self.network.change(Update(gone_ports={other.id})))
        self.assertNotIn("blue", self.host.run("nft list table inet cloudd"))
        self.assertEqual(self.apply(Plan(ports=(port_of(5), own), groups=(GROUP,))), Applied(()))

    def test_ports_prefixes_and_remote_groups(self) -> None:
        """A datagram comes through where protocol, port, prefix and members of the remote group agree."""
        rules = (
            Rule(direction=INGRESS, protocol="udp", first=100, last=200, remote_prefix="10.0.0.6/32"),
            Rule(direction=INGRESS, protocol="udp", first=300, last=300, remote_group_id="web"),
        )
        guarded = Group(id="guarded", rules=rules)
        friends = evolve(GROUP, members={"10.0.0.7"})
        ports = (port_of(5, ("guarded",)), port_of(6), port_of(7))
        target, by_prefix, by_group = self.plug(Plan(ports=ports, groups=(guarded, friends)))
        heard = {port: target.listen(port) for port in (150, 250, 300)}
        for port, refused, allowed in ((150, by_group, by_prefix), (300, by_prefix, by_group)):
            self._say(refused, port, "refused")
            self._say(allowed, port, "allowed")
            self.assertEqual(heard[port](), f"{allowed.fixed.address} allowed")
        self._say(by_prefix, 250, "refused")
        more = evolve(guarded, rules=(*rules, Rule(direction=INGRESS, protocol="udp", first=250, last=250)))
        self.apply(Plan(ports=ports, groups=(more, friends)))
        self._say(by_prefix, 250, "allowed")
        self.assertEqual(heard[250](), "10.0.0.6 allowed")

    def _say(self, guest: Guest, port: int, text: str) -> None:
        macs, addresses = (guest.port.mac, f"fe{guest.port.mac[2:]}"), (guest.fixed.address, "10.0.0.5")
        guest.send(datagram(macs, addresses, (1000, port), text.encode()))
        # The frame is through once this is answered: guests carry frames in order.
        self.assertTrue(guest.pings("10.0.255.254"))

    def _spoof(self, guest: Guest, mac: str, address: str, text: bytes) -> None:
        host_mac = f"fe{guest.port.mac[2:]}"
        guest.send(datagram((mac, host_mac), (address, "10.0.0.6"), (1000, 1000), text))

    def test_spoofed_sources(self) -> None:
        """A datagram from another's address or MAC is dropped; one from its own comes through."""
        liar, target = self.plug(plan_of(5, 6))
        heard = target.listen(1000)
        self._spoof(liar, liar.port.mac, "10.0.0.99", b"address")
        self._spoof(liar, "fa:16:3e:99:99:99", "10.0.0.5", b"mac")
        self._spoof(liar, liar.port.mac, "10.0.0.5", b"honest")
        self.assertEqual(heard(), "10.0.0.5 honest")

    def test_without_port_security(self) -> None:
        """The same is let through where port security is off: so the test before could fail."""
        plan = Plan(ports=(port_of(5, port_security=False), port_of(6)), groups=(GROUP,))
        liar, target = self.plug(plan)
        heard = target.listen(1000)
        self._spoof(liar, liar.port.mac, "10.0.0.99", b"address")
        self.assertEqual(heard(), "10.0.0.99 address")

    def test_offers_of_dhcp(self) -> None:
        """A guest gives no addresses: what comes from port 67 is dropped."""
        liar, target = self.plug(plan_of(5, 6))
        heard = target.listen(68)
        macs, addresses = (liar.port.mac, f"fe{liar.port.mac[2:]}"), ("10.0.0.5", "10.0.0.6")
        liar.send(datagram(macs, addresses, (67, 68), b"offer"))
        liar.send(datagram(macs, addresses, (1067, 68), b"honest"))
        self.assertEqual(heard(), "10.0.0.5 honest")

    def test_spoofed_arp(self) -> None:
        """Who claims another's address by ARP is not believed; who claims its own is."""
        (liar,) = self.plug(plan_of(5))
        liar.send(arp_claim(liar.port.mac, "10.0.0.99", "10.0.255.254"))
        liar.send(arp_claim(liar.port.mac, "10.0.0.5", "10.0.255.254"))
        self.assertTrue(liar.pings("10.0.255.254"))
        neighbours = self.host.run(f"ip neigh show dev {A}")
        self.assertIn("10.0.0.5 ", neighbours)
        self.assertNotIn("10.0.0.99", neighbours)

    def test_metadata(self) -> None:
        """169.254.169.254:80 leads to the service, which sees the guest's own address; its own port is not open."""
        self.host.run("ip addr add 10.255.0.1/32 dev lo")
        plan = evolve(plan_of(5), metadata=Metadata("10.255.0.1", 8775))
        (guest,) = self.plug(plan)
        served = self.host.call(lambda: _serve_once("10.255.0.1", 8775))
        self.assertEqual(guest.run("curl -s -m 5 http://169.254.169.254/openstack"), "metadata")
        self.assertEqual(served(), "10.0.0.5")
        refused = guest.run("curl -s -m 1 http://10.255.0.1:8775/ || echo refused", check=False)
        self.assertEqual(refused.strip(), "refused")

    def test_ipv6(self) -> None:
        """Guests reach each other by their router where the host forwards IPv6; from another's address they do not."""
        self.host.run("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        rules = (Rule(direction=EGRESS, version=6), Rule(direction=INGRESS, version=6, protocol="ipv6-icmp"))
        fixed = [FixedIP(address=f"2001:db8::{n}", prefix_length=64, gateway="2001:db8::ff") for n in (5, 6)]
        ports = tuple(evolve(port_of(n), fixed_ips=(ip,)) for n, ip in zip((5, 6), fixed, strict=True))
        self.apply(Plan(ports=ports, groups=(Group(id="web", rules=rules),)))
        first, second = map(self.host.guest, ports)
        for guest, source in ((first, "2001:db8::5"), (second, "2001:db8::6"), (first, "2001:db8::99")):
            guest.run(f"ip addr add {source}/128 dev eth0 nodad")
            guest.run("ip route replace 2001:db8::ff dev eth0; ip route replace default via 2001:db8::ff")
        self.host.run(f"ip route add 2001:db8::99 dev {A}")
        # A link speaks once it knows that its link-local address is not doubled.
        for run in (self.host.run, first.run, second.run):
            while run("ip -6 addr show tentative"):
                os.sched_yield()
        self.assertTrue(first.pings("-I 2001:db8::5 2001:db8::6"))
        self.assertFalse(first.pings("-I 2001:db8::99 2001:db8::6"))

    def test_connections_go_on(self) -> None:
        """What is established survives an apply that changes rules, where others still allow it."""
        first, second = self.plug(plan_of(5, 6))
        self.assertTrue(first.pings(second.fixed.address))
        heard = second.listen(1000)
        self._spoof(first, first.port.mac, "10.0.0.5", b"before")
        self.assertEqual(heard(), "10.0.0.5 before")
        reply = datagram(
            (second.port.mac, f"fe{second.port.mac[2:]}"), ("10.0.0.6", "10.0.0.5"), (1000, 1000), b"reply"
        )
        back = first.listen(1000)
        second.send(reply)
        self.assertEqual(back(), "10.0.0.6 reply")
        fewer = Group(
            id="web", rules=(Rule(direction=EGRESS), Rule(direction=INGRESS, protocol="udp", last=1000, first=9))
        )
        self.apply(plan_of(5, 6, 7, group=fewer))
        self._spoof(first, first.port.mac, "10.0.0.5", b"after")
        self.assertEqual(heard(), "10.0.0.5 after")
        second.send(reply)
        self.assertEqual(back(), "10.0.0.6 reply")
        self.assertFalse(first.pings("10.0.0.7"))
