# -*- test-case-name: tests.scheduling.test_weighers -*-
"""The weighers that cloudd has itself: what is free, and how much of its group a host has already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from cloudd.interfaces.scheduling import HostPicture, IHostWeigher, Placement

Hosts = Sequence[HostPicture]
Weights = Sequence[float]

SOFT_AFFINITY: Final = "soft-affinity"
SOFT_ANTI_AFFINITY: Final = "soft-anti-affinity"
GROUP: Final = "group"
#: Names of those that tell how much is free: with ``[scheduler] placement = "pack"`` the least is the best.
RESOURCES: Final = ("vcpus", "memory", "disk")


@implementer(IPlugin, IHostWeigher)
@frozen
class Weigher:
    """One order of hosts, as a function."""

    name: str
    _weights: Callable[[Hosts, Placement], Weights] = field(repr=False)

    def weights(self, hosts: Hosts, placement: Placement) -> Weights:
        return self._weights(hosts, placement)


def _of_group(hosts: Hosts, placement: Placement) -> Weights:
    group = placement.group
    if group is None or group.policy not in (SOFT_AFFINITY, SOFT_ANTI_AFFINITY):
        return ()
    sign, on = (1.0 if group.policy == SOFT_AFFINITY else -1.0), group.on
    return [sign * on.get(host.node_id, 0) for host in hosts]


WEIGHERS: Final = (
    Weigher("vcpus", lambda hosts, _: [host.free_vcpus for host in hosts]),
    Weigher("memory", lambda hosts, _: [host.free_memory_mib for host in hosts]),
    Weigher("disk", lambda hosts, _: [host.free_disk_gib for host in hosts]),
    Weigher(GROUP, _of_group),
)
