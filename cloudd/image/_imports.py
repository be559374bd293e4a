# -*- test-case-name: tests.image.test_imports -*-
"""
Imports: an image takes data that was staged (``glance-direct``) or lies elsewhere (``web-download``), as a task.

The image is ``importing`` while its task is open.  The task brings the data into the store under the image's data id,
looks at it, and lets the image be active; when it fails the data goes and the image is queued again.  The cause stands
with the task, which the image's owner may read.

A download begins anew when its process ends: it is one stream.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define
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
from ._import_rows import IMPORT, ImportTask, begin_import, end_import, give_up_import, imports_of
from ._patch import missing_formats
from ._quota import UNLIMITED, Quota
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
        :raises ImageConflict: the image is in another state, or its formats are not known
        """
        image = await self._images.own(access, image_id)
        self._check(image, method, uri)
        if missing := missing_formats(image):
            raise ImageConflict(f"Properties {missing} must be set prior to an import.")
        await self._images.make_container()
        payload = {
            "image": image.id,
            "data": image.data_id if method == GLANCE_DIRECT else uuid.uuid4().hex,
            "method": method,
            "uri": uri,
            "user_id": access.user_id,
        }
        facts = {
            "request_id": request_id,
            "node_id": await self._own_node(),
            "limit_s": self._resources.settings.images.web_download_timeout_s,
        }
        begun: Image = await self._resources.database.write(lambda c: begin_import(c, image, payload, **facts))
        self._poke()
        return begun

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
        ),
    )


@define(eq=False)
class _Steps:
    """The steps.  ``state``: ``taken`` bytes, ``broken`` downloads, ``kept``: the image is active."""

    _reactor: Any
    _database: Any
    _store: IObjectStore
    _fetcher: Fetcher
    _quota: Quota

    async def data(self, task: Task) -> Fields | None:
        """Bring the data into the store."""
        if task.payload["method"] == WEB_DOWNLOAD and await self._facts(task) is None:
            await _or_failed(self._download(task))
        return None

    async def use(self, task: Task) -> Fields | None:
        """Look at it, and let the image be active."""
        if not task.state.get("kept"):
            await _or_failed(self._use(task))
        return {"size": task.state["size"]}

    async def undo(self, task: Task) -> Fields | None:
        """No data comes: delete what has, and let the image wait for another try."""
        if task.state.get("kept"):
            return None
        with suppress(NoSuchObject, NoSuchContainer):
            await self._store.delete_object(*data_of(_image(task)))
        await task.write(give_up_import, task.payload["image"], task.payload["data"])
        return None

    async def _use(self, task: Task) -> None:
        image: Image = (await self._database.read(_rows.get, task.payload["image"], None))[0]
        facts = await self._facts(task)
        if facts is None:
            raise TaskFailed("the data that was staged is not there any more")
        looked = looked_of(facts)
        looked.refuse_unfit(image)
        state = {"kept": True, "size": looked.size}
        await task.write(end_import, image.id, task.payload["data"], looked.columns, self._quota, state=state)

    async def _facts(self, task: Task) -> Any:
        try:
            return await self._store.object(*data_of(_image(task)))
        except (NoSuchObject, NoSuchContainer):
            return None

    async def _download(self, task: Task) -> None:
        upload = await self._store.receive(DIGESTS)
        fetching = Deferred.fromCoroutine(self._fetcher.fetch(task.payload["uri"], upload))
        try:
            while not await _ends_within(self._reactor, fetching, SAVE_S):
                await task.save({**task.state, "taken": upload.size}, progress=upload.size)
            await put_data(self._store, _image(task), upload, await looked_at(upload))
        except BaseException as error:
            fetching.addErrback(lambda _: None)
            fetching.cancel()
            await upload.discard()
            if isinstance(error, SourceBroken):
                await _count_break(task, error)
            raise


async def _count_break(task: Task, error: SourceBroken) -> None:
    """What breaks off has got on each time, so the engine does not count it as the same attempt again."""
    broken = task.state.get("broken", 0) + 1
    if broken >= BREAKS:
        raise TaskFailed(f"{error.cause} It was tried {broken} times.")
    await task.save({"broken": broken})


async def _or_failed(work: Awaitable[None]) -> None:
    """What will not get better ends the task, with the cause in the service's own words."""
    try:
        await work
    except SourceBroken:
        raise
    except ImageError as error:
        raise TaskFailed(error.cause) from None
    except StoreFull:
        raise TaskFailed("there is no room left for the data of images") from None


def _ends_within(reactor: Any, work: Deferred[Any], seconds: float) -> Deferred[bool]:
    """Fires with whether it has ended when that is known, or fails as it has: await this and never ``work`` itself."""
    found: Deferred[bool] = Deferred()
    timer = reactor.callLater(seconds, found.callback, False)

    def ended(result: Any) -> Any:
        if timer.active():
            timer.cancel()
            found.callback(result if isinstance(result, Failure) else True)
            return None
        return result

    work.addBoth(ended)
    return found


def _image(task: Task) -> Image:
    """As far as its place in the store needs it."""
    return Image(id=task.payload["image"], project_id="", data_id=task.payload["data"])
