# -*- test-case-name: tests.scheduling.test_filters -*-
"""
The filters that cloudd has itself, in the order in which they are asked.

First what the cloud says (is the host enabled, does it work, whose is it), then where the tenant wants to be, then what
the host is like, then whether there is room, at last who else is there.  So a refusal names the room that is missing
among the hosts that would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from cloudd.interfaces.scheduling import Group, HostPicture, IHostFilter, Placement

AFFINITY: Final = "affinity"
ANTI_AFFINITY: Final = "anti-affinity"

Hosts = Sequence[HostPicture]

#: Other words for the same processors.
_ARCHITECTURES: Final = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "i386": "i686", "i486": "i686",
                         "i586": "i686", "x86": "i686"}  # fmt: skip
#: What a host of that architecture runs besides its own.
_RUNS_TOO: Final = {"x86_64": ("i686",)}
#: Properties of images that name a processor, a hypervisor; the newer name first.
_ARCHITECTURE_NAMES: Final = ("hw_architecture", "architecture")
_HYPERVISOR_NAMES: Final = ("img_hv_type", "hypervisor_type")
#: Hosts on which no server is real run all kinds of them.
_SIMULATED: Final = "simulated"


@implementer(IPlugin, IHostFilter)
@frozen
class Filter:
    """
    One condition, as functions.

    ``select`` gives the hosts that meet it, ``words`` say to operators why one does not, ``told`` is for the tenant.
    """

    name: str
    is_wish: bool
    _select: Callable[[Hosts, Placement], Hosts] = field(repr=False)
    _words: Callable[[HostPicture, Placement], str] = field(repr=False)
    _told: Callable[[Placement], str] = field(repr=False)

    def passing(self, hosts: Hosts, placement: Placement) -> Hosts:
        found = self._select(hosts, placement)
        return hosts if len(found) == len(hosts) else found

    def cause(self, host: HostPicture, placement: Placement) -> str:
        return "" if self._select((host,), placement) else self._words(host, placement)

    def lacking(self, placement: Placement) -> str:
        return self._told(placement)


# ---- what the cloud says


def _enabled(hosts: Hosts, _placement: Placement) -> Hosts:
    return [host for host in hosts if host.is_enabled]


def _why_disabled(host: HostPicture, _placement: Placement) -> str:
    return f"it is disabled{f': {host.disabled_reason}' if host.disabled_reason else ''}"


def _working(hosts: Hosts, _placement: Placement) -> Hosts:
    return [host for host in hosts if not host.trouble]


def _open(hosts: Hosts, placement: Placement) -> Hosts:
    project_id = placement.project_id
    return [host for host in hosts if not host.projects or project_id in host.projects]


def _not_avoided(hosts: Hosts, placement: Placement) -> Hosts:
    avoid = placement.avoid
    return [host for host in hosts if host.node_id not in avoid] if avoid else hosts


# ---- where the tenant wants to be


def _in_zone(hosts: Hosts, placement: Placement) -> Hosts:
    zone = placement.zone
    return [host for host in hosts if host.zone == zone] if zone else hosts


def _called_so(hosts: Hosts, placement: Placement) -> Hosts:
    name = placement.wanted_host
    return [host for host in hosts if host.name == name] if name else hosts


# ---- what the host is like


def _architecture_in(placement: Placement) -> str:
    named = next((placement.properties[each] for each in _ARCHITECTURE_NAMES if placement.properties.get(each)), "")
    return _ARCHITECTURES.get(named.lower(), named.lower())


def _of_architecture(hosts: Hosts, placement: Placement) -> Hosts:
    wanted = _architecture_in(placement)
    if not wanted:
        return hosts
    return [host for host in hosts if wanted == host.architecture or wanted in _RUNS_TOO.get(host.architecture, ())]


def _hypervisor_in(placement: Placement) -> str:
    named = next((placement.properties[each] for each in _HYPERVISOR_NAMES if placement.properties.get(each)), "")
    return named.lower()


def _of_hypervisor(hosts: Hosts, placement: Placement) -> Hosts:
    wanted = _hypervisor_in(placement)
    return [host for host in hosts if host.kind.lower() in (wanted, _SIMULATED)] if wanted else hosts


# ---- whether there is room


def _with_vcpus(hosts: Hosts, placement: Placement) -> Hosts:
    need = placement.need.vcpus
    return [host for host in hosts if host.free_vcpus >= need]


def _with_memory(hosts: Hosts, placement: Placement) -> Hosts:
    need = placement.need.memory_mib
    return [host for host in hosts if host.free_memory_mib >= need]


def _with_disk(hosts: Hosts, placement: Placement) -> Hosts:
    need = placement.need.disk_gib
    return [host for host in hosts if host.free_disk_gib >= need]


# ---- who else is there


def _group(placement: Placement, policy: str) -> Group | None:
    group = placement.group
    return group if group is not None and group.policy == policy and group.on else None


def _near_its_group(hosts: Hosts, placement: Placement) -> Hosts:
    group = _group(placement, AFFINITY)
    return hosts if group is None else [host for host in hosts if host.node_id in group.on]


def _apart_from_its_group(hosts: Hosts, placement: Placement) -> Hosts:
    group = _group(placement, ANTI_AFFINITY)
    if group is None:
        return hosts
    full = {node_id for node_id, count in group.on.items() if count >= group.most}
    return [host for host in hosts if host.node_id not in full] if full else hosts


def _apart_words(placement: Placement) -> str:
    most = placement.group.most if placement.group is not None else 1
    return f"has fewer than {most} servers of its group" if most > 1 else "is free of servers of its group"


def _same(hosts: Hosts, placement: Placement) -> Hosts:
    near = placement.same_hosts
    if near is None:
        return hosts
    return [host for host in hosts if near == {host.node_id}] if len(near) < 2 else []


def _different(hosts: Hosts, placement: Placement) -> Hosts:
    apart = placement.different_hosts
    return [host for host in hosts if host.node_id not in apart] if apart else hosts


FILTERS: Final = (
    Filter("enabled", False, _enabled, _why_disabled, lambda _: "is ready for new servers"),
    Filter("up", False, _working, lambda host, _: host.trouble, lambda _: "is at work now"),
    Filter(
        "projects", False, _open, lambda _host, _: "it is kept for other projects", lambda _: "is open to this project"
    ),
    Filter(
        "avoid",
        False,
        _not_avoided,
        lambda _host, _: "the server could not be started on it",
        lambda _: "is left on which the server has not failed to start",
    ),
    Filter("zone", True, _in_zone, lambda host, _: f"it is in zone {host.zone}", lambda asked: f"in zone {asked.zone}"),
    Filter(
        "wanted host",
        True,
        _called_so,
        lambda _host, asked: f"it is not {asked.wanted_host}",
        lambda asked: f"is called {asked.wanted_host}",
    ),
    Filter(
        "architecture",
        True,
        _of_architecture,
        lambda host, asked: f"it is {host.architecture}, and the image for {_architecture_in(asked)}",
        lambda asked: f"has the architecture {_architecture_in(asked)}",
    ),
    Filter(
        "hypervisor",
        True,
        _of_hypervisor,
        lambda host, asked: f"its hypervisor is {host.kind}, and the image for {_hypervisor_in(asked)}",
        lambda asked: f"has the hypervisor {_hypervisor_in(asked)}",
    ),
    Filter(
        "vcpus",
        True,
        _with_vcpus,
        lambda host, asked: f"{host.free_vcpus} of {host.vcpus} vCPUs are free, {asked.need.vcpus} are needed",
        lambda asked: f"has {_counted(asked.need.vcpus, 'free vCPU')}",
    ),
    Filter(
        "memory",
        True,
        _with_memory,
        lambda host, asked: f"{host.free_memory_mib} of {host.memory_mib} MiB of memory are free, "
        f"{asked.need.memory_mib} are needed",
        lambda asked: f"has {asked.need.memory_mib} MiB of free memory",
    ),
    Filter(
        "disk",
        True,
        _with_disk,
        lambda host, asked: f"{host.free_disk_gib} of {host.disk_gib} GiB of disk are free, "
        f"{asked.need.disk_gib} are needed",
        lambda asked: f"has {asked.need.disk_gib} GiB of free disk",
    ),
    Filter(
        "affinity",
        True,
        _near_its_group,
        lambda _host, _: "it has no server of the group",
        lambda _: "has the other servers of its group",
    ),
    Filter(
        "anti-affinity",
        True,
        _apart_from_its_group,
        lambda _host, _: "it has enough servers of the group",
        _apart_words,
    ),
    Filter(
        "same host",
        True,
        _same,
        lambda _host, _: "it has not all servers of the hint same_host",
        lambda _: "has all servers of the hint same_host",
    ),
    Filter(
        "different host",
        True,
        _different,
        lambda _host, _: "it has a server of the hint different_host",
        lambda _: "is free of the servers of the hint different_host",
    ),
)  # fmt: skip


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
