"""What failed or was refused in an upgrade is remembered: a restart alone does not bring it in."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import evolve

from cloudd.control import BOUNDARIES, make_key
from cloudd.daemon import _upgrade
from cloudd.daemon._committed import choose_boot_tree, read_committed
from cloudd.daemon._workers import NobodyAsked
from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeTree

from .test_upgrade import UpgradeCase


class HeldBackTests(UpgradeCase):
    def held(self) -> dict[str, str]:
        """Hash -> cause, as a start would read it."""
        record = read_committed(self.code)
        assert record is not None
        self.assertEqual(record, self.upgrades.committed)
        return {held.hash: held.cause for held in record.held_back}

    def booted_at_a_restart(self) -> str:
        return choose_boot_tree(self.code, lambda: CodeTree.scan(self.start, BOUNDARIES), 300.0).committed.hash

    async def test_code_that_failed(self) -> None:
        """A restart boots what ran; an upgrade may try the same code again, and then it is let in."""
        new = self.version(2)
        self.workers.errors["prepare"] = RuntimeError("no such word")
        await self.upgrade()
        self.assertEqual(self.held(), {new.hash: "failed in an upgrade (no such word)"})
        self.assertEqual(self.booted_at_a_restart(), self.old.hash)
        self.upgrades = self.boot()
        self.workers.errors.clear()
        self.assertEqual((await self.upgrade()).result, "committed")
        self.assertEqual((self.held(), self.booted_at_a_restart()), ({}, new.hash))

    async def test_code_that_nothing_was_said_about(self) -> None:
        """Without a worker to ask, without a disk to write on, or before the start's end nobody can blame the code."""
        self.version(2)
        self.workers.errors["prepare"] = NobodyAsked("no worker is ready")
        self.assertEqual((await self.upgrade()).result, "failed")
        self.workers.errors.clear()
        self.upgrades._booted = False
        outcome = await self.upgrade()
        self.assertEqual((outcome.result, outcome.cause), ("busy", "the daemon is starting"))
        self.assertEqual(self.held(), {})

    async def test_code_that_nobody_vouches_for(self) -> None:
        """Unsigned code that was refused does not come in by a restart either; the running code is never held back."""
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(public_key=make_key(self.folder / "key.pem")))
        self.upgrades = self.boot()
        await self.upgrade()
        self.assertEqual(self.held(), {})
        unsigned = self.version(2)
        self.assertEqual((await self.upgrade()).result, "refused")
        self.assertIn("was refused in an upgrade", self.held()[unsigned.hash])
        self.assertEqual(self.booted_at_a_restart(), self.old.hash)

    async def test_who_tries_it_again_is_warned(self) -> None:
        """The plan says what became of this code before."""
        self.version(2)
        self.assertEqual((await self.upgrades.plan("")).warnings, [])
        self.workers.errors["prepare"] = RuntimeError("no such word")
        await self.upgrade()
        self.assertEqual(
            (await self.upgrades.plan("")).warnings,
            ["this code failed in an upgrade (no such word) at 1970-01-01 00:03:20 UTC"],
        )

    async def test_what_was_rolled_back_stays_out(self) -> None:
        """Also when other code was loaded after the rollback."""
        bad = self.version(2)
        await self.upgrade()
        await self.rollback()
        self.version(3, "releases/3")
        self.settings = evolve(self.settings, upgrade=UpgradeSettings(trees=(str(self.folder / "releases"),)))
        self.upgrades = self.boot()
        outcome = await self.upgrade(str(self.folder / "releases/3"))
        self.assertEqual(outcome.result, "committed", outcome.cause)
        self.assertEqual(self.held(), {bad.hash: "was rolled back"})
        self.assertEqual(self.booted_at_a_restart(), outcome.new_hash)

    async def test_a_record_that_cannot_be_written(self) -> None:
        """The upgrade ends as it would; the log says what a restart may do."""
        self.version(2)
        self.workers.errors["prepare"] = RuntimeError("why")

        def full(_folder: Path, _record: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(_upgrade, "write_committed", full)
        self.assertEqual((await self.upgrade()).cause, "why")
        self.assertEqual(self.held(), {})
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class StartEntryTests(UpgradeCase):
    async def test_the_start_is_written_down(self) -> None:
        """Who started which code is in the audit log."""
        boot = choose_boot_tree(self.code, lambda: CodeTree.scan(self.start, BOUNDARIES), 300.0)
        await self.upgrades.note_start(boot)
        (entry,) = await self.entries()
        self.assertEqual((entry.action, entry.result, entry.new_hash), ("start", "committed", self.old.hash))
        self.assertEqual((entry.cause, entry.who.pid), (boot.cause, os.getpid()))

    async def test_a_start_tree_that_failed(self) -> None:
        """It has an entry of its own with the cause, before that of the code which runs."""
        bad = self.version(2)
        boot = choose_boot_tree(self.code, lambda: CodeTree.scan(self.start, BOUNDARIES), 300.0)
        await self.upgrades.booted(boot.fall_back("no such word"))
        await self.upgrades.note_start(boot.fall_back("no such word"))
        failed, started = await self.entries()
        self.assertEqual((failed.action, failed.result, failed.cause), ("start", "failed", "no such word"))
        self.assertEqual((failed.old_hash, failed.new_hash), (self.old.hash, bad.hash))
        self.assertEqual((started.result, started.new_hash), ("committed", self.old.hash))
        self.assertUnchanged()
