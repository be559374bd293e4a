"""Generations in one worker: swap, refusal, requests in flight, freeing."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, cast
from unittest import mock

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from cloudd.control import BOUNDARIES
from cloudd.daemon._access_log import AccessLog
from cloudd.daemon._code_source import CodeSource, preload
from cloudd.daemon._freeing import DELAY_S, LATE_LOOK_S, Freeing
from cloudd.daemon._generations import SETTLE_S, Generations, PrepareFailed
from cloudd.daemon._metrics import RequestCounts
from cloudd.daemon._site import WorkerSite
from cloudd.interfaces.application import Resources
from reload import CodeTree, Generation, Snapshot
from tests.daemon.code_trees import LoadAtOnce, ThreadsAtOnce
from tests.daemon.simulated_canary import AskedRequest

APPLICATION = """
from cloudd.interfaces.application import PartHealth, SelfCheckFailed
WORD = {word!r}
EVENTS = []

def build(resources):
    return Application()

class Application:
    def __init__(self):
        self.kept = 0
    async def self_check(self):
        if WORD == "bad":
            raise SelfCheckFailed("cloudd.words", "the word is bad")
    def start(self, state):
        if WORD == "unstartable":
            raise ValueError("cannot start")
        self.kept = state.get("kept", 0) + 1
    def snapshot(self):
        return {{"kept": self.kept}}
    def retire(self):
        self.kept = -1
    def health(self):
        return [PartHealth("word", True)] if WORD != "sick" else 1 / 0
    def handle(self, request):
        request.route = WORD
"""

WORKING = (
    APPLICATION.replace("self.kept = 0", "self.kept, self.led, self.raises = 0, [], False")
    + """
    def work(self):
        from cloudd.interfaces.application import WorkForm
        return {{"purge": WorkForm((1,), 1), "copy": WorkForm((1,), 1)}}
    def lead(self, kinds=None, on_trial=False):
        if self.raises:
            1 / 0
        self.led.append((kinds, on_trial))
"""
)


STATES = """
    def states(self):
        from reload import Converters, States
        known = Converters()
        STEPS
        return States({{"put": VERSION}}, known)
