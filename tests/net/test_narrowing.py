"""What is allowed no more after a change, and which connections that ends."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, INGRESS, AddressPair, Group, Metadata, Port, Rule
from net._connections import Connection, Flow
from net._narrowing import Judge, Narrowed, lost_routes, narrowed_groups, narrowed_ports
from net._taps import plan_tap

from .plans import port_of

FIVE, SIX, OUTSIDE = "10.0.0.5", "10.0.0.6", "198.51.100.7"
OUT = Rule(direction=EGRESS)


def _flow(source: str, destination: str, protocol: int = 6, port: int = 80, code: int = 0) -> Flow:
    return Flow(6 if ":" in source else 4, protocol, source, destination, 4000, port, code)


def _judge(*rules: Rule, port: Port | None = None, members: frozenset[str] = frozenset()) -> Judge:
    """Port 5 has the rules, port 6 sends and gets whatever it likes."""
    free = Group(id="free", rules=(OUT, Rule(direction=INGRESS)))
    groups = (Group(id="web", rules=rules), free, Group(id="friends", members=members))
    return Judge.of((port or port_of(5), port_of(6, ("free",))), groups, Metadata("10.255.0.1", 8775))


class NarrowedTest(SynchronousTestCase):
    def test_nothing(self) -> None:
        """What is added or as before asks for nothing."""
        group, port = Group(id="web", rules=(OUT,), members={FIVE}), port_of(5)
        more = Group(id="web", rules=(OUT, Rule(direction=INGRESS)), members={FIVE, SIX})
        self.assertFalse(narrowed_ports([], [port], [port]))
        self.assertFalse(narrowed_ports([port], [port], [port]))
        wider = evolve(port, group_ids=("web", "more"), address_pairs=(AddressPair("10.0.0.7"),))
        self.assertFalse(narrowed_ports([port], [wider], [wider]))
        self.assertFalse(narrowed_ports([port], [port_of(5, port_security=False)], []))
        self.assertFalse(narrowed_groups([group], [more], [port]))

    def test_ports(self) -> None:
        """A port that goes, an address that goes, fewer groups, security that comes."""
        port = port_of(5)
        self.assertEqual(narrowed_ports([port], [], []), Narrowed(lost=frozenset({FIVE})))
        moved = evolve(port, fixed_ips=port_of(6).fixed_ips)
        self.assertEqual(narrowed_ports([port], [moved], [moved]), Narrowed(lost=frozenset({FIVE})))
        for before, after in ((port, port_of(5, ())), (port_of(5, port_security=False), port)):
            self.assertEqual(narrowed_ports([before], [after], [after]), Narrowed(asked=frozenset({FIVE})))

    def test_pairs(self) -> None:
        """A pair of one address is lost, unless another port has it, too; of a wider one nobody knows whose it was."""
        first, second = (evolve(port_of(n), address_pairs=(AddressPair("10.0.0.77"),)) for n in (5, 6))
        bare, wide = port_of(5), evolve(port_of(5), address_pairs=(AddressPair("0.0.0.0/0"),))
        self.assertEqual(narrowed_ports([first], [bare], [bare]), Narrowed(lost=frozenset({"10.0.0.77"})))
        self.assertEqual(narrowed_ports([first], [bare], [bare, second]), Narrowed(asked=frozenset({"10.0.0.77"})))
        self.assertFalse(narrowed_ports([wide], [bare], [bare]))

    def test_groups(self) -> None:
        """Of a rule those are asked that have its group, of a member itself alone."""
        group = Group(id="web", rules=(OUT,), members={FIVE, SIX})
        ports = (port_of(5), port_of(6, ("other",)))
        self.assertEqual(narrowed_groups([group], [evolve(group, rules=())], ports).asked, {FIVE})
        self.assertEqual(narrowed_groups([group], [evolve(group, members={FIVE})], ports).asked, {SIX})

    def test_routes(self) -> None:
        """A tap that goes or leads elsewhere loses what it led to; what another tap has and keeps is not lost."""
        five, six = plan_tap(port_of(5), "cld"), plan_tap(port_of(6), "cld")
        stray = evolve(five, routes=five.routes | {SIX, "10.0.0.9"})
        self.assertEqual(lost_routes([five], {}).lost, {FIVE})
        self.assertEqual(lost_routes([stray, six], {five.name: five, six.name: six}).lost, {"10.0.0.9"})


class JudgeTest(SynchronousTestCase):
    def test_closed(self) -> None:
        """Who begins to send there is not let out, whatever groups say; who is there is let in."""
        judge = Judge.of((port_of(5, port_security=False),), (), None, frozenset({"198.51.100.0/24", "fd00::/64"}))
        for source, destination, allowed in (
            (FIVE, OUTSIDE, False), (FIVE, "198.51.101.1", True), (OUTSIDE, FIVE, True), ("10.0.0.9", OUTSIDE, True),
        ):  # fmt: skip
            self.assertEqual(judge.allows(_flow(source, destination)), allowed, (source, destination))

    def test_directions(self) -> None:
        """Who began has to be let out, who answers to be let in; others than ports of the host are not asked."""
        for rules, out, into in (((), False, False), ((OUT,), True, False), ((Rule(direction=INGRESS),), False, True)):
            judge = _judge(*rules)
            for other in (SIX, OUTSIDE):
                self.assertEqual(judge.allows(_flow(FIVE, other)), out)
                self.assertEqual(judge.allows(_flow(other, FIVE)), into)
        self.assertTrue(_judge().allows(_flow(OUTSIDE, "198.51.100.8")))

    def test_conditions(self) -> None:
        """Version, protocol, ports, types, prefixes and remote groups are those of the firewall."""
        rule = Rule(direction=INGRESS, protocol="tcp", first=80, last=90)
        echo = Rule(direction=INGRESS, protocol="icmp", first=8)
        cases = (
            (rule, _flow(SIX, FIVE), True),
            (rule, _flow(SIX, FIVE, port=91), False),
            (rule, _flow(SIX, FIVE, 17), False),
            (evolve(rule, first=None, last=None), _flow(SIX, FIVE, port=9), True),
            (evolve(rule, remote_prefix="10.0.0.0/24"), _flow(SIX, FIVE), True),
            (evolve(rule, remote_prefix="10.0.0.0/24"), _flow(OUTSIDE, FIVE), False),
            (evolve(rule, remote_group_id="friends"), _flow(OUTSIDE, FIVE), True),
            (evolve(rule, remote_group_id="friends"), _flow(SIX, FIVE), False),
            (Rule(direction=INGRESS, version=6), _flow(SIX, FIVE), False),
            (echo, _flow(SIX, FIVE, 1, 8), True),
            (echo, _flow(SIX, FIVE, 1, 8, 3), True),
            (evolve(echo, last=0), _flow(SIX, FIVE, 1, 8, 3), False),
            (echo, _flow(SIX, FIVE, 1, 13), False),
        )
        for given, flow, allowed in cases:
            self.assertEqual(_judge(given, members=frozenset({OUTSIDE})).allows(flow), allowed, (given, flow))

    def test_beside_groups(self) -> None:
        """Metadata, the gateway and DHCP are there without a rule; without port security all is."""
        judge = _judge()
        for flow in (
            _flow(FIVE, "10.255.0.1"),
            _flow(FIVE, "10.0.255.254", 1, 8),
            Flow(4, 17, "10.0.255.254", FIVE, 67, 68),
            Flow(4, 17, FIVE, OUTSIDE, 68, 67),
        ):
            self.assertTrue(judge.allows(flow), flow)
        self.assertTrue(_judge(port=port_of(5, port_security=False)).allows(_flow(OUTSIDE, FIVE)))

    def test_who_is_asked(self) -> None:
        """Of lost addresses all ends, of others what is not allowed; of the rest nothing."""
        judge = _judge(OUT)
        good, bad = (
            Connection(flow, frozenset({flow.source, flow.destination}), b"")
            for flow in (_flow(FIVE, OUTSIDE), _flow(OUTSIDE, FIVE))
        )
        for narrowed, ended in (
            (Narrowed(), (False, False)),
            (Narrowed(asked=frozenset({SIX})), (False, False)),
            (Narrowed(asked=frozenset({FIVE})), (False, True)),
            (Narrowed(lost=frozenset({FIVE})), (True, True)),
        ):
            self.assertEqual((judge.ends(good, narrowed), judge.ends(bad, narrowed)), ended)
