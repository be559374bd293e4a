"""When the anchor becomes other code, and what is left of it when it cannot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import Factory, define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon import _becoming
from cloudd.daemon._becoming import NEXT_SELF_S, QUIET_S, Becoming
from cloudd.daemon._inheritance import Inheritance
from cloudd.daemon._workers import Decided

NEW = Decided(2, "2" * 64, "/usr/bin/python3")
NEWER = Decided(3, "3" * 64, "/usr/bin/python3")


@define
class Recorded:
    """The pool, the control socket's factory and port, and the threads: what they are told is written down."""

    calls: list[str] = Factory(list)
    decided: Decided = NEW
    busy: bool = False
    meanwhile: Callable[[], None] = field(default=lambda: None)  # happens just before the exec

    def tell_all(self, call: str, **_body: Any) -> None:
        self.calls.append(call)

    def hold(self) -> None:
        self.calls.append("hold")
        self.meanwhile()

    def is_busy(self) -> bool:
        return self.busy

    def __getattr__(self, name: str) -> Any:
        if name not in {"hear", "stopReading", "startReading", "start", "stop"}:
            raise AttributeError(name)
        return lambda: self.calls.append(name)


class BecomingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.others = Recorded()
        self.changing = self.stopping = False
        self.became: list[str] = []
        self.notes: list[str] = []
        self.error: Exception | None = None
        self.unknown: Exception | None = None
        self.listener, end = os.pipe()
        os.close(end)
        self.addCleanup(os.close, self.listener)
        # The exec itself and the mask of this process's signals are tested with `_inheritance`.
        self.patch(_becoming, "become", self.become)
        for name in ("hold_signals", "hear_signals", "be_normal"):
            self.patch(_becoming, name, lambda name=name: self.others.calls.append(name))
        others: Any = self.others
        self.becoming = Becoming(
            reactor=self.clock,
            pool=others,
            control=others,
            control_port=others,
            threads=others,
            is_changing=lambda: self.changing,
            is_stopping=lambda: self.stopping,
            leave=self.leave,
            own_code=lambda: Path("/code/old"),
            code_folder=Path("/code"),
            environment={},
            note=self.notes.append,
        )

    def leave(self) -> Inheritance:
        if self.unknown is not None:
            raise self.unknown
        return Inheritance(
            arguments=[],
            pidfile="",
            log_file="",
            began=0.0,
            start_tree="/srv",
            listeners={"api": self.listener},
            control=self.listener,
            lock=self.listener,
        )

    def become(self, descriptor: int, python: str, tree: Path, own: Path, _environment: object) -> None:
        self.file = descriptor
        self.assertTrue(os.get_inheritable(self.listener))
        self.assertEqual((python, own), (NEW.interpreter, Path("/code/old")))
        self.became.append(tree.name)
        if self.error is not None:
            raise self.error
        os.close(descriptor)

    def look(self, count: int = 1) -> None:
        """Let the time of so many looks pass."""
        for _ in range(count):
            self.clock.advance(NEXT_SELF_S)

    def stop(self) -> None:
        self.stopping = True

    def change(self) -> None:
        self.changing = True

    def test_after_a_hand_over(self) -> None:
        """A moment later: the workers are told, nobody is heard any more, and the exec comes last."""
        self.becoming.soon()
        self.assertEqual(self.others.calls, [])
        self.look()
        self.assertEqual(self.others.calls, ["anchor_changes", "hold_signals", "stopReading", "hold", "stop"])
        self.assertEqual(self.became, [NEW.tree_hash])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers_are_awaited(self) -> None:
        """Who waits at the control socket gets an answer, unless that takes too long."""
        self.others.busy = True
        self.becoming.soon()
        self.look(3)
        self.assertEqual(self.became, [])
        self.others.busy = False
        self.look()
        self.assertEqual(len(self.became), 1)
        self.others.busy = True
        self.becoming.soon()
        self.look(int(QUIET_S / NEXT_SELF_S) + 2)
        self.assertEqual(len(self.became), 2)

    def test_a_change_meanwhile(self) -> None:
        """However long it takes and however it ends: afterwards the anchor becomes what was decided for, once."""
        for decided in (NEW, NEWER):
            self.became.clear()
            self.becoming.soon()
            self.changing = True
            self.look(int(QUIET_S / NEXT_SELF_S) + 5)
            self.assertEqual(self.became, [])
            self.changing, self.others.decided = False, decided
            self.becoming.soon()  # as that change says, if it was a hand-over
            self.look(2)
            self.assertEqual(self.became, [decided.tree_hash])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_change_at_the_last_moment(self) -> None:
        """It goes on: the control socket is heard again, and the exec comes after it."""
        self.others.meanwhile = self.change
        self.becoming.soon()
        self.look()
        self.assertEqual((self.became, self.others.calls[-3:]), ([], ["hear_signals", "startReading", "hear"]))
        self.others.meanwhile, self.changing = lambda: None, False
        self.look()
        self.assertEqual(self.became, [NEW.tree_hash])

    def test_answers_after_a_change_meanwhile(self) -> None:
        """Its outcome is told as well, how long ago the first one may have ended."""
        self.changing = True
        self.becoming.soon()
        self.look(int(QUIET_S / NEXT_SELF_S) + 5)
        self.changing, self.others.busy = False, True
        self.look(5)
        self.assertEqual(self.became, [])
        self.others.busy = False
        self.look()
        self.assertEqual(self.became, [NEW.tree_hash])

    def test_cannot(self) -> None:
        """Whatever goes wrong: it works on as what it is, nothing is left to an exec, and it says so."""
        for error in (OSError(2, "No such file or directory"), ValueError("it cannot be told")):
            self.others.calls.clear()
            self.error = error
            self.becoming.soon()
            self.look()
            after = self.others.calls[self.others.calls.index("stop") + 1 :]
            self.assertEqual(sorted(after), ["be_normal", "hear", "hear_signals", "start", "startReading"])
            self.assertFalse(os.get_inheritable(self.listener))
            self.assertRaises(OSError, os.fstat, self.file)
            self.assertIn(str(error), self.notes[-1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_cannot_tell_what_it_has(self) -> None:
        """The same where the next self would get nothing."""
        self.unknown = KeyError("a session")
        self.becoming.soon()
        self.look()
        self.assertEqual(self.became, [])
        self.assertEqual(sorted(self.others.calls[-5:]), ["be_normal", "hear", "hear_signals", "start", "startReading"])
        self.assertEqual((len(self.notes), len(self.flushLoggedErrors(KeyError))), (1, 1))

    def test_at_the_end(self) -> None:
        """A daemon that ends stays what it is, and hears signals."""
        self.becoming.soon()
        self.stopping = True
        self.look()
        self.assertEqual((self.became, self.others.calls), ([], []))
        self.stopping = False
        self.others.meanwhile = self.stop
        self.becoming.soon()
        self.look()
        self.assertEqual((self.became, self.others.calls[-1]), ([], "hear_signals"))
