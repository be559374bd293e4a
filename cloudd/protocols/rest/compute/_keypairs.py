# -*- test-case-name: tests.protocols.rest.compute.test_keypairs -*-
"""Key pairs.  Source: Compute API, "Keypairs"."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from cloudd import compute as service
from cloudd.compute import SSH, X509, Keypair
from cloudd.interfaces.application import Threads, Transactions

from .._documents import Document, Id, Name
from .._routes import Answer, route
from .._times import naive
from ._call import ComputeCall, invalid, printable
from ._pages import with_next
from ._versions import Members

MEMBERS = Members(since={"type": (2, 2), "user_id": (2, 10)})
SHOWN = Members(since={"type": (2, 2)})
_PAGED, _OF_USERS, _MADE = (2, 35), (2, 10), (2, 2)


class KeypairBody(Document):
    """A new key pair."""

    name: Name
    public_key: Annotated[str, Meta(min_length=1, max_length=16_384)] | UnsetType = UNSET
    type: str = SSH
    user_id: Id | UnsetType = UNSET


def _named(keypair: Keypair) -> dict[str, Any]:
    return {
        "name": keypair.name,
        "type": keypair.type,
        "public_key": keypair.public_key,
        "fingerprint": keypair.fingerprint,
    }


def _whole(keypair: Keypair) -> dict[str, Any]:
    return _named(keypair) | {
        "id": keypair.number,
        "user_id": keypair.user_id,
        "created_at": naive(keypair.created_us),
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }


class KeypairRoutes:
    """``/v2.1/os-keypairs``."""

    def __init__(self, database: Transactions, threads: Threads) -> None:
        self._database = database
        self._maker = service.KeyMaker(threads)

    @route("GET", "/v2.1/os-keypairs")
    async def list_keypairs(self, call: ComputeCall) -> Answer:
        """One's own, by name; of another user (`user_id`, from 2.10) for administrators; in pages from 2.35 on."""
        paged = call.version >= _PAGED
        known = {"user_id", "limit", "marker"}
        call.only(known)
        limit = call.limit() if paged else None
        marker = (call.query.get("marker") or "") if paged else ""
        found = await self._database.read(
            service.listed_keypairs, call.access, self._user(call), marker, None if limit is None else limit + 1
        )
        shown = [{"keypair": SHOWN.shown(call.version, _named(each))} for each in found[:limit]]
        document: dict[str, Any] = {"keypairs": shown}
        if limit is not None and len(found) > limit:
            document |= with_next(call, "keypairs", found[limit - 1].name, "v2.1", "os-keypairs")
        return Answer(200, document)

    @route("POST", "/v2.1/os-keypairs")
    async def create(self, call: ComputeCall) -> Answer:
        """201 (200 in 2.1) with the new one; without a public key a pair is made, its private key told this once."""
        wanted = await call.read_body("keypair", KeypairBody, MEMBERS)
        if wanted.type not in (SSH, X509):
            raise invalid(f"Value: {wanted.type[:40]}. '{SSH}' or '{X509}' is meant.", "type")
        printable("name", wanted.name)
        user_id = call.access.user_id if isinstance(wanted.user_id, UnsetType) else wanted.user_id
        service.enforce_create(call.access, user_id)
        service.checked_name(wanted.name)
        private: dict[str, Any] = {}
        if isinstance(wanted.public_key, UnsetType):
            await self._database.read(service.check_new_keypair, call.access, user_id, wanted.name)
            made = await self._maker.make(wanted.type, user_id)
            public, private = made.public_key, {"private_key": made.private_key}
        else:
            public = wanted.public_key
        keypair = Keypair(
            user_id=user_id, name=wanted.name, number=0, type=wanted.type, public_key=public,
            fingerprint=service.fingerprint_of(wanted.type, public),
        )  # fmt: skip
        kept = await self._database.write(service.create_keypair, call.access, keypair)
        shown = SHOWN.shown(call.version, _named(kept)) | {"user_id": kept.user_id} | private
        return Answer(201 if call.version >= _MADE else 200, {"keypair": shown})

    @route("GET", "/v2.1/os-keypairs/{name}")
    async def show(self, call: ComputeCall, name: str) -> Answer:
        """One key pair."""
        call.only({"user_id"})
        found = await self._database.read(service.one_keypair, call.access, self._user(call), name)
        return Answer(200, {"keypair": SHOWN.shown(call.version, _whole(found))})

    @route("DELETE", "/v2.1/os-keypairs/{name}")
    async def delete(self, call: ComputeCall, name: str) -> Answer:
        """204 (202 in 2.1); servers keep the public key that they were given."""
        call.only({"user_id"})
        await self._database.write(service.drop_keypair, call.access, self._user(call), name)
        return Answer(204 if call.version >= _MADE else 202)

    def _user(self, call: ComputeCall) -> str:
        named = call.query.get("user_id") if call.version >= _OF_USERS else None
        return named or call.access.user_id
