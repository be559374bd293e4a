"""Tokens of four users and the projects that these are of, as faces ask the identity service for them."""

from __future__ import annotations

from attrs import frozen

from cloudd.identity import Access
from cloudd.identity import NotFound as NoSuchProject
from tests.protocols.swift.face import FourTokens

PROJECTS = ("p0", "p1", "p2")


@frozen
class ThreeProjects:
    """Projects as the identity service has them."""

    async def get(self, access: Access, project_id: str) -> str:
        if project_id not in PROJECTS:
            raise NoSuchProject("project", project_id)
        return project_id


class Tokens(FourTokens):
    """With the projects that their users are of."""

    def __init__(self) -> None:
        super().__init__()
        self.projects = ThreeProjects()
