"""Rulesets read, compared and changed."""

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from net._firewall import plan_firewall
from net._ruleset import Chain, Ruleset, difference, read

from .plans import plan_of

MEMBERS = ("inet", "members4-web")


def _verbs(commands: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(verb, kind) for command in commands for verb, body in command.items() for kind in body]


class RulesetTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.wanted = plan_firewall(plan_of(5), "cld")

    def test_equal(self) -> None:
        """No command where nothing differs."""
        self.assertEqual(difference(self.wanted, self.wanted), [])

    def test_a_lost_rule(self) -> None:
        """A chain with a rule too few is written anew; others stay."""
        name = ("inet", "to-host")
        found = evolve(
            self.wanted, chains={**self.wanted.chains, name: Chain(None, self.wanted.chains[name].marks[1:])}
        )
        rules = len(self.wanted.chains[name].marks)
        verbs = _verbs(difference(found, self.wanted))
        self.assertEqual(verbs, [("flush", "chain"), *[("add", "rule")] * rules])

    def test_a_strange_element(self) -> None:
        """One that nobody asked for goes, one that is missing comes."""
        found = evolve(self.wanted, elements={**self.wanted.elements, MEMBERS: frozenset({'"10.6.6.6"'})})
        wanted = evolve(self.wanted, elements={**self.wanted.elements, MEMBERS: frozenset({'"10.0.0.9"'})})
        body = {"family": "inet", "table": "cloudd", "name": MEMBERS[1]}
        self.assertEqual(
            difference(found, wanted),
            [
                {"delete": {"element": {**body, "elem": ["10.6.6.6"]}}},
                {"add": {"element": {**body, "elem": ["10.0.0.9"]}}},
            ],
        )

    def test_one_more_port(self) -> None:
        """A port of a known set of groups costs elements, and not one rule, chain or set."""
        more = plan_firewall(plan_of(5, 6), "cld")
        commands = difference(self.wanted, more)
        self.assertEqual(set(_verbs(commands)), {("add", "element")})
        self.assertEqual(sum(len(command["add"]["element"]["elem"]) for command in commands), 12)

    def test_nothing_wanted(self) -> None:
        """Without a port both tables go."""
        self.assertEqual(_verbs(difference(self.wanted, Ruleset())), [("delete", "table")] * 2)

    def test_another_layout(self) -> None:
        """A set of another type cannot be changed: its table is made again in the same transaction."""
        name = ("arp", "secured")
        found = evolve(self.wanted, sets={**self.wanted.sets, name: evolve(self.wanted.sets[name], intervals=True)})
        verbs = _verbs(difference(found, self.wanted))
        self.assertEqual(verbs[:2], [("delete", "table"), ("add", "table")])
        self.assertEqual(verbs.count(("add", "table")), 1)

    def test_read(self) -> None:
        """A listing becomes the same values; a rule without our comment has no mark."""
        listing = json.loads(
            '{"nftables": [{"metainfo": {}}, {"table": {"family": "arp", "name": "cloudd", "handle": 1}},'
            '{"chain": {"family": "arp", "table": "cloudd", "name": "c", "type": "filter", "hook": "input",'
            '"prio": 0}},'
            '{"rule": {"family": "arp", "table": "cloudd", "chain": "c", "comment": "d1", "expr": []}},'
            '{"rule": {"family": "arp", "table": "cloudd", "chain": "c", "expr": []}}]}'
        )
        chain = Chain(("filter", "input", 0, "accept"), ("d1", ""))
        self.assertEqual(read([listing]), Ruleset(families=frozenset({"arp"}), chains={("arp", "c"): chain}))
