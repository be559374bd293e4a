"""Which taps a plan asks for."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import AddressPair, BadPlan, Plan, Tap
from net._taps import plan_taps

from .plans import GROUP, plan_of, port_of


class TapsTest(SynchronousTestCase):
    def test_one_port(self) -> None:
        """A tap has the port's id as alias, the gateway without its route, and one route to the guest."""
        ((name, tap),) = plan_taps(plan_of(5)).items()
        self.assertEqual(name, "cld00000005-000")
        self.assertEqual(
            evolve(tap, sysctls=frozenset()),
            Tap(
                name=name,
                alias="00000005-0000-4000-8000-000000000000",
                mac="fe:16:3e:00:00:05",
                mtu=1500,
                addresses=frozenset({"10.0.255.254/16"}),
                routes=frozenset({"10.0.0.5"}),
            ),
        )
        self.assertIn((f"ipv4/conf/{name}/rp_filter", "1"), tap.sysctls)

    def test_the_host_never_has_the_guest_mac(self) -> None:
        """Also where the guest's begins as ours would."""
        port = evolve(port_of(5), mac="fe:16:3e:00:00:05")
        (tap,) = plan_taps(Plan(ports=(port,), groups=(GROUP,))).values()
        self.assertEqual(tap.mac, "f2:16:3e:00:00:05")

    def test_address_pairs_need_other_sources(self) -> None:
        """The kernel's check of sources is off where no route of ours leads back; nftables checks them."""
        port = evolve(port_of(5), address_pairs=(AddressPair("10.9.0.0/24"),))
        (tap,) = plan_taps(Plan(ports=(port,), groups=(GROUP,))).values()
        self.assertIn((f"ipv4/conf/{tap.name}/rp_filter", "0"), tap.sysctls)

    def test_two_ports_with_one_name(self) -> None:
        """Two ids that begin alike cannot both have a tap."""
        twin = evolve(port_of(6), id="00000005-0000-4000-8000-000000000001")
        plan = Plan(ports=(port_of(5), twin), groups=(GROUP,))
        self.assertRaises(BadPlan, plan_taps, plan)
