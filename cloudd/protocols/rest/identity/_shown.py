# -*- test-case-name: tests.protocols.rest.identity -*-
"""How Identity API v3 shows records: exactly the members that Keystone gives, in one function for each resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

from cloudd.identity import Domain, Page, Project, Role, User

from .._face import Call
from .._query import Links, page_of
from .._routes import Answer

Record = TypeVar("Record")


def show_domain(domain: Domain, links: Links) -> dict[str, Any]:
    """One domain."""
    return {
        "id": domain.id,
        "name": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "tags": [],
        "options": {},
        "links": links.own("v3", "domains", domain.id),
    }


def show_project(project: Project, links: Links) -> dict[str, Any]:
    """One project; one at the top has its domain as parent."""
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "description": project.description,
        "enabled": project.enabled,
        "parent_id": project.parent_id,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": links.own("v3", "projects", project.id),
    }


def show_user(user: User, links: Links) -> dict[str, Any]:
    """One user; members that were never set are left out, as Keystone does."""
    shown: dict[str, Any] = {
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "enabled": user.enabled,
        "password_expires_at": None,
        "options": {},
        "links": links.own("v3", "users", user.id),
    }
    optional = {
        "default_project_id": user.default_project_id,
        "description": user.description,
        "email": user.email,
    }
    return shown | {name: value for name, value in optional.items() if value}


def show_role(role: Role, links: Links) -> dict[str, Any]:
    """One role; all of them are global."""
    return {
        "id": role.id,
        "name": role.name,
        "domain_id": None,
        "description": role.description,
        "options": {},
        "links": links.own("v3", "roles", role.id),
    }


def page_answer(
    call: Call,
    name: str,
    steps: tuple[str, ...],
    page: Page[Any],
    show: Callable[[Any, Links], dict[str, Any]],
) -> Answer:
    """200 with a page that the identity service cut; see ``list_answer``."""
    following = call.query.with_marker(page.items[-1].id) if page.truncated else None
    shown = [show(record, call.links) for record in page.items]
    return _page(call, {name: shown}, following, steps)


def list_answer(
    call: Call,
    name: str,
    steps: tuple[str, ...],
    records: Iterable[Record],
    show: Callable[[Record, Links], dict[str, Any]],
    key: Callable[[Any], str] = attrgetter("id"),
) -> Answer:
    """
    200 with one page of ``records``, which are all there are.

    :param name: the list's member in the answer
    :param steps: path of the list below the face, for its links
    """
    page, following = page_of(list(records), call.query, key)
    shown = [show(record, call.links) for record in page]
    return _page(call, {name: shown}, following, steps)


def _page(call: Call, listed: dict[str, Any], following: str | None, steps: tuple[str, ...]) -> Answer:
    """
    200 with a list, and where it goes on.

    Keystone gives all at once where nobody has set a limit, so openstacksdk does not look at ``links.next``; what it
    follows is a member ``next`` beside the list, as Glance has it.  A field ``Link`` it reads wrongly, and breaks off.
    """
    links = call.links.of_list(call.query, following, *steps)
    more = {"truncated": True, "next": links["next"]} if following else {}
    return Answer(200, {**listed, "links": links, **more})
