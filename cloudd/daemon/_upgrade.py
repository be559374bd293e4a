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

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.control import (
    BOUNDARIES,
    Action,
    Actor,
    Audit,
    AuditEntry,
    CodeStatus,
    How,
    IUpgrades,
    Listener,
    Outcome,
    Plan,
    Progress,
    Result,
    own_actor,
    plain,
)
from cloudd.interfaces.application import Threads
from cloudd.interfaces.settings import Settings
from reload import Changes, CodeTree, Environment, TreeError, compare, environment_of, prune_copies

from ._allowed import DISTRIBUTIONS, allowed_tree, own_environment, scan_allowed
from ._audit import AuditLog
from ._canary import Asked, Canary, CanaryFailed, CanaryRules, CanaryStopped
from ._causes import (
    HAND_OVER_KEEPS,
    NO_CANARY,
    SWAP_KEEPS,
    SWAP_REASON,
    canary_words,
    cause_of,
    environment_cause,
    hash_in,
    kernel_cause,
    supervision_words,
    way_cause,
)
from ._committed import ROLLED_BACK, Boot, Committed, find_copy, hold_back, let_in, warnings_of, write_committed
from ._manifests import Proof, check_copy, stage_proved
from ._swap_metrics import Reason, SwapMetrics
from ._workers import Decided, NobodyAsked, SwapFailed

PREPARE_TIMEOUT_S = 60.0
COMMIT_TIMEOUT_S = 15.0
TELL_EVERY_S = 0.25  # of one step

T = TypeVar("T")


