# -*- test-case-name: tests.protocols.rest.network.test_quotas -*-
"""Quotas.  Source: Network API v2.0, "Quotas extension", "Quota details extension"."""

from __future__ import annotations

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from cloudd import network as service
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._face import Call
from .._projects import Projects
from .._routes import Answer, route
from ._reading import read_one


class QuotaBody(Document):
    network: int | UnsetType = UNSET
    subnet: int | UnsetType = UNSET
    port: int | UnsetType = UNSET
    security_group: int | UnsetType = UNSET
    security_group_rule: int | UnsetType = UNSET
    check_limit: bool = False
    force: bool = False


class QuotaRoutes:
    """``/v2.0/quotas``."""

    def __init__(self, database: Transactions, projects: Projects) -> None:
        self._database, self._projects = database, projects

    @route("GET", "/v2.0/quotas")
    async def list_quotas(self, call: Call) -> Answer:
        """For administrators: limits of projects that have some of their own."""
        found = await self._database.read(service.all_quotas, call.access)
        return Answer(200, {"quotas": [_owned(project_id, limits) for project_id, limits in found.items()]})

    @route("GET", "/v2.0/quotas/{project_id}")
    async def show(self, call: Call, project_id: str) -> Answer:
        """The limits of a project; -1: there is none."""
        return Answer(200, {"quota": await self._limits(call, project_id)})

    @route("GET", "/v2.0/quotas/{project_id}/default")
    async def defaults(self, call: Call, project_id: str) -> Answer:
        """The limits of a project for which nobody has said others."""
        await self._limits(call, project_id)
        return Answer(200, {"quota": dict(service.QUOTA_DEFAULTS)})

    @route("GET", "/v2.0/quotas/{project_id}/details")
    async def details(self, call: Call, project_id: str) -> Answer:
        """With what the project has; nothing is ever reserved."""
        found = await self._database.read(service.quota_details, call.access, project_id)
        await self._projects.enforce(call.access, project_id)
        shown = {name: {"limit": limit, "used": used, "reserved": 0} for name, (limit, used) in found.items()}
        return Answer(200, {"quota": shown})

    @route("PUT", "/v2.0/quotas/{project_id}")
    async def change(self, call: Call, project_id: str) -> Answer:
        """For administrators: other limits; those that are not named stay.  `check_limit`: not below what there is."""
        service.enforce_admin(call.access, "update_quota")
        body = await read_one(call, "quota", QuotaBody)
        await self._projects.enforce(call.access, project_id)
        wanted = {name: value for name, value in asdict(body).items() if name in service.QUOTA_DEFAULTS}
        given = {name: value for name, value in wanted.items() if value is not UNSET}
        checks = body.check_limit and not body.force
        limits = await self._database.write(
            lambda c: service.set_quota(c, call.access, project_id, given, checks=checks)
        )
        return Answer(200, {"quota": limits})

    @route("DELETE", "/v2.0/quotas/{project_id}")
    async def reset(self, call: Call, project_id: str) -> Answer:
        """For administrators: 204; the default limits again, also of a project that is gone."""
        await self._database.write(service.reset_quota, call.access, project_id)
        return Answer(204)

    async def _limits(self, call: Call, project_id: str) -> dict[str, int]:
        """
        :raises Fault: 400: there is no such project; who may not know is refused before
        """
        limits = await self._database.read(service.quota_of, call.access, project_id)
        await self._projects.enforce(call.access, project_id)
        return limits


def _owned(project_id: str, limits: dict[str, int]) -> dict[str, object]:
    return {**limits, "project_id": project_id, "tenant_id": project_id}
