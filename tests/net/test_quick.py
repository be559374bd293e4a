"""Small changes of a host that has many ports, and what others change meanwhile."""

from __future__ import annotations

from contextlib import closing

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, Applied, BadPlan, Change, Group, HostNetwork, NetError, Observed, Plan, Rule, Update
from net._netlink import Taps
from net._reading import Reader

from .namespaces import Host
from .plans import GROUP, plan_of, port_of

A, B = "cld00000005-000", "cld00000006-000"


class QuickTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = Host(self)
        self.network = HostNetwork()
        self.addCleanup(self.network.close)

    def apply(self, plan: Plan) -> Applied:
        return self.host.call(lambda: self.network.apply(plan))

    def change(self, update: Update) -> list[Change]:
        return list(self.host.call(lambda: self.network.change(update)).changes)

    def observed(self) -> Observed:
        return self.host.call(HostNetwork().observe)

    def assert_is(self, plan: Plan) -> None:
        """The host is as ``plan`` says: somebody who has just come finds nothing to do."""
        stranger = HostNetwork()
        self.addCleanup(stranger.close)
        self.assertEqual(self.host.call(lambda: stranger.apply(plan)), Applied(()))

    def test_plug_and_unplug(self) -> None:
        """A port comes and goes as by an apply of the whole; each time one transaction."""
        self.apply(plan_of(5))
        whats = [change.what for change in self.change(Update(ports=(port_of(6),)))]
        self.assertEqual(whats[:2], ["change firewall", "make tap"])
        self.assert_is(plan_of(5, 6))
        self.assertEqual(self.change(Update(ports=(port_of(6),))), [])
        gone = [change.what for change in self.change(Update(gone_ports={port_of(6).id}))]
        self.assertEqual(gone, ["delete tap", "change firewall"])
        self.assert_is(plan_of(5))
        self.assertEqual(self.change(Update(gone_ports={port_of(6).id})), [])

    def test_first_and_last(self) -> None:
        """The tables come with the first port and go with the last one."""
        self.apply(Plan(groups=(GROUP,)))
        before = self.observed()
        self.change(Update(ports=(port_of(5),)))
        self.assert_is(plan_of(5))
        self.change(Update(gone_ports={port_of(5).id}))
        self.assertEqual(self.observed(), before)

    def test_groups(self) -> None:
        """Groups come, change by members and rules, and go, with ports that share chains of several."""
        more = Group(id="more", rules=(Rule(direction=EGRESS, remote_group_id="web"),), members={"10.0.0.7"})
        self.apply(plan_of(5, 6))
        both = (port_of(7, ("more", "web")), port_of(8, ("more", "web")))
        grown = evolve(GROUP, members={"10.0.0.5", "10.0.0.6"})
        self.change(Update(ports=both, groups=(more, grown)))
        self.assert_is(Plan(ports=(port_of(5), port_of(6), *both), groups=(grown, more)))
        shrunk = evolve(GROUP, members={"10.0.0.6"}, rules=GROUP.rules[:1])
        self.change(Update(groups=(shrunk,), gone_ports={both[0].id}))
        self.assert_is(Plan(ports=(port_of(5), port_of(6), both[1]), groups=(shrunk, more)))
        self.change(Update(ports=(evolve(both[1], group_ids=("web",)),), gone_groups={"more"}))
        self.assert_is(Plan(ports=(port_of(5), port_of(6), port_of(8)), groups=(shrunk,)))

    def test_what_does_not_fit(self) -> None:
        """An address or a tap of another, a group that is missing or still named: refused, and nothing is changed."""
        self.apply(plan_of(5, 6))
        before = self.observed()
        twin = evolve(port_of(7), fixed_ips=port_of(6).fixed_ips)
        same_tap = evolve(port_of(7), id="00000005-0000-4000-8000-000000000001")
        updates = {
            f"ports[{twin.id}].fixed_ips.address": Update(ports=(twin,)),
            f"ports[{same_tap.id}]": Update(ports=(same_tap,)),
            "groups": Update(ports=(port_of(7, ("none",)),)),
            "gone_groups": Update(gone_groups={"web"}),
        }
        for field, update in updates.items():
            error = self.assertRaises(BadPlan, self.change, update)
            self.assertEqual(error.field, field)
        self.assertEqual(self.observed(), before)
        self.assertEqual(self.change(Update()), [])

    def test_an_address_moves(self) -> None:
        """One update takes an address from one port and gives it to another."""
        self.apply(plan_of(5, 6))
        heir = evolve(port_of(7), fixed_ips=port_of(6).fixed_ips)
        self.change(Update(ports=(heir,), gone_ports={port_of(6).id}))
        self.assert_is(Plan(ports=(port_of(5), heir), groups=(GROUP,)))

    def test_before_the_first_apply(self) -> None:
        """A change of nothing known is refused."""
        self.assertRaises(NetError, self.change, Update(ports=(port_of(5),)))

    def test_others_are_heard(self) -> None:
        """What somebody does by hand is put right by the next change, however small; what is not ours is not read."""
        plan = plan_of(5, 6)
        self.apply(plan)
        for command in (
            f"ip route del 10.0.0.5 dev {A}",
            "ip route flush proto 199",
            f"ip addr del 10.0.255.254/16 dev {A}",
            f"ip link set {A} down",
            f"ip link del {A}",
            f"ip link set {A} down; ip link set {A} name else0",
            "nft flush ruleset",
            f"nft delete element inet cloudd ports '{{ {A} }}'",
            "nft flush chain inet cloudd antispoof",
            "nft flush ruleset; ip link del " + A,
        ):
            self.host.run(command)
            self.assertTrue(self.change(Update()), command)
            self.assert_is(plan)
            self.assertEqual(self.change(Update()), [], command)
            self.host.run("ip link del else0", check=False)
        self.host.run("nft add table inet theirs; ip link add theirs type bridge; ip route add 10.99.0.0/16 dev lo")
        self.assertEqual(self.change(Update()), [])

    def test_repair_finds_what_is_not_told(self) -> None:
        """Settings below /proc are told of by nobody: the whole look in slices puts them right, and all else."""
        plan = plan_of(5, 6)
        self.apply(plan)
        setting = f"/proc/sys/net/ipv4/conf/{A}/rp_filter"
        self.host.run(f"echo 0 > {setting}; ip link del {B}; nft delete table arp cloudd")
        self.assertTrue(self.host.call(self.network.repair).changes)
        self.assertEqual(self.host.run(f"cat {setting}"), "1\n")
        self.assert_is(plan)
        self.assertEqual(self.host.call(self.network.repair), Applied(()))

    def test_after_an_error(self) -> None:
        """What was refused stays asked for: once the cause is gone, the next change makes it."""
        self.apply(plan_of(5))
        self.host.run(f"ip link add {B} type bridge")
        refused = self.host.call(lambda: self.network.change(Update(ports=(port_of(6),)))).refused
        self.assertEqual(list(refused), [port_of(6).id])
        self.host.run(f"ip link del {B}")
        self.assertTrue(self.change(Update()))
        self.assert_is(plan_of(5, 6))

    def test_gone_meanwhile(self) -> None:
        """Taps that somebody deletes while we are about to are gone, alone and among others."""
        self.apply(plan_of(5, 6, 7))

        def delete(*names: str) -> None:
            with closing(Reader.open()) as reader, Taps("cld", reader, {}) as taps:
                taps.read()
                self.host.run(f"ip link del {names[0]}")
                taps.delete(names)

        self.host.call(lambda: delete(A))
        self.host.call(lambda: delete(B, "cld00000007-000"))
        self.assertNotIn("cld", self.host.run("ip link"))

    def test_doomed_taps(self) -> None:
        """Who was killed between naming what goes and deleting it leaves taps that may be wanted again."""
        self.apply(plan_of(5, 6, 7))
        self.host.run(f"ip link set {A} group 1668047872")
        self.assertEqual([change.what for change in self.apply(plan_of(5)).changes][:2], ["delete tap"] * 2)
        self.assert_is(plan_of(5))

    def test_many_go_and_strangers_stay(self) -> None:
        """A stranger's link in the group of those that go together stays."""
        self.apply(plan_of(5, 6))
        self.host.run("ip link add theirs type bridge; ip link set theirs group 1668047872")
        self.apply(Plan())
        self.assertIn("theirs", self.host.run("ip -o link"))
        self.assertEqual(self.observed().taps, {})