class Workers(Asked, Protocol):
    """All worker processes of the host.  Each call reaches every worker that runs; they work at the same time."""

    async def check_apart(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree in a process that serves nobody, and let it check itself.

        :raises Exception: it could not, ended, or did not get ready; the text has the cause
        """

    async def prepare(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree as a new generation and let it check itself; requests stay where they are.

        :raises Exception: a worker could not, or ended meanwhile; the text names the worker and the cause
        """

    async def prepare_late(self, generation: int, tree: CodeTree) -> None:
        """The same in workers that were started since, so that a commit does not have to end them."""

    async def commit(self, generation: int) -> Sequence[str]:
        """
        From now on new requests go to the prepared generation; older ones end where they began.

        :return: names of workers that did not confirm; the provider ends them, and what it starts in their place
            boots ``Upgrades.current``
        """

    async def abort(self, generation: int) -> None:
        """Drop a prepared generation, in a canary or not; a worker that has none of that number does nothing."""

    async def highest_generation(self) -> int:
        """The highest number of a generation that any of them has ever had."""

    async def survey(self) -> Mapping[str, int]:
        """Why connections could not move to other processes at this moment -> how many."""

    def hashes_in_use(self) -> Collection[str]:
        """Hashes of all trees from which a worker still has a generation."""


class Front(Protocol):
    """What an upgrade asks of the TLS front."""

    def plan(self, tree: CodeTree) -> list[str]:
        """What this tree would mean for connections over TLS, if anything."""

    async def follow(self, tree: CodeTree) -> list[str]:
        """This code was committed: run what it has for a front.  Gives warnings."""

    def hashes_in_use(self) -> Collection[str]:
        """Copies from which a front may have to be started again."""


class HandOver(Protocol):
    """One hand-over to workers of other code; see ``_incoming``."""

    longest_pause_s: float

    async def boot(self) -> None:
        """:raises SwapFailed: the new code cannot be started"""

    async def rehearse(self) -> None:
        """:raises SwapFailed: the old and the new workers cannot exchange connections"""

    async def abort(self, cause: str) -> None:
        """Nothing was decided: end the new workers."""

    async def commit(self) -> Sequence[str]:
        """It is decided: all change.  Gives warnings, raises nothing."""

    def moved_and_later(self) -> tuple[int, dict[str, int]]:
        """Connections that moved at once; why others follow -> how many."""

    async def supervise(self, window_s: float) -> str:
        """Watch the new workers so long; gives why everything has to go back, empty: they do well."""

    def ask_back(self, cause: str) -> bool:
        """End the supervision by a hand-back; false: it is not the time for that."""

    async def hand_back(self, cause: str) -> Sequence[str]:
        """The old workers serve again.  Gives warnings, raises nothing."""

    def settle(self) -> None:
        """Nothing goes back any more."""


StartHandOver = Callable[[Decided, Callable[[str, str, int, int], None]], HandOver]


@frozen
class Current:
    """What a worker that starts now boots."""

    generation: int
    tree: CodeTree


@frozen
class _Target:
    """
    A tree that a change would load; ``tree`` is not staged yet when it is another one than what runs.

    :param interpreter: path of the Python that is to run it
    :param environment: what is installed there, as far as it can be told
    :param differences: in what that differs from the environment of now, which only new processes can have
    :param how: the way that was asked for
    :param asked_share: of a canary, percent; 0: none was asked for
    """

    tree: CodeTree
    changes: Changes
    proof: Proof
    interpreter: str
    environment: Environment | None
    differences: tuple[str, ...] = ()
    how: How = ""
    asked_share: float = 0.0

    @property
    def is_new(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changes or self.differences)

    @property
    def new_processes(self) -> str:
        """Why a swap is not enough; empty: it is."""
        causes = [kernel_cause(self.changes.kernel)] if self.changes.kernel else []
        if self.differences:
            causes.append(environment_cause(self.differences))
        if self.how == "hand-over" and not causes:
            causes.append("a hand-over was asked for")
        return "; ".join(causes)


class _Ended(Exception):
    """
    The change ends here, with everything as before; ``blames``: because of the code.

    ``canary``: what the canary saw that ended it, and ``rollback_s``: how long it took from that to be as before.
    """

    def __init__(
        self,
        result: Result,
        cause: str,
        target: _Target | None = None,
        undone: Reason | None = None,
        *,
        blames: bool = False,
        canary: str = "",
        rollback_s: float = 0.0,
    ) -> None:
        super().__init__(cause)
        self.undone: Reason | None = undone
        self.blames = blames
        self.canary = canary
        self.rollback_s = rollback_s
        self.result: Result = result
        self.cause = cause
        self.target = target


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
        front: Front,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._interpreter = interpreter
        self._start_hand_over = start_hand_over
        self._handed_over = handed_over
        self._front = front
        self._tell = tell
        self._told = ("", 0.0)  # the step of the last event, and when it was
        self._hand_over: HandOver | None = None
        self.current = Current(boot.committed.generation, boot.tree)
        self.committed = boot.committed
        self.progress: Progress | None = None  # of the change under way
        self._settings = settings
        self._start = start
        self._code_folder = settings.state / "code"
        self._environment = own_environment()  # as it is now: what is installed later does not run here
        self._workers = workers
        self._threads = threads
        self._clock = clock
        self._now = now
        self._audit = audit
        self._metrics = metrics
        self._last_number = boot.committed.generation  # also counts numbers that were prepared and dropped
        self._booted = False
        self._began = 0.0
        self._listener: Listener = _nobody
        self._waiting: list[Deferred[Outcome]] = []  # rollbacks that wait for the change under way

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
        self.current, self.committed = Current(boot.committed.generation, boot.tree), boot.committed
        self._last_number = max(self._last_number, boot.committed.generation)
        self._booted = True

    async def note_start(self, boot: Boot) -> None:
        """Write the daemon's start with the code it booted into the audit log; a failure is logged, not raised."""
        record = self.committed
        started = Outcome(
            action="start", result="committed", cause=boot.cause, new_hash=record.hash, generation=record.generation
        )
        if boot.failure:
            failed = Outcome(
                action="start", result="failed", cause=boot.failure, old_hash=record.hash, new_hash=boot.tried
            )
            await self._write_audit(own_actor(), failed)
        elif boot.note:
            started = msgspec.structs.replace(started, cause=boot.note)
        await self._write_audit(own_actor(), started)

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
        async def find() -> _Target:
            target = evolve(await self._examine(tree), how=how, asked_share=canary or 0.0)
            against = way_cause(how, target.new_processes)
            if against and target.is_new:
                raise _Ended("refused", against, target)
            if expected_hash and target.tree.hash != expected_hash:
                raise _Ended("refused", "the tree has changed since the plan was shown: look at the new plan", target)
            return target

        return _shielded(self._change("upgrade", find, actor, listener, self._percent(canary)))

    def rollback(self, actor: Actor, listener: Listener) -> Deferred[Outcome]:
        if self._hand_over is not None:
            waiting: Deferred[Outcome] = Deferred()
            self._waiting.append(waiting)
            if self._hand_over.ask_back(f"{actor.user} asked for a rollback"):
                return _shielded(self._await_hand_back(waiting, actor))
            self._waiting.remove(waiting)
        return _shielded(self._change("rollback", self._find_previous, actor, listener, 0.0))

    def audit(self, limit: int) -> Deferred[Audit]:
        return Deferred.fromCoroutine(self._audit.read(limit))

    def _percent(self, asked: float | None) -> float:
        return self._settings.upgrade.canary_percent if asked is None else asked

    async def _plan(self, named: str, how: How, percent: float) -> Plan:
        running = self.committed.hash
        try:
            target = evolve(await self._examine(named), how=how)
        except TreeError as error:
            return Plan(
                tree=named or str(self._start),
                kind="refused",
                cause=str(error),
                running_hash=running,
                target_hash=hash_in(error),
            )
        plan = Plan(
            tree=str(target.tree.root),
            kind="swap",
            running_hash=running,
            target_hash=target.tree.hash,
            generation=self._last_number + 1,
            swappable=list(target.changes.swappable),
            kernel=list(target.changes.kernel),
            manifest=target.proof.words,
            warnings=warnings_of(self.committed, target.tree.hash),
        )
        if not target.is_new:
            return msgspec.structs.replace(plan, kind="nothing", generation=self.committed.generation)
        against = way_cause(how, target.new_processes)
        if against:
            return msgspec.structs.replace(plan, kind="refused", cause=against)
        if target.new_processes:
            stays = [f"{count} now: {reason}" for reason, count in (await self._workers.survey()).items()]
            plan = msgspec.structs.replace(
                plan,
                kind="hand-over",
                cause=target.new_processes,
                canary=supervision_words(self._settings.upgrade),
                not_exported=[*stays, HAND_OVER_KEEPS],
            )
        else:
            plan = msgspec.structs.replace(
                plan, reason=SWAP_REASON, canary=canary_words(self._settings.upgrade, percent), not_exported=SWAP_KEEPS
            )
        try:
            await self._threads.run(stage_proved, target.tree, self._code_folder, target.proof)
        except (TreeError, OSError) as error:
            return msgspec.structs.replace(plan, kind="refused", cause=str(error))
        not_exported = [*plan.not_exported, *self._front.plan(target.tree)]
        return msgspec.structs.replace(plan, not_exported=not_exported)

    async def _change(
        self,
        action: Action,
        find: Callable[[], Awaitable[_Target]],
        actor: Actor,
        listener: Listener,
        percent: float,
    ) -> Outcome:
        if self.progress is not None:
            cause = f"another change is under way: {self.progress.step}: {self.progress.text}"
            return await self._ended(actor, Outcome(action=action, result="busy", cause=cause))
        if not self._booted:
            return await self._ended(actor, Outcome(action=action, result="busy", cause="the daemon is starting"))
        self._listener, self._began = listener, self._clock.seconds()
        old, undone = self.committed, None
        after: Decided | None = None
        try:
            outcome = await self._attempt(action, find, percent)
            if outcome.how == "hand-over":
                after = Decided(self.current.generation, self.current.tree.hash, self._interpreter)
        except _Ended as ended:
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
        except TreeError as error:
            outcome = Outcome(action=action, result="refused", cause=str(error), new_hash=hash_in(error))
            await self._hold_back(outcome)
        except Exception as error:
            self.log.failure("{action} failed for a reason that was not foreseen", action=action)
            begun = self.progress is not None and self.progress.step in {"prepare", "canary"}
            undone = "unforeseen" if begun else None
            outcome = Outcome(action=action, result="failed", cause=cause_of(error))
        finally:
            self.progress, self._listener, self._hand_over = None, _nobody, None
        outcome = await self._ended(
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

    async def _await_hand_back(self, waiting: Deferred[Outcome], actor: Actor) -> Outcome:
        """A rollback in the time of supervision: the change under way ends by it."""
        undone = await waiting
        result: Result = "committed" if undone.result == "failed" else "failed"
        outcome = msgspec.structs.replace(
            undone, action="rollback", result=result, old_hash=undone.new_hash, new_hash=self.committed.hash, cause=""
        )
        return await self._ended(actor, outcome)

    async def _attempt(self, action: Action, find: Callable[[], Awaitable[_Target]], percent: float) -> Outcome:
        self._report("check", "reading the tree")
        target = await find()
        if not target.is_new:
            raise _Ended("unchanged", "the tree holds the code that runs already", target)
        self._report("stage", f"copying {target.tree.hash[:12]}", total=len(target.tree.files))
        try:
            staged = await self._threads.run(stage_proved, target.tree, self._code_folder, target.proof)
        except OSError as error:
            raise _Ended("failed", f"the tree could not be copied: {error.strerror or error}", target) from error
        if target.new_processes:
            return await self._by_hand_over(action, target, staged)
        number = await self._prepare(target, staged)
        canary = await self._try_out(number, percent, target, staged)
        record, warnings = self._next_record(action, target, number), warnings_of(self.committed, staged.hash)
        await self._decide(record, target)
        self.committed, self.current = record, Current(number, staged)
        warnings += [*await self._commit(number), *await self._clean()]
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

    async def _by_hand_over(self, action: Action, target: _Target, staged: CodeTree) -> Outcome:
        """New processes of the new code take over; in the time of supervision they can be given up."""
        decided = Decided(await self._new_number(), staged.hash, target.interpreter)
        hand_over = self._hand_over = self._start_hand_over(decided, self._report)
        try:
            await hand_over.boot()
            await hand_over.rehearse()
        except Exception as error:
            await hand_over.abort(str(error))
            blames = not isinstance(error, NobodyAsked)
            raise _Ended("failed", cause_of(error), target, "prepare", blames=blames) from error
        before = self.committed, self.current, self._interpreter, self._environment
        record = self._next_record(action, target, decided.generation)
        self._report("commit", f"generation {decided.generation} is decided for")
        try:
            await self._threads.run(write_committed, self._code_folder, record)
        except OSError as error:
            await hand_over.abort("the decision could not be recorded")
            cause = f"the decision could not be recorded: {error.strerror or error}"
            raise _Ended("failed", cause, target, "record") from error
        self.committed, self.current = record, Current(decided.generation, staged)
        self._interpreter, self._environment = decided.interpreter, target.environment
        warnings = [*warnings_of(before[0], staged.hash), *await hand_over.commit()]
        warnings += [NO_CANARY] if target.asked_share else []
        moved, later = hand_over.moved_and_later()
        window_s = self._settings.upgrade.window_s
        self._report("supervise", f"{moved} connections moved; the new code is watched for {window_s:g} s")
        cause = await hand_over.supervise(window_s)
        if cause:
            self.committed, self.current, self._interpreter, self._environment = before
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

    async def _hand_back(self, hand_over: HandOver, cause: str, target: _Target) -> None:
        """
        The old processes serve again; first that is written down.

        :raises _Ended: always
        """
        began = self._clock.seconds()
        try:
            await self._threads.run(write_committed, self._code_folder, self.committed)
        except OSError:
            self.log.failure("that the old code serves again could not be written down: a restart boots the new one")
        warnings = await hand_over.hand_back(cause)
        took_s = self._clock.seconds() - began
        text = "; ".join([f"handed back in {took_s:.2f} s, the old code serves: {cause}", *warnings])
        raise _Ended("failed", text, target, "supervision", blames=True)

    async def _examine(self, named: str) -> _Target:
        """
        :raises TreeError: it must not be loaded
        """
        path = await self._threads.run(allowed_tree, named, self._start, self._settings.upgrade.trees)
        origin, proof = await self._threads.run(scan_allowed, path, self._settings.upgrade)
        reasons = tuple(origin.needs_new_process(self._environment))
        environment = origin.environment or self._environment
        interpreter = str(origin.environment.python) if origin.environment else self._interpreter
        changes = compare(self.current.tree, origin.tree, BOUNDARIES)
        return _Target(origin.tree, changes, proof, interpreter, environment, reasons)

    async def _find_previous(self) -> _Target:
        if not self.committed.previous:
            raise _Ended("refused", "there is nothing to go back to: no upgrade was made yet")
        tree = await self._threads.run(find_copy, self._code_folder, self.committed.previous)
        proof = Proof("")
        if tree.hash != self.committed.started_from:  # what a start takes needs no signature
            proof = await self._threads.run(check_copy, tree, self._settings.upgrade)
        interpreter = self.committed.previous_interpreter or self._interpreter
        environment, differences = self._environment, []
        if interpreter != self._interpreter:
            environment = await self._threads.run(environment_of, Path(interpreter), DISTRIBUTIONS)
            differences = self._environment.differences(environment) if self._environment else [interpreter]
        changes = compare(self.current.tree, tree, BOUNDARIES)
        return _Target(tree, changes, proof, interpreter, environment, tuple(differences))

    async def _new_number(self) -> int:
        """One that no worker has had: those of a killed anchor may have tried more than it has written down."""
        self._last_number = max(self._last_number, await self._workers.highest_generation()) + 1
        return self._last_number

    async def _prepare(self, target: _Target, staged: CodeTree) -> int:
        number = await self._new_number()
        text = f"loading generation {number} and letting it check itself, in a process apart and then in all workers"
        self._report("prepare", text)
        try:
            await self._within(PREPARE_TIMEOUT_S, self._workers.check_apart(number, staged))
            await self._within(PREPARE_TIMEOUT_S, self._workers.prepare(number, staged))
        except Exception as error:
            await self._abort(number)
            undone: Reason = "timeout" if isinstance(error, WaitedTooLong) else "prepare"
            blames = not isinstance(error, NobodyAsked)
            raise _Ended("failed", cause_of(error), target, undone, blames=blames) from error
        return number

    async def _try_out(self, number: int, percent: float, target: _Target, staged: CodeTree) -> str:
        """
        Let the prepared generation answer on a share of the connections, and compare.

        :return: by what it was judged; empty: there was no canary
        """
        if not percent:
            return ""
        rules = CanaryRules.of(self._settings.upgrade, percent)
        canary = Canary(
            self._workers, self._clock, rules, lambda text, done, total: self._report("canary", text, done, total)
        )
        try:
            await self._workers.prepare_late(number, staged)
            judged = await canary.run(number)
            await self._workers.prepare_late(number, staged)
        except CanaryFailed as error:
            await self._abort(number)
            rollback_s = round(self._clock.seconds() - error.decided_at, 4)
            cause = f"rolled back by the canary: {cause_of(error)}"
            raise _Ended(
                "failed", cause, target, error.reason, blames=True, canary=error.seen, rollback_s=rollback_s
            ) from error
        except (CanaryStopped, NobodyAsked) as error:
            await self._abort(number)
            raise _Ended("failed", cause_of(error), target, "prepare") from error
        except Exception as error:
            await self._abort(number)
            if isinstance(error, SwapFailed):
                raise _Ended("failed", cause_of(error), target, "prepare", blames=True) from error
            raise
        return judged

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
            self.committed = record

    async def _decide(self, record: Committed, target: _Target) -> None:
        try:
            await self._threads.run(write_committed, self._code_folder, record)
        except OSError as error:
            await self._abort(record.generation)
            cause = f"the decision could not be recorded: {error.strerror or error}"
            raise _Ended("failed", cause, target, "record") from error

    async def _abort(self, number: int) -> None:
        try:
            await self._within(COMMIT_TIMEOUT_S, self._workers.abort(number))
        except Exception:
            self.log.failure("generation {number} could not be dropped everywhere", number=number)

    async def _commit(self, number: int) -> list[str]:
        self._report("commit", f"generation {number} takes over")
        try:
            silent = await self._within(COMMIT_TIMEOUT_S, self._workers.commit(number))
        except Exception as error:
            self.log.failure("generation {number} was not confirmed", number=number)
            return [f"the decision stands, but not all workers confirmed it: {cause_of(error)}"]
        return [f"{name} did not confirm and was restarted with the new code" for name in silent]

    async def _clean(self) -> list[str]:
        self._report("clean", "removing copies that nobody needs")
        warnings = await self._front.follow(self.current.tree)
        record = self.committed
        keep = {record.hash, record.previous, record.started_from, *self._workers.hashes_in_use()}
        try:
            await self._threads.run(prune_copies, self._code_folder, keep.union(self._front.hashes_in_use()))
        except OSError as error:
            warnings.append(f"old copies could not be removed: {error}")
        return warnings

    def _next_record(self, action: Action, target: _Target, number: int) -> Committed:
        old, new_hash = self.committed, target.tree.hash
        goes_back = action == "rollback" and new_hash != old.rolled_back  # else it takes a rollback back
        record = msgspec.structs.replace(
            let_in(old, new_hash),
            hash=new_hash,
            previous=old.hash,
            interpreter=target.interpreter,
            previous_interpreter=self._interpreter,
            generation=number,
            rolled_back=old.hash if goes_back else "",
            since=self._now(),
        )
        return hold_back(record, old.hash, ROLLED_BACK, self._now()) if goes_back else record

    async def _ended(self, actor: Actor, outcome: Outcome, undone: Reason | None = None) -> Outcome:
        self._metrics.count(outcome, undone)
        self.log.info(
            "{action} asked for by {user}: {result} {cause}",
            action=outcome.action,
            user=actor.user,
            result=outcome.result,
            cause=outcome.cause,
            old_hash=outcome.old_hash,
            new_hash=outcome.new_hash,
        )
        if not await self._write_audit(actor, outcome):
            warnings = [*outcome.warnings, "the audit log could not be written: see the daemon's log"]
            outcome = msgspec.structs.replace(outcome, warnings=warnings)
        self._told = ("", 0.0)
        self._tell("upgrade.ended", {**_facts(outcome), "user": actor.user})
        return outcome

    async def _write_audit(self, actor: Actor, outcome: Outcome) -> bool:
        entry = AuditEntry(
            time=self._now(),
            who=actor,
            action=outcome.action,
            result=outcome.result,
            old_hash=outcome.old_hash,
            new_hash=outcome.new_hash,
            generation=outcome.generation,
            cause="; ".join(filter(None, [outcome.cause, *outcome.warnings])),
            duration_s=outcome.duration_s,
            manifest=outcome.manifest,
            canary=outcome.canary,
            rollback_s=outcome.rollback_s,
        )
        try:
            await self._audit.append(entry)
        except OSError:
            self.log.failure("the audit log cannot be written")
            return False
        return True

    def _report(self, step: str, text: str, done: int = 0, total: int = 0) -> None:
        elapsed = round(self._clock.seconds() - self._began, 3)
        self.progress = Progress(step=step, text=text, done=done, total=total, elapsed_s=elapsed)
        try:
            self._listener(self.progress)
        except Exception:
            self.log.failure("a listener of the upgrade's progress failed")
        # Events are kept: what a step says of itself many times a second is not for them.
        told, now = self._told, self._clock.seconds()
        if step != told[0] or now - told[1] >= TELL_EVERY_S:
            self._told = (step, now)
            self._tell("upgrade.progress", _facts(self.progress))

    async def _within(self, seconds: float, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        timed: Deferred[T] = Deferred.fromCoroutine(run()).addTimeout(seconds, self._clock)
        try:
            return await timed
        except WaitedTooLong:
            raise WaitedTooLong(f"not all workers answered within {seconds:g} s") from None


def _facts(told: Progress | Outcome) -> dict[str, Any]:
    """What an event says: all but what tells the two apart on the control socket."""
    return {name: value for name, value in plain(told).items() if name != "type"}


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
