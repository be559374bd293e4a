"""Messages between the two processes."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from reload._handover_interfaces import ProtocolViolation
from reload._handover_messages import (
    Abort,
    Commit,
    Committed,
    Decided,
    Discard,
    End,
    Hello,
    Item,
    KindVersions,
    Listeners,
    Message,
    Moved,
    Prepare,
    Prepared,
    Return,
    Returned,
    decode,
    encode,
)

ALL: list[Message] = [
    Hello(protocols=(1,), kinds={"a": KindVersions(writes=(1, 2), reads=(2,))}, name="new"),
    Listeners(names=("api", "s3")),
    Prepare(batch=3, items=(Item(slot=0, data=b"\x00\xff", descriptors=2),), last=True),
    Prepared(batch=3, refused={0: "no"}),
    Commit(batch=3, withdrawn=(1, 2)),
    Committed(batch=3, failed=(0,)),
    Discard(batch=3, cause="rehearsal"),
    Decided(),
    Moved(),
    Return(cause="worse"),
    Returned(),
    End(),
    Abort(cause="why"),
]


class MessageTests(SynchronousTestCase):
    """``encode`` and ``decode``."""

    def test_round_trip(self) -> None:
        """Each message comes back equal."""
        for message in ALL:
            self.assertEqual(decode(encode(message)), message)

    def test_cut_anywhere(self) -> None:
        """A message that is not whole is none."""
        for message in ALL:
            data = encode(message)
            for end in range(len(data)):
                self.assertRaises(ProtocolViolation, decode, data[:end])

    def test_unknown(self) -> None:
        """Other types, other values and other data are refused; unknown fields are passed over."""
        for value in (
            {"type": "sudo"},
            {"batch": 1},
            [1, 2],
            {"type": "commit", "batch": -1},
            {"type": "commit", "batch": "1"},
            {"type": "prepare", "batch": 1, "items": [{"slot": 1000, "data": b"", "descriptors": 1}], "last": True},
            {"type": "prepare", "batch": 1, "items": [{"slot": 0, "data": b"", "descriptors": 0}], "last": True},
        ):
            self.assertRaises(ProtocolViolation, decode, msgspec.msgpack.encode(value))
        self.assertEqual(decode(msgspec.msgpack.encode({"type": "end", "next": "year"})), End())

    def test_no_code(self) -> None:
        """Extension types do not become objects."""
        data = msgspec.msgpack.encode({"type": "abort", "cause": msgspec.msgpack.Ext(1, b"x")})
        self.assertRaises(ProtocolViolation, decode, data)
        self.assertRaises(ProtocolViolation, decode, b"\x91" * 100_000)
