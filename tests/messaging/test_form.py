"""Forms: names, versions that are written and read, faults."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.messaging import Fault, Form, NoSuchVersion
from reload import Converters, NotPlainData
from tests.contracts.messaging import NEW, NEWEST, OLD, NoSpace


class FormTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Those that can stand everywhere."""
        for name in ("a", "volume.place", "x-1_y", "9" * 64):
            Form(name=name)
        for name in ("", "A", "a b", "a@b", ".a", "ä", "a" * 65, "a/b", "a*"):
            self.assertRaises(ValueError, Form, name=name)

    def test_written(self) -> None:
        """As the form says, or older where an old node lives, never newer."""
        fields = {"size_gib": 3}
        self.assertEqual(NEW.written(fields), (1, {"size": 3}))
        self.assertEqual(NEWEST.written(fields), (2, fields))
        self.assertEqual(NEWEST.written(fields, 1), (1, {"size": 3}))
        self.assertEqual(NEW.written(fields, 2), (1, {"size": 3}))

    def test_read(self) -> None:
        """The neighbour's version both ways, and no other."""
        self.assertEqual(NEW.read(1, {"size": 3}), {"size_gib": 3})
        self.assertEqual(NEW.read(2, {"size_gib": 3}), {"size_gib": 3})
        self.assertRaises(NoSuchVersion, NEW.read, 3, {})
        self.assertRaises(NoSuchVersion, OLD.read, 2, {})
        self.assertRaises(NoSuchVersion, NEW.read, 1, {"other": 3})  # the step fails

    def test_answers(self) -> None:
        """In the version of who asked; unchanged where they have no converters."""
        self.assertEqual(NEW.answer_written({"size_gib": 3}, 1), {"size": 3})
        self.assertEqual(NEW.answer_read({"size": 3}, 1), {"size_gib": 3})
        converters = Converters()
        converters.add("m", 1, up=dict, down=dict)
        plain = Form(name="m", version=2, converters=converters)
        self.assertEqual(plain.answer_written({"a": 1}, 1), {"a": 1})
        self.assertEqual(plain.answer_read({"a": 1}, 1), {"a": 1})

    def test_plain_data_only(self) -> None:
        """In questions and answers."""
        self.assertRaises(NotPlainData, OLD.written, {"a": {1, 2}})
        self.assertRaises(NotPlainData, OLD.answer_written, {"a": object()}, 1)

    def test_faults(self) -> None:
        """A known name becomes its class."""
        form = Form(name="m", faults=(NoSpace,))
        known, other = form.fault("no-space", "full", {"gib": 1}), form.fault("odd", "why", {})
        self.assertEqual((type(known), known.cause, known.detail), (NoSpace, "full", {"gib": 1}))
        self.assertEqual((type(other), other.name, str(other)), (Fault, "odd", "why"))
