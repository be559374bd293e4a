"""Upgrades change all workers or none, and are written down before they are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from cloudd.control import (
    BOUNDARIES,
    Actor,
    AuditEntry,
    How,
    IUpgrades,
    Outcome,
    Progress,
    make_key,
    read_private_key,
    write_manifest,
)
from cloudd.daemon import _copies, _examining, _swap, _upgrade
from cloudd.daemon._audit import AuditLog
from cloudd.daemon._committed import ROLLED_BACK, choose_boot_tree, read_committed
from cloudd.daemon._copies import PRUNE_AFTER_S
from cloudd.daemon._manifests import Proof, stage_proved
from cloudd.daemon._swap_metrics import SwapMetrics
from cloudd.daemon._upgrade import Upgrades
from cloudd.daemon._upgrade_interfaces import Workers
from cloudd.daemon._workers import Decided, OldWorkerFailed, SwapFailed
from cloudd.interfaces.settings import Settings, UpgradeSettings
from reload import CodeTree, environment_of

from .code_trees import CodeTreeCase, ThreadsAtOnce

ANN = Actor(uid=7, pid=8, user="ann")


class FakeWorkers:
    """Two workers that remember what they were told; each call waits for ``gates`` of its name, if there are any."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.trees: dict[int, CodeTree] = {}
        self.gates: dict[str, Deferred[None]] = {}
        self.errors: dict[str, Exception] = {}
        self.silent: list[str] = []
        self.in_use: set[str] = set()
        self.answers: dict[str, Callable[[str, dict[str, Any]], Any]] = {}  # to ``ask_all``, by worker
        self.is_stopping = False
        self.highest = 0
        self.before_commit: Callable[[], None] = lambda: None

    async def check_apart(self, generation: int, tree: CodeTree) -> None:
        await self._call("check_apart", generation)

    async def prepare(self, generation: int, tree: CodeTree) -> None:
        self.trees[generation] = tree
        await self._call("prepare", generation)

    async def prepare_late(self, generation: int, tree: CodeTree) -> None:
        await self._call("prepare_late", generation)

    async def ask_all(self, call: str, timeout_s: float = 2.0, **body: Any) -> dict[str, Any]:
        await self._call(call, body["number"])
        return {name: answer(call, body) for name, answer in self.answers.items()}

    async def commit(self, generation: int) -> Sequence[str]:
        self.before_commit()
        await self._call("commit", generation)
        return self.silent

    async def abort(self, generation: int) -> None:
        await self._call("abort", generation)

    async def highest_generation(self) -> int:
        return self.highest

    async def trees_in_use(self) -> set[str]:
        return self.in_use

    async def survey(self) -> dict[str, int]:
        return {"BUSY": 3}

    async def _call(self, name: str, generation: int) -> None:
        self.calls.append((name, generation))
        if name in self.gates:
            await self.gates[name]
        if name in self.errors:
            raise self.errors[name]


class FakeHandOver:
    """
    A hand-over that does what it is told.

    :param errors: step -> what it raises
    :param gates: step -> what it waits for
    :param verdict: of the supervision
    """

    longest_pause_s = 0.004

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, Deferred[None]] = {}
        self.verdict = ""
        self.decided: Decided | None = None
        self.recorded: list[str] = []
        self.code = Path()

    def begin(self, decided: Decided, _report: Callable[[str, str, int, int], None]) -> FakeHandOver:
        self.decided = decided
        self.calls.clear()
        self.recorded.clear()
        return self

    async def boot(self) -> None:
        await self._step("boot")

    async def rehearse(self) -> None:
        await self._step("rehearse")

    async def abort(self, cause: str) -> None:
        await self._step("abort")

    async def commit(self) -> list[str]:
        await self._step("commit")
        return []

    def moved_and_later(self) -> tuple[int, dict[str, int]]:
        return 7, {"BUSY": 1}

    async def supervise(self, window_s: float) -> str:
        await self._step("supervise")
        return self.verdict

    def ask_back(self, cause: str) -> bool:
        if self.calls[-1:] != ["supervise"]:
            return False
        self.verdict = cause
        self.gates["supervise"].callback(None)
        return True

    async def hand_back(self, cause: str) -> list[str]:
        await self._step("hand_back")
        return []

    def settle(self) -> None:
        self.calls.append("settle")

    async def _step(self, name: str) -> None:
        self.calls.append(name)
        self.recorded.append(getattr(read_committed(self.code), "hash", ""))
        if name in self.gates:
            await self.gates[name]
        if name in self.errors:
            raise self.errors[name]


