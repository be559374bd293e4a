# -*- test-case-name: tests.messaging.test_words -*-
"""
What processes say to each other, as bytes: MessagePack arrays that begin with their kind and its version.

New fields go to the end and have a default, so that older code leaves them alone and newer code misses none; whatever
else changes is a new kind.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ._errors import BadMessage

MAX_BYTES = 1_048_576
"""Of one message, all of it."""


class Question(msgspec.Struct, frozen=True, array_like=True, tag="question/1"):
    """
    A call or a cast.

    :ivar id: of this message in the whole cloud; by it a redelivery is known
    :ivar sent_at: seconds since the epoch by the sender's clock
    :ivar left_s: seconds until the deadline, when it was sent; None: there is none
    :ivar reply_to: where the answer goes; empty: a cast
    """

    id: str
    topic: str
    method: str
    version: int
    fields: dict[str, Any]
    sender: str
    sent_at: float
    left_s: float | None = None
    reply_to: str = ""
    request_id: str = ""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer/1"):
    """What a method gave, in the version of the question."""

    id: str
    fields: dict[str, Any] = {}


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed/1"):
    """
    Why there is no answer.

    :ivar kind: ``fault``, or the name of one of the other errors
    :ivar name: of a fault
    """

    id: str
    kind: str
    cause: str
    name: str = ""
    detail: dict[str, Any] = {}
    begun: bool = False


class Told(msgspec.Struct, frozen=True, array_like=True, tag="event/1"):
    """An event."""

    id: str
    key: str
    name: str
    version: int
    fields: dict[str, Any]
    sender: str
    sent_at: float
    request_id: str = ""


_encoder = msgspec.msgpack.Encoder()
_question = msgspec.msgpack.Decoder(Question)
_answer: msgspec.msgpack.Decoder[Answer | Failed] = msgspec.msgpack.Decoder(Answer | Failed)
_event = msgspec.msgpack.Decoder(Told)


def packed(word: Question | Answer | Failed | Told) -> bytes:
    """
    :raises BadMessage: it has more than ``MAX_BYTES``
    """
    data = _encoder.encode(word)
    if len(data) > MAX_BYTES:
        raise BadMessage(f"a message of {len(data)} bytes is too long: at most {MAX_BYTES}")
    return data


def _read(decoder: Any, data: bytes, what: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"{len(data)} bytes are no {what}: {error}") from None


def read_question(data: bytes) -> Question:
    """
    :raises BadMessage: it is none
    """
    question: Question = _read(_question, data, "question")
    return question


def read_answer(data: bytes) -> Answer | Failed:
    """
    :raises BadMessage: it is none
    """
    answer: Answer | Failed = _read(_answer, data, "answer")
    return answer


def read_event(data: bytes) -> Told:
    """
    :raises BadMessage: it is none
    """
    event: Told = _read(_event, data, "event")
    return event
