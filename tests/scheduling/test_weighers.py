"""Each of cloudd's own weighers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.scheduling import Group, Placement
from cloudd.scheduling import WEIGHERS

from .contract import WeigherContract
from .records import asking, picture


def _group(policy: str) -> Placement:
    return asking(group=Group(id="g", policy=policy, on={"node-c1": 2, "node-c2": 1}))


class _Case(WeigherContract, SynchronousTestCase):
    name = ""

    def setUp(self) -> None:
        self.subject = next(each for each in WEIGHERS if each.name == self.name)
        self.hosts = [picture(), picture("c2", free_vcpus=2, free_memory_mib=5, free_disk_gib=-1), picture("c3")]
        self.placement = asking()


class VcpusTests(_Case):
    name = "vcpus"


class MemoryTests(_Case):
    name = "memory"


class DiskTests(_Case):
    name = "disk"


class GroupTests(_Case):
    name = "group"

    def setUp(self) -> None:
        super().setUp()
        self.placement = _group("soft-affinity")

    def test_near_and_apart(self) -> None:
        """The more of the group a host has, the better, or the worse."""
        self.assertEqual(list(self.subject.weights(self.hosts, _group("soft-affinity"))), [2, 1, 0])
        self.assertEqual(list(self.subject.weights(self.hosts, _group("soft-anti-affinity"))), [-2, -1, 0])

    def test_no_difference(self) -> None:
        """Of no group, and of groups of other policies."""
        for each in (asking(), _group("affinity"), _group("anti-affinity")):
            self.assertEqual(list(self.subject.weights(self.hosts, each)), [])


del _Case
