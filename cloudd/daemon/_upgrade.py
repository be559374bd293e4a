# -*- test-case-name: tests.daemon.test_upgrade -*-
"""
Upgrades and rollbacks: one generation of code after the other, in all workers or in none.

The anchor has one ``Upgrades``.  A change goes through check, stage, prepare, canary (an upgrade alone), commit and
clean.  The record that
``_committed`` writes is the point of no return: what fails before it is undone everywhere, what fails after it is
completed, by a worker's restart at worst.  The anchor itself loads nothing; ``Workers`` do.

Where kernel modules changed, a swap is not enough: new processes of the new code take the connections of those that run
(``HandOver``).  After its decision comes a time of supervision, in which the old processes can have everything back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.control import (
    Action,
    Actor,
    Audit,
    CodeStatus,
    How,
    IUpgrades,
    Listener,
    Outcome,
    Plan,
    Progress,
    Result,
)
from cloudd.interfaces.application import Threads
from cloudd.interfaces.settings import Settings
from reload import CodeTree, TreeError

from ._allowed import own_environment
from ._audit import AuditLog
from ._causes import (
    NO_CANARY,
    cause_of,
    hash_in,
    way_cause,
)
from ._change_log import ChangeLog
from ._committed import ROLLED_BACK, Boot, Committed, hold_back, let_in, warnings_of, write_committed
from ._copies import Copies, Needed
from ._examining import Examiner
from ._heaps import give_back
from ._planning import plan_of, refused_plan
from ._swap import Swap
from ._swap_metrics import SwapMetrics
from ._target import ChangeEnded, Running, Target
from ._upgrade_interfaces import Front, HandOver, StartHandOver, Workers
from ._workers import Decided, SwapFailed


@implementer(IUpgrades)
class Upgrades:
    """
    The host's code, and the one change that may be under way.

    :param start: root of the tree that the daemon was started from
    :param boot: what ``choose_boot_tree`` decided; nothing is changed before ``booted`` confirms it
    :param threads: disks are touched there
    :param now: seconds since the epoch
    :param interpreter: the Python that runs the workers
    :param start_hand_over: begins one to other code; it is told what to report to: step, sentence, done, total
    :param front: the TLS front
    :param tell: told of what those learn who follow the host's events: ``upgrade.progress`` with a ``Progress`` and
        ``upgrade.ended`` with an ``Outcome``, as plain data; must not raise
    :param handed_over: called after a hand-over has ended well and all has been said, with what runs now
    :param own_code: name of the folder that the anchor itself runs from, which stays if it is a copy
    """

    log = Logger()

    def __init__(
        self,
        *,
        settings: Settings,
        start: Path,
        boot: Boot,
        workers: Workers,
        threads: Threads,
        clock: IReactorTime,
        now: Callable[[], float],
        audit: AuditLog,
        metrics: SwapMetrics,
        interpreter: str,
        start_hand_over: StartHandOver,
        handed_over: Callable[[Decided], None],
        own_code: str,
        front: Front,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._start_hand_over = start_hand_over
        self._handed_over, self._own_code = handed_over, own_code
        self._front = front
        self._change_log = ChangeLog(audit, metrics, tell, now)
        self._hand_over: HandOver | None = None
        # The environment as it is now: what is installed later does not run here.
        self._running = Running(boot.committed, boot.tree, interpreter, own_environment())
        self.progress: Progress | None = None  # of the change under way
        self._settings = settings
        self._start = start
        self._code_folder = settings.state / "code"
        self._examiner = Examiner(settings.upgrade, start, self._code_folder, threads)
        self._workers = workers
        self._threads = threads
        self._clock = clock
        self._now = now
        self._last_number = boot.committed.generation  # also counts numbers that were prepared and dropped
        self._booted = False
        self._began = 0.0
        self._listener: Listener = _nobody
        self._waiting: list[Deferred[Outcome]] = []  # rollbacks that wait for the change under way
        self._asked_back = ""  # the cause that the last of them has given
        self._swap = Swap(workers, clock, settings.upgrade, self._report)
        self._copies = Copies(self._code_folder, threads, clock, self._needed_copies)

    @property
    def current(self) -> Running:
        """What serves, and what a worker that starts now boots."""
        return self._running

    @property
    def committed(self) -> Committed:
        """The record that decides."""
        return self._running.committed

    def code_status(self) -> CodeStatus:
        """For ``cloudctl status``."""
        return CodeStatus(
            start_tree=str(self._start),
            started_from=self.committed.started_from,
            hash=self.committed.hash,
            previous_hash=self.committed.previous,
            generation=self.committed.generation,
            since=self.committed.since,
            previous_warning="; ".join(warnings_of(self.committed, self.committed.previous)),
        )

    @property
    def last_number(self) -> int:
        """The latest generation number that was given out, also one that was dropped."""
        return self._last_number

    def go_on_from(self, number: int) -> None:
        """Numbers up to this one were given out before."""
        self._last_number = max(self._last_number, number)

    async def booted(self, boot: Boot) -> None:
        """
        This code has proven itself: write it down, if that is news, and from now on let it be changed.

        :raises OSError: it cannot be written down
        """
        if boot.committed != boot.written:
            await self._threads.run(write_committed, self._code_folder, boot.committed)
        self._running = evolve(self._running, committed=boot.committed, tree=boot.tree)
        self._last_number = max(self._last_number, boot.committed.generation)
        self._booted = True
        self._copies.prune_later()  # of changes that an anchor was killed in

    async def note_start(self, boot: Boot) -> None:
        """Write the daemon's start with the code it booted into the audit log; a failure is logged, not raised."""
        await self._change_log.started(boot, self.committed)

    def plan(self, tree: str, how: How = "", canary: float | None = None) -> Deferred[Plan]:
        return Deferred.fromCoroutine(self._plan(tree, how, self._percent(canary)))

    def upgrade(
        self,
        tree: str,
        expected_hash: str,
        actor: Actor,
        listener: Listener,
        canary: float | None = None,
        how: How = "",
    ) -> Deferred[Outcome]:
        async def find() -> Target:
            target = evolve(await self._examiner.examine(tree, self._running), how=how, asked_share=canary or 0.0)
            against = way_cause(how, target.new_processes)
            if against and target.is_new:
                raise ChangeEnded("refused", against, target)
            if expected_hash and target.tree.hash != expected_hash:
                raise ChangeEnded(
                    "refused", "the tree has changed since the plan was shown: look at the new plan", target
                )
            return target

        return _shielded(self._change("upgrade", find, actor, listener, self._percent(canary)))

    def rollback(self, actor: Actor, listener: Listener) -> Deferred[Outcome]:
        if self._hand_over is not None:
            waiting: Deferred[Outcome] = Deferred()
            self._waiting.append(waiting)
            self._asked_back = f"{actor.user} asked for a rollback"
            if self._hand_over.ask_back(self._asked_back):
                return _shielded(self._await_hand_back(waiting, actor))
            self._waiting.remove(waiting)
        return _shielded(self._change("rollback", lambda: self._examiner.previous(self._running), actor, listener, 0.0))

    def audit(self, limit: int) -> Deferred[Audit]:
        return Deferred.fromCoroutine(self._change_log.audit.read(limit))

    def _percent(self, asked: float | None) -> float:
        return self._settings.upgrade.canary_percent if asked is None else asked

    async def _plan(self, named: str, how: How, percent: float) -> Plan:
        try:
            target = evolve(await self._examiner.examine(named, self._running), how=how)
        except TreeError as error:
            return refused_plan(named or str(self._start), self._running, error)
        plan = plan_of(target, self._running, self._last_number + 1, self._settings.upgrade, percent)
        if plan.kind in {"nothing", "refused"}:
            return plan
        stays: list[str] = []
        if plan.kind == "hand-over":
            stays = [f"{count} now: {reason}" for reason, count in (await self._workers.survey()).items()]
        try:
            await self._copies.stage(target.tree, target.proof)
        except (TreeError, OSError) as error:
            return msgspec.structs.replace(plan, kind="refused", cause=str(error))
        self._copies.planned = target.tree.hash
        self._copies.prune_later()
        not_exported = [*stays, *plan.not_exported, *self._front.plan(target.tree)]
        return msgspec.structs.replace(plan, not_exported=not_exported)

    async def _change(
        self,
        action: Action,
        find: Callable[[], Awaitable[Target]],
        actor: Actor,
        listener: Listener,
        percent: float,
    ) -> Outcome:
        if self.progress is not None:
            cause = f"another change is under way: {self.progress.step}: {self.progress.text}"
            return await self._change_log.ended(actor, Outcome(action=action, result="busy", cause=cause))
        if not self._booted:
            return await self._change_log.ended(
                actor, Outcome(action=action, result="busy", cause="the daemon is starting")
            )
        self._listener, self._began = listener, self._clock.seconds()
        old, undone = self.committed, None
        after: Decided | None = None
        try:
            outcome = await self._attempt(action, find, percent)
            if outcome.how == "hand-over":
                after = Decided(self.current.generation, self.current.tree.hash, self.current.interpreter)
        except ChangeEnded as ended:
            undone, new_hash = ended.undone, ended.target.tree.hash if ended.target else ""
            outcome = Outcome(
                action=action,
                result=ended.result,
                cause=ended.cause,
                new_hash=new_hash,
                canary=ended.canary,
                rollback_s=ended.rollback_s,
            )
            if ended.blames:
                await self._hold_back(outcome)
            elif ended.asked:
                await self._remember(hold_back(self.committed, new_hash, ROLLED_BACK, self._now()))
        except TreeError as error:
            outcome = Outcome(action=action, result="refused", cause=str(error), new_hash=hash_in(error))
            await self._hold_back(outcome)
        except Exception as error:
            self.log.failure("{action} failed for a reason that was not foreseen", action=action)
            begun = self.progress is not None and self.progress.step in {"prepare", "canary"}
            undone = "unforeseen" if begun else None
            outcome = self._unforeseen(action, old, cause_of(error))
        finally:
            self.progress, self._listener, self._hand_over = None, _nobody, None
            give_back()  # what reading trees took
            self._copies.prune_later()
        outcome = await self._change_log.ended(
            actor,
            msgspec.structs.replace(
                outcome,
                old_hash=old.hash,
                generation=self.committed.generation,
                duration_s=round(self._clock.seconds() - self._began, 3),
            ),
            undone,
        )
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(outcome)
        if after is not None:
            self._handed_over(after)
        return outcome

    def _unforeseen(self, action: Action, old: Committed, cause: str) -> Outcome:
        """What the record says counts, whatever else went wrong."""
        if self.committed.hash == old.hash:
            return Outcome(action=action, result="failed", cause=cause)
        text = f"the decision stands, but not all that follows it was done: {cause}"
        return Outcome(action=action, result="committed", new_hash=self.committed.hash, warnings=[text])

    async def _await_hand_back(self, waiting: Deferred[Outcome], actor: Actor) -> Outcome:
        """A rollback in the time of supervision: the change under way ends by it."""
        undone = await waiting
        result: Result = "committed" if undone.result == "failed" else "failed"
        cause = "" if result == "committed" else "the upgrade ended before it could be handed back: ask again"
        outcome = msgspec.structs.replace(
            undone,
            action="rollback",
            result=result,
            old_hash=undone.new_hash,
            new_hash=self.committed.hash,
            cause=cause,
        )
        return await self._change_log.ended(actor, outcome)

    async def _attempt(self, action: Action, find: Callable[[], Awaitable[Target]], percent: float) -> Outcome:
        self._report("check", "reading the tree")
        target = await find()
        if not target.is_new:
            raise ChangeEnded("unchanged", "the tree holds the code that runs already", target)
        self._report("stage", f"copying {target.tree.hash[:12]}", total=len(target.tree.files))
        try:
            staged = await self._copies.stage(target.tree, target.proof)
        except OSError as error:
            raise ChangeEnded("failed", f"the tree could not be copied: {error.strerror or error}", target) from error
        if target.new_processes:
            return await self._by_hand_over(action, target, staged)
        number = await self._new_number()
        await self._swap.prepare(number, target, staged)
        canary = await self._swap.try_out(number, percent, target, staged)
        record, warnings = self._next_record(action, target, number), warnings_of(self.committed, staged.hash)
        await self._decide(record, target)
        self._running = evolve(self._running, committed=record, tree=staged)
        warnings += [*await self._swap.commit(number), *await self._clean()]
        return Outcome(
            action=action,
            result="committed",
            how="swap",
            new_hash=staged.hash,
            changed=list(target.changes.swappable),
            warnings=warnings,
            manifest=target.proof.words,
            canary=canary,
        )

    async def _by_hand_over(self, action: Action, target: Target, staged: CodeTree) -> Outcome:
        """New processes of the new code take over; in the time of supervision they can be given up."""
        decided = Decided(await self._new_number(), staged.hash, target.interpreter)
        hand_over = self._hand_over = self._start_hand_over(decided, self._report)
        try:
            await hand_over.boot()
            await hand_over.rehearse()
        except Exception as error:
            await hand_over.abort(str(error))
            blames = isinstance(error, SwapFailed) and error.blames and not self._workers.is_stopping
            raise ChangeEnded("failed", cause_of(error), target, "prepare", blames=blames) from error
        before = self._running
        record = self._next_record(action, target, decided.generation)
        self._report("commit", f"generation {decided.generation} is decided for")
        try:
            await self._threads.run(write_committed, self._code_folder, record)
        except OSError as error:
            await hand_over.abort("the decision could not be recorded")
            cause = f"the decision could not be recorded: {error.strerror or error}"
            raise ChangeEnded("failed", cause, target, "record") from error
        self._running = Running(record, staged, decided.interpreter, target.environment)
        warnings = [*warnings_of(before.committed, staged.hash), *await hand_over.commit()]
        warnings += [NO_CANARY] if target.asked_share else []
        moved, later = hand_over.moved_and_later()
        window_s = self._settings.upgrade.window_s
        self._report("supervise", f"{moved} connections moved; the new code is watched for {window_s:g} s")
        try:
            cause = await hand_over.supervise(window_s)
        except Exception as error:
            self.log.failure("the new processes cannot be watched")
            cause = f"they cannot be watched: {cause_of(error)}"
        if cause:
            self._running = before
            await self._hand_back(hand_over, cause, target)
        hand_over.settle()
        return Outcome(
            action=action,
            result="committed",
            how="hand-over",
            new_hash=staged.hash,
            changed=[*target.changes.kernel, *target.changes.swappable],
            warnings=[*warnings, *await self._clean()],
            manifest=target.proof.words,
            moved=moved,
            follow=later,
            pause_s=hand_over.longest_pause_s,
        )

    async def _hand_back(self, hand_over: HandOver, cause: str, target: Target) -> None:
        """
        The old processes serve again; first that is written down.

        :raises ChangeEnded: always
        """
        began = self._clock.seconds()
        try:
            await self._threads.run(write_committed, self._code_folder, self.committed)
        except OSError:
            self.log.failure("that the old code serves again could not be written down: a restart boots the new one")
        warnings = await hand_over.hand_back(cause)
        took_s = self._clock.seconds() - began
        text = "; ".join([f"handed back in {took_s:.2f} s, the old code serves: {cause}", *warnings])
        asked = bool(self._waiting) and cause == self._asked_back
        raise ChangeEnded("failed", text, target, None if asked else "supervision", blames=not asked, asked=asked)

    async def _new_number(self) -> int:
        """One that no worker has had: those of a killed anchor may have tried more than it has written down."""
        self._last_number = max(self._last_number, await self._workers.highest_generation()) + 1
        return self._last_number

    async def _hold_back(self, outcome: Outcome) -> None:
        """A restart alone must not bring in what has just been refused or failed."""
        cause = f"{'was refused' if outcome.result == 'refused' else 'failed'} in an upgrade ({outcome.cause})"
        if outcome.action == "rollback":
            cause = cause.replace("an upgrade", "a rollback", 1)
        await self._remember(hold_back(self.committed, outcome.new_hash, cause, self._now()))

    async def _remember(self, record: Committed) -> None:
        """Write down what is known of code that does not run; a failure is logged, not raised."""
        if record == self.committed:
            return
        try:
            await self._threads.run(write_committed, self._code_folder, record)
        except OSError:
            self.log.failure("what became of the code could not be written down: a restart may boot it")
        else:
            self._running = evolve(self._running, committed=record)

    async def _decide(self, record: Committed, target: Target) -> None:
        try:
            await self._threads.run(write_committed, self._code_folder, record)
        except OSError as error:
            await self._swap.abort(record.generation)
            cause = f"the decision could not be recorded: {error.strerror or error}"
            raise ChangeEnded("failed", cause, target, "record") from error

    async def _clean(self) -> list[str]:
        """After the decision: whatever happens here, the new code serves."""
        self._report("clean", "removing copies that nobody needs")
        try:
            warnings = await self._front.follow(self.current.tree)
            cause = await self._copies.prune()
        except Exception as error:
            self.log.failure("what follows a change was not all done")
            return [f"the new code serves, but what follows a change was not all done: {cause_of(error)}"]
        return [*warnings, cause] if cause else warnings

    async def _needed_copies(self) -> Needed | None:
        if self.progress is not None and self.progress.step != "clean":
            return None  # a change is under way, which may need others too
        record = self.committed
        stay = {record.hash, record.previous, record.started_from, self._own_code, *self._front.hashes_in_use()}
        return Needed(frozenset(stay), frozenset(await self._workers.trees_in_use()))

    def _next_record(self, action: Action, target: Target, number: int) -> Committed:
        old, new_hash = self.committed, target.tree.hash
        goes_back = action == "rollback" and new_hash != old.rolled_back  # else it takes a rollback back
        record = msgspec.structs.replace(
            let_in(old, new_hash),
            hash=new_hash,
            previous=old.hash,
            interpreter=target.interpreter,
            previous_interpreter=self.current.interpreter,
            generation=number,
            rolled_back=old.hash if goes_back else "",
            since=self._now(),
        )
        return hold_back(record, old.hash, ROLLED_BACK, self._now()) if goes_back else record

    def _report(self, step: str, text: str, done: int = 0, total: int = 0) -> None:
        elapsed = round(self._clock.seconds() - self._began, 3)
        self.progress = Progress(step=step, text=text, done=done, total=total, elapsed_s=elapsed)
        try:
            self._listener(self.progress)
        except Exception:
            self.log.failure("a listener of the upgrade's progress failed")
        self._change_log.report(self.progress)


def _nobody(_progress: Progress) -> None:
    """Listens when no change is under way."""


def _shielded(work: Any) -> Deferred[Outcome]:
    """Who waits may stop waiting; the work goes on."""
    waiting: Deferred[Outcome] = Deferred()

    def ended(outcome: Any) -> None:
        if not waiting.called:
            waiting.callback(outcome)

    Deferred.fromCoroutine(work).addBoth(ended)
    return waiting
