"""Connections that are open when the rule, the group, the member or the port goes that let them in."""

from __future__ import annotations

import os
import socket

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, INGRESS, AddressPair, Applied, Change, FixedIP, Group, HostNetwork, Plan, Port, Rule, Update

from .entries import fill
from .frames import echo_request
from .insides import inside, udp
from .namespaces import Guest, Host
from .plans import GROUP, port_of

OUT = Rule(direction=EGRESS)
PING = Rule(direction=INGRESS, protocol="icmp")
SERVICE = Rule(direction=INGRESS, protocol="udp", first=5000, last=5000)
NARROW = Group(id="web", rules=(OUT,))
ENDED = "end connections"


class _Killed(Exception):
    """Stands for the end of the process that applies."""


class OpenConnectionsTest(SynchronousTestCase):
    """A guest at port 5 asks, the one at port 6 answers."""

    def setUp(self) -> None:
        self.host = Host(self)
        self.network = HostNetwork()
        self.addCleanup(self.network.close)

    def plug(self, plan: Plan) -> list[Guest]:
        self.apply(plan)
        return [self.host.guest(port).configure() for port in plan.ports]

    def apply(self, plan: Plan) -> Applied:
        return self.host.call(lambda: self.network.apply(plan))

    def change(self, update: Update) -> list[str]:
        return [change.what for change in self.host.call(lambda: self.network.change(update)).changes]

    def flow(self, asks: Guest, answers: Guest) -> tuple[socket.socket, socket.socket]:
        """From port 4000 to port 5000, with both directions heard."""
        first, second = (udp(guest.path, guest.fixed.address, port) for guest, port in ((asks, 4000), (answers, 5000)))
        for each in (first, second):
            self.addCleanup(each.close)
        self.assertTrue(self.comes(first, second, b"asked"))
        self.assertTrue(self.comes(second, first, b"answered"))
        return first, second

    def comes(self, sender: socket.socket, receiver: socket.socket, text: bytes) -> bool:
        sender.sendto(text, receiver.getsockname())
        return receiver.recv(100) == text

    def refused(self, sender: socket.socket, receiver: socket.socket, guests: tuple[Guest, Guest]) -> bool:
        """Frames stay in order: once the sender's and the receiver's next echoes are answered, it would be there."""
        sender.sendto(b"refused", receiver.getsockname())
        for guest in guests:
            self.assertTrue(guest.pings(str(guest.fixed.gateway)))
        receiver.setblocking(False)
        try:
            return not receiver.recv(100)
        except BlockingIOError:
            return True
        finally:
            receiver.settimeout(20)

    def echoes(self, asks: Guest, answers: Guest) -> int:
        """How many echoes the other was asked for after one more of the same identifier."""
        macs, addresses = (asks.port.mac, f"fe{asks.port.mac[2:]}"), (asks.fixed.address, answers.fixed.address)
        asks.send(echo_request(macs, addresses, 4711))
        for guest in (asks, answers):
            self.assertTrue(guest.pings(str(guest.fixed.gateway)))
        names, values = answers.run("grep ^Icmp: /proc/net/snmp").splitlines()
        return int(dict(zip(names.split(), values.split(), strict=True))["InEchos"])

    def test_a_ping_goes_on(self) -> None:
        """Echoes of one identifier are refused as soon as their rule goes, and let in when it is there again."""
        group = Group(id="web", rules=(OUT, PING))
        asks, answers = self.plug(Plan(ports=(port_of(5), port_of(6)), groups=(group,)))
        self.assertEqual(self.echoes(asks, answers), 1)
        self.assertEqual(self.echoes(asks, answers), 2)
        self.assertIn(ENDED, self.change(Update(groups=(NARROW,))))
        self.assertEqual(self.echoes(asks, answers), 2)
        self.assertNotIn(ENDED, self.change(Update(groups=(group,))))
        self.assertEqual(self.echoes(asks, answers), 3)

    def test_what_is_allowed_less(self) -> None:
        """A rule, a group of a port, a member of a remote group that goes, and port security that comes."""
        friends = Group(id="friends", members={"10.0.0.5"})
        by_group = evolve(SERVICE, remote_group_id="friends")
        ports = (port_of(5, ("out",)), port_of(6, ("out", "web")))
        groups = (Group(id="out", rules=(OUT,)), Group(id="web", rules=(SERVICE,)), friends)
        plan = Plan(ports=ports, groups=groups)
        guests = self.plug(plan)
        asks, answers = guests
        first, second = self.flow(asks, answers)
        remote = (groups[0], Group(id="web", rules=(by_group,)), friends)
        open_port = (ports[0], evolve(port_of(6, port_security=False)))
        cases = {
            "rule": (plan, Update(groups=(Group(id="web"),))),
            "other ports": (plan, Update(groups=(Group(id="web", rules=(evolve(SERVICE, first=4999, last=4999),)),))),
            "group": (plan, Update(ports=(port_of(6, ("out",)),))),
            "member": (Plan(ports=ports, groups=remote), Update(groups=(Group(id="friends"),))),
            "security": (Plan(ports=open_port, groups=groups), Update(ports=(port_of(6, ("out",)),))),
            "sender": (plan, Update(groups=(Group(id="out"),))),
        }
        for name, (before, update) in cases.items():
            self.apply(before)
            self.assertTrue(self.comes(first, second, name.encode()))
            self.assertIn(ENDED, self.change(update), name)
            self.assertTrue(self.refused(first, second, (asks, answers)), name)

    def test_another_rule_allows_it(self) -> None:
        """A TCP connection that was let in by two rules lives when one goes, untouched: the server speaks first."""
        both = (Rule(direction=INGRESS, protocol="tcp", first=80, last=80), Rule(direction=INGRESS, protocol="tcp"))
        ports = (port_of(5, ("out",)), port_of(6))
        groups = (Group(id="out", rules=(OUT,)), Group(id="web", rules=both))
        asks, answers = self.plug(Plan(ports=ports, groups=groups))
        listening = inside(answers.path, lambda: socket.create_server(("10.0.0.6", 80)))
        asking = inside(asks.path, lambda: socket.create_connection(("10.0.0.6", 80), 20))
        serving, _ = listening.accept()
        serving.settimeout(20)
        for each in (listening, asking, serving):
            self.addCleanup(each.close)
        for rules in (both[:1], both[1:], both[:1]):
            self.assertNotIn(ENDED, self.change(Update(groups=(Group(id="web", rules=rules),))))
            serving.sendall(b"answer")
            self.assertEqual(asking.recv(100), b"answer")
            asking.sendall(b"question")
            self.assertEqual(serving.recv(100), b"question")
        self.assertIn(ENDED, self.change(Update(groups=(Group(id="web"),))))

    def test_a_port_goes(self) -> None:
        """Who gets the address of a port that has gone does not get what is answered to that, in one update or two."""
        friend = port_of(5)
        for number, updates in enumerate(
            (
                (Update(gone_ports={port_of(6).id}), Update(ports=(self.heir(7),))),
                (Update(gone_ports={port_of(6).id}, ports=(self.heir(7),)),),
            )
        ):
            guests = self.plug(
                Plan(ports=(friend, port_of(6, ("out",))), groups=(GROUP, Group(id="out", rules=(OUT,))))
            )
            stays, goes = guests
            answering, asking = self.flow(goes, stays)[::-1]
            whats = [what for update in updates for what in self.change(update)]
            self.assertIn(ENDED, whats, number)
            heir = self.host.guest(self.heir(7)).configure()
            received = udp(heir.path, "10.0.0.6", 4000)
            self.addCleanup(received.close)
            self.assertTrue(self.refused(answering, received, (stays, heir)))
            for each in (answering, asking):
                each.close()
            self.apply(Plan())

    def heir(self, number: int) -> Port:
        return evolve(port_of(number, ("out",)), fixed_ips=port_of(6).fixed_ips)

    def test_a_pair_goes(self) -> None:
        """What is answered to the address of a pair ends with the pair."""
        alone = port_of(5, ("out",))
        paired = evolve(alone, address_pairs=(AddressPair("10.0.0.77"),))
        plan = Plan(ports=(paired, port_of(6)), groups=(GROUP, Group(id="out", rules=(OUT,))))
        asks, answers = self.plug(plan)
        asks.run("ip addr add 10.0.0.77/32 dev eth0")
        self.host.run("ip route add 10.0.0.77 dev cld00000005-000")
        sender = udp(asks.path, "10.0.0.77", 4000)
        receiver = udp(answers.path, "10.0.0.6", 5000)
        for each in (sender, receiver):
            self.addCleanup(each.close)
        self.assertTrue(self.comes(sender, receiver, b"paired"))
        self.assertTrue(self.comes(receiver, sender, b"answered"))
        self.assertIn(ENDED, self.change(Update(ports=(alone,))))
        self.assertTrue(self.refused(receiver, sender, (answers, asks)))

    def test_repair_ends_nothing_that_is_allowed(self) -> None:
        """Tables flushed by hand, a daemon that comes anew, everything looked at: answers go on that no rule names."""
        groups = (Group(id="out", rules=(OUT,)), Group(id="web", rules=(OUT, SERVICE)))
        plan = Plan(ports=(port_of(5, ("out",)), port_of(6)), groups=groups)
        first, second = self.flow(*self.plug(plan))
        self.host.run("nft flush ruleset")
        self.assertNotIn(ENDED, [change.what for change in self.host.call(self.network.repair).changes])
        self.assertTrue(self.comes(second, first, b"repaired"))
        self.host.run("nft flush ruleset")
        self.assertNotIn(ENDED, [change.what for change in self.apply(plan).changes])
        self.assertTrue(self.comes(second, first, b"applied"))
        self.network.close()
        self.assertEqual(self.apply(plan), Applied(()))
        self.assertTrue(self.comes(second, first, b"anew"))

    def test_among_thousands(self) -> None:
        """The kernel is asked for one address alone, and what is a stranger's stays, as does what is allowed."""
        ports = (port_of(5, ("out",)), port_of(6))
        groups = (Group(id="out", rules=(OUT,)), Group(id="web", rules=(OUT, SERVICE)))
        asks, answers = self.plug(Plan(ports=ports, groups=groups))
        first, second = self.flow(asks, answers)
        self.host.call(lambda: fill(2500, "198.51.100.7", "203.0.113.9"))
        self.host.call(lambda: fill(5, "10.0.0.6", "203.0.113.9"))
        self.host.call(lambda: fill(3, "203.0.113.9", "10.0.0.6"))
        changes = self.host.call(lambda: self.network.change(Update(groups=(NARROW,)))).changes
        self.assertEqual([change.value for change in changes if change.what == ENDED], ["4"])
        self.assertTrue(self.refused(first, second, (asks, answers)))
        changes = self.host.call(lambda: self.network.change(Update(gone_ports={port_of(6).id}))).changes
        ended = sum(int(change.value) for change in changes if change.what == ENDED)
        self.assertGreaterEqual(ended, 5)
        count = int(self.host.run("cat /proc/sys/net/netfilter/nf_conntrack_count"))
        self.assertGreaterEqual(count, 2500)

    def test_killed_between(self) -> None:
        """Who comes after one that was killed when it had changed the firewall ends what that one had not."""
        ports = (port_of(5), port_of(6))
        asks, answers = self.plug(Plan(ports=ports, groups=(GROUP,)))
        first, second = self.flow(asks, answers)

        def kill(change: Change) -> None:
            raise _Killed

        broken, narrow = HostNetwork(on_change=kill), Plan(ports=ports, groups=(NARROW,))
        self.assertRaises(_Killed, self.host.call, lambda: broken.apply(narrow))
        self.assertTrue(self.comes(first, second, b"still"))
        stranger = HostNetwork()
        self.addCleanup(stranger.close)
        whats = [change.what for change in self.host.call(lambda: stranger.apply(narrow)).changes]
        self.assertEqual(whats, [ENDED])
        self.assertTrue(self.refused(first, second, (asks, answers)))

    def test_ipv6(self) -> None:
        """The same for IPv6; each version's rule ends its own alone."""
        rules = (Rule(direction=EGRESS, version=6), evolve(SERVICE, version=6))
        fixed = [FixedIP(address=f"2001:db8::{n}", prefix_length=64, gateway="2001:db8::ff") for n in (5, 6)]
        ports = tuple(evolve(port_of(n), fixed_ips=(ip,)) for n, ip in zip((5, 6), fixed, strict=True))
        self.apply(Plan(ports=ports, groups=(Group(id="web", rules=rules),), forwards=True))
        first, second = map(self.host.guest, ports)
        for guest in (first, second):
            guest.run(f"ip addr add {guest.fixed.address}/128 dev eth0 nodad")
            guest.run("ip route replace 2001:db8::ff dev eth0; ip route replace default via 2001:db8::ff")
        for run in (self.host.run, first.run, second.run):
            while run("ip -6 addr show tentative"):
                os.sched_yield()
        asking, answering = self.flow(first, second)
        self.assertNotIn(ENDED, self.change(Update(groups=(Group(id="web", rules=(*rules, PING)),))))
        self.assertNotIn(ENDED, self.change(Update(groups=(Group(id="web", rules=rules),))))
        self.assertIn(ENDED, self.change(Update(groups=(Group(id="web", rules=rules[:1]),))))
        self.assertTrue(self.refused(asking, answering, (first, second)))
