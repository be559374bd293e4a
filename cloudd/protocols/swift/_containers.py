# -*- test-case-name: tests.protocols.swift.test_containers -*-
"""Containers: listing of objects, metadata, access lists, creation and deletion."""

from __future__ import annotations

from collections.abc import Mapping

from cloudd.objects import Action, check_container_name, check_metadata
from storage import NoSuchContainer

from ._answers import Refusal, answer
from ._call import Call
from ._formats import listing_type
from ._listing_answers import answer_listing, describe_container, listing_headers, merge
from ._listings import POLICY, read_listing
from ._metadata import read_acls, read_changes, refuse_features


async def get_container(call: Call) -> None:
    """GET: list the container's objects."""
    listing = read_listing(call.query)
    content_type = listing_type(call.query, call.request.header(b"accept"))
    await call.authorize(Action.LIST_OBJECTS)
    account, container = call.place.account, call.place.container
    facts = await call.store.container(account, container)
    rows = await call.store.objects(account, container, listing) if listing.limit else []
    await answer_listing(call, content_type, facts, rows, describe_container(call, facts))


async def head_container(call: Call) -> None:
    """HEAD: show counts and metadata."""
    content_type = listing_type(call.query, call.request.header(b"accept"))
    await call.authorize(Action.LIST_OBJECTS)
    facts = await call.store.container(call.place.account, call.place.container)
    call.request.respond(204, [*describe_container(call, facts), *listing_headers(call, content_type)])


async def put_container(call: Call) -> None:
    """PUT: create with metadata (201), or change the metadata of one that is there (202)."""
    check_container_name(call.place.container)
    await call.authorize(Action.CHANGE_CONTAINER)
    _check_policy(call)
    changes = _read_changes(call)
    if changes:
        await _check_merged(call, changes)
    created = await call.store.create_container(call.place.account, call.place.container, changes)
    answer(call.request, 201 if created else 202)


async def post_container(call: Call) -> None:
    """POST: change metadata."""
    await call.authorize(Action.CHANGE_CONTAINER)
    changes = _read_changes(call)
    if changes:
        await _check_merged(call, changes)
    await call.store.update_container(call.place.account, call.place.container, changes)
    answer(call.request, 204)


async def delete_container(call: Call) -> None:
    """DELETE: remove the container, which has to be empty."""
    await call.authorize(Action.CHANGE_CONTAINER)
    await call.store.delete_container(call.place.account, call.place.container)
    answer(call.request, 204)


def _read_changes(call: Call) -> dict[str, str | None]:
    headers = call.request.headers
    refuse_features(headers)
    return read_changes(headers, "container") | read_acls(headers)


async def _check_merged(call: Call, changes: Mapping[str, str | None]) -> None:
    try:
        facts = await call.store.container(call.place.account, call.place.container)
    except NoSuchContainer:
        return
    check_metadata(merge(facts.metadata, changes))


def _check_policy(call: Call) -> None:
    policy = call.request.header(b"x-storage-policy")
    if policy and policy.lower() != POLICY.lower().encode():
        raise Refusal(400, f"Invalid X-Storage-Policy {policy.decode('latin-1')!r}", plain=True)