"""
UP = "known.add('put', 1, up=lambda old: {'count': old['n']}); "
DOWN = "known.add('put', 1, down=lambda new: {'n': new['count']})"


def holders_at_once(generation: Generation, _reactor: object) -> Deferred[list[str]]:
    """``Generation.find_holders`` without a fork."""
    return succeed(generation.holders())


@define
class Lent:
    """What a generation is lent: a thing of its own."""

    thing: object = field(factory=object)


@define(eq=False)
class FakeRequest:
    """As much of a request as the site looks at."""

    method: bytes = b"GET"
    path: bytes = b"/"
    peer: str = "p"
    face: str = "api"
    id: str = "req"
    generation: int = 0
    route: str = "unknown"
    project_id: str = ""
    status: int = 200
    sent_bytes: int = 5
    began: float = 0.0
    received_bytes: int = 3
    state: Snapshot | None = None


@define(eq=False)
class CanaryRequest(FakeRequest):
    """What a canary looks at besides."""

    lot: float = 0.0
    broken: bool = False


class GenerationsCase(TestCase):
    number = 500  # of all generations in this process: none may be used twice

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.clock = Clock()
        self.addCleanup(gc.unfreeze)
        self.forgotten = 0
        self.lent: dict[int, Lent] = {}
        self.generations = self.make(CodeSource(self.folder / "code"))

    def make(self, source: CodeSource) -> Generations:
        def forget() -> None:
            self.forgotten += 1

        def lend(number: int) -> Resources:
            self.lent[number] = Lent()
            return cast(Resources, self.lent[number])

        freeing = Freeing(
            self.clock,
            lambda: [self.generations],
            forget,
            step_pause_s=0.0,
            step_rests=0.0,
            find_holders=holders_at_once,
        )
        return Generations(self.clock, ThreadsAtOnce(), source, lend, freeing, start_load=LoadAtOnce)

    def stage(self, word: str, source: str = APPLICATION) -> str:
        """A staged tree whose application has that word; gives its hash."""
        tree = self.folder / "tree"
        for package in ("cloudd", "net", "reload", "storage"):
            (tree / package).mkdir(parents=True, exist_ok=True)
            (tree / package / "__init__.py").write_text("")
        (tree / "cloudd" / "application.py").write_text(source.format(word=word))
        return CodeTree.scan(tree, BOUNDARIES).stage(self.folder / "code").hash

    def next_number(self) -> int:
        GenerationsCase.number += 1
        return GenerationsCase.number

    def swap(self, word: str, source: str = APPLICATION) -> int:
        number = self.next_number()
        self.successResultOf(Deferred.fromCoroutine(self.generations.prepare(number, self.stage(word, source))))
        self.generations.commit(number)
        return number

    def refusal(self, tree_hash: str) -> str:
        preparing = Deferred.fromCoroutine(self.generations.prepare(self.next_number(), tree_hash))
        return str(self.failureResultOf(preparing, PrepareFailed).value)


class SwapTests(GenerationsCase):
    def test_boot_and_swap(self) -> None:
        """State crosses by snapshot; the old one is retired, released and freed."""
        first = self.next_number()
        self.successResultOf(Deferred.fromCoroutine(self.generations.boot(first, self.stage("one"))))
        application = cast(Any, self.generations.current).application
        self.assertEqual(application.kept, 1)
        second = self.swap("two")
        current = cast(Any, self.generations.current)
        self.assertEqual((current.number, current.application.kept, application.kept), (second, 2, -1))
        self.assertEqual([row["number"] for row in self.generations.status({})], [first, second])
        self.assertEqual((self.forgotten, self.generations.is_changing), (0, True))
        del application
        self.clock.advance(1.5)
        self.assertEqual((self.forgotten, self.generations.is_changing), (1, False))
        self.assertEqual([row["number"] for row in self.generations.status({})], [second])

    def test_just_changed(self) -> None:
        """For some seconds after each commit."""
        self.assertFalse(self.generations.has_just_changed)
        for word in ("one", "two"):
            self.swap(word)
            self.assertTrue(self.generations.has_just_changed)
            self.clock.advance(SETTLE_S)
            self.assertFalse(self.generations.has_just_changed)
        number = cast(Any, self.generations.current).number
        self.assertEqual([self.generations.count_after(number - less) for less in (0, 1)], [0, 1])

    def test_requests_end_where_they_began(self) -> None:
        """A generation with a request in flight stays until it ends."""
        self.swap("one")
        running = self.generations.begin()
        old = running.number
        self.swap("two")
        self.assertIsNotNone(running.application)
        self.assertEqual(self.generations.in_flight(), 1)
        self.clock.advance(100)
        self.assertEqual([row["state"] for row in self.generations.status({old: 4})], ["ending", "serving"])
        self.assertEqual(self.generations.status({old: 4})[0]["connections"], 4)
        self.generations.end(old)
        self.assertIsNone(running.application)
        self.assertEqual(self.generations.in_flight(), 0)

    def test_own_work_ends_before_it_is_freed(self) -> None:
        """A generation whose own work goes on is kept, as for a request; so it is when the process ends."""
        self.swap("one")
        old = cast(Any, self.generations.current)
        resting: Deferred[None] = Deferred()
        old.application.rest = lambda: resting
        self.assertIs(self.generations.rest(), resting)
        self.swap("two")
        self.clock.advance(100)
        self.assertEqual([row["state"] for row in self.generations.status({})], ["ending", "serving"])
        self.assertIsNotNone(old.application)
        resting.callback(None)
        self.assertIsNone(old.application)
        self.assertEqual(self.generations.in_flight(), 0)
        self.successResultOf(self.generations.rest())  # code that has no work of its own

    def test_refusals(self) -> None:
        """Each failure leaves the current generation alone and says where it lies."""
        current = self.swap("one")
        self.assertEqual(self.refusal(self.stage("bad")), "cloudd.words: the word is bad")
        self.assertIn("cloudd.application line 1", self.refusal(self.stage("x", "import nowhere\n")))
        self.assertIn("gone", self.refusal(self.stage("x", "def build(r):\n    raise ValueError('gone')\n")))
        self.assertIn("line 1: SystemExit: 3", self.refusal(self.stage("x", "raise SystemExit(3)\n")))
        self.assertIn("not a code tree", self.refusal("0" * 64))
        self.assertEqual([row["number"] for row in self.generations.status({})], [current])
        self.assertRaises(PrepareFailed, self.generations.commit, 1)

    def test_changed_copy(self) -> None:
        """A copy that someone changed is not loaded."""
        self.swap("one")
        changed = self.stage("two")
        file = self.folder / "code" / changed / "cloudd" / "application.py"
        file.chmod(0o600)
        file.write_text("")
        self.assertIn("changed since it was staged", self.refusal(changed))

    def test_cannot_start(self) -> None:
        """When the new one does not start, the current one goes on."""
        current = self.swap("one")
        number = self.next_number()
        self.successResultOf(Deferred.fromCoroutine(self.generations.prepare(number, self.stage("unstartable"))))
        error = self.assertRaises(PrepareFailed, self.generations.commit, number)
        self.assertIn("cannot start", str(error))
        self.assertEqual(cast(Any, self.generations.current).number, current)

    def test_abort(self) -> None:
        """What was prepared is dropped, by ``abort``, by another ``prepare`` and at the end."""
        current = self.swap("one")
        for end in (self.generations.abort, lambda _number: self.generations.stop()):
            number = self.next_number()
            self.successResultOf(Deferred.fromCoroutine(self.generations.prepare(number, self.stage("two"))))
            self.assertEqual([row["state"] for row in self.generations.status({})], ["serving", "loaded"])
            end(number)
            self.clock.advance(1.5)
            self.assertEqual([row["number"] for row in self.generations.status({})], [current])

    def test_leak_is_reported(self) -> None:
        """What keeps a generation in memory is named in the status."""
        self.swap("one")
        held = cast(Any, self.generations.current).application
        self.swap("two")
        for _ in range(8):
            self.clock.advance(100)
        rows = self.generations.status({})
        self.assertEqual(len(rows), 2)
        self.assertTrue(rows[0]["holders"])
        self.assertIsNotNone(held)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_the_search_turns_back_at_what_was_lent(self) -> None:
        """Lent to the generation that is freed: what it does not know leads through the kernel to all that lives."""
        kept: list[object] = []
        free = Generation.free

        def spy(generation: Generation, turns_back: Iterable[object], **how: bool) -> Iterator[None]:
            kept.extend(turns_back)
            return free(generation, turns_back, **how)

        self.patch(Generation, "free", spy)
        first, second = self.swap("one"), self.swap("two")
        self.clock.advance(1)
        self.assertIn(self.lent[first].thing, kept)
        self.assertNotIn(self.lent[second].thing, kept)

    def test_a_leak_that_ends(self) -> None:
        """Who held it lets go, however late: the status tells of it no longer."""
        self.swap("one")
        held = [cast(Any, self.generations.current).application]
        self.swap("two")
        for _ in range(8):
            self.clock.advance(100)
        self.assertEqual(len(self.generations.status({})), 2)
        held.clear()
        gc.collect()
        self.clock.advance(LATE_LOOK_S)
        self.assertEqual(len(self.generations.status({})), 1)
        self.assertEqual((self.generations.freeing.leaks, self.clock.getDelayedCalls()), ({}, []))

    def test_health(self) -> None:
        """A generation whose health cannot be told is a failing part."""
        self.assertFalse(self.generations.health()[0].ok)
        self.swap("one")
        self.assertTrue(self.generations.health()[0].ok)
        self.swap("sick")
        self.assertIn("division by zero", self.generations.health()[0].cause)


class StateTests(GenerationsCase):
    """What handlers have told, and other code reads."""

    def source(self, version: int, steps: str = "") -> str:
        """An application whose handlers tell ``put`` in that version."""
        braces = steps.replace("{", "{{").replace("}", "}}")
        return APPLICATION + STATES.replace("VERSION", str(version)).replace("STEPS", braces)

    def test_another_version_without_a_conversion(self) -> None:
        """Refused when it is prepared; kind and versions are named, and the current code goes on."""
        current = self.swap("one", self.source(1))
        cause = self.refusal(self.stage("two", self.source(2)))
        self.assertIn("could not go on: put: written as version 1, read are only 2 by the new code", cause)
        self.assertEqual([row["number"] for row in self.generations.status({})], [current])

    def test_no_way_back(self) -> None:
        self.swap("one", self.source(1))
        cause = self.refusal(self.stage("two", self.source(2, UP)))
        self.assertIn("put: written as version 2, read are only 1 by the code that runs", cause)

    def test_there_and_back(self) -> None:
        """With the steps, into each of the two and back out of it by code that has none."""
        self.swap("one", self.source(1))
        self.swap("two", self.source(2, UP + DOWN))
        state = Snapshot("put", 1, {"n": 5})
        self.assertEqual(self.generations.serving_state(state), Snapshot("put", 2, {"count": 5}))
        running = self.generations.begin()  # a request of the newer code stays in it
        self.swap("one", self.source(1))
        spoken = self.generations.spoken()
        self.assertEqual((spoken.writes("put"), spoken.reads("put")), ((1, 2), (1,)))
        newer = Snapshot("put", 2, {"count": 6})
        self.assertEqual(self.generations.serving_state(newer), Snapshot("put", 1, {"n": 6}))
        self.assertEqual(self.generations.state_for(running, newer), newer)
        self.assertEqual(self.generations.state_for(running, state), Snapshot("put", 2, {"count": 5}))
        self.generations.end(running.number)
        self.assertEqual(self.generations.spoken().writes("put"), (1,))

    def test_in_a_canary(self) -> None:
        """Its requests are asked as well, and the current code still goes on with what comes."""
        self.swap("one", self.source(1))
        number = self.next_number()
        staged = self.stage("two", self.source(2, UP + DOWN))
        self.successResultOf(Deferred.fromCoroutine(self.generations.prepare(number, staged)))
        self.assertEqual(len(self.generations.spoken().codes), 1)
        self.generations.begin_canary(number, 0.5)
        spoken = self.generations.spoken()
        self.assertEqual((len(spoken.codes), spoken.own("put")), (2, 1))

    def test_in_a_new_process(self) -> None:
        """What is prepared goes on with what comes."""
        self.assertEqual(self.generations.spoken().kinds(), set())
        number = self.next_number()
        staged = self.stage("two", self.source(2, UP + DOWN))
        self.successResultOf(Deferred.fromCoroutine(self.generations.prepare(number, staged)))
        self.assertEqual(self.generations.spoken().reads("put"), (1, 2))

    def test_the_site_converts(self) -> None:
        """A request that comes has its state in the version of the code that answers it, whichever that is."""
        self.swap("two", self.source(2, UP + DOWN))
        log = AccessLog(self.folder / "access.log")
        site = WorkerSite(self.generations, RequestCounts(), log, "text", lambda: 1.0)
        for state, expected in (
            (Snapshot("put", 1, {"n": 5}), Snapshot("put", 2, {"count": 5})),
            (Snapshot("get", 7, {}), Snapshot("get", 7, {})),
        ):
            request: Any = FakeRequest(state=state)
            site.handle(request)
            self.assertEqual(request.state, expected)


class CanaryTests(GenerationsCase):
    """A prepared generation that answers on a share of the connections."""

    def begin(self, word: str = "two", share: float = 0.5, source: str = APPLICATION) -> int:
        """Boot ``one``, and begin the canary of another word."""
        self.swap("one", source)
        number = self.next_number()
        self.successResultOf(Deferred.fromCoroutine(self.generations.prepare(number, self.stage(word, source))))
        self.generations.begin_canary(number, share)
        return number

    def states(self) -> list[str]:
        return [row["state"] for row in self.generations.status({})]

    def ask(self, lot: float) -> Any:
        """A request on the connection with that lot: the generation that answers it."""
        return self.generations.begin_in_trial(AskedRequest(lot=lot))

    def lots(self) -> tuple[float, float]:
        """One in the canary, and one beside it."""
        trial = cast(Any, self.generations.trial)
        lots = [lot / 100 for lot in range(100)]
        return next(lot for lot in lots if trial.takes(lot)), next(lot for lot in lots if not trial.takes(lot))

    def measure(self, number: int) -> Any:
        return self.successResultOf(
            Deferred.fromCoroutine(self.generations.measure_canary(number, {}, lambda: succeed(None)))
        )

    def test_commit(self) -> None:
        """It answers where the lot says so; afterwards everywhere, without being started again."""
        number = self.begin()
        inside, outside = self.lots()
        trial = cast(Any, self.generations.trial)
        self.assertEqual((self.states(), trial.running.application.kept), (["serving", "canary"], 2))
        self.assertEqual([self.ask(inside).number for _ in range(3)], [number] * 3)
        self.assertEqual(self.ask(outside).number, number - 1)
        self.assertEqual(self.generations.in_flight(), 4)
        for _ in range(3):
            self.generations.end(number)
        self.generations.commit(number)
        self.assertIsNone(self.generations.trial)
        self.assertEqual((self.generations.begin().number, trial.running.application.kept), (number, 2))
        self.assertEqual(self.states(), ["ending", "serving"])
        self.clock.advance(100)
        self.assertEqual(self.states(), ["ending", "serving"], "the silence of the anchor no longer matters")

    def test_leads_when_decided_for(self) -> None:
        """Work of its own begins with the commit, once, and not in the canary; what it raises harms nobody."""
        number = self.begin()
        led: list[bool] = []
        application = cast(Any, self.generations.trial).running.application

        def lead() -> None:
            led.append(cast(Any, self.generations.current).application is application)
            raise ValueError("no work")

        application.lead = lead
        self.assertEqual(led, [])
        self.generations.commit(number)
        self.assertEqual(led, [True])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def begin_with_work(self) -> tuple[int, Any, Any]:
        """The canary of code that works, after code that works: its number, and what both are given to do."""
        number = self.begin(source=WORKING)
        current = cast(Any, self.generations.current).application
        return number, current.led, cast(Any, self.generations.trial).running.application.led

    def test_work_goes_over(self) -> None:
        """Kind by kind in the canary, all of it with the commit; nothing where there is no such work or canary."""
        number, old, new = self.begin_with_work()
        self.assertEqual((old, new), ([(None, False)], []))
        for wrong_number, kind in ((number, "unknown"), (number - 1, "purge")):
            self.generations.move_work(wrong_number, kind)
        self.assertEqual(new, [])
        self.generations.move_work(number, "purge")
        self.assertEqual((old[1:], new), ([(["copy"], False)], [(["purge"], True)]))
        self.generations.commit(number)
        self.assertEqual((old[2:], new[1:]), ([], [(None, False)]))
        self.assertIsNone(self.generations.work_trial)

    def test_the_process_ends(self) -> None:
        """In a canary its work is given back first, and is waited for."""
        number, old, _new = self.begin_with_work()
        self.generations.move_work(number, "purge")
        giving: Deferred[None] = Deferred()
        cast(Any, self.generations.trial).running.application.rest = lambda: giving
        self.successResultOf(self.generations.rest())
        self.assertEqual((self.states(), old[2:]), (["ending", "serving"], [(None, False)]))
        self.assertEqual(self.generations.in_flight(), 1)
        giving.callback(None)
        self.assertEqual(self.generations.in_flight(), 0)

    def test_work_comes_back(self) -> None:
        """When the canary is dropped, though the new code cannot even stop."""
        number, old, _new = self.begin_with_work()
        self.generations.move_work(number, "purge")
        self.generations.abort(number)
        self.assertEqual(old[-1], (None, False))
        self.generations.move_work(number, "purge")
        self.assertEqual(len(old), 3)

    def test_work_that_cannot_go_over(self) -> None:
        """New code that raises when it is given work: the cause says where."""
        number, old, _new = self.begin_with_work()
        cast(Any, self.generations.trial).running.application.raises = True
        error = self.assertRaises(PrepareFailed, self.generations.move_work, number, "purge")
        self.assertIn("cloudd.application line", str(error))
        self.assertIn("ZeroDivisionError", str(error))
        self.generations.abort(number)
        self.assertEqual(old[-1], (None, False))

    def test_abort(self) -> None:
        """The next request has the old code everywhere; one under way in the new ends there, then it is freed."""
        number = self.begin()
        inside, _outside = self.lots()
        running = self.ask(inside)
        self.generations.abort(number)
        self.assertEqual(self.generations.begin().number, number - 1)
        self.assertIsNotNone(running.application)
        self.assertEqual(self.states(), ["ending", "serving"])
        self.generations.end(number)
        self.assertIsNone(running.application)
        self.clock.advance(1.5)
        self.assertEqual(self.states(), ["serving"])

    def test_the_anchor_goes(self) -> None:
        """What it had recorded is done: the canary's generation serves, or is dropped; it is no longer a candidate."""
        for is_decided in (False, True):
            number = self.begin()
            self.generations.settle(number if is_decided else number - 1)
            self.assertEqual((self.generations.trial, self.generations.prepared), (None, None))
            self.assertEqual(self.generations.begin().number, number if is_decided else number - 1)
            self.assertEqual(self.generations.highest, number)
            self.generations.settle(number)

    def test_nothing_is_left_of_it(self) -> None:
        """What was counted goes with the canary, though requests of it are still under way."""
        for end in (self.generations.abort, self.generations.commit):
            number = self.begin()
            counted = weakref.ref(cast(Any, self.generations.trial))
            inside, _outside = self.lots()
            self.ask(inside)
            self.measure(number)
            end(number)
            gc.collect()
            self.assertIsNone(counted())

    def test_its_end_is_told(self) -> None:
        """Once for each canary, however it ends."""
        ended: list[int] = []
        self.generations.canary_ended = lambda: ended.append(1)
        for end in (self.generations.abort, self.generations.commit):
            number = self.begin()
            end(number)
            self.generations.abort(number)
        self.assertEqual(len(ended), 2)

    def test_nobody_looks_after_it(self) -> None:
        """Without the anchor's looks it ends by itself."""
        number = self.begin()
        self.clock.advance(4)
        self.assertEqual(self.measure(number), {})
        self.clock.advance(4)
        self.assertEqual(self.states(), ["serving", "canary"])
        self.clock.advance(1.5)
        self.assertNotIn("canary", self.states())
        self.assertIsNone(self.measure(number))

    def test_cannot_start(self) -> None:
        """It is dropped, and the current one goes on."""
        error = self.assertRaises(PrepareFailed, self.begin, "unstartable")
        self.assertIn("cannot start", str(error))
        del error  # its traceback holds what is to be freed, in a knot that no quick collection finds
        for _ in range(8):
            self.clock.advance(100)
        self.assertEqual(self.states(), ["serving"])
        self.assertRaises(PrepareFailed, self.generations.begin_canary, 1, 0.5)

    def test_check(self) -> None:
        """It checks itself once more; a part that fails in it alone is a failure."""
        number = self.begin()
        self.successResultOf(Deferred.fromCoroutine(self.generations.check_canary(number)))
        checking = Deferred.fromCoroutine(self.generations.check_canary(number + 1))
        self.assertIn("there is no canary", str(self.failureResultOf(checking, PrepareFailed).value))
        self.generations.abort(number)
        number = self.begin("sick")
        checking = Deferred.fromCoroutine(self.generations.check_canary(number))
        self.assertIn("division by zero", str(self.failureResultOf(checking, PrepareFailed).value))

    def test_site(self) -> None:
        """The site asks the lot while a canary runs, and tells the canary of what ended."""
        log = AccessLog(self.folder / "access.log")
        self.patch(log, "write", lambda _line: None)
        number = self.begin()
        site = WorkerSite(self.generations, RequestCounts(), log, "text", lambda: 2.0, "front-3")
        for lot, generation in zip(self.lots(), (number, number - 1), strict=True):
            request: Any = CanaryRequest(lot=lot)
            site.handle(request)
            self.assertEqual(request.generation, generation)
            site.finished(request)
        measured = self.measure(number)
        self.assertEqual((measured["api GET two"].new.requests, measured["api GET one"].old.requests), (1, 1))


