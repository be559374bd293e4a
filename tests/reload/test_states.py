"""What codes that live at once can tell, what other code makes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reload import Converters, Kinds, NoConverter, Snapshot, Spoken, States, UnknownKind
from reload._handover_interfaces import Incompatible
from reload._handover_kinds import Inner
from reload._handover_messages import Hello, decode, encode


def steps(version: int, *, up: bool = True, down: bool = True) -> Converters:
    """Between ``version`` and the next one of ``put``; each step notes that it was walked."""

    def step(sign: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda fields: {**fields, "walked": [*fields["walked"], sign * version]}

    known = Converters()
    known.add("put", version, up=step(1) if up else None, down=step(-1) if down else None)
    return known


def put(version: int, *walked: int) -> Snapshot:
    return Snapshot("put", version, {"walked": list(walked)})


OLD = States({"put": 1})
NEW = States({"put": 2}, steps(1))
MUTE = States({"put": 2})  # without a conversion


def replace(snapshot: Snapshot, convert: Callable[[Snapshot], Snapshot]) -> Snapshot:
    """What lies inside is the field ``state``, if there is one."""
    if snapshot.fields["state"] is None:
        return snapshot
    found = convert(Snapshot(**snapshot.fields["state"]))
    return outer(found)


def outer(inner: Snapshot | None) -> Snapshot:
    state = None if inner is None else {"kind": inner.kind, "version": inner.version, "fields": inner.fields}
    return Snapshot("line", 1, {"state": state})


def kinds(*codes: States) -> Kinds:
    """Of a process in which these live."""
    return Kinds({"line": 1}, inner=Inner(lambda: Spoken(codes), replace, {"put": 1}))


class StatesTests(SynchronousTestCase):
    def test_joined(self) -> None:
        """The parts of a program, each with its own kinds and steps."""
        joined = States.joined([NEW, States({"get": 3})])
        self.assertEqual(joined.versions, {"put": 2, "get": 3})
        self.assertEqual(joined.converters.reachable("put", 2), (1, 2))
        self.assertRaises(ValueError, States.joined, [OLD, NEW])


class SpokenTests(SynchronousTestCase):
    def test_one_code(self) -> None:
        spoken = Spoken([NEW])
        self.assertEqual((spoken.kinds(), spoken.writes("put"), spoken.reads("put")), ({"put"}, (1, 2), (1, 2)))
        self.assertEqual(spoken.received(put(1)), put(2, 1))
        self.assertEqual(spoken.converted(put(2), 1), put(1, -1))
        self.assertRaises(UnknownKind, spoken.received, Snapshot("get", 1, {}))
        self.assertRaises(NoConverter, Spoken([OLD]).received, put(2))

    def test_an_older_one_beside_it(self) -> None:
        """All that is here can become version 1 and version 2, whoever told it; what comes is read by the first."""
        spoken = Spoken([NEW, OLD])
        self.assertEqual((spoken.writes("put"), spoken.reads("put"), spoken.own("put")), ((1, 2), (1, 2), 2))

    def test_a_newer_one_beside_it(self) -> None:
        """After a rollback what the newer code told becomes the older version by steps that it alone knows."""
        spoken = Spoken([OLD, NEW])
        self.assertEqual((spoken.writes("put"), spoken.reads("put"), spoken.own("put")), ((1, 2), (1,), 1))
        self.assertEqual(spoken.received(put(2)), put(1, -1))

    def test_nothing_in_common(self) -> None:
        self.assertEqual(Spoken([MUTE, OLD]).writes("put"), ())

    def test_a_kind_that_is_no_longer_there(self) -> None:
        """What an older code told can still be sent; nothing of it is taken."""
        spoken = Spoken([States(), OLD])
        self.assertEqual((spoken.writes("put"), spoken.reads("put")), ((1,), ()))

    def test_nobody(self) -> None:
        self.assertEqual((Spoken([]).kinds(), Spoken([]).reads("put")), (set(), ()))
        self.assertRaises(UnknownKind, Spoken([]).received, put(1))


class ObstacleTests(SynchronousTestCase):
    """Code that is to take the place of other code in the same process."""

    def test_none(self) -> None:
        for new, *codes in (
            (OLD, OLD),
            (NEW, OLD),
            (OLD, NEW),
            (NEW, NEW, OLD),
            (States(), OLD),
            (OLD, States()),
            (OLD,),
        ):
            self.assertEqual(Spoken(codes).obstacles(new), [], (new, codes))

    def test_another_version_without_a_conversion(self) -> None:
        (cause,) = Spoken([OLD]).obstacles(MUTE)
        self.assertEqual(cause, "put: written as version 1, read are only 2 by the new code")
        self.assertEqual(len(Spoken([OLD, NEW]).obstacles(States({"put": 3}))), 1)

    def test_one_way_only(self) -> None:
        """What the new code would tell has to be readable by the old one: a canary may be taken back."""
        (cause,) = Spoken([OLD]).obstacles(States({"put": 2}, steps(1, down=False)))
        self.assertIn("put: written as version 2, read are only 1 by the code that runs", cause)
        (cause,) = Spoken([OLD]).obstacles(States({"put": 2}, steps(1, up=False)))
        self.assertIn("by the new code", cause)


class GreetingTests(SynchronousTestCase):
    """Two processes."""

    def test_same(self) -> None:
        agreement = kinds(OLD).agree(kinds(OLD).hello())
        self.assertEqual((agreement.inner, agreement.unsendable, agreement.unreadable), ({"put": 1}, (), ()))

    def test_newer_converts(self) -> None:
        """In both directions the newer side does the work."""
        old, new = kinds(OLD), kinds(NEW)
        self.assertEqual(old.agree(new.hello()).inner, {"put": 1})
        self.assertEqual(new.received(outer(put(1)).pack()), outer(put(2, 1)))
        agreement = new.agree(old.hello())
        self.assertEqual((agreement.inner, agreement.unsendable, agreement.unreadable), ({"put": 1}, (), ()))
        self.assertEqual(new.to_send(outer(put(2)), agreement), outer(put(1, -1)))
        self.assertEqual(new.to_send(outer(None), agreement), outer(None))

    def test_another_version_without_a_conversion(self) -> None:
        """Refused by either side, with the kind and both versions."""
        agreement = kinds(OLD).agree(kinds(MUTE).hello())
        self.assertEqual(agreement.unsendable, ("put: written as version 1, read are only 2",))
        self.assertEqual(agreement.unreadable, ("put: written as version 2, read are only 1",))
        self.assertEqual(kinds(MUTE).agree(kinds(OLD).hello()).unreadable, agreement.unsendable)

    def test_a_kind_of_one_side(self) -> None:
        """It is no obstacle: what is in that state stays where it is."""
        for one, other in ((OLD, States()), (States(), OLD)):
            agreement = kinds(one).agree(kinds(other).hello())
            self.assertEqual((agreement.inner, agreement.unsendable, agreement.unreadable), ({}, (), ()))
        agreement = kinds(OLD).agree(kinds(States()).hello())
        error = self.assertRaises(Incompatible, kinds(OLD).to_send, outer(put(1)), agreement)
        self.assertIn("put 1", str(error))
        self.assertRaises(UnknownKind, kinds(States()).received, outer(put(1)).pack())

    def test_an_older_greeting(self) -> None:
        """A side that names no such kinds has those that there were before they had names."""
        hello = Hello(protocols=(1,), kinds=Kinds({"line": 1}).hello().kinds)
        self.assertEqual(kinds(NEW).agree(hello).inner, {"put": 1})
        (cause,) = kinds(MUTE).agree(hello).unreadable
        self.assertEqual(cause, "put: written as version 1, read are only 2")
        self.assertEqual(kinds(States({"get": 1})).agree(hello).unsendable, ())

    def test_on_the_wire(self) -> None:
        """The names are a field of the greeting that older code passes over."""
        hello = kinds(NEW).hello("new")
        self.assertEqual(decode(encode(hello)), hello)
        self.assertEqual(list(hello.kinds), ["line"])
        self.assertEqual(kinds(OLD).agree(Kinds({"line": 1}).hello()).inner, {})

    def test_what_changes_meanwhile(self) -> None:
        """The codes are asked each time."""
        codes = [OLD]
        changing = Kinds({"line": 1}, inner=Inner(lambda: Spoken(codes), replace, {}))
        self.assertEqual(changing.received(outer(put(1)).pack()), outer(put(1)))
        codes.insert(0, NEW)
        self.assertEqual(changing.received(outer(put(1)).pack()), outer(put(2, 1)))
