# -*- test-case-name: tests.protocols.swift.test_accounts -*-
"""
Accounts: listing of containers, metadata.

An account exists as soon as its project does, as in Swift with ``account_autocreate``; it goes with its project and
cannot be deleted here.
"""

from __future__ import annotations

from cloudd.objects import Action, check_metadata

from ._answers import answer
from ._call import Call
from ._formats import listing_type
from ._listing_answers import answer_listing, describe_account, listing_headers, merge
from ._listings import read_listing
from ._metadata import read_changes, refuse_features


async def get_account(call: Call) -> None:
    """GET: list the account's containers."""
    listing = read_listing(call.query)
    content_type = listing_type(call.query, call.request.header(b"accept"))
    await call.authorize(Action.READ_ACCOUNT)
    facts = await call.store.account(call.place.account)
    rows = await call.store.containers(call.place.account, listing) if listing.limit else []
    await answer_listing(call, content_type, facts, rows, describe_account(facts))


async def head_account(call: Call) -> None:
    """HEAD: show counts and metadata."""
    content_type = listing_type(call.query, call.request.header(b"accept"))
    await call.authorize(Action.READ_ACCOUNT)
    facts = await call.store.account(call.place.account)
    call.request.respond(204, [*describe_account(facts), *listing_headers(call, content_type)])


async def post_account(call: Call) -> None:
    """POST: change metadata."""
    await _update(call)
    answer(call.request, 204)


async def put_account(call: Call) -> None:
    """PUT: change metadata; the account is always there already."""
    await _update(call)
    answer(call.request, 202)


async def _update(call: Call) -> None:
    await call.authorize(Action.CHANGE_ACCOUNT)
    refuse_features(call.request.headers)
    changes = read_changes(call.request.headers, "account")
    if changes:
        facts = await call.store.account(call.place.account)
        check_metadata(merge(facts.metadata, changes))
        await call.store.update_account(call.place.account, changes)
