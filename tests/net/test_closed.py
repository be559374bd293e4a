"""Networks that guests only answer: real taps, routes, links and nftables in namespaces, as root."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import Applied, FixedIP, HostNetwork, Plan, Update

from .namespaces import Guest, Host
from .plans import GROUP, plan_of, port_of

NEIGHBOUR, FAR, GUEST = "192.0.2.9", "198.51.100.1", "10.0.0.5"
CLOSED = frozenset({"192.0.2.1/24"})


class ClosedTest(SynchronousTestCase):
    """A host with another one beside it, by which it reaches the rest of the world."""

    def setUp(self) -> None:
        self.host, self.beside = Host(self), Host(self)
        self.network = HostNetwork()
        self.addCleanup(self.network.close)
        self.host.run(
            f"ip link add uplink type veth peer name lan netns {self.beside.path}; ip link set uplink up;"
            "ip addr add 192.0.2.1/24 dev uplink; echo 1 > /proc/sys/net/ipv4/conf/uplink/forwarding"
        )
        self.beside.run(
            f"ip link set lan up; ip addr add {NEIGHBOUR}/24 dev lan; ip addr add {FAR}/32 dev lo;"
            "ip route add 10.0.0.0/16 via 192.0.2.1"
        )
        self.host.run(f"ip route add default via {NEIGHBOUR}")

    def apply(self, plan: Plan) -> Applied:
        return self.host.call(lambda: self.network.apply(plan))

    def plug(self, plan: Plan) -> list[Guest]:
        self.apply(plan)
        return [self.host.guest(port).configure() for port in plan.ports]

    def beside_pings(self, address: str) -> bool:
        return ", 0% packet loss" in self.beside.run(f"busybox ping -c 1 -W 1 {address}", check=False)

    def test_only_answered(self) -> None:
        """Guests reach what is behind it and not the network itself; who is there reaches them and is answered."""
        plan = evolve(plan_of(5), ports=(port_of(5), port_of(6, port_security=False)), closed=CLOSED)
        guests = self.plug(plan)
        for guest in guests:
            self.assertTrue(guest.pings(FAR))
            self.assertFalse(guest.pings(NEIGHBOUR))
            self.assertTrue(self.beside_pings(guest.fixed.address))
            self.assertTrue(guest.pings("192.0.2.1"))  # the host itself, as its gateway
        self.assertTrue(guests[0].pings(guests[1].fixed.address))
        self.apply(evolve(plan, closed=()))
        self.assertTrue(all(guest.pings(NEIGHBOUR) for guest in guests))

    def test_found_again(self) -> None:
        """Of both versions of IP, also where one lies in another: a second time there is nothing to do."""
        fixed = FixedIP(address="fd00:5::5", prefix_length=64, gateway="fd00:5::1")
        port = evolve(port_of(5), fixed_ips=(*port_of(5).fixed_ips, fixed))
        closed = {"192.0.2.0/24", "192.0.2.1/32", "203.0.113.7", "2001:db8::1/64", "2001:db8:1::9/128"}
        plan = Plan(ports=(port,), groups=(GROUP,), closed=frozenset(closed))
        self.apply(plan)
        self.assertEqual(self.apply(plan), Applied(()))
        listed = self.host.run("nft list chain inet cloudd egress-of-ports")
        self.assertIn("ip daddr { 192.0.2.0/24, 203.0.113.7 } drop", listed)
        self.assertIn("ip6 daddr { 2001:db8::/64, 2001:db8:1::9 } drop", listed)
        self.host.run("nft flush chain inet cloudd egress-of-ports")
        self.host.call(lambda: self.network.change(Update()))
        self.assertEqual(self.host.run("nft list chain inet cloudd egress-of-ports"), listed)

    def test_open_connections(self) -> None:
        """What guests had begun ends when the network is closed, what was begun there goes on."""
        plan = plan_of(5)
        (guest,) = self.plug(plan)
        for pings in (lambda: guest.pings(NEIGHBOUR), lambda: guest.pings(FAR), lambda: self.beside_pings(GUEST)):
            self.assertTrue(pings())
        changed = self.apply(evolve(plan, closed=CLOSED)).changes
        ended = [change.value for change in changed if change.what == "end connections"]
        self.assertEqual((len(changed), ended), (2, ["1"]))
