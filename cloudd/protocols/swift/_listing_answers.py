"""The answers to GET and HEAD of accounts and containers: their headers, and a listing as body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudd.objects import Action, allowed_by_role
from cloudd.protocols.http import Header
from storage import AccountFacts, ContainerFacts

from ._call import Call
from ._formats import header_date, timestamp
from ._listings import POLICY, Row, render
from ._metadata import account_headers, container_headers

LONG_LISTING = 500


def merge(metadata: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """What an account's or container's metadata will be after the changes."""
    return {key: value for key, value in {**metadata, **changes}.items() if value is not None}


def describe_account(facts: AccountFacts) -> list[Header]:
    """An account's counts and metadata as headers."""
    counts = [
        (b"Container-Count", facts.container_count),
        (b"Object-Count", facts.object_count),
        (b"Bytes-Used", facts.bytes_used),
    ]
    return [
        *((b"X-Account-" + name, b"%d" % count) for name, count in counts),
        *((b"X-Account-Storage-Policy-%s-%s" % (POLICY.encode(), name), b"%d" % count) for name, count in counts),
        (b"X-Timestamp", timestamp(facts.created_us)),
        *account_headers(facts.metadata),
    ]


def describe_container(call: Call, facts: ContainerFacts) -> list[Header]:
    """A container's counts and metadata as headers; its owners see its ACLs as well."""
    owner = allowed_by_role(call.access, call.place.account, Action.CHANGE_CONTAINER)
    return [
        (b"X-Container-Object-Count", b"%d" % facts.object_count),
        (b"X-Container-Bytes-Used", b"%d" % facts.bytes_used),
        (b"X-Timestamp", timestamp(facts.created_us)),
        (b"X-Storage-Policy", POLICY.encode()),
        (b"Last-Modified", header_date(facts.modified_us)),
        *container_headers(facts.metadata, owner),
    ]


def listing_headers(call: Call, content_type: str) -> list[Header]:
    """What every answer with a choice of formats has."""
    headers = [
        (b"Content-Type", f"{content_type}; charset=utf-8".encode()),
        (b"Accept-Ranges", b"bytes"),
    ]
    if "format" not in call.query:
        headers.append((b"Vary", b"Accept"))
    return headers


async def answer_listing(
    call: Call,
    content_type: str,
    owner: AccountFacts | ContainerFacts,
    rows: Sequence[Row],
    headers: Sequence[Header],
) -> None:
    """Answer with the rows: 200, or 204 when there is nothing to say.  Long ones are written in a thread."""
    if len(rows) > LONG_LISTING:
        body = await call.threads.run(render, content_type, owner, rows)
    else:
        body = render(content_type, owner, rows)
    call.request.respond(200 if body else 204, [*headers, *listing_headers(call, content_type)], body)
