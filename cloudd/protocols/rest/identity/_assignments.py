# -*- test-case-name: tests.protocols.rest.identity -*-
"""Who has which role where.  Source: Identity API v3, "Roles": assignments."""

from __future__ import annotations

from typing import Any

from cloudd.identity import Assignment, Identity, Page

from .._face import Call
from .._faults import not_implemented
from .._query import Links
from .._routes import Answer, route
from ._shown import show_role

#: Query parameter -> argument of the identity service.
_FILTERS = {
    "user.id": "user_id",
    "role.id": "role_id",
    "scope.project.id": "project_id",
    "scope.domain.id": "domain_id",
}
#: Filters on what nobody has here: groups, the system, inherited roles.
_NOTHING = ("group.id", "scope.system", "scope.OS-INHERIT:inherited_to")


class AssignmentRoutes:
    """``/v3/role_assignments``, and grants on projects and domains."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", "/v3/role_assignments")
    async def list_assignments(self, call: Call) -> Answer:
        """Filters: ``user.id``, ``role.id``, ``scope.project.id``, ``scope.domain.id``; flags ``effective`` and
        ``include_names``."""
        if call.query.present("include_subtree"):
            raise not_implemented("include_subtree")
        names = call.query.present("include_names")
        page: Page[Assignment] = Page(items=())
        if not any(call.query.get(name) for name in _NOTHING):
            filters: dict[str, Any] = {
                argument: value for name, argument in _FILTERS.items() if (value := call.query.get(name))
            }
            effective = call.query.present("effective")
            page = await self._identity.assignments.list(call.access, **filters, effective=effective, names=names)
        shown = [_show(one, call.links, names=names) for one in page.items]
        links = call.links.of_list(call.query, None, "v3", "role_assignments")
        truncated = {"truncated": True} if page.truncated else {}
        return Answer(200, {"role_assignments": shown, "links": links} | truncated)

    @route("PUT", "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}")
    async def grant_on_project(self, call: Call, project_id: str, user_id: str, role_id: str) -> Answer:
        """204, also when the user has it already."""
        await self._identity.assignments.grant(call.access, role_id=role_id, user_id=user_id, project_id=project_id)
        return Answer(204)

    @route("GET", "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}")
    async def check_on_project(self, call: Call, project_id: str, user_id: str, role_id: str) -> Answer:
        """204 when the user has it, else 404."""
        await self._identity.assignments.check(call.access, role_id=role_id, user_id=user_id, project_id=project_id)
        return Answer(204)

    @route("DELETE", "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}")
    async def revoke_on_project(self, call: Call, project_id: str, user_id: str, role_id: str) -> Answer:
        """204; 404 when the user had it not."""
        await self._identity.assignments.revoke(call.access, role_id=role_id, user_id=user_id, project_id=project_id)
        return Answer(204)

    @route("GET", "/v3/projects/{project_id}/users/{user_id}/roles")
    async def roles_on_project(self, call: Call, project_id: str, user_id: str) -> Answer:
        """The roles given to the user on the project."""
        roles = await self._identity.assignments.roles(call.access, user_id=user_id, project_id=project_id)
        shown = [show_role(role, call.links) for role in roles]
        links = call.links.of_list(call.query, None, "v3", "projects", project_id, "users", user_id, "roles")
        return Answer(200, {"roles": shown, "links": links})

    @route("PUT", "/v3/domains/{domain_id}/users/{user_id}/roles/{role_id}")
    async def grant_on_domain(self, call: Call, domain_id: str, user_id: str, role_id: str) -> Answer:
        """204, also when the user has it already."""
        await self._identity.assignments.grant(call.access, role_id=role_id, user_id=user_id, domain_id=domain_id)
        return Answer(204)

    @route("GET", "/v3/domains/{domain_id}/users/{user_id}/roles/{role_id}")
    async def check_on_domain(self, call: Call, domain_id: str, user_id: str, role_id: str) -> Answer:
        """204 when the user has it, else 404."""
        await self._identity.assignments.check(call.access, role_id=role_id, user_id=user_id, domain_id=domain_id)
        return Answer(204)

    @route("DELETE", "/v3/domains/{domain_id}/users/{user_id}/roles/{role_id}")
    async def revoke_on_domain(self, call: Call, domain_id: str, user_id: str, role_id: str) -> Answer:
        """204; 404 when the user had it not."""
        await self._identity.assignments.revoke(call.access, role_id=role_id, user_id=user_id, domain_id=domain_id)
        return Answer(204)

    @route("GET", "/v3/domains/{domain_id}/users/{user_id}/roles")
    async def roles_on_domain(self, call: Call, domain_id: str, user_id: str) -> Answer:
        """The roles given to the user on the domain."""
        roles = await self._identity.assignments.roles(call.access, user_id=user_id, domain_id=domain_id)
        shown = [show_role(role, call.links) for role in roles]
        links = call.links.of_list(call.query, None, "v3", "domains", domain_id, "users", user_id, "roles")
        return Answer(200, {"roles": shown, "links": links})


def _show(one: Assignment, links: Links, *, names: bool) -> dict[str, Any]:
    kind, target_id = ("project", one.project_id) if one.project_id is not None else ("domain", one.domain_id)
    assert target_id is not None
    role: dict[str, Any] = {"id": one.role_id}
    user: dict[str, Any] = {"id": one.user_id}
    target: dict[str, Any] = {"id": target_id}
    if names:
        role["name"] = one.role_name
        user |= {"name": one.user_name, "domain": {"id": one.user_domain_id, "name": one.user_domain_name}}
        if kind == "project":
            domain = {"id": one.project_domain_id, "name": one.project_domain_name}
            target |= {"name": one.project_name, "domain": domain}
        else:
            target["name"] = one.domain_name
    link = links.to("v3", f"{kind}s", target_id, "users", one.user_id, "roles", one.role_id)
    return {"role": role, "user": user, "scope": {kind: target}, "links": {"assignment": link}}
