# -*- test-case-name: tests.protocols.rest.image.test_data -*-
"""
The data of images: direct handlers, since it is as long as it likes, and goes on in another process.

An upload is taken into the store while it is looked at; until its last byte has come it may go on elsewhere, and so may
a download at the byte that it has come to.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from attrs import frozen
from twisted.internet.defer import CancelledError

from cloudd.identity import Access, Identity, IdentityError
from cloudd.image import DIGESTS, Image, ImageError, Images, OverQuota, data_of
from cloudd.objects import UnsatisfiableRange, parse_range
from cloudd.protocols.http import BodyTooLarge, BodyTruncated, ClientGone, Request
from cloudd.protocols.moving import let_download_move, let_upload_move, resume_upload, told
from cloudd.protocols.readings import open_reading, send_reading
from reload import Snapshot, States
from storage import IReading, IUpload, StoreFull, UnknownState

from .._face import FaceFacts, RestFace, accident
from .._faults import Fault, bad_request
from .._tokens import access_of, fault_of
from ._faults import image_fault

ROUTES = {b"file": "/image/v2/images/{image_id}/file", b"stage": "/image/v2/images/{image_id}/stage"}
_PATH = re.compile(rb"/image/v2/images/([^/]+)/(file|stage)/?")
DATA_TYPE = b"application/octet-stream"

#: Of the states with which requests go on elsewhere.
PUT, PUT_VERSION = "image-put", 1
GET, GET_VERSION = "image-get", 1
STATES = States({PUT: PUT_VERSION, GET: GET_VERSION})


@frozen
class ImageData:
    """
    ``/v2/images/{image_id}/file`` and ``/stage``, whose data waits for an import and is not given back.

    :param face: whose words errors have
    """

    _images: Images
    _identity: Identity
    _face: RestFace
    _max_bytes: int

    def image_in(self, path: bytes) -> str | None:
        """Whose data a path means; None: it means something else."""
        found = _PATH.fullmatch(path)
        return None if found is None else unquote(found[1].decode("latin-1"))

    async def handle(self, request: Request) -> None:
        """Answer one request for data."""
        request.route = ROUTES[_kind_of(request)]
        facts: FaceFacts = self._face.facts
        try:
            if request.resumed is not None:
                await self._resume(request)
            else:
                await self._begin(request, await access_of(self._identity, request, facts.keystone))
        except ClientGone:
            return
        except CancelledError:
            raise
        except Exception as error:
            if request.started:
                raise
            self._face.refuse(request, _fault(error, request, facts.keystone))

    async def _begin(self, request: Request, access: Access) -> None:
        image_id = self.image_in(request.path) or ""
        if request.method == b"PUT":
            await self._put(request, access, image_id)
        elif request.method in (b"GET", b"HEAD") and _kind_of(request) == b"file":
            await self._get(request, access, image_id)
        else:
            allowed = "GET, PUT" if _kind_of(request) == b"file" else "PUT"
            words = f"The method is not allowed here; allowed: {allowed}."
            raise Fault(405, words, headers=[(b"Allow", allowed.encode())])

    async def _resume(self, request: Request) -> None:
        state: Snapshot | None = request.state
        kind = state.kind if state is not None else ""
        if kind == PUT:
            told_put = told(request, PUT, PUT_VERSION)
            upload = await resume_upload(request, self._images.store, told_put, DIGESTS)
            await self._take(request, await self._images.resumed(told_put["image"], told_put["data"]), upload)
        elif kind == GET:
            told_get = told(request, GET, GET_VERSION)
            reading = self._images.store.resume_reading(told_get["source"], request.resumed_descriptors)
            await self._send(request, reading, *told_get["part"])
        else:
            raise UnknownState(f"no request for an image goes on here with {kind!r}")

    # ---- PUT

    async def _put(self, request: Request, access: Access, image_id: str) -> None:
        sent = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if sent != DATA_TYPE:
            raise Fault(415, f"The Content-Type of data is {DATA_TYPE.decode()}, not {sent.decode('latin-1')[:80]!r}.")
        begin = self._images.begin_stage if _kind_of(request) == b"stage" else self._images.begin_upload
        image = await begin(access, image_id)
        try:
            upload = await self._images.store.receive(DIGESTS, request.body.length)
        except BaseException:
            await self._images.give_up(image)
            raise
        await self._take(request, image, upload)

    async def _take(self, request: Request, image: Image, upload: IUpload) -> None:
        """Take the body, or the rest of it; the image is queued again when anything about it is wrong."""
        moved: list[bool] = []
        let_upload_move(
            request,
            upload,
            PUT,
            PUT_VERSION,
            lambda: {"image": image.id, "data": image.data_id},
            lambda: moved.append(True),
        )
        holding = self._images.hold(image)
        try:
            await self._receive(request, image, upload)
            await self._images.keep(image, upload)
        except BaseException:
            await upload.discard()
            if not moved:
                await self._images.give_up(image)
            raise
        finally:
            holding.stop()
        request.respond(204, [])

    async def _receive(self, request: Request, image: Image, upload: IUpload) -> None:
        """
        :raises OverQuota: no more than its project has room for was taken
        :raises BodyTooLarge: it is longer than any image's data may be
        """
        room = await self._images.room_for(image)
        if room is None or room >= self._max_bytes:
            await request.body.stream_to(upload, self._max_bytes)
            return
        try:
            await request.body.stream_to(upload, room)
        except BodyTooLarge:
            raise OverQuota.by_more_than(room) from None

    # ---- GET

    async def _get(self, request: Request, access: Access, image_id: str) -> None:
        image = await self._images.to_download(access, image_id)
        if image is None:
            request.respond(204, [])
            return
        reading = await open_reading(self._images.store, *data_of(image))
        size: int = reading.facts.size
        try:
            start, length, partial = _part(request.header(b"range"), size)
            headers = [(b"Content-Type", DATA_TYPE), (b"Accept-Ranges", b"bytes")]
            if partial:
                headers.append((b"Content-Range", b"bytes %d-%d/%d" % (start, start + length - 1, size)))
            elif image.checksum:
                headers.append((b"Content-MD5", image.checksum.encode()))
            request.start(206 if partial else 200, headers, length)
        except BaseException:
            reading.close()
            raise
        await self._send(request, reading, start, length)

    async def _send(self, request: Request, reading: IReading, start: int, length: int) -> None:
        """What is left of an answer whose head was sent, here or in another process."""
        try:
            let_download_move(request, reading, GET, GET_VERSION, lambda: {"part": [start, length]})
            skip = request.sent_bytes
            await send_reading(request, reading, start + skip, length - skip)
            request.finish()
        finally:
            reading.close()


def _kind_of(request: Request) -> bytes:
    """``file`` or ``stage``."""
    found = _PATH.fullmatch(request.path)
    return b"file" if found is None else found[2]


def _part(header: bytes | None, size: int) -> tuple[int, int, bool]:
    """
    Start and length of what is asked for, and whether it is a part.

    :raises UnsatisfiableRange:
    :raises Fault: 400 for several parts
    """
    ranges = None if header is None else parse_range(header, size)
    if ranges is None:
        return 0, size, False
    if len(ranges) != 1:
        raise bad_request("One range of an image can be asked for at a time.")
    return ranges[0].start, ranges[0].length, True


def _fault(error: Exception, request: Request, keystone: str) -> Fault:
    if isinstance(error, Fault):
        return error
    if isinstance(error, ImageError):
        return image_fault(error)
    if isinstance(error, IdentityError):
        return fault_of(error, keystone)
    return next((fault for kind, fault in _FAULTS if isinstance(error, kind)), None) or accident(request)


_FAULTS = (
    (BodyTooLarge, Fault(413, "The data is longer than an image may be here: the image is queued again.")),
    (BodyTruncated, bad_request("The data ended before its declared length: the image is queued again.")),
    (StoreFull, Fault(413, "There is no room left for the data of images: the image is queued again.")),
    (UnsatisfiableRange, Fault(416, "The image has no such bytes.")),
)
