# -*- test-case-name: tests.protocols.rest.compute.test_flavors -*-
"""Which projects may use a private flavor.  Source: Compute API, "Flavors access"."""

from __future__ import annotations

from collections.abc import Sequence

from cloudd import compute as service
from cloudd.interfaces.application import Transactions

from .._documents import Document, Id
from .._projects import Projects
from .._routes import Answer, route
from ._call import ComputeCall, invalid


class TenantBody(Document):
    """Which project."""

    tenant: Id


_ADD = "addTenantAccess"
_ACTIONS = {_ADD: service.allow, "removeTenantAccess": service.disallow}


class FlavorAccessRoutes:
    """``/v2.1/flavors/{id}/os-flavor-access`` and ``/action``."""

    def __init__(self, database: Transactions, projects: Projects) -> None:
        self._database = database
        self._projects = projects

    @route("GET", "/v2.1/flavors/{flavor_id}/os-flavor-access")
    async def list_access(self, call: ComputeCall, flavor_id: str) -> Answer:
        """The projects of a private flavor; 404 for a public one; for administrators."""
        return _shown(flavor_id, await self._database.read(service.projects_of, call.access, flavor_id))

    @route("POST", "/v2.1/flavors/{flavor_id}/action")
    async def action(self, call: ComputeCall, flavor_id: str) -> Answer:
        """`addTenantAccess`, `removeTenantAccess`: 200 with the projects that may use it; for administrators."""
        service.enforce_admin(call.access, "os-flavor-access")
        body = await call.read_object()
        if len(body) != 1 or (name := next(iter(body))) not in _ACTIONS:
            raise invalid(f"One of the actions {', '.join(_ACTIONS)} is meant")
        project_id = call.converted(name, body[name], TenantBody).tenant
        if name == _ADD:  # from one that is gone it can be taken
            await self._projects.enforce(call.access, project_id)
        return _shown(flavor_id, await self._database.write(_ACTIONS[name], call.access, flavor_id, project_id))


def _shown(flavor_id: str, project_ids: Sequence[str]) -> Answer:
    return Answer(200, {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": each} for each in project_ids]})
