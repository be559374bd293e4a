# -*- test-case-name: tests.protocols.rest.identity.test_documentation -*-
"""The subjects of the face, in the order of the documents."""

from __future__ import annotations

from ._assignments import AssignmentRoutes
from ._catalog import CatalogRoutes
from ._credentials import CredentialRoutes
from ._discovery import DiscoveryRoutes
from ._domains import DomainRoutes
from ._projects import ProjectRoutes
from ._roles import RoleRoutes
from ._tokens import TokenRoutes
from ._users import UserRoutes

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
