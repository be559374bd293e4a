# -*- test-case-name: tests.protocols.rest.compute.test_flavors -*-
"""Flavors.  Source: Compute API, "Flavors"."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudd import compute as service
from cloudd.compute import SORT_KEYS, Flavor, FlavorListing
from cloudd.interfaces.application import Transactions

from .._documents import Document, Name
from .._faults import bad_request
from .._routes import Answer, route
from ._call import ComputeCall, invalid, printable, truth, whole
from ._pages import links_of, with_next
from ._versions import Members, during

MEMBERS = Members(since={"description": (2, 55), "extra_specs": (2, 61)})
_ID = re.compile(r"(?! )[a-zA-Z0-9. _-]+(?<! )")
_FACTOR = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_MAX_FACTOR = 3.40282e38
_MAX_ID = 255
_PARAMETERS = ("limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir")
_NUMBERS_ALONE = (2, 75)  # from here on no swap is 0, before it is ""

Description = Annotated[str, Meta(max_length=65_535)] | None


class FlavorBody(Document):
    """A new flavor."""

    name: Name
    ram: int | str
    vcpus: int | str
    disk: int | str
    id: int | Annotated[str, Meta(max_length=_MAX_ID)] | None = None
    swap: int | str = 0
    rxtx_factor: float | int | str = 1.0
    ephemeral: int | str = msgspec.field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    is_public: bool | str = msgspec.field(name="os-flavor-access:is_public", default=True)
    description: Description = None


class FlavorUpdateBody(Document):
    """What of a flavor can be changed."""

    description: Description


def show_flavor(call: ComputeCall, flavor: Flavor) -> dict[str, Any]:
    """One flavor, with all members of the version."""
    shown = {
        "id": flavor.flavor_id,
        "name": flavor.name,
        "ram": flavor.ram_mib,
        "vcpus": flavor.vcpus,
        "disk": flavor.disk_gib,
        "swap": flavor.swap_mib or (0 if call.version >= _NUMBERS_ALONE else ""),
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor,
        "links": links_of(call, "flavors", flavor.flavor_id),
        "description": flavor.description,
        "extra_specs": dict(flavor.extra_specs),
    }
    return MEMBERS.shown(call.version, shown)


def _named(call: ComputeCall, flavor: Flavor) -> dict[str, Any]:
    links = links_of(call, "flavors", flavor.flavor_id)
    shown = {"id": flavor.flavor_id, "name": flavor.name, "links": links, "description": flavor.description}
    return MEMBERS.shown(call.version, shown)


class FlavorRoutes:
    """``/v2.1/flavors``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/flavors")
    async def list_flavors(self, call: ComputeCall) -> Answer:
        """Ids and names: public ones, and private ones of the project."""
        return await self._page(call, _named, "flavors")

    @route("GET", "/v2.1/flavors/detail")
    async def detail(self, call: ComputeCall) -> Answer:
        """The same with all members; `is_public=None` for administrators: all."""
        return await self._page(call, show_flavor, "flavors", "detail")

    @route("POST", "/v2.1/flavors")
    async def create(self, call: ComputeCall) -> Answer:
        """200 with the new one; for administrators."""
        service.enforce_admin(call.access, "os-flavor-manage:create")
        wanted = _wanted(await call.read_body("flavor", FlavorBody, MEMBERS))
        return await self._shown(call, service.create_flavor, wanted)

    @route("GET", "/v2.1/flavors/{flavor_id}")
    async def show(self, call: ComputeCall, flavor_id: str) -> Answer:
        """One flavor; 404 where it is private and not the project's."""
        found = await self._database.read(service.one_flavor, call.access, flavor_id)
        return Answer(200, {"flavor": show_flavor(call, found)})

    @route("PUT", "/v2.1/flavors/{flavor_id}")
    @during((2, 55))
    async def update(self, call: ComputeCall, flavor_id: str) -> Answer:
        """200 with another description, from 2.55 on; for administrators."""
        service.enforce_admin(call.access, "os-flavor-manage:update")
        wanted = await call.read_body("flavor", FlavorUpdateBody)
        _check_description(wanted.description)
        return await self._shown(call, service.describe_flavor, flavor_id, wanted.description)

    @route("DELETE", "/v2.1/flavors/{flavor_id}")
    async def delete(self, call: ComputeCall, flavor_id: str) -> Answer:
        """202; servers of it stay what they are; for administrators."""
        await self._database.write(service.drop_flavor, call.access, flavor_id)
        return Answer(202)

    async def _shown(self, call: ComputeCall, change: Any, *arguments: Any) -> Answer:
        flavor = await self._database.write(change, call.access, *arguments)
        return Answer(200, {"flavor": show_flavor(call, flavor)})

    async def _page(self, call: ComputeCall, show: Any, *steps: str) -> Answer:
        call.only(_PARAMETERS)
        limit = call.limit()
        found = await self._database.read(service.listed_flavors, call.access, _listing(call, limit + 1))
        document: dict[str, Any] = {"flavors": [show(call, each) for each in found[:limit]]}
        if len(found) > limit:
            document |= with_next(call, "flavors", found[limit - 1].flavor_id, "v2.1", *steps)
        return Answer(200, document)