class FakeFront:
    """
    A TLS front that does what it is told.

    :ivar followed: hashes of trees
    """

    def __init__(self) -> None:
        self.followed: list[str] = []
        self.words: list[str] = []
        self.warnings: list[str] = []
        self.in_use: set[str] = set()

    def plan(self, tree: CodeTree) -> list[str]:
        return self.words

    async def follow(self, tree: CodeTree) -> list[str]:
        self.followed.append(tree.hash)
        return [*self.warnings]

    def hashes_in_use(self) -> set[str]:
        return self.in_use


class UpgradeCase(CodeTreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.front = FakeFront()
        self.workers = FakeWorkers()
        self.hand_over = FakeHandOver()
        self.hand_over.code = self.code
        self.handed_over: list[Decided] = []
        self.own_code = "tree"
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.metrics = SwapMetrics()
        self.clock = Clock()
        self.steps: list[str] = []
        self.settings = Settings(state=self.state, upgrade=UpgradeSettings(canary_percent=0))
        self.old = self.version(1)
        self.upgrades = self.boot()

    def boot(self) -> Upgrades:
        """A daemon's ``Upgrades`` as after a start."""
        workers: Workers = self.workers
        boot = choose_boot_tree(self.code, lambda: CodeTree.scan(self.start, BOUNDARIES), 100.0)
        upgrades = Upgrades(
            settings=self.settings,
            start=self.start,
            boot=boot,
            workers=workers,
            threads=ThreadsAtOnce(),
            clock=self.clock,
            now=lambda: 200.0 + self.clock.seconds(),
            audit=AuditLog(self.state / "log" / "audit.log", ThreadsAtOnce()),
            metrics=self.metrics,
            interpreter="/usr/bin/python3",
            start_hand_over=self.hand_over.begin,
            handed_over=self.handed_over.append,
            own_code=self.own_code,
            front=self.front,
            tell=lambda kind, data: self.told.append((kind, data)),
        )
        self.successResultOf(Deferred.fromCoroutine(upgrades.booted(boot)))
        return upgrades

    def upgrade(self, tree: str = "", expected: str = "", canary: float = 0, how: How = "") -> Deferred[Outcome]:
        return self.upgrades.upgrade(tree, expected, ANN, self.listen, canary, how)

    def rollback(self) -> Deferred[Outcome]:
        return self.upgrades.rollback(ANN, self.listen)

    def listen(self, progress: Progress) -> None:
        self.steps.append(progress.step)

    async def entries(self) -> list[AuditEntry]:
        return (await self.upgrades.audit(100)).entries

    def assertUnchanged(self) -> None:
        """Old code in memory and on disk, and nothing under way."""
        self.assertEqual((self.upgrades.current.tree.hash, self.upgrades.current.generation), (self.old.hash, 1))
        record = read_committed(self.code)
        self.assertEqual(record, self.upgrades.committed)
        self.assertEqual(record and record.hash, self.old.hash)
        self.assertIsNone(self.upgrades.progress)


class FrontTests(UpgradeCase):
    def test_follows(self) -> None:
        """What was committed, by either way, is shown to the TLS front, whose warnings are in the outcome."""
        self.front.words, self.front.warnings = ["over TLS: they stay"], ["the front goes on"]
        for how in ("swap", "hand-over"):
            new = self.version(2 if how == "swap" else 3)
            plan = self.successResultOf(self.upgrades.plan(""))
            self.assertEqual(plan.not_exported[-1:], self.front.words)
            outcome = self.successResultOf(self.upgrade(how="" if how == "swap" else "hand-over"))
            self.assertEqual((outcome.result, outcome.how), ("committed", how))
            self.assertEqual(self.front.followed[-1], new.hash)
            self.assertIn("the front goes on", outcome.warnings)

    def test_does_not_follow(self) -> None:
        """What failed is not shown to it."""
        self.workers.errors["prepare"] = SwapFailed("no")
        self.version(2)
        self.assertEqual(self.successResultOf(self.upgrade()).result, "failed")
        self.assertEqual(self.front.followed, [])

    def test_keeps_its_copy(self) -> None:
        """The copy that it is started again from stays, however many upgrades come."""
        first = self.version(2)
        self.successResultOf(self.upgrade())
        self.front.in_use = {first.hash}
        for number in range(3, 7):
            self.version(number)
            self.successResultOf(self.upgrade())
        self.assertTrue((self.code / first.hash).is_dir())


class UpgradeTests(UpgradeCase):
    def test_interface(self) -> None:
        """It provides what the control protocol asks for."""
        verifyObject(IUpgrades, self.upgrades)

    async def test_a_swap(self) -> None:
        """All workers prepare the staged copy, the decision is on disk before they commit, and all is written down."""
        new = self.version(2)
        recorded: list[str] = []
        self.workers.before_commit = lambda: recorded.append(getattr(read_committed(self.code), "hash", ""))
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "committed", outcome.cause)
        self.assertEqual((outcome.old_hash, outcome.new_hash, outcome.generation), (self.old.hash, new.hash, 2))
        self.assertEqual(outcome.changed, ["cloudd.application"])
        self.assertEqual(self.workers.calls, [("check_apart", 2), ("prepare", 2), ("commit", 2)])
        self.assertEqual(self.workers.trees[2].root, self.code / new.hash)
        self.assertEqual(recorded, [new.hash])
        self.assertEqual((self.upgrades.current.generation, self.upgrades.current.tree.hash), (2, new.hash))
        self.assertEqual(self.steps, ["check", "stage", "prepare", "commit", "clean"])
        self.assertIsNone(self.upgrades.progress)
        (entry,) = await self.entries()
        self.assertEqual((entry.who, entry.action, entry.result), (ANN, "upgrade", "committed"))
        self.assertEqual((entry.old_hash, entry.new_hash, entry.time), (self.old.hash, new.hash, 200.0))
        status = self.upgrades.code_status()
        self.assertEqual((status.hash, status.previous_hash, status.generation), (new.hash, self.old.hash, 2))

    async def test_tells(self) -> None:
        """Who follows the host's events learns of each step and of the end; busy steps are not told each time."""
        self.version(2)
        await self.upgrade()
        steps = [data["step"] for kind, data in self.told if kind == "upgrade.progress"]
        self.assertEqual(steps, ["check", "stage", "prepare", "commit", "clean"])
        kind, ended = self.told[-1]
        self.assertEqual((kind, ended["result"], ended["generation"], ended["user"]),
                         ("upgrade.ended", "committed", 2, "ann"))  # fmt: skip
        self.assertNotIn("type", ended)
        self.told.clear()
        for _ in range(10):
            self.upgrades._report("move", "moving")
            self.clock.advance(0.1)
        self.assertEqual([data["elapsed_s"] for _, data in self.told], [0.0, 0.3, 0.6, 0.9])

    async def test_a_restarted_daemon_boots_what_was_decided(self) -> None:
        """The next start boots the committed copy with its number, and numbers go on from there."""
        self.version(2, "releases/2")
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(trees=(str(self.folder / "releases"),)))
        self.upgrades = self.boot()
        outcome = await self.upgrade(str(self.folder / "releases/2"))
        self.assertEqual(outcome.result, "committed", outcome.cause)
        self.upgrades = self.boot()
        self.assertEqual((self.upgrades.current.tree.hash, self.upgrades.current.generation), (outcome.new_hash, 2))
        self.assertEqual((await self.rollback()).generation, 3)

    async def test_a_wheel(self) -> None:
        """A wheel is staged and swapped in as a folder is; the way back needs neither."""
        wheel = self.write_wheel(2)
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(trees=(str(wheel.parent),)))
        self.upgrades = self.boot()
        outcome = await self.upgrade(str(wheel))
        self.assertEqual((outcome.result, outcome.new_hash), ("committed", self.version(2, "same").hash), outcome.cause)
        wheel.unlink()
        self.assertEqual((await self.rollback()).result, "committed")

    async def test_an_environment_like_our_own(self) -> None:
        """What is installed there runs here when the interpreter and all versions are the same."""
        prefix = self.write_environment()
        self.patch(_upgrade, "own_environment", lambda: environment_of(self.write_environment("own"), ("cloudd",)))
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(trees=(str(prefix),)))
        self.upgrades = self.boot()
        self.assertEqual((await self.upgrade(str(prefix))).result, "unchanged")
        self.write_tree(prefix / "lib/python3.11/site-packages", {"cloudd/application.py": "VERSION = 3"})
        self.assertEqual((await self.upgrade(str(prefix))).result, "committed")

    async def test_an_environment_of_other_versions(self) -> None:
        """Only new processes can have it, whatever of our code has changed; the difference is named."""
        prefix = self.write_environment(twisted="25.5.0")
        self.patch(_upgrade, "own_environment", lambda: environment_of(self.write_environment("own"), ("cloudd",)))
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(trees=(str(prefix),)))
        self.upgrades = self.boot()
        plan = await self.upgrades.plan(str(prefix))
        self.assertEqual(plan.kind, "hand-over")
        self.assertIn("twisted 24.7.0 -> 25.5.0", plan.cause)
        outcome = await self.upgrade(str(prefix))
        self.assertEqual((outcome.result, outcome.how, self.workers.calls), ("committed", "hand-over", []))
        python = str(prefix / "bin" / "python")
        self.assertEqual(self.hand_over.decided, Decided(2, outcome.new_hash, python))
        self.assertEqual(read_committed(self.code), self.upgrades.committed)
        self.assertEqual(self.upgrades.committed.interpreter, python)
        self.assertEqual((await self.upgrade(str(prefix))).result, "unchanged")

    async def test_equal_code(self) -> None:
        """A tree that holds what runs is told so; no worker is asked."""
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, self.workers.calls), ("unchanged", []))
        self.assertUnchanged()

    async def test_a_worker_that_cannot_prepare_changes_nothing(self) -> None:
        """The generation is dropped everywhere, and the cause names modules as their source does."""
        self.version(2)
        self.workers.errors["prepare"] = RuntimeError("front-1: _g2.cloudd.application line 1: NameError: x")
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "failed")
        self.assertEqual(outcome.cause, "front-1: cloudd.application line 1: NameError: x")
        self.assertEqual(self.workers.calls, [("check_apart", 2), ("prepare", 2), ("abort", 2)])
        self.assertUnchanged()
        (entry,) = await self.entries()
        self.assertEqual((entry.result, entry.cause), ("failed", outcome.cause))

    async def test_numbers_only_grow(self) -> None:
        """A number that was prepared and dropped is not used again."""
        self.version(2)
        self.workers.errors["prepare"] = RuntimeError()
        self.assertEqual((await self.upgrade()).cause, "RuntimeError")
        self.workers.errors.clear()
        self.assertEqual((await self.upgrade()).generation, 3)

    async def test_numbers_of_a_killed_anchor(self) -> None:
        """What a worker has tried for an anchor that is no more is not used again."""
        self.workers.highest = 7
        self.version(2)
        self.assertEqual((await self.upgrade()).generation, 8)
        self.version(3)
        self.assertEqual((await self.upgrade(how="hand-over")).generation, 9)

    async def test_workers_that_do_not_answer_in_time(self) -> None:
        """Preparing ends after its time: dropped, and told."""
        self.version(2)
        self.workers.gates["prepare"] = Deferred()
        waiting = self.upgrade()
        self.clock.advance(_swap.PREPARE_TIMEOUT_S)
        outcome = self.successResultOf(waiting)
        self.assertEqual(outcome.result, "failed")
        self.assertIn("not all workers answered within 60 s", outcome.cause)
        self.assertEqual(self.workers.calls[-1], ("abort", 2))
        self.assertUnchanged()

    async def test_a_failing_abort_is_logged_and_no_harm(self) -> None:
        """What a worker says to the abort does not hide the cause."""
        self.version(2)
        self.workers.errors = {"prepare": RuntimeError("why"), "abort": RuntimeError("gone")}
        self.assertEqual((await self.upgrade()).cause, "why")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_a_decision_that_cannot_be_recorded_is_none(self) -> None:
        """Without the record on disk nobody commits."""
        self.version(2)

        def full(_folder: Path, _record: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(_upgrade, "write_committed", full)
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "failed")
        self.assertIn("No space left", outcome.cause)
        self.assertEqual(self.workers.calls, [("check_apart", 2), ("prepare", 2), ("abort", 2)])
        self.assertUnchanged()

    async def test_after_the_decision_it_stands(self) -> None:
        """Workers that do not confirm are told of, and what starts now boots the new code."""
        new = self.version(2)
        self.workers.silent = ["front-1"]
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "committed")
        self.assertEqual(outcome.warnings, ["front-1 did not confirm: it is ended, and starts again with the new code"])
        self.version(3)
        self.workers.errors["commit"] = RuntimeError("lost")
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "committed")
        self.assertIn("lost", outcome.warnings[0])
        self.assertNotEqual(self.upgrades.current.tree.hash, new.hash)
        self.assertIn("lost", (await self.entries())[-1].cause)
        self.flushLoggedErrors(RuntimeError)

    async def test_a_worker_that_starts_during_commit_boots_the_new_code(self) -> None:
        """``current`` is the decided code before any worker is told to commit."""
        self.version(2)
        seen: list[int] = []
        self.workers.before_commit = lambda: seen.append(self.upgrades.current.generation)
        await self.upgrade()
        self.assertEqual(seen, [2])

    async def test_one_at_a_time(self) -> None:
        """A second change is refused with what the first one is doing; the first goes on."""
        self.version(2)
        self.workers.gates["prepare"] = Deferred()
        first = self.upgrade()
        for second in (self.upgrade(), self.rollback()):
            outcome = self.successResultOf(second)
            self.assertEqual(outcome.result, "busy")
            self.assertIn("prepare: loading generation 2", outcome.cause)
        self.assertNoResult(first)
        self.workers.gates["prepare"].callback(None)
        self.assertEqual(self.successResultOf(first).result, "committed")
        self.assertEqual([entry.result for entry in await self.entries()], ["busy", "busy", "committed"])

    async def test_who_waits_may_leave(self) -> None:
        """Cancelling stops the waiting alone."""
        new = self.version(2)
        self.workers.gates["prepare"] = Deferred()
        waiting = self.upgrade()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.workers.gates["prepare"].callback(None)
        self.assertEqual(self.upgrades.current.tree.hash, new.hash)

    async def test_a_listener_that_fails_is_ignored(self) -> None:
        """Whoever shows the progress cannot stop it."""

        def fail(_progress: Progress) -> None:
            raise ValueError("no screen")

        self.version(2)
        outcome = await self.upgrades.upgrade("", "", ANN, fail, 0)
        self.assertEqual(outcome.result, "committed")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 5)

    async def test_a_tree_that_changed_since_the_plan_is_refused(self) -> None:
        """What was shown is what is loaded, or nothing."""
        plan = await self.upgrades.plan("")
        self.version(3)
        outcome = await self.upgrade(expected=plan.target_hash)
        self.assertEqual(outcome.result, "refused")
        self.assertIn("since the plan", outcome.cause)
        self.assertUnchanged()

    async def test_trees_that_must_not_be_loaded(self) -> None:
        """A folder that is not allowed, and code that does not compile, are refused with the cause."""
        outcome = await self.upgrade(str(self.folder))
        self.assertEqual(outcome.result, "refused")
        self.assertIn("[upgrade] trees", outcome.cause)
        self.write_tree(self.start, {"cloudd/application.py": "def broken(:\n"})
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, self.workers.calls), ("refused", []))
        self.assertIn("does not compile: line 1", outcome.cause)
        self.assertUnchanged()

    async def test_the_unforeseen_is_a_failure_and_logged(self) -> None:
        """An error that nobody thought of ends the change, not the anchor."""
        self.version(2)
        self.patch(_examining, "compare", lambda *_args: 1 / 0)
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, outcome.cause), ("failed", "division by zero"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertUnchanged()

    async def test_the_unforeseen_after_the_decision(self) -> None:
        """The change stands, and is told as one; the operator is warned."""
        new = self.version(2)

        async def broken(_self: Any) -> str:
            raise ZeroDivisionError("nobody thought of that")

        self.patch(_copies.Copies, "prune", broken)
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, outcome.new_hash), ("committed", new.hash))
        self.assertIn("nobody thought of that", outcome.warnings[-1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_an_audit_log_that_cannot_be_written_is_told(self) -> None:
        """The change stands; the operator is warned."""
        self.version(2)
        (self.state / "log" / "audit.log").mkdir(parents=True)
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "committed")
        self.assertIn("audit log could not be written", outcome.warnings[0])
        self.flushLoggedErrors(OSError)

    async def test_old_copies_are_removed(self) -> None:
        """The current, the previous, the start's and those in use stay; the others go with the next change."""
        hashes = [self.old.hash]
        for number in (2, 3, 4, 5, 6):
            hashes.append(self.version(number).hash)
            self.workers.in_use = {hashes[1]}
            self.upgrades._own_code = hashes[min(len(hashes) - 1, 2)]
            self.assertEqual((await self.upgrade()).warnings, [])
        kept = {name for name in os.listdir(self.code) if len(name) == 64}
        self.assertEqual(kept, {hashes[at] for at in (0, 1, 2, 4, 5)})

        def refuse(_folder: Path, _keep: object) -> None:
            raise OSError("not now")

        self.patch(_copies, "prune_copies", refuse)
        self.version(7)
        self.assertIn("not now", (await self.upgrade()).warnings[0])

    def copies(self) -> set[str]:
        return {name for name in os.listdir(self.code) if len(name) == 64}

    async def test_copies_of_what_did_not_come_to_run(self) -> None:
        """Of a plan the latest stays, of failed changes none; not as long as a worker still has such code."""
        planned = []
        for number in (2, 3):
            planned.append(self.version(number).hash)
            await self.upgrades.plan("")
        failed = self.version(4)
        self.workers.errors["prepare"] = SwapFailed("no")
        self.workers.in_use = {failed.hash}
        self.assertEqual((await self.upgrade()).result, "failed")
        self.assertEqual(self.copies(), {self.old.hash, *planned, failed.hash})
        self.clock.advance(PRUNE_AFTER_S)
        self.assertEqual(self.copies(), {self.old.hash, planned[1], failed.hash})
        self.workers.in_use.clear()
        self.clock.advance(PRUNE_AFTER_S)
        self.assertIn(failed.hash, self.copies(), "it is looked at ever less often")
        self.clock.advance(PRUNE_AFTER_S)
        self.assertEqual(self.copies(), {self.old.hash, planned[1]})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_copies_while_a_change_is_under_way(self) -> None:
        """None is removed: the change may need it."""
        planned = self.version(2)
        await self.upgrades.plan("")
        self.version(3)
        await self.upgrades.plan("")
        gate = self.workers.gates["prepare"] = Deferred()
        going = self.upgrade()
        self.clock.advance(PRUNE_AFTER_S)
        self.assertIn(planned.hash, self.copies())
        gate.callback(None)
        self.assertEqual((await going).result, "committed")
        self.assertNotIn(planned.hash, self.copies())


class RollbackTests(UpgradeCase):
    async def test_back_and_forth(self) -> None:
        """The previous code comes back as a new generation; a second rollback undoes the first."""
        new = self.version(2)
        await self.upgrade()
        outcome = await self.rollback()
        self.assertEqual(outcome.result, "committed", outcome.cause)
        self.assertEqual((outcome.new_hash, outcome.generation), (self.old.hash, 3))
        self.assertEqual(self.workers.trees[3].root, self.code / self.old.hash)
        record = read_committed(self.code)
        self.assertEqual(record and (record.previous, record.rolled_back), (new.hash, new.hash))
        outcome = await self.rollback()
        self.assertEqual((outcome.new_hash, outcome.generation), (new.hash, 4))
        self.assertEqual([entry.action for entry in await self.entries()], ["upgrade", "rollback", "rollback"])

    async def test_nothing_to_go_back_to(self) -> None:
        """Before the first upgrade there is no way back."""
        outcome = await self.rollback()
        self.assertEqual(outcome.result, "refused")
        self.assertIn("nothing to go back to", outcome.cause)

    async def test_a_lost_copy(self) -> None:
        """A previous copy that is damaged is refused, and the running code goes on."""
        new = self.version(2)
        await self.upgrade()
        (self.code / self.old.hash / "cloudd/more.py").write_text("")
        outcome = await self.rollback()
        self.assertEqual(outcome.result, "refused")
        self.assertIn("damaged", outcome.cause)
        self.assertEqual(self.upgrades.current.tree.hash, new.hash)

    async def test_over_a_kernel_change(self) -> None:
        """After a restart with another kernel the code before it comes back by a hand-over."""
        self.write_tree(self.start, {"cloudd/daemon/__init__.py": "new = 1"})
        self.upgrades = self.boot()
        outcome = await self.rollback()
        self.assertEqual((outcome.result, outcome.how, outcome.new_hash), ("committed", "hand-over", self.old.hash))
        self.assertEqual(self.workers.calls, [])

    async def test_after_an_upgrade_a_restart_does_not_forget(self) -> None:
        """The way back is there after a restart of the daemon."""
        self.version(2)
        await self.upgrade()
        self.upgrades = self.boot()
        self.assertEqual((await self.rollback()).new_hash, self.old.hash)


class HandOverTests(UpgradeCase):
    """A changed kernel module: new processes take over."""

    def setUp(self) -> None:
        super().setUp()
        self.new = self.write_tree(self.start, {"cloudd/daemon/__init__.py": "new = 1"})

    async def test_decided_between_rehearsal_and_commit(self) -> None:
        """The record says the new code from the commit on; the outcome tells what moved, and what follows."""
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, outcome.how), ("committed", "hand-over"), outcome.cause)
        self.assertEqual(self.hand_over.calls, ["boot", "rehearse", "commit", "supervise", "settle"])
        self.assertEqual(self.hand_over.recorded, [self.old.hash] * 2 + [self.new.hash] * 2)
        self.assertEqual((outcome.moved, outcome.follow, outcome.pause_s), (7, {"BUSY": 1}, 0.004))
        self.assertEqual(self.handed_over, [Decided(2, self.new.hash, "/usr/bin/python3")])
        self.assertEqual(self.workers.calls, [])

    async def test_failures_before_the_decision(self) -> None:
        """The new workers are ended, the record is untouched, and a restart does not boot that code."""
        for step in ("boot", "rehearse"):
            self.hand_over.errors = {step: SwapFailed("it hangs")}
            outcome = await self.upgrade()
            self.assertEqual((outcome.result, outcome.cause), ("failed", "it hangs"))
            self.assertEqual(self.hand_over.calls[-2:], [step, "abort"])
            self.assertUnchanged()
            self.assertEqual([held.hash for held in self.upgrades.committed.held_back], [self.new.hash])
        self.assertEqual(self.handed_over, [])

    async def test_what_does_not_blame_the_code(self) -> None:
        """A worker of the old code that ended, or something that nobody foresaw."""
        for error in (OldWorkerFailed("worker front-1 was killed by SIGKILL"), OSError("no more files")):
            self.hand_over.errors = {"rehearse": error}
            outcome = await self.upgrade()
            self.assertEqual((outcome.result, outcome.cause), ("failed", str(error)))
            self.assertEqual(self.hand_over.calls[-1], "abort")
            self.assertEqual(self.upgrades.committed.held_back, ())
            self.assertUnchanged()

    async def test_a_supervision_that_cannot_be_made(self) -> None:
        """What is not watched is not kept: all goes back."""
        self.hand_over.errors = {"supervise": OSError("no more files")}
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, self.hand_over.calls[-1]), ("failed", "hand_back"))
        self.assertIn("they cannot be watched: no more files", outcome.cause)
        self.assertUnchanged()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def test_the_unforeseen_behind_the_decision(self) -> None:
        """What the record says is what has come of it, with a warning."""
        self.patch(self.hand_over, "settle", lambda: 1 / 0)
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, outcome.new_hash), ("committed", self.new.hash))
        self.assertIn("the decision stands, but not all that follows it was done: division", outcome.warnings[0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_no_decision_on_a_full_disk(self) -> None:
        """What cannot be written down has not been decided."""
        self.patch(_upgrade, "write_committed", failing_write)
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, self.hand_over.calls), ("failed", ["boot", "rehearse", "abort"]))
        self.assertIn("could not be recorded: No space left", outcome.cause)

    async def test_handed_back(self) -> None:
        """New code that does badly under supervision: first the record, then the connections go back."""
        self.hand_over.verdict = "the new worker front-1 was killed by SIGSEGV"
        outcome = await self.upgrade()
        self.assertEqual(outcome.result, "failed")
        self.assertIn("the old code serves: the new worker front-1 was killed by SIGSEGV", outcome.cause)
        self.assertEqual(self.hand_over.calls[-1], "hand_back")
        self.assertEqual(self.hand_over.recorded[-1], self.old.hash)
        self.assertUnchanged()
        self.assertIn("SIGSEGV", self.upgrades.committed.held_back[0].cause)

    async def test_a_rollback_under_supervision(self) -> None:
        """It needs no second hand-over: what has just moved comes back; both calls hear of it."""
        self.hand_over.gates["supervise"] = Deferred()
        going = self.upgrade()
        back = await self.rollback()
        self.assertEqual((back.action, back.result, back.new_hash), ("rollback", "committed", self.old.hash))
        self.assertEqual(self.successResultOf(going).result, "failed")
        self.assertUnchanged()
        [held] = self.upgrades.committed.held_back
        self.assertEqual((held.hash, held.cause), (self.new.hash, ROLLED_BACK))

    async def test_a_rollback_that_comes_too_late(self) -> None:
        """Where the window ends otherwise who asked hears that nothing went back."""
        self.hand_over.gates["supervise"] = Deferred()
        going = self.upgrade()
        self.patch(self.hand_over, "ask_back", lambda _cause: True)
        back = self.rollback()
        self.hand_over.gates["supervise"].callback(None)
        self.assertEqual(self.successResultOf(going).result, "committed")
        outcome = self.successResultOf(back)
        self.assertEqual((outcome.action, outcome.result), ("rollback", "failed"))
        self.assertIn("ended before it could be handed back: ask again", outcome.cause)


