# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""
New servers, in the one transaction that accepts them: all that they refer to is looked at there, their shares of quotas
are taken, and the task that places them is ordered.

What it costs does not grow with their number but by rows: a thousand are a handful of statements.
"""

from __future__ import annotations

import re
import secrets
import string
import uuid
from collections.abc import Sequence

from attrs import evolve
from sqlalchemy import Connection

from cloudd.identity import Access
from cloudd.tasks import submit

from .. import _policy
from .._errors import BadComputeValue, NoSuchRecord
from .._facts import Flavor, Keypair, Share
from .._forms import PLACE
from ..flavors._flavors import one_flavor
from ..hosts._places import checked_place
from ..keypairs._keypairs import one_keypair
from ..quotas._shares import how_many, reserve
from ._facts import Doing, Server, State, Wanted
from ._foreign import as_bad_value, compute_words
from ._groups import join_group
from ._history import begin_actions
from ._image_fit import image_of_new
from ._networks import wanted_groups, wanted_networks
from ._quotas import enforce_contents
from ._rows import add_servers
from ._wishes import NewServers

_RESERVATION = string.ascii_lowercase + string.digits
_BLANKS = re.compile(r"[ _.]")
_STRANGE = re.compile(r"[^a-zA-Z0-9_.-]+")
_MAX_HOST_NAME = 63


def create_servers(connection: Connection, access: Access, wanted: NewServers, request_id: str) -> list[Server]:
    """
    :param request_id: of the request, which the action and the task carry, too
    :return: as they were accepted, in order; at least ``wanted.least``
    :raises ComputeError: none was made; what is named and not there is a ``BadComputeValue``
    :raises QuotaExceeded:
    """
    _policy.enforce_write(access, "servers:create")
    if wanted.host:
        _policy.enforce_admin(access, "servers:create:requested_destination")
    enforce_contents(connection, access, wanted.items, wanted.files)
    with as_bad_value():
        flavor = one_flavor(connection, access, wanted.flavor_id)
    image_of_new(connection, access, wanted.image_id, flavor)
    checked_place(connection, wanted.zone, wanted.host)
    prototype = _prototype(connection, access, wanted, flavor)
    servers = _numbered(prototype, wanted, _count(connection, access, wanted, flavor))
    _write(connection, access, servers, flavor, wanted.hints, request_id)
    return servers


def _prototype(connection: Connection, access: Access, wanted: NewServers, flavor: Flavor) -> Server:
    key = _key(connection, access, wanted.key_name)
    with compute_words():
        networks = wanted_networks(connection, access, wanted)
        groups = wanted_groups(connection, access, wanted.security_groups)
    return Server(
        id="", project_id=access.project_id or "", user_id=access.user_id, name=wanted.name, host_name="",
        description=wanted.description, flavor=flavor.id, image_id=wanted.image_id,
        key_name=key.name if key else None, key_type=key.type if key else None,
        public_key=key.public_key if key else None, user_data=wanted.user_data, files=wanted.files,
        items=wanted.items, hints=wanted.hints, networks=networks, security_groups=groups,
        sealed_password=wanted.sealed_password, config_drive=wanted.config_drive, zone=wanted.zone,
        wanted_host=wanted.host, disk_config=wanted.disk_config, reservation_id=_reservation_id(),
        access_ip_v4=wanted.access_ip_v4, access_ip_v6=wanted.access_ip_v6, state=State.BUILDING,
        doing=Doing.SCHEDULING, wanted=Wanted.RUNNING, tags=wanted.tags,
    )  # fmt: skip


def _key(connection: Connection, access: Access, name: str | None) -> Keypair | None:
    if name is None:
        return None
    try:
        return one_keypair(connection, access, access.user_id, name)
    except NoSuchRecord:
        raise BadComputeValue("Invalid key_name provided.") from None


def _count(connection: Connection, access: Access, wanted: NewServers, flavor: Flavor) -> int:
    if wanted.least == wanted.most:
        return wanted.most
    room = how_many(connection, access.project_id or "", access.user_id, _share("", "", flavor))
    return wanted.most if room is None else max(wanted.least, min(wanted.most, room))


def _numbered(prototype: Server, wanted: NewServers, count: int) -> list[Server]:
    return [_one(prototype, f"{wanted.name}-{index + 1}" if wanted.most > 1 else wanted.name, index)
            for index in range(count)]  # fmt: skip


def _one(prototype: Server, name: str, index: int) -> Server:
    server_id = str(uuid.uuid4())
    return evolve(prototype, id=server_id, name=name, host_name=host_name_of(name, server_id), launch_index=index)


def host_name_of(name: str, server_id: str) -> str:
    """What a guest is to call itself, made from its server's name as Nova makes it."""
    plain = _STRANGE.sub("", _BLANKS.sub("-", name)).lower()
    return plain[:_MAX_HOST_NAME].strip(".-") or f"server-{server_id}"


def _reservation_id() -> str:
    return "r-" + "".join(secrets.choice(_RESERVATION) for _ in range(8))


def _share(server_id: str, name: str, flavor: Flavor) -> Share:
    return Share(server_id, flavor.vcpus, flavor.ram_mib, flavor.disk_gib + flavor.ephemeral_gib, name, flavor.name)


def _write(
    connection: Connection,
    access: Access,
    servers: Sequence[Server],
    flavor: Flavor,
    hints: object,
    request_id: str,
) -> None:
    ids = [each.id for each in servers]
    project_id = access.project_id or ""
    reserve(connection, project_id, access.user_id, [_share(each.id, each.name, flavor) for each in servers])
    group_id = hints.get("group") if isinstance(hints, dict) else None
    if group_id is not None:
        with as_bad_value():
            join_group(connection, access, str(group_id), ids)
    add_servers(connection, servers)
    begin_actions(connection, access, ids, "create", request_id)
    payload = {"servers": ids, "avoid": [], "tries": 0}
    resource = ids[0] if len(ids) == 1 else servers[0].reservation_id
    submit(connection, PLACE, payload, project_id=project_id, resource=resource, request_id=request_id)
