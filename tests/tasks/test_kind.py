"""Kinds as values: versions of their rows, waits between attempts, steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.tasks import UNDO, Fields, Form, Kind, Retry, Step, Task, by_name
from reload import Converters, NotPlainData, SnapshotError


async def nothing(_task: Task) -> Fields | None:
    return None


def converters() -> Converters:
    """Version 1 has ``n``, version 2 ``count``."""
    found = Converters()
    found.add("a.b", 1, up=lambda old: {"count": old["n"]}, down=lambda new: {"n": new["count"]})
    return found


class FormTests(SynchronousTestCase):
    def test_two_releases(self) -> None:
        """The release that brings a version writes the one before: both read what both write."""
        old = Form(name="a.b")
        new = Form(name="a.b", version=2, emits=1, converters=converters())
        later = Form(name="a.b", version=2, converters=converters())
        self.assertEqual(old.read(*new.written({"count": 3})), {"n": 3})
        self.assertEqual(new.read(*old.written({"n": 3})), {"count": 3})
        self.assertEqual(new.read(*later.written({"count": 3})), {"count": 3})
        self.assertEqual((old.readable, new.readable), ((1,), (1, 2)))
        self.assertEqual(later.written({"count": 3}), (2, '{"count":3}'))
        self.assertRaises(SnapshotError, old.read, *later.written({"count": 3}))

    def test_only_plain_data(self) -> None:
        for fields in ({"a": b"bytes"}, {"a": (1,)}, {"a": object()}, {"a": float("nan")}, {"a": "x" * 2_000_000}):
            self.assertRaises(NotPlainData, Form(name="a.b").written, fields)

    def test_names(self) -> None:
        for name in ("", "a b", "ä", "x" * 65):
            self.assertRaises(ValueError, Form, name=name)
            self.assertRaises(ValueError, Step, name, nothing)
        self.assertRaises(ValueError, Step, UNDO, nothing)


class RetryTests(SynchronousTestCase):
    @given(st.integers(1, 10_000), st.floats(0, 1))
    def test_waits(self, attempt: int, chance: float) -> None:
        """Between half of the longest wait and the whole, which doubles up to a limit."""
        retry = Retry(first_s=0.5, longest_s=60.0)
        longest = min(60.0, 0.5 * 2.0 ** min(attempt - 1, 30))
        self.assertTrue(longest / 2 <= retry.delay_s(attempt, chance) <= longest)


class KindTests(SynchronousTestCase):
    def test_steps(self) -> None:
        kind = Kind(form=Form(name="a.b"), steps=(Step("one", nothing), Step("two", nothing)))
        self.assertEqual((kind.first, kind.after("one"), kind.after("two"), kind.after("x")), ("one", "two", "", ""))
        self.assertIs(kind.function(""), nothing)
        self.assertIsNone(kind.function("three"))
        self.assertIsNone(kind.function(UNDO))

    def test_bad_kinds(self) -> None:
        """No step, two of one name, two kinds of one name."""
        form = Form(name="a.b")
        for steps in ((), (Step("one", nothing), Step("one", nothing))):
            self.assertRaises(ValueError, Kind, form=form, steps=steps)
        kinds = [Kind(form=form, steps=(Step("one", nothing),)) for _ in range(2)]
        self.assertRaises(ValueError, by_name, kinds)
