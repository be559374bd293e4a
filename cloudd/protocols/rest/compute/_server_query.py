# -*- test-case-name: tests.protocols.rest.compute.test_server_list -*-
"""
What a list of servers is asked for.  Source: Compute API, "List servers", and Nova's own schema of the query.

As in Nova others than administrators have fewer filters: what is for administrators is left alone when they ask.  From
2.75 on a parameter that nobody has is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloudd.compute import SERVER_SORT_KEYS, STATUSES, ServerListing

from .._faults import Fault, bad_request
from .._query import meaning_of
from .._times import parse_time
from ._call import ComputeCall, whole
from ._versions import Version

_TAGS: Version = (2, 26)
_BEFORE: Version = (2, 66)
_LOCKED: Version = (2, 73)
_IP6: Version = (2, 5)
_STATUSES: Version = (2, 38)  # from here on what is no status is refused

#: Columns that have exactly this value, for everybody and for administrators alone.
_EQUAL: Final[Mapping[str, str]] = {"image": "image_id", "image_ref": "image_id", "reservation_id": "reservation_id"}
_EQUAL_ADMIN: Final[Mapping[str, str]] = {
    "user_id": "user_id", "host": "host", "node": "host", "uuid": "id", "key_name": "key_name",
    "availability_zone": "zone", "access_ip_v4": "access_ip_v4", "accessIPv4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6", "accessIPv6": "access_ip_v6", "vm_state": "state", "task_state": "task_state",
    "instance_type_id": "flavor", "locked_by": "locked_by",
}  # fmt: skip
_NUMBERS: Final[Mapping[str, str]] = {"launch_index": "launch_index", "progress": "progress", "power_state": "power"}
_TIMES: Final[Mapping[str, str]] = {
    "created_at": "created_us", "launched_at": "launched_us", "terminated_at": "deleted_us",
}  # fmt: skip
_PATTERNS: Final[Mapping[str, str]] = {
    "hostname": "host_name", "description": "description", "display_description": "description",
}  # fmt: skip
_TAG_FILTERS: Final = ("tags", "tags-any", "not-tags", "not-tags-any")
_COMMON = ("limit", "marker", "sort_key", "sort_dir", "name", "status", "flavor", "ip", "ip6", "changes-since",
           "all_tenants", "deleted", "soft_deleted", "tenant_id", "project_id", "config_drive", "auto_disk_config",
           "display_name", "kernel_id", "ramdisk_id", "root_device_name", "cell_name")  # fmt: skip
_MAX_VALUES = 50


def read_listing(call: ComputeCall, limit: int) -> ServerListing:
    """
    :raises Fault: 400 for what is no value of its parameter, 403 for what is for administrators
    """
    call.only(_known(call.version))
    query, admin = call.query, call.access.is_admin
    everyone, project_id = _projects(call)
    since, until = _time(call, "changes-since"), _time(call, "changes-before", _BEFORE)
    if since is not None and until is not None and since > until:
        raise bad_request("The value of changes-since must be less than or equal to changes-before.")
    statuses = tuple(value for name, value in query.pairs if name == "status" and value)[:_MAX_VALUES]
    if any(each.upper() == "DELETED" for each in statuses) and not admin:
        raise Fault(403, "Only administrators may list deleted instances")
    if call.version >= _STATUSES and (strange := [each for each in statuses if each.upper() not in STATUSES]):
        raise bad_request(f"Invalid status value: {strange[0][:40]} is none of {', '.join(sorted(STATUSES))}.")
    return ServerListing(
        everyone=everyone, project_id=project_id, gone=_gone(call, statuses, since is not None or until is not None),
        equal=_equal(call), patterns=_patterns(call), statuses=statuses, flavor_id=query.get("flavor") or "",
        address=_addresses(call), locked=_locked(call), **_tags(call), since_us=since, until_us=until,
        order=_order(call), marker=query.get("marker") or "", limit=limit,
    )  # fmt: skip


def _known(version: Version) -> set[str]:
    known = {*_COMMON, *_EQUAL, *_EQUAL_ADMIN, *_NUMBERS, *_TIMES, *_PATTERNS}
    known |= set(_TAG_FILTERS) if version >= _TAGS else set()
    known |= {"changes-before"} if version >= _BEFORE else set()
    return known | ({"locked"} if version >= _LOCKED else set())


def _projects(call: ComputeCall) -> tuple[bool, str]:
    """Whether all projects' are meant, and of which one then; a project without ``all_tenants`` counts for nothing."""
    asked = call.query.get("all_tenants")
    everyone = False if asked is None else True if asked == "" else _truth("all_tenants", asked)
    return everyone, call.query.get("tenant_id") or call.query.get("project_id") or ""


