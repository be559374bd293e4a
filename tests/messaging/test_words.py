"""Messages as bytes: what was ever written can be read, and what newer code writes too."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.messaging import MAX_BYTES, BadMessage
from cloudd.messaging._words import Answer, Failed, Question, Told, packed, read_answer, read_event, read_question

# Written by the first release that had messages: never to be changed.
QUESTION = bytes.fromhex(
    "9b"  # eleven parts
    "aa7175657374696f6e2f31"  # question/1
    "a3692d31"  # id i-1
    "a6766f6c756d65"  # topic volume
    "ac766f6c756d652e706c616365"  # method volume.place
    "02"  # version 2
    "81a873697a655f67696228"  # {"size_gib": 40}
    "a6686f73742d31"  # sender host-1
    "cb41d954fc40000000"  # sent at 1700000000.0
    "cb4014000000000000"  # 5.0 s left
    "a27271"  # reply to rq
    "a5" + b"req-1".hex()
)
PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class WordsTests(SynchronousTestCase):
    def test_recorded_question(self) -> None:
        """A recorded one is read, and written so today."""
        question = Question(
            "i-1", "volume", "volume.place", 2, {"size_gib": 40}, "host-1", 1_700_000_000.0, 5.0, "rq", "req-1"
        )
        self.assertEqual(read_question(QUESTION), question)
        self.assertEqual(packed(question), QUESTION)

    def test_recorded_answers(self) -> None:
        """The same of answers."""
        answer = bytes.fromhex("93a8616e737765722f31a3692d3181a4706f6f6ca3737364")
        failed = msgspec.msgpack.encode(["failed/1", "i-1", "fault", "it is full", "no-space", {"gib": 3}, True])
        self.assertEqual(read_answer(answer), Answer("i-1", {"pool": "ssd"}))
        self.assertEqual(packed(Answer("i-1", {"pool": "ssd"})), answer)
        self.assertEqual(read_answer(failed), Failed("i-1", "fault", "it is full", "no-space", {"gib": 3}, True))
        self.assertEqual(packed(read_answer(failed)), failed)

    def test_recorded_event(self) -> None:
        """And of events."""
        event = msgspec.msgpack.encode(["event/1", "i-1", "a.b", "made", 1, {"x": 1}, "host-1", 5.0, "req-1"])
        self.assertEqual(read_event(event), Told("i-1", "a.b", "made", 1, {"x": 1}, "host-1", 5.0, "req-1"))
        self.assertEqual(packed(read_event(event)), event)

    def test_newer(self) -> None:
        """Parts that this code does not know are left alone; those that it has a default for may be missing."""
        parts = msgspec.msgpack.decode(QUESTION)
        self.assertEqual(read_question(msgspec.msgpack.encode([*parts, "new", 1])), read_question(QUESTION))
        short = read_question(msgspec.msgpack.encode(parts[:8]))
        self.assertEqual((short.left_s, short.reply_to, short.request_id), (None, "", ""))

    def test_no_message(self) -> None:
        """Bytes that are none, or of another kind, or cut off at any place, or with a part of a wrong type."""
        parts = msgspec.msgpack.decode(QUESTION)
        bad = [QUESTION[:end] for end in range(len(QUESTION))]
        bad += [b"", b"\xc1", b"hello", msgspec.msgpack.encode(["question/2", *parts[1:]])]
        bad += [msgspec.msgpack.encode([*parts[:4], "two", *parts[5:]]), b"\x91" * 5_000]
        for data in bad:
            self.assertRaises(BadMessage, read_question, data)
        self.assertRaises(BadMessage, read_answer, QUESTION)
        self.assertRaises(BadMessage, read_event, QUESTION)

    def test_too_long(self) -> None:
        """It is refused before it goes out."""
        self.assertRaises(BadMessage, packed, Answer("i", {"body": b"x" * MAX_BYTES}))

    @given(fields=st.dictionaries(st.text(), PLAIN, max_size=4), request_id=st.text())
    def test_round_trip(self, fields: dict[str, Any], request_id: str) -> None:
        """Plain data comes out as it went in."""
        question = Question("i", "t", "m", 1, fields, "host", 1.5, None, "", request_id)
        self.assertEqual(read_question(packed(question)), question)
        self.assertEqual(read_answer(packed(Answer("i", fields))), Answer("i", fields))
