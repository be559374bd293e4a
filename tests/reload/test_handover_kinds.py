"""Which versions two processes can exchange."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reload import Converters, NoConverter, Snapshot
from reload._handover_interfaces import Incompatible
from reload._handover_kinds import Kinds
from reload._handover_messages import Hello


def converters(up: bool = True, down: bool = True) -> Converters:
    """Between versions 1 and 2 of ``line``."""
    known = Converters()
    known.add(
        "line",
        1,
        up=(lambda old: {"count": old["n"]}) if up else None,
        down=(lambda new: {"n": new["count"]}) if down else None,
    )
    return known


OLD = Kinds({"line": 1})
NEW = Kinds({"line": 2}, converters())


class AgreementTests(SynchronousTestCase):
    """``Kinds``."""

    def test_same(self) -> None:
        """Equal code sends its own version."""
        self.assertEqual(OLD.agree(OLD.hello()).sends, {"line": 1})

    def test_newer_converts(self) -> None:
        """The newer side reads the older version, and writes it on the way back."""
        self.assertEqual(OLD.agree(NEW.hello()).sends, {"line": 1})
        agreement = NEW.agree(OLD.hello())
        self.assertEqual((agreement.sends, agreement.unsendable, agreement.unreadable), ({"line": 1}, (), ()))
        self.assertEqual(NEW.received(Snapshot("line", 1, {"n": 5}).pack()), Snapshot("line", 2, {"count": 5}))
        back = NEW.to_send(Snapshot("line", 2, {"count": 6}), agreement)
        self.assertEqual(back, Snapshot("line", 1, {"n": 6}))

    def test_own_version_preferred(self) -> None:
        """What needs no conversion here is sent as it is."""
        self.assertEqual(NEW.agree(NEW.hello()).sends, {"line": 2})

    def test_no_way_back(self) -> None:
        """Without the step down a hand-over is possible, the way back is not."""
        one_way = Kinds({"line": 2}, converters(down=False))
        self.assertEqual(OLD.agree(one_way.hello()).unsendable, ())
        (cause,) = OLD.agree(one_way.hello()).unreadable
        self.assertIn("line: written as version 2, read are only 1", cause)

    def test_unreadable(self) -> None:
        """A version without a step, and a kind that is not known, are refused with their names."""
        (cause,) = OLD.agree(Kinds({"line": 2}).hello()).unsendable
        self.assertIn("written as version 1, read are only 2", cause)
        (cause,) = OLD.agree(Kinds({}).hello()).unsendable
        self.assertIn("line", cause)
        self.assertRaises(Incompatible, Kinds({}).received, Snapshot("line", 1, {}).pack())
        self.assertRaises(NoConverter, OLD.received, Snapshot("line", 2, {}).pack())

    def test_other_protocol(self) -> None:
        """There must be a common version of the protocol."""
        error = self.assertRaises(Incompatible, OLD.agree, Hello(protocols=(2,), kinds={}))
        self.assertEqual(len(error.causes), 1)

    def test_walks(self) -> None:
        """Versions are reached over several steps, and not over gaps."""
        known = Converters()
        for version in (1, 2, 5):
            known.add("a", version, up=dict)
        self.assertEqual(known.readable("a", 3), (1, 2, 3))
        self.assertEqual(known.reachable("a", 1), (1, 2, 3))
        self.assertEqual(known.readable("a", 5), (5,))