def _gone(call: ComputeCall, statuses: tuple[str, ...], changed: bool) -> bool | None:
    """Who asks what has changed is told of those that are gone, too."""
    if call.access.is_admin:
        if any(each.upper() == "DELETED" for each in statuses):
            return None
        asked = call.query.get("deleted")
        if asked is not None:
            return _truth("deleted", asked)
    return None if changed else False


def _equal(call: ComputeCall) -> dict[str, list[Any]]:
    names = {**_EQUAL, **(_EQUAL_ADMIN if call.access.is_admin else {})}
    found: dict[str, list[Any]] = {}
    for name, value in call.query.pairs:
        if name in names:
            found.setdefault(names[name], []).append(value)
    if call.access.is_admin:
        for name, value in call.query.pairs:
            if name in _NUMBERS:
                found.setdefault(_NUMBERS[name], []).append(whole(name, value, 0))
            elif name in _TIMES:
                found.setdefault(_TIMES[name], []).append(parse_time(value, name))
            elif name == "config_drive":
                found[name] = [_truth(name, value)]
            elif name == "auto_disk_config":
                found["disk_config"] = ["AUTO" if _truth(name, value) else "MANUAL"]
    return {name: values[:_MAX_VALUES] for name, values in found.items()}


def _patterns(call: ComputeCall) -> dict[str, str]:
    found = {}
    name = call.query.get("name") or (call.query.get("display_name") if call.access.is_admin else None)
    if name:
        found["name"] = name
    if call.access.is_admin:
        found |= {column: value for each, column in _PATTERNS.items() if (value := call.query.get(each))}
    return found


def _addresses(call: ComputeCall) -> dict[int, str]:
    wanted = {4: call.query.get("ip")}
    if call.version >= _IP6 or call.access.is_admin:
        wanted[6] = call.query.get("ip6")
    return {version: value for version, value in wanted.items() if value}


def _locked(call: ComputeCall) -> bool | None:
    value = call.query.get("locked") if call.version >= _LOCKED else None
    return None if value is None else _truth("locked", value)


def _tags(call: ComputeCall) -> dict[str, Any]:
    if call.version < _TAGS:
        return {}
    names = dict(zip(("tags", "any_tag", "not_tags", "no_tag"), _TAG_FILTERS, strict=True))
    return {
        ours: tuple(each for each in value.split(",") if each)[:_MAX_VALUES]
        for ours, theirs in names.items()
        if (value := call.query.get(theirs))
    }


def _order(call: ComputeCall) -> tuple[tuple[str, bool], ...]:
    keys = [value for name, value in call.query.pairs if name == "sort_key"]
    directions = [value for name, value in call.query.pairs if name == "sort_dir"]
    for key in keys:
        if key not in SERVER_SORT_KEYS or (key == "locked" and call.version < _LOCKED):
            raise bad_request(
                f"Query parameter sort_key: {key[:40]!r} is none of {', '.join(sorted(SERVER_SORT_KEYS))}."
            )
    for each in directions:
        if each not in ("asc", "desc"):
            raise bad_request(f"Query parameter sort_dir: 'asc' or 'desc' is meant, not {each[:40]!r}.")
    if len(directions) > max(len(keys), 1):
        raise bad_request("Sort direction array length must not exceed sort keys length.")
    first = directions[0] if directions else "desc"
    directions += [first] * (max(len(keys), 1) - len(directions))
    return tuple((key, each == "desc") for key, each in zip(keys or ["created_at"], directions, strict=True))


def _time(call: ComputeCall, name: str, since: Version = (2, 1)) -> int | None:
    value = call.query.get(name) if call.version >= since else None
    return None if value is None else parse_time(value, f"Query parameter {name}")


def _truth(name: str, value: str) -> bool:
    meant = meaning_of(value)
    if meant is None:
        raise bad_request(f"Query parameter {name}: expected true or false, got {value[:40]!r}.")
    return meant
