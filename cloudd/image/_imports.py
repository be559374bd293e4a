# -*- test-case-name: tests.image.test_imports -*-
"""
Imports: an image takes data that was staged (``glance-direct``) or lies elsewhere (``web-download``), as a task.

The image is ``importing`` while its task is open.  The task brings the data into the store under the image's data id,
looks at it, and lets the image be active; when it fails the data goes and the image is queued again.  The cause stands
with the task, which the image's owner may read.

A download begins anew when its process ends: it is one stream.  Each attempt has a data id of its own, so of two that
meet, since one was stopped for longer than its lease, neither touches the other's data.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from attrs import define
from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cloudd.identity import Access
from cloudd.interfaces.application import Resources
from cloudd.tasks import Fields, Kind, Retry, Step, Task, TaskFailed
from storage import IObjectStore, NoSuchContainer, NoSuchObject, StoreFull

from . import _policy, _rows
from ._data import DIGESTS, data_of, looked_at, looked_of, put_data
from ._errors import BadImageValue, ImageConflict, ImageError, SourceBroken
from ._facts import GLANCE_DIRECT, IMPORTING, UPLOADING, WEB_DOWNLOAD, Image
from ._fetch import Fetcher
from ._fresh import fresh_image
from ._import_rows import (
    IMPORT,
    ImportListing,
    ImportTask,
    begin_attempt,
    begin_import,
    end_import,
    give_up_import,
    imports_of,
    listed_imports,
    one_import,
    still_wanted,
)
from ._patch import missing_formats
from ._quota import UNLIMITED, Quota, room_for
from ._service import Images

SAVE_S: Final = 1.0
BREAKS: Final = 4  # downloads that have broken off in a row


@define(eq=False)
class Imports:
    """
    :param own_node: id of this node, where staged data lies and new data comes
    :param poke: called when a task was submitted
    """

    _resources: Resources
    _images: Images
    _fetcher: Fetcher
    _own_node: Callable[[], Awaitable[str]]
    _poke: Callable[[], object]

    @property
    def methods(self) -> Sequence[str]:
        """By which data can be imported here."""
        return (GLANCE_DIRECT, WEB_DOWNLOAD) if self._fetcher.sources else (GLANCE_DIRECT,)

    async def begin(self, access: Access, image_id: str, method: str, uri: str = "", request_id: str = "") -> Image:
        """
        The image takes its data from now on.

        :param method: one of ``methods``
        :param uri: of ``web-download``
        :return: the image, importing
        :raises SourceRefused: nothing is downloaded from there
        :raises ImageConflict: the image is in another state, its formats are not known, or its project has as many open
            imports as it may
        """
        image = await self._images.own(access, image_id)
        payload, facts = await self._order(access, image, method, uri, request_id)
        begun: Image = await self._resources.database.write(lambda c: begin_import(c, image, payload, **facts))
        self._poke()
        return begun

    async def into_new(self, access: Access, wanted: Image, uri: str, request_id: str = "") -> ImportTask:
        """
        An image that is made for what is behind a URL, with its download: both or none.

        :raises ImageError: see ``Images.create`` and ``begin``
        """
        _policy.enforce_all_imports(access)
        image = fresh_image(access, wanted)
        payload, facts = await self._order(access, image, WEB_DOWNLOAD, uri, request_id)

        def begin(connection: Connection) -> ImportTask:
            made = _rows.create(connection, image, self._images.quota)
            begun = begin_import(connection, made, payload, **facts)
            return one_import(connection, begun.import_task_id or "")

        task: ImportTask = await self._resources.database.write(begin)
        self._poke()
        return task

    async def _order(
        self, access: Access, image: Image, method: str, uri: str, request_id: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Payload and facts of the task."""
        self._check(image, method, uri)
        if missing := missing_formats(image):
            raise ImageConflict(f"Properties {missing} must be set prior to an import.")
        await self._images.make_container()
        settings = self._resources.settings.images
        payload = {
            "image": image.id,
            "data": image.data_id if method == GLANCE_DIRECT else uuid.uuid4().hex,
            "method": method,
            "uri": uri,
            "user_id": access.user_id,
        }
        facts: dict[str, Any] = {
            "request_id": request_id,
            "node_id": await self._node_of(image, method),
            "run_s": settings.web_download_timeout_s,
            "most_open": settings.open_imports,
        }
        return payload, facts

    async def _node_of(self, image: Image, method: str) -> str:
        """Staged data is taken where it lies, whoever was asked to."""
        staged_on = image.staged_on if method == GLANCE_DIRECT else None
        return staged_on or await self._own_node()

    def _check(self, image: Image, method: str, uri: str) -> None:
        if method == WEB_DOWNLOAD:
            self._fetcher.sources.place(uri)
        if method not in self.methods:
            raise BadImageValue(f"method.name: expected one of {', '.join(self.methods)}, got {method[:40]!r}.")
        if method == GLANCE_DIRECT and image.status != UPLOADING:
            raise ImageConflict(
                f"Image status transition from {image.status} to {IMPORTING} is not allowed: stage its data first."
            )

    async def of_image(self, access: Access, image_id: str) -> Sequence[ImportTask]:
        """
        Imports of an image that who asks may change, the latest first; for as long as tasks are kept.

        :raises ImageError: see ``Images.own``
        """
        image = await self._images.get(access, image_id)
        _policy.enforce_change(access, image)
        found: Sequence[ImportTask] = await self._resources.database.read(imports_of, image.id)
        return found

    async def page(self, access: Access, listing: ImportListing) -> Sequence[ImportTask]:
        """
        Imports of all projects.

        :raises ImageForbidden: it is for administrators
        :raises BadImageValue: the marker is none
        """
        _policy.enforce_all_imports(access)
        found: Sequence[ImportTask] = await self._resources.database.read(listed_imports, listing)
        return found

    async def one(self, access: Access, task_id: str) -> ImportTask:
        """
        :raises ImageForbidden: it is for administrators
        :raises NoSuchImport:
        """
        _policy.enforce_all_imports(access)
        found: ImportTask = await self._resources.database.read(one_import, task_id)
        return found

    def task_kinds(self) -> tuple[Kind, ...]:
        """Of this service."""
        return import_kinds(self._resources, self._images.store, self._fetcher, self._images.quota)


