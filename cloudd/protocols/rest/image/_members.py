# -*- test-case-name: tests.protocols.rest.image.test_members -*-
"""Sharing images with other projects.  Source: Image API v2, "Sharing"."""

from __future__ import annotations

from cloudd.image import Images

from .._documents import Document, Id
from .._face import Call
from .._routes import Answer, route
from ._shown import SCHEMA, show_member


class NewMember(Document):
    """With whom it is shared."""

    member: Id


class MemberAnswer(Document):
    """What the project says to that."""

    status: str


class MemberRoutes:
    """``/v2/images/{image_id}/members``."""

    def __init__(self, images: Images) -> None:
        self._images = images

    @route("GET", "/v2/images/{image_id}/members")
    async def list_members(self, call: Call, image_id: str) -> Answer:
        """All for the owner; for another project its own."""
        found = await self._images.members(call.access, image_id)
        return Answer(200, {"members": [show_member(each) for each in found], "schema": f"{SCHEMA}/members"})

    @route("POST", "/v2/images/{image_id}/members")
    async def add(self, call: Call, image_id: str) -> Answer:
        """200: shared, and pending until the project accepts it."""
        wanted = await call.read(NewMember)
        return Answer(200, show_member(await self._images.add_member(call.access, image_id, wanted.member)))

    @route("GET", "/v2/images/{image_id}/members/{project_id}")
    async def show(self, call: Call, image_id: str, project_id: str) -> Answer:
        """One member."""
        return Answer(200, show_member(await self._images.member(call.access, image_id, project_id)))

    @route("PUT", "/v2/images/{image_id}/members/{project_id}")
    async def answer(self, call: Call, image_id: str, project_id: str) -> Answer:
        """200: it is in the project's lists when it has accepted it."""
        wanted = await call.read(MemberAnswer)
        member = await self._images.answer_share(call.access, image_id, project_id, wanted.status)
        return Answer(200, show_member(member))

    @route("DELETE", "/v2/images/{image_id}/members/{project_id}")
    async def remove(self, call: Call, image_id: str, project_id: str) -> Answer:
        """204: it is not shared with that project any more."""
        await self._images.remove_member(call.access, image_id, project_id)
        return Answer(204)
