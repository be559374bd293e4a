# -*- test-case-name: tests.protocols.rest.compute.test_quotas -*-
"""Quotas of projects, users and classes.  Source: Compute API, "Quota sets", "Quota class sets"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from cloudd import compute as service
from cloudd.compute import UNLIMITED
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._faults import bad_request
from .._projects import Projects
from .._routes import Answer, route
from ._call import ComputeCall, truth, whole
from ._versions import Members, Version

_NETWORK = ("fixed_ips", "floating_ips", "security_group_rules", "security_groups")
_FILES = ("injected_file_content_bytes", "injected_file_path_bytes", "injected_files")
_GROUPS = ("server_groups", "server_group_members")
_NO_FILES: dict[str, Version] = dict.fromkeys(_FILES, (2, 56))

SETS = Members(until={**dict.fromkeys(_NETWORK, (2, 35)), **_NO_FILES})
CLASSES = Members(since=dict.fromkeys(_GROUPS, (2, 50)), until={**dict.fromkeys(_NETWORK, (2, 49)), **_NO_FILES})

Limit = int | str | UnsetType
_MAX_ID = 64


class LimitsBody(Document):
    """Limits by resource; -1 is none."""

    instances: Limit = UNSET
    cores: Limit = UNSET
    ram: Limit = UNSET
    floating_ips: Limit = UNSET
    fixed_ips: Limit = UNSET
    metadata_items: Limit = UNSET
    key_pairs: Limit = UNSET
    security_groups: Limit = UNSET
    security_group_rules: Limit = UNSET
    injected_files: Limit = UNSET
    injected_file_content_bytes: Limit = UNSET
    injected_file_path_bytes: Limit = UNSET
    server_groups: Limit = UNSET
    server_group_members: Limit = UNSET

    def limits(self) -> dict[str, int]:
        """
        Those that were said.

        :raises Fault: 400: one is no whole number from -1 on
        """
        given = {name: getattr(self, name) for name in service.DEFAULTS}
        return {name: whole(name, value, UNLIMITED) for name, value in given.items() if value is not UNSET}


class QuotaBody(LimitsBody):
    """The same, and whether limits may be below what is in use."""

    force: bool | str = False


class QuotaRoutes:
    """``/v2.1/os-quota-sets`` and ``/v2.1/os-quota-class-sets``."""

    def __init__(self, database: Transactions, projects: Projects) -> None:
        self._database = database
        self._projects = projects

    @route("GET", "/v2.1/os-quota-sets/{project_id}")
    async def show(self, call: ComputeCall, project_id: str) -> Answer:
        """Limits of the project, or of its `user_id`."""
        quota = await self._quota(call, project_id)
        return _set(call, {"id": project_id, **quota.limits})

    @route("GET", "/v2.1/os-quota-sets/{project_id}/detail")
    async def detail(self, call: ComputeCall, project_id: str) -> Answer:
        """The same with what is in use."""
        quota = await self._quota(call, project_id)
        shown = {
            name: {"limit": limit, "in_use": quota.used[name], "reserved": 0} for name, limit in quota.limits.items()
        }
        return _set(call, {"id": project_id, **shown})

    @route("GET", "/v2.1/os-quota-sets/{project_id}/defaults")
    async def defaults(self, call: ComputeCall, project_id: str) -> Answer:
        """What a project has for which nothing was set."""
        await self._known(call, project_id)
        return _set(call, {"id": project_id, **await self._database.read(service.default_limits)})

    @route("PUT", "/v2.1/os-quota-sets/{project_id}")
    async def update(self, call: ComputeCall, project_id: str) -> Answer:
        """200 with what holds now, for the project or its `user_id`; for administrators."""
        service.enforce_admin(call.access, "os-quota-sets:update")
        call.only({"user_id"})
        body = await call.read_body("quota_set", QuotaBody, SETS)
        await self._known(call, project_id)
        quota = await self._database.write(
            service.set_quota, call.access, project_id, _user(call), body.limits(), force=truth("force", body.force)
        )
        return _set(call, quota.limits)

    @route("DELETE", "/v2.1/os-quota-sets/{project_id}")
    async def delete(self, call: ComputeCall, project_id: str) -> Answer:
        """202: the defaults hold again, also of a project that is gone; for administrators."""
        call.only({"user_id"})
        service.enforce_admin(call.access, "os-quota-sets:delete")
        await self._database.write(service.reset_quota, call.access, project_id, _user(call))
        return Answer(202)

    @route("GET", "/v2.1/os-quota-class-sets/{name}")
    async def show_class(self, call: ComputeCall, name: str) -> Answer:
        """What holds for all projects; for administrators."""
        limits = await self._database.read(service.class_limits, call.access)
        return Answer(200, {"quota_class_set": CLASSES.shown(call.version, {"id": name, **limits})})

    @route("PUT", "/v2.1/os-quota-class-sets/{name}")
    async def update_class(self, call: ComputeCall, name: str) -> Answer:
        """200 with what holds now for all projects; only class `default` has an effect; for administrators."""
        service.enforce_admin(call.access, "os-quota-class-sets:update")
        given = (await call.read_body("quota_class_set", LimitsBody, SETS)).limits()
        limits = await self._database.write(service.set_class, call.access, name, given)
        return Answer(200, {"quota_class_set": CLASSES.shown(call.version, limits)})

    async def _quota(self, call: ComputeCall, project_id: str) -> service.Quota:
        call.only({"user_id"})
        await self._known(call, project_id)
        return await self._database.read(service.quota_of, call.access, project_id, _user(call))

    async def _known(self, call: ComputeCall, project_id: str) -> None:
        service.enforce_read(call.access, "os-quota-sets:show", project_id)
        await self._projects.enforce(call.access, project_id)


def _user(call: ComputeCall) -> str:
    """
    Whose limits in the project are meant; empty: the project's own.

    :raises Fault: 400: nobody has such an id
    """
    user_id = call.query.get("user_id") or ""
    if len(user_id) > _MAX_ID:
        raise bad_request(f"Query parameter user_id: longer than {_MAX_ID} characters.")
    return user_id


def _set(call: ComputeCall, shown: Mapping[str, Any]) -> Answer:
    return Answer(200, {"quota_set": SETS.shown(call.version, shown)})