def import_kinds(resources: Any, store: IObjectStore, fetcher: Fetcher, quota: Quota = UNLIMITED) -> tuple[Kind, ...]:
    """
    The kind, on that store.

    :param resources: ``reactor`` and ``database``, the part of ``Resources`` that it uses
    """
    steps = _Steps(resources.reactor, resources.database, store, fetcher, quota)
    return (
        Kind(
            form=IMPORT,
            steps=(Step("data", steps.data), Step("use", steps.use)),
            retry=Retry(attempts=5, first_s=1.0, longest_s=30.0),
            undo=steps.undo,
            share=0.125,  # others' servers set their pace
        ),
    )


@define(eq=False)
class _Steps:
    """
    The steps.

    ``state``: ``data`` is the data id of this attempt, ``taken`` bytes, ``broken`` downloads, ``told`` what the
    project may read of why it fails, ``kept``: the image is active.
    """

    _reactor: Any
    _database: Any
    _store: IObjectStore
    _fetcher: Fetcher
    _quota: Quota

    async def data(self, task: Task) -> Fields | None:
        """Bring the data into the store."""
        if task.payload["method"] == WEB_DOWNLOAD and await self._facts(task) is None:
            await _or_failed(task, self._download(task))
        return None

    async def use(self, task: Task) -> Fields | None:
        """Look at it, and let the image be active."""
        if not task.state.get("kept"):
            await _or_failed(task, self._use(task))
        return {"size": task.state["size"]}

    async def undo(self, task: Task) -> Fields | None:
        """No data comes: delete what has, and let the image wait for another try."""
        if task.state.get("kept"):
            return None
        with suppress(NoSuchObject, NoSuchContainer):
            await self._store.delete_object(*data_of(_image(task)))
        await task.write(give_up_import, task.payload["image"], _data_id(task))
        return None

    async def _use(self, task: Task) -> None:
        image: Image = (await self._database.read(_rows.get, task.payload["image"], None))[0]
        facts = await self._facts(task)
        if facts is None:
            raise ImageConflict("The data that was staged is not there any more.")
        looked = looked_of(facts)
        looked.refuse_unfit(image)
        state = {"data": _data_id(task), "kept": True, "size": looked.size}
        await task.write(end_import, image.id, _data_id(task), looked.columns, self._quota, state=state)

    async def _facts(self, task: Task) -> Any:
        try:
            return await self._store.object(*data_of(_image(task)))
        except (NoSuchObject, NoSuchContainer):
            return None

    async def _download(self, task: Task) -> None:
        await self._begin_attempt(task)
        room = await self._database.read(room_for, task.payload["image"], self._quota)
        upload = await self._store.receive(DIGESTS)
        fetching = Deferred.fromCoroutine(
            self._fetcher.fetch(task.payload["uri"], upload, None if room is None else max(0, room))
        )
        ended = _End(self._reactor, fetching)
        try:
            while not await ended.within(SAVE_S):
                state = {**task.state, "taken": upload.size}
                wanted = task.payload["image"], _data_id(task)
                await task.write(still_wanted, *wanted, state=state, progress=upload.size)
            await put_data(self._store, _image(task), upload, await looked_at(upload))
        except BaseException as error:
            fetching.cancel()
            await upload.discard()
            if isinstance(error, SourceBroken):
                await _count_break(task, error)
            raise

    async def _begin_attempt(self, task: Task) -> None:
        present, fresh = _data_id(task), uuid.uuid4().hex
        state = {**task.state, "data": fresh}
        await task.write(begin_attempt, task.payload["image"], task.id, present, fresh, state=state)


