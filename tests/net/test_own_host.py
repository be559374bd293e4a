"""What a plan asks of the host itself: an address for metadata, and that it forwards IPv6."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import Applied, FixedIP, HostNetwork, Metadata, NetError, Plan

from .namespaces import Host
from .plans import plan_of, port_of

METADATA = Metadata("169.254.169.250", 8775, own_link=True)
LINK = "md-cld"
SIX = FixedIP(address="2001:db8::5", prefix_length=64, gateway="2001:db8::1")


class OwnHostTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = Host(self)

    def apply(self, plan: Plan) -> Applied:
        network = HostNetwork()
        self.addCleanup(network.close)
        return self.host.call(lambda: network.apply(plan))

    def test_metadata_link(self) -> None:
        """The address is there as long as there are ports, is put right, moves with the plan, and guests reach it."""
        plan = evolve(plan_of(5), metadata=METADATA)
        self.apply(plan)
        self.assertEqual(self.apply(plan), Applied(()))
        guest = self.host.guest(port_of(5)).configure()
        self.assertTrue(guest.pings(METADATA.address))
        for command in (f"ip addr flush dev {LINK}", f"ip link set {LINK} down", f"ip link del {LINK}"):
            self.host.run(command)
            self.assertTrue(self.apply(plan).changes, command)
            self.assertTrue(guest.pings(METADATA.address), command)
        other = evolve(plan, metadata=evolve(METADATA, address="169.254.169.251"))
        self.apply(other)
        self.assertNotIn(METADATA.address, self.host.run("ip addr"))
        self.assertIn("169.254.169.251/32", self.host.run("ip addr"))
        self.apply(evolve(other, ports=()))
        self.assertNotIn(LINK, self.host.run("ip link"))

    def test_a_link_of_others(self) -> None:
        """Somebody else's link of that name stays, and is named."""
        self.host.run(f"ip link add {LINK} type bridge; ip link set {LINK} alias theirs")
        error = self.assertRaises(NetError, self.apply, evolve(plan_of(5), metadata=METADATA))
        self.assertIn(LINK, error.cause)
        self.apply(Plan())
        self.assertIn("theirs", self.host.run("ip link"))

    def test_half_made(self) -> None:
        """What a killed process left without an alias is taken on."""
        self.host.run(f"ip link add {LINK} type bridge")
        self.apply(evolve(plan_of(5), metadata=METADATA))
        self.assertIn("alias cloudd metadata", self.host.run(f"ip link show {LINK}"))

    def test_forwarding(self) -> None:
        """It begins with the first address of IPv6, and links that hear of routers go on to."""
        self.host.run("ip link add up0 type bridge; echo 1 > /proc/sys/net/ipv6/conf/up0/accept_ra")
        look = "cat /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/up0/accept_ra"
        before = self.host.run(look)
        self.apply(evolve(plan_of(5), forwards=True))
        self.assertEqual(self.host.run(look), before)
        with_6 = evolve(port_of(6), fixed_ips=(SIX,))
        plan = evolve(plan_of(5), ports=(port_of(5), with_6))
        self.apply(plan)
        self.assertEqual(self.host.run(look), before)
        self.apply(evolve(plan, forwards=True))
        self.assertEqual(self.host.run(look), "1\n2\n")
        self.assertEqual(self.apply(evolve(plan, forwards=True)), Applied(()))
        self.apply(Plan())
        self.assertEqual(self.host.run(look), "1\n2\n")
