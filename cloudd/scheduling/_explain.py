# -*- test-case-name: tests.scheduling.test_explain -*-
"""A decision as a dry run: what each host would be to some servers, for operators.  Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection

from cloudd.compute import named_flavor
from cloudd.image import named_image
from cloudd.interfaces.scheduling import HostPicture, Placement

from ._asked import DIFFERENT, SAME, placement
from ._decision import Decision, Rules, decide, filtered, weigh
from ._picture import read_hosts
from ._refusal import refusal

MAX_COUNT = 1_000
MAX_HOSTS = 1_000


class CannotExplain(Exception):
    """What is asked for is not there; the cause names it."""


@frozen(kw_only=True)
class Asked:
    """
    :ivar flavor: id or name; so ``image``, of which empty means none
    :ivar same_host: ids of servers; so ``different_host``
    :ivar group: id of a server group
    :ivar limit: of how many hosts the answer tells; counts are of all
    """

    flavor: str
    image: str = ""
    zone: str = ""
    host: str = ""
    project_id: str = ""
    group: str = ""
    same_host: tuple[str, ...] = ()
    different_host: tuple[str, ...] = ()
    count: int = 1
    limit: int = 100


def explain(connection: Connection, asked: Asked, rules: Rules) -> dict[str, Any]:
    """
    For ``Transactions.read``.

    :return: as plain data what ``cloudd.control.Schedule`` has
    :raises CannotExplain:
    :raises NoSuchRecord: there is no such flavor
    """
    if not 1 <= asked.count <= MAX_COUNT or not 1 <= asked.limit <= MAX_HOSTS:
        raise CannotExplain(f"count is 1 to {MAX_COUNT}, limit 1 to {MAX_HOSTS}")
    wanted, hosts = _placement(connection, asked), read_hosts(connection)
    left, _ = filtered(hosts, wanted, rules)
    decision = decide(hosts, wanted, asked.count, rules)
    told = [*_passing(left, wanted, rules, decision), *_others(hosts, left, wanted, rules)]
    missing = asked.count - len(decision.hosts)
    refused = refusal(decision, wanted, rules) if missing else None
    return {
        "need": {"vcpus": wanted.need.vcpus, "memory_mib": wanted.need.memory_mib, "disk_gib": wanted.need.disk_gib},
        "servers": asked.count,
        "placed": len(decision.hosts),
        "cause": refused.message if refused is not None else "",
        "total": len(hosts),
        "passing": len(left),
        "removed": dict(Counter(each["filter"] for each in told if each["filter"])),
        "weighers": {weigher.name: multiplier for weigher, multiplier in rules.weighers if multiplier},
        "hosts": told[: asked.limit],
    }


def _placement(connection: Connection, asked: Asked) -> Placement:
    image = named_image(connection, asked.image) if asked.image else None
    if asked.image and image is None:
        raise CannotExplain(f"there is no image {asked.image[:100]}, or several have that name: give its id")
    hints: Mapping[str, object] = {SAME: asked.same_host, DIFFERENT: asked.different_host}
    flavor = named_flavor(connection, asked.flavor)
    found = placement(connection, flavor, image, hints, asked.group or None, asked.project_id)
    if asked.group and found.group is None:
        raise CannotExplain(f"there is no server group {asked.group[:100]}: give its id")
    return evolve(found, zone=asked.zone, wanted_host=asked.host)


def _passing(left: Sequence[HostPicture], wanted: Placement, rules: Rules, decision: Decision) -> list[dict[str, Any]]:
    """The best first."""
    if not left:
        return []
    weighed, servers = weigh(left, wanted, rules), Counter(host.node_id for host in decision.hosts)
    parts = {scale.weigher.name: scale for scale in weighed.scales}
    told = [
        {
            **_told(host),
            "weight": weight,
            "weights": {name: scale.of(host, wanted) for name, scale in parts.items()},
            "servers": servers[host.node_id],
        }
        for host, weight in zip(left, weighed.weights, strict=True)
    ]
    return sorted(told, key=lambda each: (-each["servers"], -each["weight"], each["name"]))


def _others(
    hosts: Sequence[HostPicture], left: Sequence[HostPicture], wanted: Placement, rules: Rules
) -> list[dict[str, Any]]:
    """By name, each with the first filter that it does not pass."""
    ids = {host.node_id for host in left}
    told = []
    for host in hosts:
        if host.node_id not in ids:
            name, cause = rules.cause(host, wanted)
            told.append({**_told(host), "filter": name, "cause": cause})
    return told


def _told(host: HostPicture) -> dict[str, Any]:
    return {
        "name": host.name,
        "zone": host.zone,
        "free_vcpus": host.free_vcpus,
        "free_memory_mib": host.free_memory_mib,
        "free_disk_gib": host.free_disk_gib,
        "filter": "",
        "cause": "",
        "weight": 0.0,
        "weights": {},
        "servers": 0,
    }
