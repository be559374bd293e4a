# -*- test-case-name: tests.protocols.rest.identity.test_documentation -*-
"""The route table of the documents, from the declarations; a test compares it with ``docs/identity.md``."""

from __future__ import annotations

from collections.abc import Iterator

from .._routes import Declared, RouteMethod, routes_of
from ._absent import ABSENT
from ._assignments import AssignmentRoutes
from ._catalog import CatalogRoutes
from ._credentials import CredentialRoutes
from ._discovery import DiscoveryRoutes
from ._domains import DomainRoutes
from ._projects import ProjectRoutes
from ._roles import RoleRoutes
from ._tokens import TokenRoutes
from ._users import UserRoutes

#: The route classes of the face, in the order of the documents.
SUBJECTS: tuple[type, ...] = (
    DiscoveryRoutes,
    TokenRoutes,
    CatalogRoutes,
    DomainRoutes,
    ProjectRoutes,
    UserRoutes,
    CredentialRoutes,
    RoleRoutes,
    AssignmentRoutes,
)


def tables() -> str:
    """Two Markdown tables: what is served, and what answers 501."""
    return "\n".join([*_served(), "", *_absent(), ""])


def _served() -> Iterator[str]:
    yield "| Method | Path | Token | Answer |"
    yield "|---|---|---|---|"
    for subject in SUBJECTS:
        for declared, method in routes_of(subject):
            yield _row(declared, method)


def _row(declared: Declared, method: RouteMethod) -> str:
    meaning = " ".join((method.__doc__ or "").split()).replace("``", "`").replace("|", "\\|")
    token = "yes" if declared.token else "no"
    return f"| {declared.method} | `/identity{declared.template}` | {token} | {meaning} |"


def _absent() -> Iterator[str]:
    yield "| Path, and below it | What it would be |"
    yield "|---|---|"
    for template, what in ABSENT.items():
        yield f"| `/identity{template}` | {what} |"
