# -*- test-case-name: tests.scheduling.test_filters -*-
"""
Where a server may run and where it should: what plug-ins of the scheduler get, and what is asked of them.

A plug-in is an object in a module of ``cloudd/plugins`` (of cloudd's own folder, or of a folder of that name anywhere
on ``sys.path``, without an ``__init__.py``) that provides ``twisted.plugin.IPlugin`` and one of the interfaces below.
It imports nothing of cloudd but ``cloudd.interfaces``.  It is called in threads, inside of transactions: it must be
quick, must not wait, and gives the same answer for the same arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen
from zope.interface import Attribute, Interface

MAX_WEIGHT = 1_000_000


@frozen(kw_only=True)
class Need:
    """What one server takes of a host."""

    vcpus: int
    memory_mib: int
    disk_gib: int


@frozen(kw_only=True)
class HostPicture:
    """
    A host as it was seen last.

    :ivar name: of its node
    :ivar zone: never empty
    :ivar disabled_reason: whoever disabled it may have said why
    :ivar trouble: why it cannot run servers now, in words; empty: it can
    :ivar projects: ids that alone may use it; empty: all
    :ivar vcpus: how many may be promised, which may be more than there are; so for memory and disk
    :ivar free_vcpus: that are not promised yet; below 0 after a host has got smaller; so for memory and disk
    """

    node_id: str
    name: str
    zone: str
    is_enabled: bool = True
    disabled_reason: str = ""
    trouble: str = ""
    projects: frozenset[str] = frozenset()
    kind: str = "QEMU"
    architecture: str = "x86_64"
    real: bool = True
    vcpus: int
    memory_mib: int
    disk_gib: int
    free_vcpus: int
    free_memory_mib: int
    free_disk_gib: int

    def less(self, need: Need) -> HostPicture:
        """The same host after one more server was promised to it."""
        return evolve(
            self,
            free_vcpus=self.free_vcpus - need.vcpus,
            free_memory_mib=self.free_memory_mib - need.memory_mib,
            free_disk_gib=self.free_disk_gib - need.disk_gib,
        )


@frozen(kw_only=True)
class Group:
    """
    The server group that a server is of.

    :ivar policy: affinity, anti-affinity, soft-affinity or soft-anti-affinity
    :ivar most: how many of them may share a host, of anti-affinity
    :ivar on: id of a node -> how many other servers of the group it has
    """

    id: str
    policy: str
    most: int = 1
    on: Mapping[str, int] = field(factory=dict)

    def with_one_more(self, node_id: str) -> Group:
        """The same after one more of its servers has got a host."""
        return evolve(self, on={**self.on, node_id: self.on.get(node_id, 0) + 1})


@frozen(kw_only=True)
class Placement:
    """
    What one server, or each of several that are alike, asks of its host.

    :ivar zone: empty: any
    :ivar wanted_host: name of the one that will do; empty: any
    :ivar avoid: ids of nodes on which it could not be started
    :ivar same_hosts: ids of the nodes that have the servers it is to be near to; None: that was not asked for
    :ivar different_hosts: ids of the nodes that have the servers from which it is to be apart
    :ivar specs: of the flavor; ``properties``: of the image; ``hints``: as they were given
    """

    need: Need
    project_id: str = ""
    zone: str = ""
    wanted_host: str = ""
    avoid: frozenset[str] = frozenset()
    group: Group | None = None
    same_hosts: frozenset[str] | None = None
    different_hosts: frozenset[str] = frozenset()
    specs: Mapping[str, str] = field(factory=dict)
    properties: Mapping[str, str] = field(factory=dict)
    hints: Mapping[str, object] = field(factory=dict)

    def with_one_more(self, node_id: str) -> Placement:
        """The same after one that is alike has got a host."""
        return self if self.group is None else evolve(self, group=self.group.with_one_more(node_id))


class BadWeight(ValueError):
    """Not what ``read_weights`` can read."""


def read_weights(texts: Sequence[str]) -> dict[str, float]:
    """
    :param texts: each ``NAME=NUMBER``, as in the settings
    :return: name of a weigher -> how much it counts
    :raises BadWeight: one is nothing of that, or a name stands there twice
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value) or abs(value) > MAX_WEIGHT:
            raise BadWeight(f"{text[:100]!r} is no NAME=NUMBER with a number from -{MAX_WEIGHT} to {MAX_WEIGHT}")
        if name in found:
            raise BadWeight(f"{name[:100]} stands there twice")
        found[name] = value
    return found


class IHostFilter(Interface):
    """A condition that a host meets or not.  Providers pass ``tests.scheduling.contract.FilterContract``."""

    name = Attribute("``str``: one or two words, for operators: ``memory``.")

    is_wish = Attribute("``bool``: whether the condition is the tenant's own; else it tells of the cloud.")

    def passing(hosts: Sequence[HostPicture], placement: Placement) -> Sequence[HostPicture]:
        """
        Those hosts that meet the condition, in their order; the very sequence where all do.

        It is called with all hosts of a cloud: a loop over ten thousand of them should take well below a millisecond.
        """

    def cause(host: HostPicture, placement: Placement) -> str:
        """Why the host does not meet it, for operators; empty if and only if it is among ``passing``."""

    def lacking(placement: Placement) -> str:
        """
        What no host has, for tenants; goes on after the words "no host": ``has 8 free vCPUs``, ``in zone z1``.
        It tells nothing of other projects and no names of hosts.
        """


class IHostWeigher(Interface):
    """Which of the hosts that will do is better.  Providers pass ``tests.scheduling.contract.WeigherContract``."""

    name = Attribute("``str``: one or two words, for operators and as the key of its multiplier.")

    def weights(hosts: Sequence[HostPicture], placement: Placement) -> Sequence[float]:
        """
        A number for each host, the higher the better, in any unit: they are brought to the range from 0 to 1 over all
        hosts before weighers are summed up.  Empty: it makes no difference for this placement.
        """
