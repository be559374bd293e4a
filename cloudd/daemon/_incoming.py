# -*- test-case-name: tests.daemon.test_handover -*-
"""
A second crew of workers, of other code, beside the one that serves: booted, paired with the old workers, and given
their connections.

``HandOver`` is one attempt.  Its steps are called in this order, and each raises ``SwapFailed`` when it cannot be done:
``boot`` (a loader of the new tree prepares the host and forks workers that wait) → ``rehearse`` (each old front shows
that its new one can adopt) → the caller writes the decision down → ``commit`` → ``supervise`` → ``settle``.  Before the
decision ``abort`` leaves all as it was; after it, ``hand_back`` brings the old workers back.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from cloudd.interfaces.application import Threads
from reload import link_pair

from ._before_after import Answers, add_answers, worse_than_before
from ._leaving import kill_all
from ._link import LinkError
from ._rendezvous import Purpose, Visit, VisitFailed, place_of, visit
from ._slot import Slot
from ._workers import Decided, OldWorkerFailed, SwapFailed, WorkerPool

BOOT_S = 60.0
REHEARSAL_S = 30.0
MOVE_S = 120.0
ASK_S = 10.0
VISIT_S = 15.0  # a worker with very many connections on a busy machine does not answer within the usual 2 s
RETURN_S = 10.0
LOOK_S = 0.5
LEASES_S = 5.0  # for an agent that is given up to give the leases of its tasks back, or to cut them off
SILENT_LOOKS = 2  # each waits for ``ASK_TIMEOUT_S``


@define(eq=False)
class Pair:
    """
    An old front worker and the new one that takes its connections.

    :ivar facts: what the old worker has last told of its session
    """

    old: Slot
    new: Slot
    rehearsed: Deferred[None] = field(factory=Deferred)
    moved: Deferred[None] = field(factory=Deferred)
    returned: Deferred[None] = field(factory=Deferred)
    ended: str = ""
    cause: str = ""
    facts: dict[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for waiting in (self.rehearsed, self.moved):
            waiting.addErrback(_kept)

    def heard(self, phase: str, facts: dict[str, Any]) -> None:
        """The old worker tells how far it is."""
        if phase == "fence":
            self.new.kill(f"it kept silent in the hand-over: {facts.get('cause', '')}")
            return
        if phase in {"taken", "fence_old"}:
            return  # of what it still takes from an older worker
        self.facts = facts
        if phase == "rehearsed":
            _fire(self.rehearsed)
        elif phase == "moved":
            _fire(self.moved)
        elif phase == "returned":
            _fire(self.returned)
        elif phase == "ended":
            self.ended, self.cause = facts.get("how", ""), facts.get("cause", "")
            cause = SwapFailed(f"worker {self.old.name}: {self.ended}: {facts.get('cause', '')}")
            for waiting in (self.rehearsed, self.moved):
                if not waiting.called:
                    waiting.errback(cause)
            _fire(self.returned)

    def old_has_ended(self) -> None:
        """Also one that was killed and told nothing: nothing more is heard of it."""
        self.ended = self.ended or "gone"
        cause = OldWorkerFailed(f"worker {self.old.name} {self.old.cause or 'ended'}")
        for waiting in (self.rehearsed, self.moved):
            if not waiting.called:
                waiting.errback(cause)
        _fire(self.returned)

    def heard_of_new(self, phase: str, facts: dict[str, Any]) -> None:
        """The new worker tells: only that its old one must be ended matters here."""
        if phase == "fence_old":
            self.old.kill(f"it kept silent in the hand-over: {facts.get('cause', '')}")


@define
class _Seen:
    """
    What the looks of a supervision have seen.

    :param looks: how many there will be
    :ivar silent: in how many a worker did not answer, in a row
    :ivar failed: how many could not be made, in a row
    :ivar sick: parts that failed in the last one, and did not before the hand-over
    """

    looks: int
    silent: int = 0
    failed: int = 0
    sick: set[str] = field(factory=set)

    @property
    def is_doubtful(self) -> bool:
        """Whether to look again before it is over."""
        return bool(self.silent or self.failed or self.sick)


class HandOver:
    """
    :param run: where workers can be met
    :param health: gives the host's health; a part that fails under the new code and did not before has all handed back
    :param check: looks, in a thread, whether the anchor could run this code; says why not
    :param report: told what is done: a sentence, and done of total
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        pool: WorkerPool,
        threads: Threads,
        run: Path,
        decided: Decided,
        health: Callable[[], Awaitable[Mapping[str, Any]]],
        check: Callable[[Decided], str],
        report: Callable[[str, str, int, int], None],
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._threads = threads
        self._run = run
        self.decided = decided
        self._health = health
        self._check = check
        self._sick_before: set[str] = set()
        self._report = report
        self._pairs: list[Pair] = []
        self._crew: list[Slot] = []
        self._old: list[Slot] = []
        self._asked_back: str = ""
        self._before: Answers = {}  # what the old workers have answered
        self._supervised = False
        self.longest_pause_s = 0.0

    # ---- before the decision

    async def boot(self) -> None:
        """
        :raises SwapFailed: the new code cannot be started; nothing is left of it
        """
        pool = self._pool
        self._sick_before = set(await self._sick_parts())
        self._report("prepare", "starting the new code beside the old, which prepares the host", 0, 0)
        cause = await self._threads.run(self._check, self.decided)
        if cause:
            raise SwapFailed(f"the new code cannot be started: {cause}")
        await pool.prepare_incoming(self.decided, BOOT_S)
        self._crew = pool.fork_incoming()
        self._report("prepare", "the new workers boot and check themselves", 0, len(self._crew))
        await self._all_ready()

    async def _all_ready(self) -> None:
        deadline = self._reactor.seconds() + BOOT_S
        while not all(slot.is_ready for slot in self._crew):
            self._raise_dead("while it booted")
            if self._reactor.seconds() > deadline:
                late = ", ".join(slot.name for slot in self._crew if not slot.is_ready)
                raise SwapFailed(f"the new workers {late} were not ready within {BOOT_S:g} s")
            await self._sleep(0.02)

    def _raise_dead(self, when: str) -> None:
        for slot in self._crew:
            if not slot.runs:
                raise SwapFailed(f"the new worker {slot.name} {slot.cause or 'ended'} {when}")

    async def rehearse(self) -> None:
        """
        Pair the workers and let each pair try.

        :raises SwapFailed: they cannot read each other's state, or one of them died
        """
        self._old = list(self._pool.slots)
        news = {slot.name: slot for slot in self._crew if slot.role != "agent"}
        for old in self._old:
            new = news.get(old.name)
            if new is not None and old.is_ready:
                self._pairs.append(await self._pair(old, new))
        self._report("rehearse", "the new workers adopt some connections for a try", 0, len(self._pairs))
        await self._wait_for([pair.rehearsed for pair in self._pairs], REHEARSAL_S, "rehearsal")
        self._raise_dead("in the rehearsal")
        self._before = await self._answers()

    async def _pair(self, old: Slot, new: Slot) -> Pair:
        pair = Pair(old, new)
        old.handover, new.handover = pair.heard, pair.heard_of_new
        _copy(old.ended).addCallback(lambda _: pair.old_has_ended())
        for_old, for_new = link_pair()
        gifts: tuple[int, ...] = ()
        try:
            try:
                gifts = await self._visit(old, "give", [for_old.fileno()])
            except SwapFailed as error:
                raise OldWorkerFailed(str(error)) from error
            await self._visit(new, "take", [for_new.fileno(), *gifts])
        finally:
            for_old.close()
            for_new.close()
            for gift in gifts:
                os.close(gift)
        return pair

    async def _visit(self, slot: Slot, purpose: Purpose, brought: list[int]) -> tuple[int, ...]:
        question = Visit(purpose=purpose, generation=self.decided.generation)
        try:
            met = await self._threads.run(visit, place_of(self._run, slot.pid), question, brought, VISIT_S)
        except VisitFailed as error:
            raise SwapFailed(f"worker {slot.name}: {error}") from error
        return met.descriptors

    async def abort(self, cause: str) -> None:
        """Nothing was decided: end the new workers; the old ones go on as if nothing had happened."""
        for pair in self._pairs:
            if pair.old.is_ready and pair.old.link is not None:
                pair.old.link.cast("abort_handover", cause=cause)
        await self._pool.drop_incoming()

    # ---- after it

    async def commit(self) -> list[str]:
        """
        All old workers give, all new ones serve.  Never raises: what does not follow is ended or completed.

        :return: warnings
        """
        pool = self._pool
        self._old = pool.promote(self.decided)
        self._report("move", "connections move", 0, len(self._pairs))
        with_new, with_old = {pair.new for pair in self._pairs}, {pair.old for pair in self._pairs}
        takers = _all(_call(new, "take_over") for new in self._crew if new not in with_new)
        warnings = [str(answer) for answer in await takers if isinstance(answer, SwapFailed)]
        for old in self._old:
            if old not in with_old:  # the agent, now that messages come to the new one; a front that was not ready
                pool.end(old, pool.stop_timeout_s)
        # No more at once than there are cores: clients of all the others would wait for the slowest.
        turns = DeferredSemaphore(len(os.sched_getaffinity(0)))
        moved = await _all(turns.run(Deferred.fromCoroutine, self._move(pair)) for pair in self._pairs)
        warnings += filter(None, moved)
        for new in with_new:  # whose old worker has died or keeps silent, too
            if new.is_ready and new.link is not None:
                new.link.cast("take_over")
        self.longest_pause_s = max((pair.facts.get("pause_s", 0.0) for pair in self._pairs), default=0.0)
        return warnings

    async def _move(self, pair: Pair) -> str:
        """
        Let one pair's connections move.

        :return: what went wrong; empty: nothing
        """
        answer = await _call(pair.old, "decide")
        if isinstance(answer, SwapFailed):
            return str(answer)  # it gives its connections when it wakes up
        if not answer:
            return f"worker {pair.old.name} had given up waiting for the decision: its connections stay"
        try:
            await self._wait_for([pair.moved], MOVE_S, "moving")
        except SwapFailed as error:
            return str(error)
        return ""

    def moved_and_later(self) -> tuple[int, dict[str, int]]:
        """How many connections moved at once, and why others follow later: reason -> how many."""
        later: dict[str, int] = {}
        for pair in self._pairs:
            for reason, count in pair.facts.get("later", {}).items():
                later[reason] = later.get(reason, 0) + count
        return sum(pair.facts.get("moved", 0) for pair in self._pairs), later

    def ask_back(self, cause: str) -> bool:
        """Have the window end by a hand-back; false: it is too early or too late for that."""
        if not self._supervised:
            return False
        self._asked_back = cause
        return True

    async def supervise(self, window_s: float) -> str:
        """
        Watch the new workers until the window is over.

        :return: why everything has to be handed back; empty: they do well
        """
        self._supervised = True
        try:
            return await self._watch(self._reactor.seconds() + window_s)
        finally:
            self._supervised = False

    async def _watch(self, end: float) -> str:
        pids = {slot: slot.pid for slot in self._crew}
        seen = _Seen(max(1, ceil((end - self._reactor.seconds()) / LOOK_S)))
        while True:
            if self._pool.is_stopping:
                return ""  # the workers end with the daemon: that says nothing of their code
            cause = self._broken(pids) or self._asked_back or await self._look(seen)
            if cause:
                return cause
            if self._reactor.seconds() >= end and not seen.is_doubtful:
                return self._broken(pids) or self._asked_back  # what came while they were asked
            await self._sleep(min(LOOK_S, max(0.01, end - self._reactor.seconds())))

    async def _look(self, seen: _Seen) -> str:
        """
        Ask the new workers; what was seen once is looked at again.

        :return: why everything has to be handed back; empty: nothing is wrong, or ``seen`` is in doubt
        """
        try:
            answers = await self._pool.ask_all("status")
            is_silent = any(isinstance(answer, LinkError) for answer in answers.values())
            parts = {} if is_silent else await self._sick_parts()
            worse = worse_than_before(self._before, await self._answers(), seen.looks)
        except Exception as error:
            self.log.failure("looking after the new workers")
            seen.failed += 1
            return "" if seen.failed < SILENT_LOOKS else f"they cannot be looked after: {type(error).__name__}: {error}"
        seen.failed = 0
        seen.silent = seen.silent + 1 if is_silent else 0
        if seen.silent >= SILENT_LOOKS:
            return "a new worker does not answer"
        for name in seen.sick.intersection(parts):  # twice in a row
            return f"{name} fails under the new code: {parts[name]}"
        seen.sick = set(parts) - self._sick_before
        return worse

    def _broken(self, pids: Mapping[Slot, int]) -> str:
        """Why the new workers cannot be all that serve."""
        for slot, pid in pids.items():
            if slot.pid != pid or not slot.is_ready:
                return f"the new worker {slot.name} {slot.cause or 'ended'}"
        for pair in self._pairs:
            if pair.ended in {"failed", "aborted", "declined", "refused"} and pair.old.is_ready:
                return f"worker {pair.old.name} could not give its connections: {pair.cause}"
            if pair.facts.get("lost"):
                return f"the new worker {pair.new.name} took {pair.facts['lost']} connections and could not serve them"
        return ""

    async def _answers(self) -> dict[str, list[int]]:
        """What the host's workers have answered in their lives; those that do not tell it are left out."""
        told = (await self._pool.ask_all("answers")).values()
        return add_answers(answers for answers in told if not isinstance(answers, LinkError))

    async def _sick_parts(self) -> dict[str, str]:
        health = await self._health()
        return {name: part["cause"] for name, part in health["parts"].items() if part["status"] != "ok"}

    async def hand_back(self, cause: str) -> list[str]:
        """
        The old workers take everything back and serve; the new ones end.  The caller has written that down.

        :return: warnings
        """
        self._report("return", f"handing back: {cause}", 0, len(self._pairs))
        given_up = self._pool.demote()
        warnings = []
        for pair in self._pairs:
            if pair.old.is_ready and pair.old.link is not None:
                pair.old.link.cast("take_back", cause=cause)
            else:
                _fire(pair.returned)
        warnings += await self._wait_returned()
        for slot in given_up:
            if slot.role == "agent":
                self._pool.end(slot, LEASES_S)
        for pair in self._pairs:
            if pair.ended not in {"", "returned"}:
                warnings += await self._bring_back(pair)
        return warnings

    async def _bring_back(self, pair: Pair) -> list[str]:
        """
        The two have lost each other: a hand-over of their own brings back what the new worker has got.

        :return: warnings; then the new worker ends, and what it serves with it
        """
        if not (pair.new.is_ready and pair.old.is_ready and pair.new.link is not None):
            self._pool.end(pair.new, self._pool.stop_timeout_s)
            return []
        try:
            back = await self._pair(pair.new, pair.old)
            await self._wait_for([back.rehearsed], REHEARSAL_S, "rehearsal")
            cause = await self._move(back)
        except SwapFailed as error:
            cause = str(error)
        if cause:
            self._pool.end(pair.new, self._pool.stop_timeout_s)
            return [f"connections of {pair.new.name} could not be brought back: {cause}"]
        pair.new.link.cast("end_window")
        return []

    async def _wait_returned(self) -> list[str]:
        """
        Wait until all has been handed back.  A new worker that is only slow is not killed: it has connections.

        Killed are those that answer nothing any more, and after ``MOVE_S`` all whose connections are not back.

        :return: warnings
        """
        ends = self._reactor.seconds() + MOVE_S
        warnings: list[str] = []
        while True:
            try:
                await self._wait_for([pair.returned for pair in self._pairs], RETURN_S, "return")
            except SwapFailed as error:
                slow = [pair.new for pair in self._pairs if not pair.returned.called]
                if self._reactor.seconds() >= ends:
                    kill_all(slow)
                    return [*warnings, str(error)]
                answers = await _all([_call(new, "answers") for new in slow])
                silent = [new for new, answer in zip(slow, answers, strict=True) if isinstance(answer, SwapFailed)]
                warnings += [f"{new.name} was killed: it did not give back and did not answer" for new in silent]
                kill_all(silent)
            else:
                return warnings

    def settle(self) -> None:
        """The window is over: nothing goes back any more; the old workers end when their last connection has."""
        for pair in self._pairs:
            if pair.old.is_ready and pair.old.link is not None:
                pair.old.link.cast("end_window")
        self._pool.settle()

    # ----

    async def _wait_for(self, waiting: list[Deferred[None]], limit_s: float, what: str) -> None:
        done = DeferredList([_copy(each) for each in waiting], fireOnOneErrback=True, consumeErrors=True)
        timer = self._reactor.callLater(limit_s, done.cancel)
        try:
            await done
        except Exception as error:
            cause = getattr(getattr(error, "subFailure", None), "value", None)
            if isinstance(cause, SwapFailed):
                raise cause from error
            if timer.active():
                raise SwapFailed(str(cause or error)) from error
            raise SwapFailed(f"the {what} did not end within {limit_s:g} s") from error
        finally:
            if timer.active():
                timer.cancel()

    def _sleep(self, seconds: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, done.callback, None)
        return done


def _fire(waiting: Deferred[None]) -> None:
    if not waiting.called:
        waiting.callback(None)


def _kept(failure: Any) -> Any:
    """Remember a failure for whoever waits later, without a complaint that nobody has."""
    return _Failed(failure)


@define
class _Failed:
    failure: Any


def _copy(deferred: Deferred[Any]) -> Deferred[None]:
    """Fires as that one does, and leaves its result to others."""
    copy: Deferred[None] = Deferred()

    def passed(result: Any) -> Any:
        if not copy.called:
            if isinstance(result, _Failed):
                copy.errback(result.failure)
            else:
                copy.callback(None)
        return result

    deferred.addBoth(passed)
    return copy


def _call(slot: Slot, name: str) -> Deferred[Any]:
    async def call() -> Any:
        try:
            if slot.link is None:
                raise LinkError(f"{slot.name} has ended")
            return await slot.link.call(name, timeout_s=ASK_S)
        except LinkError as error:
            return SwapFailed(f"{slot.name}: {error}")

    return Deferred.fromCoroutine(call())


async def _all(deferreds: Iterable[Deferred[Any]]) -> list[Any]:
    return [answer for _ok, answer in await DeferredList(list(deferreds))]
