"""A plan changed in small steps is the plan asked for whole."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, INGRESS, Group, Plan, Port, Rule, Update
from net._firewall import plan_firewall
from net._ruleset import difference, text_of
from net._standing import Standing
from net._taps import plan_taps

from .plans import port_of

IDS = ("a", "b", "c")
_members = st.frozensets(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]))
_rules = st.lists(st.sampled_from([Rule(direction=INGRESS, protocol=6), Rule(direction=EGRESS)]), unique=True)
_groups = st.tuples(*(st.builds(Group, id=st.just(name), rules=_rules.map(tuple), members=_members) for name in IDS))


def _port(number: int, ids: frozenset[str], secured: bool, network_id: str) -> Port:
    return evolve(port_of(number, tuple(ids), secured), network_id=network_id)


_ports = st.builds(
    _port, st.integers(1, 6), st.frozensets(st.sampled_from(IDS)), st.booleans(), st.sampled_from(["red", "blue"])
)
_port_lists = st.lists(_ports, unique_by=lambda port: port.id, max_size=5).map(tuple)


def _sorted(commands: list[dict[str, Any]]) -> list[str]:
    return sorted(map(text_of, commands))


class StandingTest(SynchronousTestCase):
    @given(_groups, st.lists(st.tuples(_port_lists, _groups), min_size=1, max_size=4))
    def test_steps_are_differences(self, groups: tuple[Group, ...], plans: list[tuple[tuple[Port, ...], Any]]) -> None:
        """Each update gives the commands that the difference of whole plans gives, and the same taps."""
        plan = Plan(groups=groups)
        standing = Standing.of(plan, "cld")
        for ports, changed in plans:
            after = Plan(ports=ports, groups=changed)
            gone = {port.id for port in plan.ports} - {port.id for port in ports}
            step = standing.change(Update(ports=ports, groups=changed, gone_ports=gone))
            self.assertEqual(standing.taps, plan_taps(after))
            self.assertEqual(plan_firewall(standing.plan(), "cld"), plan_firewall(after, "cld"))
            if not step.whole:
                whole = difference(plan_firewall(plan, "cld"), plan_firewall(after, "cld"))
                self.assertEqual(_sorted(difference(step.before, step.after)), _sorted(whole))
            plan = after

    def test_one_member_of_many(self) -> None:
        """A member that comes to a group of thousands costs one element."""
        members = frozenset(f"10.1.{number >> 8}.{number & 255}" for number in range(5000))
        group = Group(id="a", members=members)
        standing = Standing.of(Plan(ports=(port_of(5, ("a",)),), groups=(group,)), "cld")
        step = standing.change(Update(groups=(evolve(group, members=members | {"10.0.0.5"}),)))
        (command,) = difference(step.before, step.after)
        self.assertEqual(command["add"]["element"]["elem"], ["10.0.0.5"])
