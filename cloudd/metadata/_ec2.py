# -*- test-case-name: tests.metadata.test_ec2 -*-
"""
The tree of Amazon's metadata service, as ``nova.api.metadata.base.InstanceMetadata.get_ec2_metadata`` has it.

A version's tree is nested dicts, lists and texts; ``printed`` shows any of them as guests read it.  Amazon's short ids
are made of the first digits of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ._facts import GuestFacts

VERSIONS: Final = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
)
LATEST: Final = "latest"
_NO_MANIFEST: Final = "FIXME"  # what Nova serves there to this day, as it has no manifests either
#: What a directory is called where its parent is listed, if not by its name and a slash.
NAME: Final = "_name"
ROOT_DEVICE: Final = "/dev/vda"

Tree = dict[str, Any]


def tree(facts: GuestFacts, named: str) -> Tree | None:
    """
    What a version has.

    :return: ``meta-data``, and ``user-data`` as bytes where there is some; None: there is no such version
    """
    version = VERSIONS[-1] if named == LATEST else named
    if version not in VERSIONS:
        return None
    found: Tree = {"meta-data": _meta_data(facts, VERSIONS.index(version))}
    if facts.user_data is not None:
        found["user-data"] = facts.user_data
    return found


def _meta_data(facts: GuestFacts, age: int) -> Tree:
    """:param age: index among ``VERSIONS``"""
    server, addresses = facts.server, facts.addresses(4) + facts.addresses(6)
    found: Tree = {
        "ami-id": f"ami-{_short(server.image_id or '')}",
        "ami-launch-index": server.launch_index,
        "ami-manifest-path": _NO_MANIFEST,
        "instance-id": f"i-{_short(server.id)}",
        "hostname": server.host_name,
        "local-ipv4": addresses[0] if addresses else "",
        "reservation-id": server.reservation_id,
        "security-groups": facts.group_names,
    }
    if server.key_name and server.public_key is not None:
        found["public-keys"] = {"0": {NAME: f"0={server.key_name}", "openssh-key": server.public_key}}
    for since, members in _later(facts):
        if age >= VERSIONS.index(since):
            found |= members
    return found


def _later(facts: GuestFacts) -> list[tuple[str, Tree]]:
    """What versions after the first have brought."""
    name = facts.server.host_name
    root = ROOT_DEVICE.removeprefix("/dev/")
    return [
        ("2007-01-19", {"local-hostname": name, "public-hostname": name, "public-ipv4": ""}),
        ("2007-08-29", {"instance-type": facts.flavor_name}),
        ("2007-12-15", {"block-device-mapping": {"ami": root, "root": ROOT_DEVICE}}),
        ("2008-02-01", {"placement": {"availability-zone": facts.zone}}),
        ("2008-09-01", {"instance-action": "none"}),
    ]


def _short(our_id: str) -> str:
    return our_id.replace("-", "")[:8].rjust(8, "0")


def below(found: Tree, names: Sequence[str]) -> Any:
    """
    What is at a path in a tree.

    :raises KeyError: nothing is
    """
    here: Any = found
    for name in names:
        if not isinstance(here, dict) or name not in here or name == NAME:
            raise KeyError(name)
        here = here[name]
    return here


def printed(value: Any) -> bytes:
    """A directory as its names, one a line, with a slash where more is below; a list likewise; else the value."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return "\n".join(_entry(name, value[name]) for name in sorted(value) if name != NAME).encode()
    if isinstance(value, list | tuple):
        return "\n".join(value).encode()
    return str(value).encode()


def _entry(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return name
    return str(value.get(NAME, f"{name}/"))
