# -*- test-case-name: tests.protocols.test_moving -*-
"""
Uploads and downloads of objects that go on in another process; for both faces of the object store.

A handler says what it is in a state of a kind and a version of its own (``STATES`` beside it, with the steps to other
versions), so that a change of code that could not go on with it is refused before anything moves.  Who sent the
request was found out where it began and is not asked again: its token or signature may have expired since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from cloudd.protocols.http import NotExportable, Request
from storage import Hasher, IObjectStore, IUpload, NotTellable, UnknownState

More = Callable[[], dict[str, Any]]


class Source(Protocol):
    """What a download sends: an open object, or more than one."""

    def tell(self) -> dict[str, Any]:
        """What it takes to open it again, as plain data."""

    def descriptors(self) -> tuple[int, ...]:
        """The open files that belong to it."""

    def close(self) -> None:
        """Close them.  Safe more than once."""


def _nothing_more() -> dict[str, Any]:
    return {}


def told(request: Request, kind: str, version: int) -> dict[str, Any]:
    """
    The state with which ``request`` goes on; the kernel has converted it to the version that the handler reads.

    :raises UnknownState: it was told by something else
    """
    state = request.resumed
    assert request.state is not None
    assert state is not None
    if (request.state.kind, request.state.version) != (kind, version):
        raise UnknownState(f"{kind} {version} cannot go on with {request.state.kind} {request.state.version}")
    return state


def let_upload_move(
    request: Request,
    upload: IUpload,
    kind: str,
    version: int,
    more: More = _nothing_more,
    moved: Callable[[], object] = lambda: None,
) -> None:
    """
    From now on, and as long as its body has not ended, ``request`` can go on elsewhere.

    What comes after the body is short, and is not left half done: it ends here.

    :param more: further state of the handler
    :param moved: called when it goes on elsewhere, before the handler is cancelled
    """

    def abandon() -> None:
        moved()
        upload.abandon()

    def tell() -> dict[str, Any]:
        if request.body.ended:
            raise NotExportable("the upload's last bytes have come, and it is getting its name")
        try:
            return {"upload": upload.tell(), **more()}
        except NotTellable as error:
            raise NotExportable(str(error)) from None

    request.can_move(tell, abandon, upload.descriptors, state=(kind, version))


def resume_upload(
    request: Request, store: IObjectStore, state: Mapping[str, Any], digests: Mapping[str, Callable[[], Hasher]]
) -> Deferred[IUpload]:
    """
    The upload of a request that goes on here.

    :param state: as ``told``
    :raises UnknownState:
    """
    resumed: Deferred[IUpload] = store.resume_upload(state["upload"], request.resumed_descriptors, digests)
    return resumed


def let_download_move(request: Request, source: Source, kind: str, version: int, more: More = _nothing_more) -> None:
    """
    From now on ``request``, whose answer has been started, can go on elsewhere at the byte that it has come to.

    :param source: in the state under ``source``
    """

    def tell() -> dict[str, Any]:
        return {"source": source.tell(), **more()}

    request.can_move(tell, source.close, source.descriptors, state=(kind, version))
