# -*- test-case-name: tests.protocols.rest.identity.test_projects -*-
"""Projects.  Source: Identity API v3, "Projects"."""

from __future__ import annotations

from cloudd.identity import Identity

from .._face import Call
from .._routes import Answer, route
from ._schemas import NewProjectDocument, ProjectChangeDocument
from ._shown import list_answer, page_answer, show_project
from ._values import exact_filters, given, home_domain, values_of


class ProjectRoutes:
    """``/v3/projects``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", "/v3/projects")
    async def list_projects(self, call: Call) -> Answer:
        """Filters: ``name``, ``domain_id``, ``parent_id``, ``enabled``; no project is a domain or has tags."""
        if call.query.flag("is_domain") or "tags" in call.query or "tags-any" in call.query:
            return list_answer(call, "projects", ("v3", "projects"), [], show_project)
        filters = exact_filters(call.query, ("name", "domain_id", "parent_id"), ("enabled",))
        page = await self._identity.projects.list(call.access, **filters)
        return page_answer(call, "projects", ("v3", "projects"), page, show_project)

    @route("POST", "/v3/projects")
    async def create(self, call: Call) -> Answer:
        """201 with the new project; without ``domain_id`` in the domain of the token's scope."""
        wanted = (await call.read(NewProjectDocument)).project
        values = {"domain_id": home_domain(call.access)} | given(values_of(wanted))
        project = await self._identity.projects.create(call.access, values)
        return Answer(201, {"project": show_project(project, call.links)})

    @route("GET", "/v3/projects/{project_id}")
    async def show(self, call: Call, project_id: str) -> Answer:
        """One project."""
        project = await self._identity.projects.get(call.access, project_id)
        return Answer(200, {"project": show_project(project, call.links)})

    @route("PATCH", "/v3/projects/{project_id}")
    async def update(self, call: Call, project_id: str) -> Answer:
        """200; disabling one refuses the tokens for it."""
        wanted = (await call.read(ProjectChangeDocument)).project
        project = await self._identity.projects.update(call.access, project_id, values_of(wanted))
        return Answer(200, {"project": show_project(project, call.links)})

    @route("DELETE", "/v3/projects/{project_id}")
    async def delete(self, call: Call, project_id: str) -> Answer:
        """204; assignments and credentials for it go with it, later what it has in the object store (a task)."""
        await self._identity.projects.delete(call.access, project_id)
        return Answer(204)

    @route("GET", "/v3/projects/{project_id}/tags")
    async def tags(self, call: Call, project_id: str) -> Answer:
        """No project has tags."""
        await self._identity.projects.get(call.access, project_id)
        return Answer(
            200, {"tags": [], "links": call.links.of_list(call.query, None, "v3", "projects", project_id, "tags")}
        )