class _End:
    """The end of some work, heard of by one callback however often it is waited for: await this and never the work."""

    def __init__(self, reactor: Any, work: Deferred[Any]) -> None:
        self._reactor = reactor
        self._failure: Failure | None = None
        self._has_come = False
        self._waiting: Deferred[None] | None = None
        work.addBoth(self._come)

    def _come(self, result: Any) -> None:
        self._has_come, self._failure = True, result if isinstance(result, Failure) else None
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    async def within(self, seconds: float) -> bool:
        """Whether it has come, told when it has or the time is over; what it failed with is raised."""
        if not self._has_come:
            waiting: Deferred[None] = Deferred()
            self._waiting = waiting
            timer = self._reactor.callLater(seconds, self._time_is_over)
            try:
                await waiting
            finally:
                self._waiting = None
                if timer.active():
                    timer.cancel()
        if self._failure is not None:
            self._failure.raiseException()
        return self._has_come

    def _time_is_over(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)


async def _count_break(task: Task, error: SourceBroken) -> None:
    """What breaks off has got on each time, so the engine does not count it as the same attempt again."""
    broken = task.state.get("broken", 0) + 1
    if broken >= BREAKS:
        await _fail(task, f"{error.cause} It was tried {broken} times.")
    await task.save({"data": _data_id(task), "broken": broken, "told": error.cause})


async def _or_failed(task: Task, work: Awaitable[None]) -> None:
    """What will not get better ends the task, with the cause in the service's own words."""
    try:
        await work
    except SourceBroken:
        raise
    except ImageError as error:
        await _fail(task, error.cause)
    except StoreFull:
        await _fail(task, "There is no room left for the data of images.")


async def _fail(task: Task, cause: str) -> NoReturn:
    """
    :raises TaskFailed: with a cause that the project reads, too
    """
    await task.save({**task.state, "told": cause})
    raise TaskFailed(cause)


def _image(task: Task) -> Image:
    """As far as its place in the store needs it."""
    return Image(id=task.payload["image"], project_id="", data_id=_data_id(task))


def _data_id(task: Task) -> str:
    """Of the latest attempt."""
    data_id: str = task.state.get("data") or task.payload["data"]
    return data_id
