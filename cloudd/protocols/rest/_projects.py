# -*- test-case-name: tests.protocols.rest.network.test_quotas -*-
"""Whether there is a project of an id that an administrator names."""

from __future__ import annotations

from attrs import frozen

from cloudd.identity import Access, Identity
from cloudd.identity import NotFound as NoSuchProject

from ._faults import bad_request


@frozen
class Projects:
    """Asked by who may ask: one's own project, and for administrators any."""

    _identity: Identity

    async def enforce(self, access: Access, project_id: str) -> None:
        """
        :raises Fault: 400: there is none
        """
        if project_id == access.project_id:
            return
        try:
            await self._identity.projects.get(access, project_id)
        except NoSuchProject:
            raise bad_request(f"Project ID {project_id[:64]} is not a valid project.") from None