def failing_write(*_: object) -> None:
    raise OSError(28, "No space left on device")


class SignedTests(UpgradeCase):
    """With ``[upgrade] public_key``."""

    def setUp(self) -> None:
        super().setUp()
        public_key = make_key(self.folder / "key.pem")
        self.key = read_private_key(self.folder / "key.pem")
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(public_key=public_key))
        self.upgrades = self.boot()

    async def test_a_signed_tree_is_loaded_and_can_come_back(self) -> None:
        """What vouched for it is in the outcome and the audit log; rolling back and forth needs no tree."""
        new = self.version(2)
        write_manifest(self.start, self.key)
        self.assertEqual((await self.upgrades.plan("")).manifest, "fits, signed")
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, outcome.manifest), ("committed", "fits, signed"), outcome.cause)
        self.assertEqual((await self.entries())[-1].manifest, "fits, signed")
        self.assertEqual((await self.rollback()).new_hash, self.old.hash)
        outcome = await self.rollback()
        self.assertEqual((outcome.result, outcome.new_hash), ("committed", new.hash), outcome.cause)

    async def test_others_are_refused_before_anything_is_staged(self) -> None:
        """No copy, no worker asked, and both hashes and the cause in the audit log; the plan says it too."""
        new = self.version(2)
        write_manifest(self.start)
        plan = await self.upgrades.plan("")
        self.assertEqual((plan.kind, plan.target_hash), ("refused", new.hash))
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, self.workers.calls), ("refused", []))
        self.assertIn("the manifest is not signed", outcome.cause)
        self.assertNotIn(new.hash, os.listdir(self.code))
        (entry,) = await self.entries()
        self.assertEqual((entry.result, entry.cause), ("refused", outcome.cause))
        self.assertEqual((entry.old_hash, entry.new_hash, entry.who), (self.old.hash, new.hash, ANN))
        self.assertUnchanged()

    async def test_the_way_back_to_unsigned_code(self) -> None:
        """Code that was loaded before there was a key does not come back with one; that of the start does."""
        with_key, releases = self.settings.upgrade, self.folder / "releases"
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(trees=(str(releases),)))
        self.upgrades = self.boot()
        for number in (2, 3):
            self.version(number, "releases")
            outcome = await self.upgrade(str(releases))
            self.assertEqual(outcome.result, "committed", outcome.cause)
        self.settings = evolve(self.settings, upgrade=with_key)
        self.upgrades = self.boot()
        outcome = await self.rollback()
        self.assertEqual((outcome.result, len(self.workers.calls)), ("refused", 6))
        self.assertIn("no signed manifest", outcome.cause)

    async def test_a_tree_that_changes_between_check_and_staging(self) -> None:
        """What was verified is what is staged, or nothing is."""
        self.version(2)
        write_manifest(self.start, self.key)

        def change_before(tree: CodeTree, folder: Path, proof: Proof) -> CodeTree:
            self.version(3)
            write_manifest(self.start, self.key)
            return stage_proved(tree, folder, proof)

        self.patch(_copies, "stage_proved", change_before)
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, self.workers.calls), ("refused", []))
        self.assertIn("changed while the tree was copied", outcome.cause)
        self.assertUnchanged()


