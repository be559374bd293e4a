# -*- test-case-name: tests.protocols.swift.test_copies -*-
"""
Copies inside the store: ``COPY`` with ``Destination``, ``PUT`` with ``X-Copy-From``.

No data moves, except for a dynamic large object: its copy is one plain object, as in Swift, and is read and written
piece by piece.  Conditions judge the source; ``If-None-Match: *`` judges the destination.
"""

from __future__ import annotations

from contextlib import aclosing
from urllib.parse import quote

from attrs import evolve, frozen

from cloudd.objects import (
    Action,
    Conditions,
    Verdict,
    check_account_name,
    check_object_name,
    md5,
)
from cloudd.protocols.http import Header
from storage import IUpload, NoSuchObject, ObjectFacts, Precondition

from ._answers import Refusal, answer, bad_request, not_served
from ._call import Call
from ._contents import SegmentedContents, read_pieces
from ._formats import header_date
from ._metadata import MANIFEST, kept_metadata, object_headers, read_changes, read_object_metadata
from ._object_reads import segments_of, whole_seconds
from ._paths import Place, decode, is_true, parse_header_path
from ._upload_headers import choose_content_type, created_headers, read_manifest, refuse_parameters, too_large

TRIES = 4


async def copy_object(call: Call) -> None:
    """COPY: copy the object of the path to ``Destination``."""
    header = call.request.header
    destination = header(b"destination")
    if not destination:
        raise Refusal(412, "Destination header required", plain=True)
    refuse_parameters(call.query)
    account = _account(header(b"destination-account")) or call.place.account
    await _copy(call, call.place, Place(account, *parse_header_path(destination, "Destination")))


async def put_copy(call: Call) -> None:
    """PUT with ``X-Copy-From``: another object to the one of the path, which the client may write."""
    header = call.request.header
    if call.request.body.length:
        raise bad_request("Copy requests require a zero byte body")
    account = _account(header(b"x-copy-from-account")) or call.place.account
    await _copy(call, Place(account, *parse_header_path(header(b"x-copy-from") or b"", "X-Copy-From")), call.place)


async def _copy(call: Call, source: Place, destination: Place) -> None:
    check_object_name(destination.object)
    await call.authorize(Action.READ_OBJECT, source.account, source.container)
    await call.authorize(Action.WRITE_OBJECT, destination.account, destination.container)
    if call.request.header(b"range"):
        raise not_served("Copying a range")
    sent = _Sent.read(call)
    await call.store.container(destination.account, destination.container)
    for tries in range(TRIES, 0, -1):
        facts = await call.store.object(source.account, source.container, source.object)
        try:
            created = await _copy_version(call, source, facts, destination, sent)
        except NoSuchObject:
            # Another version of the source came in between; it is asked for again.
            if tries == 1:
                raise
            continue
        answer(call.request, 201, [*created_headers(created), *_copied_headers(source, facts, created)])
        return


@frozen
class _Sent:
    """What the request says about the copy; ``changes`` with None removes a key."""

    changes: dict[str, str | None]
    content_type: str
    fresh: bool
    conditions: Conditions
    precondition: Precondition | None

    @classmethod
    def read(cls, call: Call) -> _Sent:
        request = call.request
        changes: dict[str, str | None] = {
            **read_changes(request.headers, "object"),
            **read_object_metadata(request.headers),
            **read_manifest(request),
        }
        conditions = Conditions.from_headers(request.header)
        precondition = None
        if conditions.if_none_match is not None and conditions.if_none_match.anything:
            conditions, precondition = evolve(conditions, if_none_match=None), Precondition(if_absent=True)
        return cls(
            changes=changes,
            content_type=choose_content_type(request, "") if request.header(b"content-type") else "",
            fresh=is_true((request.header(b"x-fresh-metadata") or b"").decode("latin-1")),
            conditions=conditions,
            precondition=precondition,
        )

    def metadata(self, facts: ObjectFacts, same_bytes: bool) -> dict[str, str]:
        """The copy's whole metadata; without the source's manifest and checksums when its bytes are others."""
        of_data = kept_metadata(facts.metadata)
        if same_bytes and MANIFEST in facts.metadata:
            of_data[MANIFEST] = facts.metadata[MANIFEST]
        of_users = {key: value for key, value in facts.metadata.items() if key.startswith(("meta:", "header:"))}
        merged = {**(of_data if same_bytes else {}), **({} if self.fresh else of_users), **self.changes}
        return {key: value for key, value in merged.items() if value is not None}


async def _copy_version(call: Call, source: Place, facts: ObjectFacts, destination: Place, sent: _Sent) -> ObjectFacts:
    _judge(sent.conditions, facts)
    segmented = await segments_of(call, facts, source.account)
    content_type = sent.content_type or facts.content_type
    metadata = sent.metadata(facts, same_bytes=segmented is None)
    if segmented is not None:
        upload, etag = await _join(call, segmented)
        return await call.store.put_object(
            destination.account,
            destination.container,
            destination.object,
            upload,
            etag=etag,
            content_type=content_type,
            metadata=metadata,
            precondition=sent.precondition,
        )
    return await call.store.copy_object(
        facts,
        destination.account,
        destination.container,
        destination.object,
        content_type=content_type,
        metadata=metadata,
        precondition=sent.precondition,
    )


def _judge(conditions: Conditions, facts: ObjectFacts) -> None:
    verdict = conditions.evaluate(facts.etag, whole_seconds(facts.modified_us), reading=True)
    if verdict is Verdict.FAILED:
        raise Refusal(412)
    if verdict is Verdict.NOT_MODIFIED:
        raise Refusal(304)


async def _join(call: Call, segmented: SegmentedContents) -> tuple[IUpload, str]:
    """The bytes of all segments as one finished upload, and their MD5 in hex."""
    if segmented.size > call.max_object_bytes:
        raise too_large()
    upload = await call.store.receive({"md5": md5}, segmented.size)
    try:
        async with aclosing(read_pieces(call.threads, segmented)) as pieces:
            async for piece in pieces:
                waiting = upload.write(piece)
                if waiting is not None:
                    await waiting
        digests = await upload.finish()
    except BaseException:
        await upload.discard()
        raise
    return upload, digests["md5"].hex()


def _account(value: bytes | None) -> str:
    return check_account_name(decode(value)) if value else ""


def _copied_headers(source: Place, facts: ObjectFacts, created: ObjectFacts) -> list[Header]:
    return [
        (b"X-Copied-From", quote(f"{source.container}/{source.object}").encode()),
        (b"X-Copied-From-Account", quote(source.account, safe="").encode()),
        (b"X-Copied-From-Last-Modified", header_date(facts.modified_us)),
        *object_headers(created.metadata),
    ]
