# -*- test-case-name: tests.reload.test_handover_messages -*-
"""
What the two processes of a hand-over say to each other: msgpack maps, tagged with ``type``.

Within a protocol version fields and messages are only added; a reader passes over fields that it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from ._handover_interfaces import ProtocolViolation

#: Versions of this protocol that this code speaks.
PROTOCOLS = (1,)
#: Most things in one batch.
MAX_BATCH = 1000

Number = Annotated[int, Meta(ge=0)]


class Message(Struct, frozen=True, forbid_unknown_fields=False, tag=lambda name: name.lower()):
    """One message."""


class KindVersions(Struct, frozen=True):
    """Versions of one kind of snapshot: which a side can write, and which it can read."""

    writes: tuple[int, ...]
    reads: tuple[int, ...]


class Hello(Message, frozen=True):
    """
    First in both directions, with one descriptor: the sender's ledger.

    :ivar inner: kinds that lie inside of others; ``None``: the sender is older than their names
    """

    protocols: tuple[int, ...]
    kinds: dict[str, KindVersions]
    name: str = ""
    inner: dict[str, KindVersions] | None = None


class Listeners(Message, frozen=True):
    """Old to new, one descriptor for each name: listening sockets."""

    names: tuple[str, ...]


class Item(Struct, frozen=True):
    """
    One thing in a batch.

    :ivar slot: its place in the batch
    :ivar data: ``Snapshot.pack()``
    :ivar descriptors: how many of the message's descriptors are its
    """

    slot: Annotated[int, Meta(ge=0, lt=MAX_BATCH)]
    data: bytes
    descriptors: Annotated[int, Meta(ge=1, le=253)]


class Prepare(Message, frozen=True):
    """Giver to taker: adopt these, paused.  A batch comes in one or more parts."""

    batch: Number
    items: tuple[Item, ...]
    last: bool


class Prepared(Message, frozen=True):
    """Taker to giver: the whole batch is adopted, but for ``refused`` (slot and cause)."""

    batch: Number
    refused: dict[int, str] = {}


class Commit(Message, frozen=True):
    """Giver to taker: they are yours, but for ``withdrawn`` (slots)."""

    batch: Number
    withdrawn: tuple[int, ...] = ()


class Committed(Message, frozen=True):
    """Taker to giver: all of them are served here; ``failed`` (slots) raised an error and were closed."""

    batch: Number
    failed: tuple[int, ...] = ()


class Discard(Message, frozen=True):
    """Giver to taker: I go on with the whole batch."""

    batch: Number
    cause: str = ""


class Decided(Message, frozen=True):
    """Old to new: the point of no return is behind us; begin to accept."""


class Moved(Message, frozen=True):
    """Old to new: all that could move has moved; the supervision window begins."""


class Return(Message, frozen=True):
    """Either way: everything goes back to the old process."""

    cause: str


class Returned(Message, frozen=True):
    """New to old: all that could go back has gone."""


class End(Message, frozen=True):
    """The sender has nothing left to give and wants nothing more; the link closes."""


class Abort(Message, frozen=True):
    """The sender ends the hand-over; what it was offered and not given it has dropped."""

    cause: str


AnyMessage: TypeAlias = (
    Hello
    | Listeners
    | Prepare
    | Prepared
    | Commit
    | Committed
    | Discard
    | Decided
    | Moved
    | Return
    | Returned
    | End
    | Abort
)

_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(AnyMessage)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """``message`` as bytes."""
    return _encoder.encode(message)


def decode(data: bytes) -> AnyMessage:
    """
    :raises ProtocolViolation: these bytes are no message that this code knows
    """
    try:
        message: AnyMessage = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"{len(data)} bytes are no message: {error}") from None
    return message