class PlanTests(UpgradeCase):
    async def test_kinds(self) -> None:
        """Nothing, a swap, a hand-over, a refusal: each with what it rests on."""
        plan = await self.upgrades.plan("")
        self.assertEqual((plan.kind, plan.generation, plan.tree), ("nothing", 1, str(self.start)))
        new = self.version(2)
        plan = await self.upgrades.plan("")
        self.assertEqual((plan.kind, plan.swappable, plan.generation), ("swap", ["cloudd.application"], 2))
        self.assertEqual((plan.running_hash, plan.target_hash, plan.manifest), (self.old.hash, new.hash, "absent"))
        self.write_tree(self.start, {"reload/__init__.py": "new = 1"})
        plan = await self.upgrades.plan("")
        self.assertEqual((plan.kind, plan.kernel), ("hand-over", ["reload"]))
        self.assertIn("reload changed, which live as long as their process", plan.cause)
        plan = await self.upgrades.plan("/elsewhere")
        self.assertEqual((plan.kind, plan.tree), ("refused", "/elsewhere"))

    async def test_ways(self) -> None:
        """A swap that is not enough is refused by its cause; a hand-over can be had where a swap would do."""
        self.assertEqual((await self.upgrades.plan("", "hand-over")).kind, "nothing")
        self.version(2)
        plan = await self.upgrades.plan("", "hand-over")
        self.assertEqual((plan.kind, plan.cause), ("hand-over", "a hand-over was asked for"))
        self.assertEqual(
            plan.canary, "none in a hand-over: the new processes are watched for 10 s, and can be given up"
        )
        self.assertEqual((await self.upgrades.plan("", "swap")).kind, "swap")
        self.write_tree(self.start, {"reload/__init__.py": "new = 1"})
        plan = await self.upgrades.plan("", "swap")
        outcome = await self.upgrade(how="swap")
        self.assertEqual((plan.kind, outcome.result, plan.cause), ("refused", "refused", outcome.cause))
        self.assertIn("a swap was asked for, but reload changed", plan.cause)
        self.assertEqual(self.workers.calls, [])

    async def test_a_hand_over_that_was_asked_for(self) -> None:
        """New processes take over, though a swap would do."""
        new = self.version(2)
        outcome = await self.upgrade(how="hand-over", canary=5)
        self.assertEqual((outcome.result, outcome.how, outcome.new_hash), ("committed", "hand-over", new.hash))
        self.assertEqual(self.hand_over.calls, ["boot", "rehearse", "commit", "supervise", "settle"])
        self.assertEqual((self.workers.calls, outcome.canary), ([], ""))
        self.assertIn("a hand-over has no canary", outcome.warnings[0])

    async def test_how_it_would_be_tried(self) -> None:
        """The plan names the share, of the settings or of the request, and why a swap is enough."""
        self.version(2)
        plan = await self.upgrades.plan("", "swap")
        self.assertEqual(plan.canary, "none: it is committed at once")
        self.assertIn("swappable", plan.reason)
        self.assertTrue(plan.not_exported)
        self.assertIn("5 % of the connections for up to 10 s", (await self.upgrades.plan("", "", 5)).canary)

    async def test_code_that_does_not_compile_is_refused_in_the_plan(self) -> None:
        """Nobody has to try it to find out."""
        self.write_tree(self.start, {"cloudd/application.py": "def broken(:\n"})
        plan = await self.upgrades.plan("")
        self.assertEqual(plan.kind, "refused")
        self.assertIn("does not compile", plan.cause)

    async def test_a_plan_changes_nothing(self) -> None:
        """No worker is asked, no number is used up, nothing is written into the audit log."""
        self.version(2)
        for _ in range(2):
            self.assertEqual((await self.upgrades.plan("")).generation, 2)
        self.assertEqual((self.workers.calls, await self.entries()), ([], []))
        self.assertUnchanged()
