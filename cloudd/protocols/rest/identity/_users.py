# -*- test-case-name: tests.protocols.rest.identity.test_users -*-
"""Users.  Source: Identity API v3, "Users"."""

from __future__ import annotations

from cloudd.identity import Identity, NotFound, Project

from .._face import Call
from .._routes import Answer, route
from ._schemas import NewUserDocument, PasswordChangeDocument, UserChangeDocument
from ._shown import list_answer, page_answer, show_project, show_user
from ._values import exact_filters, given, home_domain, values_of


class UserRoutes:
    """``/v3/users``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", "/v3/users")
    async def list_users(self, call: Call) -> Answer:
        """Filters: ``name``, ``domain_id``, ``enabled``."""
        page = await self._identity.users.list(
            call.access, **exact_filters(call.query, ("name", "domain_id"), ("enabled",))
        )
        return page_answer(call, "users", ("v3", "users"), page, show_user)

    @route("POST", "/v3/users")
    async def create(self, call: Call) -> Answer:
        """201 with the new user; without ``domain_id`` in the domain of the token's scope, without
        ``password`` unable to log in."""
        wanted = (await call.read(NewUserDocument)).user
        values = {"domain_id": home_domain(call.access)} | given(values_of(wanted))
        if (older := values.pop("project_id", None)) is not None:
            values.setdefault("default_project_id", older)
        user = await self._identity.users.create(call.access, values)
        return Answer(201, {"user": show_user(user, call.links)})

    @route("GET", "/v3/users/{user_id}")
    async def show(self, call: Call, user_id: str) -> Answer:
        """One user."""
        return Answer(200, {"user": show_user(await self._identity.users.get(call.access, user_id), call.links)})

    @route("PATCH", "/v3/users/{user_id}")
    async def update(self, call: Call, user_id: str) -> Answer:
        """200; a new password or disabling refuses the user's earlier tokens."""
        wanted = (await call.read(UserChangeDocument)).user
        user = await self._identity.users.update(call.access, user_id, values_of(wanted))
        return Answer(200, {"user": show_user(user, call.links)})

    @route("DELETE", "/v3/users/{user_id}")
    async def delete(self, call: Call, user_id: str) -> Answer:
        """204; assignments and credentials of the user go with them."""
        await self._identity.users.delete(call.access, user_id)
        return Answer(204)

    @route("POST", "/v3/users/{user_id}/password")
    async def change_password(self, call: Call, user_id: str) -> Answer:
        """204; the original password shows who asks, 401 when it is wrong."""
        wanted = (await call.read(PasswordChangeDocument)).user
        await self._identity.users.change_password(call.access, user_id, wanted.original_password, wanted.password)
        return Answer(204)

    @route("GET", "/v3/users/{user_id}/projects")
    async def projects(self, call: Call, user_id: str) -> Answer:
        """The projects on which the user has a role."""
        if user_id == call.access.user_id:
            projects = list(await self._identity.own.projects(call.access))
        else:
            projects = await self._projects_of(call, user_id)
        return list_answer(call, "projects", ("v3", "users", user_id, "projects"), projects, show_project)

    async def _projects_of(self, call: Call, user_id: str) -> list[Project]:
        await self._identity.users.get(call.access, user_id)
        assigned = await self._identity.assignments.list(call.access, user_id=user_id)
        projects = []
        for project_id in sorted({one.project_id for one in assigned.items if one.project_id is not None}):
            try:
                projects.append(await self._identity.projects.get(call.access, project_id))
            except NotFound:
                continue  # deleted since the assignments were read
        return projects

    @route("GET", "/v3/users/{user_id}/groups")
    async def groups(self, call: Call, user_id: str) -> Answer:
        """There are no groups, so nobody is in one."""
        await self._identity.users.get(call.access, user_id)
        links = call.links.of_list(call.query, None, "v3", "users", user_id, "groups")
        return Answer(200, {"groups": [], "links": links})
