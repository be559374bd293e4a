# -*- test-case-name: tests.image.test_service -*-
"""
The image service: records, and their data in cloudd's own object store.

Data is one object each, in an account that no project has (``ACCOUNT``).  Each upload has an id of its own, under which
its object lies: of two that meet, the one whose id the image's row has is kept, and neither touches the other's data.
An upload whose process was killed is given up when it has said nothing for ``_holding.SILENT_S``.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.identity import Access
from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from storage import IObjectStore, IUpload, NoSuchContainer, NoSuchObject

from . import _member_rows, _policy, _rows
from ._data import ACCOUNT, CONTAINER, data_of, looked_at, put_data
from ._errors import BadImageValue, ImageError, ImageForbidden, NoSuchMember
from ._facts import (
    ACTIVE,
    DEACTIVATED,
    MAX_TAGS,
    MEMBER_STATUSES,
    PUBLIC,
    SAVING,
    SHARED,
    UPLOADING,
    Image,
    Member,
)
from ._fresh import fresh_image
from ._holding import held, silence_us
from ._patch import Operation, may_be_downloaded, missing_formats, patched, tags_in
from ._query import ImageQuery
from ._quota import Quota, Usage, room_for, usage_of
from ._records import image_record
from ._upkeep import Upkeep

log = Logger()


def _no_node() -> Awaitable[None]:
    return succeed(None)


@define(eq=False)
class Images:
    """
    :param store: where the data is
    :param own_node: id of this node, which keeps what is staged here
    :ivar upkeep: what the agent's worker does now and again
    """

    _resources: Resources
    store: IObjectStore
    _own_node: Callable[[], Awaitable[str | None]] = _no_node
    upkeep: Upkeep = field(init=False)
    _has_container: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.upkeep = Upkeep(self._resources, self.store)

    # ---- records

    async def create(self, access: Access, image: Image) -> Image:
        """
        :param image: as asked for, with an id that the client has chosen or an empty one
        :raises ImageError: see there
        """
        made: Image = await self._resources.database.write(_rows.create, fresh_image(access, image), self.quota)
        return made

    async def page(self, access: Access, query: ImageQuery) -> Sequence[Image]:
        """
        :raises NoSuchImage: the marker is none
        """
        _policy.enforce_read(access)
        found: Sequence[Image] = await self._resources.database.read(
            _rows.listed, query, access.project_id, admin=access.is_admin
        )
        return found

    async def get(self, access: Access, image_id: str) -> Image:
        """
        :raises NoSuchImage: also where who asks may not know of it
        """
        found: Image = await self._resources.database.read(image_record, access, image_id)
        return found

    async def update(self, access: Access, image_id: str, operations: Sequence[Operation]) -> Image:
        """
        :raises ImageError: see ``_patch.patched``
        """
        before = await self.own(access, image_id)
        after = patched(before, operations)
        if after.visibility == PUBLIC != before.visibility:
            _policy.enforce_publish(access)
        if after.project_id != before.project_id and not access.is_admin:
            raise ImageForbidden("Only administrators may give an image to another project.")
        if after == before:
            return before
        changed: Image = await self._resources.database.write(_rows.change, before, after)
        return changed

    async def delete(self, access: Access, image_id: str) -> None:
        """
        The record first: nobody finds the image any more.  Data whose deletion fails then is deleted by upkeep.

        :raises ImageForbidden: it is protected
        """
        image = await self.own(access, image_id)
        await self._resources.database.write(_rows.remove, image_id)
        await self.delete_data(image)

    async def set_tag(self, access: Access, image_id: str, tag: str) -> None:
        """
        :raises BadImageValue: it is too long, or there are too many
        """
        (tag,) = tags_in("tag", [tag])
        await self._change(access, image_id, lambda image: _with_tag(image, tag))

    async def remove_tag(self, access: Access, image_id: str, tag: str) -> None:
        """
        :raises NoSuchMember: it has none of that name
        """

        def without(image: Image) -> Image:
            if tag not in image.tags:
                raise NoSuchMember(f"Image {image_id} does not have the tag {tag}.")
            return evolve(image, tags=tuple(each for each in image.tags if each != tag))

        await self._change(access, image_id, without)

    async def deactivate(self, access: Access, image_id: str, *, active: bool) -> None:
        """
        Let nobody but administrators download it, or let everybody again; for its owners, as in Glance.

        :raises ImageConflict: it has no data yet
        """
        await self.own(access, image_id)
        wanted = ACTIVE if active else DEACTIVATED
        await self._resources.database.write(_rows.enter, image_id, wanted, (ACTIVE, DEACTIVATED))

    async def own(self, access: Access, image_id: str) -> Image:
        """
        An image that who asks may change.

        :raises NoSuchImage: also where who asks may not know of it
        :raises ImageForbidden: it may not be changed
        """
        image = await self.get(access, image_id)
        _policy.enforce_change(access, image)
        return image

    async def _change(self, access: Access, image_id: str, edit: Callable[[Image], Image]) -> None:
        before = await self.own(access, image_id)
        after = edit(before)
        if after != before:
            await self._resources.database.write(_rows.change, before, after)

    @property
    def quota(self) -> Quota:
        """Of every project."""
        settings = self._resources.settings.images
        return Quota(settings.quota_images, settings.quota_bytes)

    async def usage(self, access: Access) -> Usage:
        """
        What the project that asks has.

        :raises ImageForbidden: the token has no role in a project
        """
        _policy.enforce_read(access)
        found: Usage = await self._resources.database.read(usage_of, access.project_id or "")
        return found

    # ---- data

    async def begin_upload(self, access: Access, image_id: str) -> Image:
        """
        The image takes data from now on: ``keep`` or ``give_up`` ends that.

        :raises ImageConflict: it has some, or somebody else is at it
        :raises BadImageValue: its formats are not known yet
        """
        if missing := missing_formats(await self.own(access, image_id)):
            raise BadImageValue(f"Properties {missing} must be set prior to saving data.")
        return await self._begin(image_id, SAVING)

    async def begin_stage(self, access: Access, image_id: str) -> Image:
        """
        The same for data that waits for an import; its formats may be told later.

        :raises ImageConflict: it has some, or somebody else is at it
        """
        await self.own(access, image_id)
        return await self._begin(image_id, UPLOADING)

    async def make_container(self) -> None:
        """Make the place for data, if that was not done."""
        if not self._has_container:
            await self.store.create_container(ACCOUNT, CONTAINER, {})
            self._has_container = True

    async def _begin(self, image_id: str, status: str) -> Image:
        await self.make_container()
        lasts_us, data_id = silence_us(), uuid.uuid4().hex
        saving: Image = await self._resources.database.write(_rows.begin_upload, image_id, data_id, lasts_us, status)
        return saving

    def hold(self, image: Image) -> LoopingCall:
        """An upload goes on, until the timer is stopped."""
        return held(self._resources, image)

    async def room_for(self, image: Image) -> int | None:
        """How many bytes of data its project's quota leaves for an image; None: it sets no limit."""
        room: int | None = await self._resources.database.read(room_for, image.id, self.quota)
        return None if room is None else max(0, room)

    async def keep(self, image: Image, upload: IUpload) -> Image:
        """
        All data has come: look at it, keep it, and let the image be active, or wait for its import.

        :raises UnfitData: it is not what the image says, or harmful; nothing was kept
        :raises OverQuota: it is more than the project may have
        :raises ImageError: it was deleted meanwhile, or another upload has taken its place
        """
        found = await looked_at(upload)
        if image.status == SAVING:
            found.refuse_unfit(image)
        await put_data(self.store, image, upload, found)
        place, write = data_of(image)[2], self._resources.database.write
        try:
            kept: Image = await (
                write(_rows.end_stage, image.id, place, found.size, await self._own_node(), self.quota)
                if image.status == UPLOADING
                else write(_rows.end_upload, image.id, place, found.columns, self.quota)
            )
        except ImageError:
            await self.delete_data(image)
            raise
        return kept

    async def give_up(self, image: Image) -> None:
        """No data has come: it can be tried again."""
        await self._resources.database.write(_rows.give_up_upload, image.id, data_of(image)[2])

    async def resumed(self, image_id: str, data_id: str) -> Image:
        """
        Of an upload that goes on here; who sends it was found out where it began.

        :raises NoSuchImage: it was deleted meanwhile
        """
        found: Image = (await self._resources.database.read(_rows.get, image_id, None))[0]
        return evolve(found, data_id=data_id)

    async def to_download(self, access: Access, image_id: str) -> Image | None:
        """
        The image whose data (``data_of``) may be read; None: it has none yet.

        :raises ImageForbidden: it is deactivated
        """
        image = await self.get(access, image_id)
        _policy.enforce_download(access, image)
        return image if may_be_downloaded(image) else None

    async def delete_data(self, image: Image) -> None:
        """Delete what is in the store; what cannot be deleted now is left to upkeep."""
        if image.data_id is None:
            return
        try:
            await self.store.delete_object(*data_of(image))
        except (NoSuchObject, NoSuchContainer):
            return
        except Exception:
            log.failure("the data of image {image_id} is left over", image_id=image.id)

    # ---- members

    async def add_member(self, access: Access, image_id: str, project_id: str) -> Member:
        """
        :raises ImageForbidden: it is not shared
        :raises ImageConflict: with that project it is already
        """
        image = await self.own(access, image_id)
        _enforce_shared(image)
        member: Member = await self._resources.database.write(_member_rows.add_member, image_id, project_id)
        return member

    async def members(self, access: Access, image_id: str) -> Sequence[Member]:
        """All for the owner, for others what is theirs."""
        image = await self.get(access, image_id)
        _enforce_shared(image)
        found: Sequence[Member] = await self._resources.database.read(_member_rows.members_of, image_id)
        if access.is_admin or _policy.owns(access, image):
            return found
        return [each for each in found if each.project_id == access.project_id]

    async def member(self, access: Access, image_id: str, project_id: str) -> Member:
        """
        :raises NoSuchMember:
        """
        for each in await self.members(access, image_id):
            if each.project_id == project_id:
                return each
        raise NoSuchMember(f"Image {image_id} is not shared with {project_id}.")

    async def answer_share(self, access: Access, image_id: str, project_id: str, status: str) -> Member:
        """
        A project says whether it wants to see the image in its lists.

        :raises ImageForbidden: that is for the project itself to say
        """
        if status not in MEMBER_STATUSES:
            raise BadImageValue(f"status: expected one of {', '.join(MEMBER_STATUSES)}, got {status[:40]!r}.")
        await self.member(access, image_id, project_id)
        if access.project_id != project_id and not access.is_admin:
            raise ImageForbidden("Only the project with which an image is shared says whether it accepts it.")
        await self._resources.database.write(_member_rows.set_member, image_id, project_id, status)
        return await self.member(access, image_id, project_id)

    async def remove_member(self, access: Access, image_id: str, project_id: str) -> None:
        """
        :raises NoSuchMember:
        """
        image = await self.own(access, image_id)
        _enforce_shared(image)
        if not await self._resources.database.write(_member_rows.remove_member, image_id, project_id):
            raise NoSuchMember(f"Image {image_id} is not shared with {project_id}.")

    # ---- as one part of a generation

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing runs by itself."""

    def lead(self) -> None:
        """In the agent's worker, when this code was decided for: begin the upkeep.  Safe to call again."""
        if self._resources.role in ("agent", "all"):
            self.upkeep.start()

    def snapshot(self) -> dict[str, Any]:
        """Nothing here is worth keeping over a swap."""
        return {}

    def retire(self) -> None:
        """Stop the upkeep; requests in flight go on."""
        self.upkeep.stop()

    def health(self) -> list[PartHealth]:
        """Images are records and objects, which tell of themselves."""
        return [PartHealth("images", ok=True)]

    def self_check(self) -> Deferred[None]:
        """
        Read a record.

        :raises SelfCheckFailed:
        """
        return Deferred.fromCoroutine(self._self_check())

    async def _self_check(self) -> None:
        try:
            await self._resources.database.read(_rows.listed, ImageQuery(limit=1), None, admin=True)
        except Exception as error:
            raise SelfCheckFailed("cloudd.image", str(error) or type(error).__name__) from error


def _with_tag(image: Image, tag: str) -> Image:
    if tag in image.tags:
        return image
    if len(image.tags) >= MAX_TAGS:
        raise BadImageValue(f"An image has at most {MAX_TAGS} tags.")
    return evolve(image, tags=tuple(sorted((*image.tags, tag))))


def _enforce_shared(image: Image) -> None:
    if image.visibility != SHARED:
        raise ImageForbidden("Only shared images have members.")