class HangTests(GenerationsCase):
    """New code that does not come to an end while it loads or checks itself, on the real reactor."""

    timeout = 60

    def tearDown(self) -> None:
        for call in cast(Any, reactor).getDelayedCalls():  # looks whether a hanging one is freed
            call.cancel()

    def make(self, source: CodeSource) -> Generations:
        lend = cast("Callable[[int], Resources]", lambda number: Lent())
        freeing = Freeing(reactor, lambda: [self.generations], delay_s=0.01)
        return Generations(reactor, ThreadsAtOnce(), source, lend, freeing)

    async def give_up(self, source: str) -> str:
        """Prepare code that hangs, give it up, and tell why it failed; a thread of it may go on."""
        number = self.next_number()
        preparing = Deferred.fromCoroutine(self.generations.prepare(number, self.stage("x", source)))
        for _ in range(100):
            await deferLater(reactor, 0.002)
        self.assertFalse(preparing.called)
        self.generations.abort(number)
        return str(await self.assertFailure(cast("Deferred[object]", preparing), PrepareFailed))

    async def serve(self) -> None:
        """Good code can be loaded now, and then nothing else is left."""
        number = self.next_number()
        await self.generations.prepare(number, self.stage("good"))
        self.generations.commit(number)
        for _ in range(1_000):  # the collector is off for moments in which an old one is freed
            if [row["number"] for row in self.generations.status({})] == [number] and gc.isenabled():
                break
            await deferLater(reactor, 0.005)
        self.assertTrue(gc.isenabled())
        self.assertEqual([row["number"] for row in self.generations.status({})], [number])

    async def test_a_module_that_loops(self) -> None:
        """It is given up where it is, its thread ends, and the next code is served."""
        cause = await self.give_up("import time\nwhile True:\n    time.sleep(0.001)\n")
        self.assertIn("cloudd.application line", cause)
        await self.serve()
        while any(thread.name.startswith("load-") for thread in threading.enumerate()):
            await deferLater(reactor, 0.005)

    async def test_a_module_that_waits(self) -> None:
        """A thread that cannot be ended is in nobody's way."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        sys.gate_of_a_test = gate  # type: ignore[attr-defined]
        self.addCleanup(delattr, sys, "gate_of_a_test")
        cause = await self.give_up("import sys\nsys.gate_of_a_test.wait()\n")
        self.assertIn("does not end", cause)
        await self.serve()

    async def test_a_self_check_that_waits(self) -> None:
        """It is cancelled, and does not become the prepared one later."""
        source = APPLICATION.replace('if WORD == "bad":', "if True:").replace(
            'raise SelfCheckFailed("cloudd.words", "the word is bad")',
            "from twisted.internet.defer import Deferred; await Deferred()",
        )
        self.assertIn("self-check does not end", await self.give_up(source))
        self.assertIsNone(self.generations.prepared)
        await self.serve()

    async def test_another_one_comes(self) -> None:
        """Whoever prepares the next one gives up what hangs."""
        number = self.next_number()
        tree_hash = self.stage("x", "import time\nwhile True:\n    time.sleep(0.001)\n")
        preparing = Deferred.fromCoroutine(self.generations.prepare(number, tree_hash))
        failed = self.assertFailure(cast("Deferred[object]", preparing), PrepareFailed)
        await self.serve()
        await failed


class PreloadTests(GenerationsCase):
    def test_preloaded_is_used(self) -> None:
        """What the loader loaded is booted as it is; for other code it is dropped."""
        tree_hash = self.stage("one")
        root = self.folder / "code" / tree_hash
        for wanted, same in ((tree_hash, True), (self.stage("two"), False)):
            number = self.next_number()
            ready = preload(number, root)
            assert ready is not None
            opened = CodeSource(self.folder / "code", ready).open(number, wanted)
            self.assertEqual((opened is ready, ready.released), (same, not same))
            opened.release()

    async def test_its_code_is_used(self) -> None:
        """Other code that comes after it takes what is the same, and only then it is dropped."""
        old, new = self.stage("read before"), self.stage("read after")
        ready = preload(self.next_number(), self.folder / "code" / old)
        assert ready is not None
        generations = self.make(CodeSource(self.folder / "code", ready))
        number = self.next_number()
        with mock.patch.object(
            SourceFileLoader, "get_code", autospec=True, side_effect=SourceFileLoader.get_code
        ) as read:
            await generations.prepare(number, new)
        self.assertEqual([call.args[1] for call in read.call_args_list], [f"_g{number}.cloudd.application"])
        self.assertFalse(ready.released)
        self.clock.advance(DELAY_S)
        self.assertTrue(ready.released)
        generations.abort(number)

    def test_cannot_be_loaded(self) -> None:
        """A tree that cannot be loaded is left to the workers, who say why."""
        self.assertIsNone(preload(self.next_number(), self.folder / "code" / self.stage("x", "import nowhere\n")))
        self.assertIsNone(preload(self.next_number(), self.folder))


class SiteTests(GenerationsCase):
    def test_request(self) -> None:
        """A request gets its generation, and is counted, logged and let go when it has ended."""
        lines: list[bytes] = []
        log = AccessLog(self.folder / "access.log")
        self.patch(log, "write", lines.append)
        counts = RequestCounts()
        number = self.swap("one")
        site = WorkerSite(self.generations, counts, log, "text", lambda: 2.0, "front-3")
        request: Any = FakeRequest(began=1.5)
        site.handle(request)
        self.assertEqual((request.generation, request.route), (number, "one"))
        self.swap("two")
        self.assertEqual(self.generations.in_flight(), 1)
        site.finished(request)
        self.assertEqual(self.generations.in_flight(), 0)
        self.assertEqual(lines[0].split()[4:12], f"GET / one 200 500.000 3 5 {number}".encode().split())
        self.assertEqual(lines[0].split()[-1], b"front-3")
        names = {sample.name for family in counts.collect() for sample in family.samples}
        self.assertIn("cloudd_requests_total", names)

    def test_request_that_moves(self) -> None:
        """Its part here is logged, not counted, and it is let go."""
        lines: list[bytes] = []
        log = AccessLog(self.folder / "access.log")
        self.patch(log, "write", lines.append)
        counts = RequestCounts()
        number = self.swap("one")
        site = WorkerSite(self.generations, counts, log, "text", lambda: 2.0, "front-3")
        request: Any = FakeRequest(began=1.5, status=0)
        site.handle(request)
        site.moved(request)
        self.assertEqual(self.generations.in_flight(), 0)
        self.assertEqual(lines[0].split()[7:12], f"0 500.000 3 5 {number}".encode().split())
        self.assertEqual(lines[0].split()[-2:], [b"front-3", b"moved"])
        self.assertEqual([sample for family in counts.collect() for sample in family.samples if sample.value], [])

    def test_request_without_a_head(self) -> None:
        """Bytes that were no request are counted and logged, and belong to no generation."""
        lines: list[bytes] = []
        log = AccessLog(self.folder / "access.log")
        self.patch(log, "write", lines.append)
        site = WorkerSite(self.generations, RequestCounts(), log, "text", lambda: 2.0, "front-3")
        site.set_access_format("json")
        request: Any = FakeRequest(status=400)
        site.finished(request)
        self.assertIn(b'"status":400', lines[0])
        self.assertIn(b'"worker":"front-3"', lines[0])
