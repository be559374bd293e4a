# -*- test-case-name: tests.metadata.test_openstack -*-
"""
The tree ``/openstack``: which versions there are, which documents each has, and what they hold.

As ``nova.api.metadata.base.InstanceMetadata``.  A version is named by the date of a release; each has what those
before it have.  Files and the administrator's password are on the config drive alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ._facts import GuestFacts
from ._network_data import network_data

FOLSOM: Final = "2012-08-10"
GRIZZLY: Final = "2013-04-04"
HAVANA: Final = "2013-10-17"
LIBERTY: Final = "2015-10-15"
NEWTON_ONE: Final = "2016-06-30"
NEWTON_TWO: Final = "2016-10-06"
OCATA: Final = "2017-02-22"
ROCKY: Final = "2018-08-27"
VICTORIA: Final = "2020-10-14"
VERSIONS: Final = (FOLSOM, GRIZZLY, HAVANA, LIBERTY, NEWTON_ONE, NEWTON_TWO, OCATA, ROCKY, VICTORIA)
LATEST: Final = "latest"

META_DATA: Final = "meta_data.json"
USER_DATA: Final = "user_data"
PASSWORD: Final = "password"  # noqa: S105 - a document's name
VENDOR_DATA: Final = "vendor_data.json"
NETWORK_DATA: Final = "network_data.json"
VENDOR_DATA2: Final = "vendor_data2.json"
#: In the order in which a version lists them, with the version that brought them.
DOCUMENTS: Final = {
    META_DATA: FOLSOM,
    USER_DATA: FOLSOM,
    PASSWORD: GRIZZLY,
    VENDOR_DATA: HAVANA,
    NETWORK_DATA: LIBERTY,
    VENDOR_DATA2: NEWTON_TWO,
}
SEED_BYTES: Final = 512

Entropy = Callable[[int], bytes]


def version_of(named: str) -> str | None:
    """The version that is meant; None: there is none of that name."""
    if named == LATEST:
        return VERSIONS[-1]
    return named if named in VERSIONS else None


def documents_of(facts: GuestFacts, version: str) -> list[str]:
    """What a version has of this server."""
    return [name for name, since in DOCUMENTS.items() if since <= version and _has(facts, name)]


def _has(facts: GuestFacts, name: str) -> bool:
    return name != USER_DATA or facts.user_data is not None


def document(
    facts: GuestFacts, version: str, name: str, entropy: Entropy, extra: dict[str, Any] | None = None
) -> bytes:
    """
    One of ``documents_of``.

    :param extra: members that ``meta_data.json`` has besides
    """
    if name == USER_DATA:
        return facts.user_data or b""
    if name == PASSWORD:
        return b""  # what guests set is not kept
    contents: dict[str, Any]
    if name == META_DATA:
        contents = {**meta_data(facts, version, entropy), **(extra or {})}
    elif name == NETWORK_DATA:
        contents = network_data(facts)
    else:
        contents = {"static": {}} if name == VENDOR_DATA2 else {}
    return msgspec.json.encode(contents)


def meta_data(facts: GuestFacts, version: str, entropy: Entropy) -> dict[str, Any]:
    """
    ``meta_data.json``.

    :param entropy: n -> n random bytes; the guest seeds its own random numbers with some
    """
    server = facts.server
    contents: dict[str, Any] = {"uuid": server.id}
    if server.items:
        contents["meta"] = dict(server.items)
    if server.key_name and server.public_key is not None:
        contents["public_keys"] = {server.key_name: server.public_key}
        contents["keys"] = [{"name": server.key_name, "type": server.key_type or "ssh", "data": server.public_key}]
    contents["hostname"] = server.host_name
    contents["name"] = server.name
    contents["launch_index"] = server.launch_index
    contents["availability_zone"] = facts.zone
    if version >= GRIZZLY:
        contents["random_seed"] = base64.b64encode(entropy(SEED_BYTES)).decode("ascii")
    if version >= LIBERTY:
        contents["project_id"] = server.project_id
    if version >= NEWTON_ONE:
        contents["devices"] = _devices(facts, version)
    if version >= VICTORIA:
        contents["dedicated_cpus"] = []
    return contents


def _devices(facts: GuestFacts, version: str) -> list[dict[str, Any]]:
    """Those that have a tag.  Where on its bus a device is, is for the hypervisor to choose and not known."""
    tags = {each.port_id: each.tag for each in facts.server.interfaces}
    trusted = {"vf_trusted": False} if version >= ROCKY else {}
    return [
        {**trusted, "type": "nic", "mac": each.port.mac_address, "bus": "none", "address": "none", "tags": [tag]}
        for each in facts.attachments
        if (tag := tags.get(each.port.id))
    ]
