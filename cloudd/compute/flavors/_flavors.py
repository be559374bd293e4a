# -*- test-case-name: tests.protocols.rest.compute.test_flavors -*-
"""
Flavors: functions with a ``sqlalchemy.Connection``, rights included.

A deleted flavor stays as a record, so that servers that were built of it can be told; nobody finds it by its id in the
API any more, and a new one may have that id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, or_, select, update

from cloudd.database import now_us, tables
from cloudd.identity import Access

from .. import _policy
from .._errors import BadComputeValue, ComputeConflict, NoSuchRecord
from .._facts import Flavor

MAX_SPECS = 256

_table, _specs, _access = tables.flavor, tables.flavor_spec, tables.flavor_access
_c = _table.c
_CHUNK = 500
#: Of Nova's names -> our column.
SORT_KEYS: Mapping[str, str] = {
    "created_at": "created_us",
    "description": "description",
    "disabled": "disabled",
    "ephemeral_gb": "ephemeral_gib",
    "flavorid": "flavor_id",
    "id": "created_us",
    "is_public": "is_public",
    "memory_mb": "ram_mib",
    "name": "name",
    "root_gb": "disk_gib",
    "rxtx_factor": "rxtx_factor",
    "swap": "swap_mib",
    "updated_at": "updated_us",
    "vcpus": "vcpus",
}


@frozen(kw_only=True)
class FlavorListing:
    """
    What is asked for.

    :ivar is_public: None: public and private ones; others than administrators get what they may use in any case
    :ivar marker: ``flavor_id`` of the one before the page; empty: it is the first
    """

    is_public: bool | None = True
    min_ram_mib: int = 0
    min_disk_gib: int = 0
    sort_key: str = "flavorid"
    descending: bool = False
    marker: str = ""
    limit: int | None = None


def create_flavor(connection: Connection, access: Access, wanted: Flavor) -> Flavor:
    """
    :param wanted: an empty ``flavor_id`` is made
    :raises ComputeConflict: another one has the id or the name
    """
    _policy.enforce_admin(access, "os-flavor-manage:create")
    return add_flavor(connection, wanted)


def add_flavor(connection: Connection, wanted: Flavor) -> Flavor:
    """Without rights: for the first ones of a cloud."""
    flavor_id = wanted.flavor_id or str(uuid.uuid4())
    for column, value, words in ((_c.name, wanted.name, "name"), (_c.flavor_id, flavor_id, "ID")):
        if connection.execute(select(_c.id).where(column == value, _c.deleted == "")).first() is not None:
            raise ComputeConflict(f"Flavor with {words} {value} already exists.")
    values = asdict(wanted, filter=lambda each, _: each.name != "extra_specs")
    values |= {"id": str(uuid.uuid4()), "flavor_id": flavor_id, "deleted": "", "created_us": now_us()}
    connection.execute(insert(_table).values(**values | {"updated_us": now_us()}))
    _set_specs(connection, values["id"], wanted.extra_specs)
    return flavor_record(connection, values["id"])


def one_flavor(connection: Connection, access: Access, flavor_id: str) -> Flavor:
    """
    A living one.

    :raises NoSuchRecord: also where who asks may not use it
    """
    _policy.enforce_read(access, "flavors")
    query = select(_table).where(_c.flavor_id == flavor_id, _c.deleted == "", *_seen(access))
    row = connection.execute(query).first()
    if row is None:
        raise NoSuchRecord(f"Flavor {flavor_id[:255]} could not be found.")
    return _complete(connection, [row])[0]


def flavor_record(connection: Connection, record_id: str) -> Flavor:
    """
    One by our own id, be it deleted or not: what a server was built of.

    :raises NoSuchRecord:
    """
    row = connection.execute(select(_table).where(_c.id == record_id)).first()
    if row is None:
        raise NoSuchRecord(f"Flavor record {record_id[:64]} could not be found.")
    return _complete(connection, [row])[0]


def flavor_records(connection: Connection, record_ids: Sequence[str]) -> dict[str, Flavor]:
    """The same of many: by our own id; those that are not there are left out."""
    rows: list[Row[Any]] = []
    for start in range(0, len(record_ids), _CHUNK):
        rows += connection.execute(select(_table).where(_c.id.in_(record_ids[start : start + _CHUNK]))).all()
    return {each.id: each for each in _complete(connection, rows)}


def listed_flavors(connection: Connection, access: Access, listing: FlavorListing) -> list[Flavor]:
    """
    One page of living ones.

    :raises BadComputeValue: the marker or the sort key is none
    """
    _policy.enforce_read(access, "flavors")
    query = select(_table).where(_c.deleted == "", _c.ram_mib >= listing.min_ram_mib, *_seen(access))
    query = query.where(_c.disk_gib >= listing.min_disk_gib)
    if access.is_admin and listing.is_public is not None:
        wanted = _c.is_public == listing.is_public
        query = query.where(or_(wanted, _given_to(access)) if listing.is_public else wanted)
    if listing.sort_key not in SORT_KEYS:
        raise BadComputeValue(f"Sort key {listing.sort_key[:60]} is none of {', '.join(sorted(SORT_KEYS))}.")
    key = func.coalesce(_c[SORT_KEYS[listing.sort_key]], "") if listing.sort_key == "description" else None
    order = [_c[SORT_KEYS[listing.sort_key]] if key is None else key, _c.flavor_id]
    if listing.marker:
        query = query.where(_beyond(connection, access, listing, order))
    query = query.order_by(*(each.desc() if listing.descending else each.asc() for each in order))
    return _complete(connection, connection.execute(query.limit(listing.limit)).all())


def _beyond(connection: Connection, access: Access, listing: FlavorListing, order: list[Any]) -> Any:
    at = select(*order).where(_c.flavor_id == listing.marker, _c.deleted == "", *_seen(access))
    row = connection.execute(at).first()
    if row is None:
        raise BadComputeValue(f"marker [{listing.marker[:255]}] not found")
    (first, second), (value, flavor_id) = order, row
    if listing.descending:
        return or_(first < value, and_(first == value, second < flavor_id))
    return or_(first > value, and_(first == value, second > flavor_id))


def named_flavor(connection: Connection, text: str) -> Flavor:
    """
    A living one by its id in the API or its name, for operators.

    :raises NoSuchRecord:
    """
    query = select(_table).where(or_(_c.flavor_id == text, _c.name == text), _c.deleted == "")
    rows = connection.execute(query).all()
    if not rows:
        raise NoSuchRecord(f"Flavor {text[:255]} could not be found.")
    return _complete(connection, [next((row for row in rows if row.flavor_id == text), rows[0])])[0]


def describe_flavor(connection: Connection, access: Access, flavor_id: str, description: str | None) -> Flavor:
    """
    Another description, the one thing of a flavor that changes.

    :raises NoSuchRecord:
    """
    _policy.enforce_admin(access, "os-flavor-manage:update")
    flavor = one_flavor(connection, access, flavor_id)
    changed = update(_table).where(_c.id == flavor.id)
    connection.execute(changed.values(description=description, updated_us=now_us()))
    return flavor_record(connection, flavor.id)


def drop_flavor(connection: Connection, access: Access, flavor_id: str) -> None:
    """
    Nobody can use it any more; the record stays.

    :raises NoSuchRecord:
    """
    _policy.enforce_admin(access, "os-flavor-manage:delete")
    flavor = one_flavor(connection, access, flavor_id)
    connection.execute(update(_table).where(_c.id == flavor.id).values(deleted=flavor.id, updated_us=now_us()))


# ---- who may use a private one


def projects_of(connection: Connection, access: Access, flavor_id: str) -> list[str]:
    """
    :raises NoSuchRecord: there is no such flavor, or it is public
    """
    _policy.enforce_admin(access, "os-flavor-access")
    flavor = one_flavor(connection, access, flavor_id)
    if flavor.is_public:
        raise NoSuchRecord("Access list not available for public flavors.")
    return _projects(connection, flavor.id)


def allow(connection: Connection, access: Access, flavor_id: str, project_id: str) -> list[str]:
    """
    :raises ComputeConflict: it may already, or all may
    """
    _policy.enforce_admin(access, "os-flavor-access:add_tenant_access")
    flavor = one_flavor(connection, access, flavor_id)
    if flavor.is_public:
        raise ComputeConflict("Can not add access to a public flavor.")
    if project_id in _projects(connection, flavor.id):
        raise ComputeConflict(
            f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination."
        )
    connection.execute(insert(_access).values(flavor=flavor.id, project_id=project_id))
    return _projects(connection, flavor.id)


def disallow(connection: Connection, access: Access, flavor_id: str, project_id: str) -> list[str]:
    """
    :raises NoSuchRecord: it could not in the first place
    """
    _policy.enforce_admin(access, "os-flavor-access:remove_tenant_access")
    flavor = one_flavor(connection, access, flavor_id)
    gone = delete(_access).where(_access.c.flavor == flavor.id, _access.c.project_id == project_id)
    if connection.execute(gone).rowcount == 0:
        raise NoSuchRecord(f"Flavor access not found for {flavor_id} / {project_id} combination.")
    return _projects(connection, flavor.id)


def _projects(connection: Connection, record_id: str) -> list[str]:
    query = select(_access.c.project_id).where(_access.c.flavor == record_id).order_by(_access.c.project_id)
    return list(connection.execute(query).scalars())


# ---- extra specs


def add_specs(connection: Connection, access: Access, flavor_id: str, specs: Mapping[str, str]) -> Flavor:
    """
    These too, or with new values.

    :raises BadComputeValue: it would have too many
    """
    _policy.enforce_admin(access, "os-flavor-extra-specs:create")
    flavor = one_flavor(connection, access, flavor_id)
    after = {**flavor.extra_specs, **specs}
    if len(after) > MAX_SPECS:
        raise BadComputeValue(f"A flavor has at most {MAX_SPECS} extra specs.")
    _set_specs(connection, flavor.id, after)
    return flavor_record(connection, flavor.id)


def drop_spec(connection: Connection, access: Access, flavor_id: str, name: str) -> None:
    """
    :raises NoSuchRecord: it has none of that name
    """
    _policy.enforce_admin(access, "os-flavor-extra-specs:delete")
    flavor = one_flavor(connection, access, flavor_id)
    if name not in flavor.extra_specs:
        raise no_spec(flavor_id, name)
    _set_specs(connection, flavor.id, {key: value for key, value in flavor.extra_specs.items() if key != name})


def no_spec(flavor_id: str, name: str) -> NoSuchRecord:
    """What is said of a spec that is not there."""
    return NoSuchRecord(f"Flavor {flavor_id[:255]} has no extra specs with key {name[:255]}.")


def _set_specs(connection: Connection, record_id: str, specs: Mapping[str, str]) -> None:
    connection.execute(delete(_specs).where(_specs.c.flavor == record_id))
    if specs:
        rows = [{"flavor": record_id, "name": name, "value": value} for name, value in sorted(specs.items())]
        connection.execute(insert(_specs), rows)


def _seen(access: Access) -> list[Any]:
    """Which flavors who asks may know of."""
    return [] if access.is_admin else [_c.disabled.is_(False), or_(_c.is_public.is_(True), _given_to(access))]


def _given_to(access: Access) -> Any:
    return exists().where(_access.c.flavor == _c.id, _access.c.project_id == (access.project_id or ""))


def _complete(connection: Connection, rows: Sequence[Row[Any]]) -> list[Flavor]:
    specs: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    ids = list(specs)
    for start in range(0, len(ids), _CHUNK):
        query = select(_specs).where(_specs.c.flavor.in_(ids[start : start + _CHUNK])).order_by(_specs.c.name)
        for record_id, name, value in connection.execute(query):
            specs[record_id][name] = value
    return [Flavor(**{**row._mapping, "deleted": row.deleted != ""}, extra_specs=specs[row.id]) for row in rows]
