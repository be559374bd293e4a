# -*- test-case-name: tests.protocols.rest.compute.test_rebuild -*-
"""A rebuild: what can be asked for, and how it is answered, in each version."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
import secrets
import string
from collections.abc import Mapping
from typing import Annotated, Any, Final

from attrs import frozen
from msgspec import UNSET, Meta, UnsetType, field
from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.compute import BadComputeValue, NoSuchRecord, Order, Server

from .._documents import Document, Name
from ._action_bodies import disk_config, items
from ._call import ComputeCall, invalid, printable, truth
from ._versions import Members, Version

_SAME_AS_SHOWN: Version = (2, 75)
MAX_USER_DATA: Final = 65_535
PASSWORD_LENGTH: Final = 12
_ALPHABET: Final = string.ascii_letters + string.digits

MEMBERS = Members(
    since={
        "description": (2, 19), "key_name": (2, 54), "user_data": (2, 57), "trusted_image_certificates": (2, 63),
    },
    until={"personality": (2, 56)},
)  # fmt: skip
#: What an answer has of what ``GET`` shows; from 2.75 on all of it.
SHOWN = Members(
    since={
        "locked": (2, 9), "description": (2, 19), "tags": (2, 26), "key_name": (2, 54), "user_data": (2, 57),
        "trusted_image_certificates": (2, 63), "server_groups": (2, 71), "locked_reason": (2, 73),
    }
)  # fmt: skip
_ALWAYS: Final = frozenset({
    "id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created", "updated",
    "addresses", "accessIPv4", "accessIPv6", "links", "progress", "fault", "OS-DCF:diskConfig",
})  # fmt: skip
_USER_DATA: Final = "OS-EXT-SRV-ATTR:user_data"

Ref = Annotated[str, Meta(min_length=1, max_length=255)]


class FileBody(Document):
    """A file that is put into the guest."""

    path: Annotated[str, Meta(min_length=1, max_length=65_535)]
    contents: str


class RebuildBody(Document):
    """An image, and what else is to be another one."""

    image: Ref = field(name="imageRef")
    name: Name | UnsetType = UNSET
    password: Annotated[str, Meta(max_length=255)] | UnsetType = field(name="adminPass", default=UNSET)
    metadata: dict[str, Any] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    key_name: Name | UnsetType | None = UNSET
    user_data: Annotated[str, Meta(max_length=MAX_USER_DATA)] | UnsetType | None = UNSET
    personality: list[FileBody] | UnsetType = UNSET
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    preserve_ephemeral: bool | str = False
    access_v4: str | UnsetType = field(name="accessIPv4", default=UNSET)
    access_v6: str | UnsetType = field(name="accessIPv6", default=UNSET)
    certificates: list[str] | None = field(name="trusted_image_certificates", default=None)


@frozen
class Wanted:
    """
    A rebuild as it was asked for.

    :ivar columns: of the server's row, that are others
    :ivar items: metadata; None: as before
    :ivar files: path and content in base64; None: as before
    :ivar key_name: None: as before; empty: none
    """

    image_id: str
    password: str
    columns: Mapping[str, Any]
    items: Mapping[str, str] | None
    files: tuple[tuple[str, str], ...] | None
    key_name: str | None


def read(call: ComputeCall, given: Any) -> Wanted:
    """
    :raises Fault: 400 with the member and what is wrong
    """
    body = call.converted("rebuild", given, RebuildBody, MEMBERS)
    if truth("rebuild.preserve_ephemeral", body.preserve_ephemeral):
        raise invalid(
            "The current driver does not support preserving ephemeral partitions.", "rebuild.preserve_ephemeral"
        )
    if body.certificates:
        raise invalid("cloudd checks no signatures of images: null is meant.", "rebuild.trusted_image_certificates")
    key_name = None if isinstance(body.key_name, UnsetType) else body.key_name or ""
    password = _password() if isinstance(body.password, UnsetType) else body.password
    return Wanted(body.image, password, _columns(body), _items(body), _files(body), key_name)


def rebuild(connection: Connection, order: Order, wanted: Wanted, sealed: str) -> Server:
    """
    :param sealed: the password, as the database has it
    :raises ComputeError: see ``cloudd.compute.rebuild``
    """
    service.enforce_contents(connection, order.access, wanted.items or {}, wanted.files or ())
    columns: dict[str, Any] = {**wanted.columns, "sealed_password": sealed}
    if wanted.items is not None:
        columns["items"] = json.dumps(wanted.items)
    if wanted.files is not None:
        columns["files"] = json.dumps(wanted.files)
    if wanted.key_name is not None:
        columns |= _key(connection, order, wanted.key_name)
    return service.rebuild(connection, order, wanted.image_id, columns)


def shown(call: ComputeCall, server: Server, whole: Mapping[str, Any], password: str) -> dict[str, Any]:
    """
    :param whole: the server as an update is answered
    """
    document = {**whole, "key_name": server.key_name, "user_data": server.user_data}
    document.pop(_USER_DATA, None)
    if call.version < _SAME_AS_SHOWN:
        known = _ALWAYS | set(SHOWN.since)
        document = {name: value for name, value in document.items() if name in known}
    return SHOWN.shown(call.version, document) | {"adminPass": password}


def _password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))


def _columns(body: RebuildBody) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not isinstance(body.name, UnsetType):
        found["name"] = printable("rebuild.name", body.name)
    if not isinstance(body.description, UnsetType):
        printable("rebuild.description", re.sub(r"[\t\r\n]", " ", body.description or "").strip())
        found["description"] = body.description
    if not isinstance(body.user_data, UnsetType):
        found["user_data"] = None if body.user_data is None else _base64("rebuild.user_data", body.user_data)
    if (config := disk_config(body.disk_config)) is not None:
        found["disk_config"] = config
    for column, member, given, version in (
        ("access_ip_v4", "accessIPv4", body.access_v4, 4),
        ("access_ip_v6", "accessIPv6", body.access_v6, 6),
    ):
        if not isinstance(given, UnsetType):
            found[column] = _address(f"rebuild.{member}", given, version)
    return found


def _address(path: str, given: str, version: int) -> str:
    if not given:
        return ""
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        raise invalid(f"Value: {given[:60]}. It is no IP address.", path) from None
    if address.version != version:
        raise invalid(f"Value: {given[:60]}. It is no IPv{version} address.", path)
    return str(address)


def _base64(path: str, text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("It is no base64.", path) from None
    return text


def _items(body: RebuildBody) -> dict[str, str] | None:
    return None if isinstance(body.metadata, UnsetType) else items("rebuild.metadata", body.metadata)


def _files(body: RebuildBody) -> tuple[tuple[str, str], ...] | None:
    if isinstance(body.personality, UnsetType):
        return None
    return tuple(
        (each.path, _base64(f"rebuild.personality.{place}.contents", "".join(each.contents.split())))
        for place, each in enumerate(body.personality)
    )


def _key(connection: Connection, order: Order, name: str) -> dict[str, str | None]:
    if not name:
        return {"key_name": None, "key_type": None, "public_key": None}
    try:
        key = service.one_keypair(connection, order.access, order.access.user_id, name)
    except NoSuchRecord:
        raise BadComputeValue("Invalid key_name provided.") from None
    return {"key_name": key.name, "key_type": key.type, "public_key": key.public_key}