def _listing(call: ComputeCall, limit: int) -> FlavorListing:
    direction = call.query.get("sort_dir") or "asc"
    if direction not in ("asc", "desc"):
        raise bad_request(f"Query parameter sort_dir: 'asc' or 'desc' is meant, not {direction[:40]!r}.")
    sort_key = call.query.get("sort_key") or "flavorid"
    if sort_key not in SORT_KEYS:
        raise bad_request(f"Query parameter sort_key: {sort_key[:40]!r} is none of {', '.join(sorted(SORT_KEYS))}.")
    return FlavorListing(
        is_public=_is_public(call),
        min_ram_mib=call.count("minRam") or 0,
        min_disk_gib=call.count("minDisk") or 0,
        sort_key=sort_key,
        descending=direction == "desc",
        marker=call.query.get("marker") or "",
        limit=limit,
    )


def _is_public(call: ComputeCall) -> bool | None:
    if (call.query.get("is_public") or "").lower() == "none":
        return None
    asked = call.query.flag("is_public")
    return True if asked is None else asked


def _wanted(body: FlavorBody) -> Flavor:
    """
    :raises Fault: 400 with the member and what is wrong
    """
    flavor_id = "" if body.id is None else str(body.id)
    if len(flavor_id) > _MAX_ID:  # a number has no length that its schema could bound
        raise invalid(f"longer than {_MAX_ID} characters", "id")
    if body.id is not None and not _ID.fullmatch(flavor_id):
        raise invalid("Letters, digits, '.', '_', '-' and blanks inside are meant.", "id")
    _check_description(body.description)
    return Flavor(
        id="",
        flavor_id=flavor_id,
        name=printable("name", body.name),
        ram_mib=whole("ram", body.ram, 1),
        vcpus=whole("vcpus", body.vcpus, 1),
        disk_gib=whole("disk", body.disk, 0),
        swap_mib=whole("swap", body.swap, 0),
        ephemeral_gib=whole("OS-FLV-EXT-DATA:ephemeral", body.ephemeral, 0),
        rxtx_factor=_factor(body.rxtx_factor),
        is_public=truth("os-flavor-access:is_public", body.is_public),
        description=body.description,
    )


def _factor(value: float | int | str) -> float:
    if isinstance(value, str) and not _FACTOR.fullmatch(value):
        raise invalid(f"Value: {value[:40]}. It is no number.", "rxtx_factor")
    if not 0 < (value if isinstance(value, int) else float(value)) <= _MAX_FACTOR:
        raise invalid(f"Value: {str(value)[:40]}. It must be greater than 0, and at most {_MAX_FACTOR}.", "rxtx_factor")
    return float(value)


def _check_description(text: str | None) -> None:
    printable("description", re.sub(r"[\t\r\n]", " ", text or "").strip())
