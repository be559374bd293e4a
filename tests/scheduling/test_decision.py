"""Decisions: filters in order, weights, many servers in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.scheduling import Group, HostPicture, Need, Placement
from cloudd.interfaces.settings import SchedulerSettings
from cloudd.scheduling import Decision, Rules, decide, find_plugins, rules_of

from .records import asking, picture

SPREAD = rules_of(find_plugins(), SchedulerSettings())
PACK = rules_of(find_plugins(), SchedulerSettings(placement="pack"))


def names(decision: Decision) -> list[str]:
    """Of the hosts, in order."""
    return [host.name for host in decision.hosts]


class DecisionTests(SynchronousTestCase):
    def hosts(self, count: int = 3) -> list[HostPicture]:
        return [picture(f"c{number}") for number in range(1, count + 1)]

    def group(self, policy: str, most: int = 1, **on: int) -> Placement:
        return asking(group=Group(id="g", policy=policy, most=most, on={f"node-{name}": n for name, n in on.items()}))

    def test_spread(self) -> None:
        """Equal hosts get servers in turn, one with more room more of them."""
        self.assertEqual(Counter(names(decide(self.hosts(), asking(), 9, SPREAD))), {"c1": 3, "c2": 3, "c3": 3})
        big = picture("big", vcpus=64, free_vcpus=64, memory_mib=1 << 18, free_memory_mib=1 << 18, free_disk_gib=800)
        found = Counter(names(decide([*self.hosts(), big], asking(), 20, SPREAD)))
        self.assertEqual(found, {"big": 20})

    def test_pack(self) -> None:
        """One host is filled before the next one is begun, the fullest first."""
        fuller = picture("fuller", free_vcpus=3)
        found = names(decide([*self.hosts(), fuller], asking(), 12, PACK))
        self.assertEqual(found[:3], ["fuller"] * 3)
        self.assertEqual(sorted(Counter(found[3:]).values()), [1, 8])

    def test_the_first_of_equal_hosts(self) -> None:
        """Whoever calls decides among equal hosts by their order."""
        hosts = self.hosts()
        self.assertEqual(names(decide(hosts, asking(), 1, SPREAD)), ["c1"])
        self.assertEqual(names(decide(hosts[1:] + hosts[:1], asking(), 1, SPREAD)), ["c2"])

    def test_multipliers(self) -> None:
        """What counts nothing is not asked; what is negative is turned round."""
        memory, vcpus = picture("memory", free_vcpus=4), picture("vcpus", free_memory_mib=4096)
        for weights, best in ((("memory=0",), "vcpus"), (("vcpus=0",), "memory"), (("vcpus=-1", "memory=0"), "memory")):
            rules = rules_of(find_plugins(), SchedulerSettings(weights=weights))
            self.assertEqual(names(decide([memory, vcpus], asking(), 1, rules)), [best])

    def test_turned_off(self) -> None:
        """A filter that is turned off takes nobody out."""
        rules = rules_of(find_plugins(), SchedulerSettings(filters_off=("vcpus",)))
        self.assertEqual(names(decide([picture(free_vcpus=0)], asking(), 1, rules)), ["c1"])

    def test_as_many_as_there_is_room_for(self) -> None:
        """What is left over is told with what each filter took in the end."""
        decision = decide(self.hosts(2), asking(need=Need(vcpus=3, memory_mib=1, disk_gib=1)), 9, SPREAD)
        self.assertEqual(Counter(names(decision)), {"c1": 2, "c2": 2})
        self.assertEqual([(each.filter.name, len(each.hosts)) for each in decision.removed], [("vcpus", 2)])
        self.assertEqual(decision.of, 2)

    def test_no_host(self) -> None:
        """Each filter is told with those that it took of what was left."""
        hosts = [picture("c1", zone="z2"), picture("c2", is_enabled=False), picture("c3", free_vcpus=0)]
        decision = decide(hosts, asking(zone="nova"), 1, SPREAD)
        self.assertEqual(
            [(each.filter.name, [host.name for host in each.hosts]) for each in decision.removed],
            [("enabled", ["c2"]), ("zone", ["c1"]), ("vcpus", ["c3"])],
        )
        self.assertEqual(decide([], asking(), 1, SPREAD), Decision((), (), 0))

    def test_groups(self) -> None:
        """Servers of one request see each other."""
        hosts = self.hosts()
        for placement, count, expected in (
            (self.group("anti-affinity"), 5, {"c1": 1, "c2": 1, "c3": 1}),
            (self.group("anti-affinity", c1=1), 5, {"c2": 1, "c3": 1}),
            (self.group("anti-affinity", most=2, c1=1), 9, {"c1": 1, "c2": 2, "c3": 2}),
            (self.group("affinity"), 9, {"c1": 8}),
            (self.group("affinity", c3=1), 2, {"c3": 2}),
            (self.group("soft-affinity"), 9, {"c1": 8, "c2": 1}),
            (self.group("soft-affinity", c2=1), 3, {"c2": 3}),
            (self.group("soft-anti-affinity", c1=4), 4, {"c2": 2, "c3": 2}),
        ):
            found = decide(hosts, placement, count, SPREAD)
            self.assertEqual(Counter(names(found)), expected, placement)

    def test_refused_by_its_group(self) -> None:
        """The group is named where it was the group, and the room where it was the room."""
        (last,) = decide(self.hosts(), self.group("anti-affinity"), 4, SPREAD).removed
        self.assertEqual((last.filter.name, len(last.hosts)), ("anti-affinity", 3))
        removed = decide(self.hosts(), self.group("affinity"), 9, SPREAD).removed
        self.assertEqual([(each.filter.name, len(each.hosts)) for each in removed], [("vcpus", 1), ("affinity", 2)])


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from(["nova", "z1"])), max_size=12),
        st.integers(1, 30),
        st.sampled_from(["", "nova"]),
        st.sampled_from([SPREAD, PACK]),
    )
    def test_as_one_after_another(
        self, rooms: Sequence[tuple[int, int, str]], count: int, zone: str, rules: Rules
    ) -> None:
        """Many at once: as many as one after another, each with a host that passes all filters at that moment."""
        hosts = [
            picture(f"c{number}", free_vcpus=vcpus, free_memory_mib=memory * 1024, zone=its_zone)
            for number, (vcpus, memory, its_zone) in enumerate(rooms)
        ]
        asked = evolve(asking(), zone=zone)
        board = {host.node_id: host for host in hosts}
        for host in decide(hosts, asked, count, rules).hosts:
            self.assertEqual(rules.cause(board[host.node_id], asked), ("", ""))
            board[host.node_id] = board[host.node_id].less(asked.need)
        one_by_one = {host.node_id: host for host in hosts}
        placed = 0
        while placed < count and (found := decide(list(one_by_one.values()), asked, 1, rules)).hosts:
            (host,) = found.hosts
            one_by_one[host.node_id] = host.less(asked.need)
            placed += 1
        self.assertEqual(len(decide(hosts, asked, count, rules).hosts), placed)
