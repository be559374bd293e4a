"""Snapshots and the steps between their versions."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reload import BadSnapshot, ConversionFailed, Converters, NoConverter, NotPlainData, Snapshot

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=8) | texts
)
scalars |= st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=4))


class SnapshotTests(SynchronousTestCase):
    @given(st.dictionaries(texts, plain, max_size=5), st.integers(1, 1_000))
    @settings(max_examples=60, deadline=None)
    def test_round_trip(self, fields: dict[str, Any], version: int) -> None:
        """What was packed comes back equal, types included."""
        before = Snapshot("connection", version, fields)
        after = Snapshot.unpack(before.pack())
        self.assertEqual(after, before)
        self.assertEqual(repr(after), repr(before))

    def test_what_is_no_plain_data_is_refused_by_its_path(self) -> None:
        """Classes, tuples, sets, foreign keys, subclasses, and values that would not come back equal."""
        cyclic: list[Any] = []
        cyclic.append(cyclic)

        class Text(str):
            __slots__ = ()

        for value in (object(), (1,), {1}, {1: 2}, Text("a"), 2**64, -(2**63) - 1, float("nan"), float("inf"),
                      "\ud800", bytearray(b"")):  # fmt: skip
            error = self.assertRaises(NotPlainData, Snapshot, "k", 1, {"a": [0, value]})
            self.assertEqual(error.where, "fields.a[1]")
        self.assertRaises(NotPlainData, Snapshot, "k", 1, {"a": cyclic})
        self.assertRaises(NotPlainData, Snapshot, "k", 1, {"\ud800": 1})

    def test_bad_heads_are_refused(self) -> None:
        """A kind is a text, a version a whole number from 1, fields a dict."""
        for kind, version, fields in (
            ("", 1, {}),
            (b"k", 1, {}),
            ("k", 0, {}),
            ("k", True, {}),
            ("k", "1", {}),
            ("k", 1, []),
        ):
            self.assertRaises(NotPlainData, Snapshot, kind, version, fields)

    def test_bytes_that_are_no_snapshot(self) -> None:
        """Cut, foreign, of another format, or with broken parts: all are one kind of error."""
        whole = Snapshot("k", 1, {"a": 1}).pack()
        encode = msgspec.msgpack.encode
        cut = [whole[:end] for end in range(len(whole))]
        foreign = [encode([]), encode({}), encode(["snapshot/2", "k", 1, {}])]
        broken = [encode(["snapshot/1", "k", 1]), encode(["snapshot/1", "k", 0, {}]), b"\x91" * 100_000]
        for data in (*cut, *foreign, *broken):
            self.assertRaises(BadSnapshot, Snapshot.unpack, data)


class ConverterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.converters = Converters()
        self.converters.add("door", 1, up=lambda old: {"open": old["o"]}, down=lambda new: {"o": new["open"]})
        self.converters.add("door", 2, up=lambda old: {**old, "locked": False}, down=self.drop_lock)

    def drop_lock(self, fields: dict[str, Any]) -> dict[str, Any]:
        del fields["locked"]  # changes the copy it was given
        return fields

    def test_steps_are_walked_up_and_down(self) -> None:
        """Two steps up and back give what was there; the snapshots on the way are not changed."""
        first = Snapshot("door", 1, {"o": True})
        third = self.converters.convert(first, 3)
        self.assertEqual(third, Snapshot("door", 3, {"open": True, "locked": False}))
        self.assertEqual(self.converters.convert(third, 1), first)
        self.assertEqual(third.fields, {"open": True, "locked": False})
        self.assertIs(self.converters.convert(first, 1), first)

    def test_a_missing_step_is_named(self) -> None:
        """The error says from where to where there is no step."""
        error = self.assertRaises(NoConverter, self.converters.convert, Snapshot("door", 1, {"o": 1}), 4)
        self.assertEqual((error.kind, error.version, error.wanted, error.missing), ("door", 1, 4, 3))
        self.assertIn("no step from 3 to 4", str(error))
        error = self.assertRaises(NoConverter, self.converters.convert, Snapshot("gate", 2, {}), 1)
        self.assertIn("no step from 2 to 1", str(error))

    def test_a_failing_step_is_named(self) -> None:
        """A step that raises, or returns what is no plain data, fails with its place and cause."""
        error = self.assertRaises(ConversionFailed, self.converters.convert, Snapshot("door", 1, {}), 3)
        self.assertEqual((error.version, error.following), (1, 2))
        self.assertIn("KeyError", str(error))
        self.converters.add("gate", 1, up=lambda old: {"a": object()})
        self.assertRaises(ConversionFailed, self.converters.convert, Snapshot("gate", 1, {}), 2)

    def test_steps_are_added_once(self) -> None:
        """A second step for the same way, or none at all, is a mistake of the program."""
        self.assertRaises(ValueError, self.converters.add, "door", 1, up=dict)
        self.assertRaises(ValueError, self.converters.add, "door", 7)
        self.converters.add("door", 3, up=dict)
        self.converters.add("door", 3, down=dict)

    def test_read(self) -> None:
        """Bytes of the expected kind come in the wanted version; another kind is refused."""
        data = Snapshot("door", 1, {"o": False}).pack()
        self.assertEqual(self.converters.read(data, "door", 2).fields, {"open": False})
        self.assertRaises(BadSnapshot, self.converters.read, data, "gate", 1)
