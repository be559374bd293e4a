"""Which code a starting daemon boots."""

from __future__ import annotations

import errno
import os
import shutil

import msgspec

from cloudd.daemon._committed import (
    MAX_HELD_BACK,
    RECORD_NAME,
    Boot,
    Committed,
    RecordError,
    choose_boot_tree,
    find_copy,
    hold_back,
    let_in,
    read_committed,
    write_committed,
)
from reload import CodeTree, TreeError

from .code_trees import CodeTreeCase


class ChooseTests(CodeTreeCase):
    def choose(self, start: CodeTree, now: float) -> Boot:
        return choose_boot_tree(self.code, lambda: start, now)

    def boot(self, start: CodeTree, now: float) -> Boot:
        """Choose, and let the code prove itself."""
        boot = self.choose(start, now)
        write_committed(self.code, boot.committed)
        return boot

    def test_first_start(self) -> None:
        """Without a record the start tree is booted, from a copy, as generation 1, and that is written down."""
        tree = self.version(1)
        boot = self.boot(tree, 5.0)
        self.assertEqual(boot.tree.root, self.code / tree.hash)
        record = Committed(hash=tree.hash, generation=1, started_from=tree.hash, since=5.0)
        self.assertEqual((boot.committed, read_committed(self.code)), (record, record))

    def test_the_last_upgrade_is_booted_again(self) -> None:
        """As long as the start tree is what it was, the committed code is booted with its number."""
        start, new = self.version(1), self.version(2, "new").stage(self.code)
        self.boot(start, 1.0)
        upgraded = Committed(hash=new.hash, previous=start.hash, generation=2, started_from=start.hash, since=2.0)
        write_committed(self.code, upgraded)
        boot = self.boot(start, 9.0)
        self.assertEqual((boot.tree, boot.committed), (new, upgraded))

    def test_a_new_start_tree_wins(self) -> None:
        """Someone installed other code and restarted: that runs, and a rollback leads to what ran before."""
        start, upgraded = self.version(1), self.version(2, "new").stage(self.code)
        write_committed(
            self.code,
            Committed(hash=upgraded.hash, previous=start.hash, generation=4, started_from=start.hash, since=2.0),
        )
        installed = self.version(3)
        boot = self.boot(installed, 9.0)
        self.assertEqual(boot.tree.hash, installed.hash)
        self.assertEqual(
            read_committed(self.code),
            Committed(
                hash=installed.hash, previous=upgraded.hash, generation=5, started_from=installed.hash, since=9.0
            ),
        )

    def test_code_edited_in_place_and_upgraded_is_the_committed_code(self) -> None:
        """Start from a checkout, edit, upgrade, restart: same code, and the way back is kept."""
        old = self.version(1)
        self.boot(old, 1.0)
        edited = self.version(2)
        write_committed(
            self.code, Committed(hash=edited.hash, previous=old.hash, generation=2, started_from=old.hash, since=2.0)
        )
        boot = self.boot(edited, 3.0)
        self.assertEqual((boot.committed.previous, boot.committed.generation), (old.hash, 2))
        self.assertEqual(boot.committed.started_from, edited.hash)

    def test_a_restart_does_not_bring_back_what_was_rolled_back(self) -> None:
        """Edit in place, upgrade, roll back, restart: the checkout still holds the bad code, the good one is booted."""
        good = self.version(1)
        self.boot(good, 1.0)
        bad = self.version(2)
        record = Committed(
            hash=good.hash, previous=bad.hash, generation=3, started_from=good.hash, rolled_back=bad.hash, since=2.0
        )
        write_committed(self.code, record)
        boot = self.boot(bad, 3.0)
        self.assertEqual((boot.tree.hash, boot.committed), (good.hash, record))

    def test_a_lost_or_damaged_copy_falls_back_to_the_start_tree(self) -> None:
        """A copy that is gone, or is not what its name says, is not booted; the cause is told."""
        for damage in (shutil.rmtree, lambda root: (root / "cloudd/more.py").write_text("")):
            start, new = self.version(1), self.version(2, "new").stage(self.code)
            write_committed(self.code, Committed(hash=new.hash, generation=2, started_from=start.hash, since=2.0))
            damage(new.root)
            boot = self.boot(start, 9.0)
            self.assertEqual((boot.tree.hash, boot.committed.generation), (start.hash, 3))
            self.assertIn("cannot be used", boot.cause)
            (self.code / RECORD_NAME).unlink()

    def test_new_code_is_written_down_when_it_has_proven_itself(self) -> None:
        """Choosing changes nothing on disk; code that was committed before needs no proof."""
        good = self.version(1)
        first = self.choose(good, 1.0)
        self.assertEqual((first.is_unproven, first.fallback, read_committed(self.code)), (True, None, None))
        self.boot(good, 1.0)
        self.assertFalse(self.choose(good, 2.0).is_unproven)
        record = read_committed(self.code)
        tried = self.choose(self.version(2), 2.0)
        self.assertTrue(tried.is_unproven)
        self.assertEqual(read_committed(self.code), record)

    def test_fall_back(self) -> None:
        """Code that fails gives way to the committed code and its record; who reads the note knows what to do."""
        good = self.boot(self.version(1), 1.0).committed
        bad = self.write_tree(self.start, {"cloudd/application.py": "bad", "cloudd/daemon/_new.py": ""})
        boot = self.choose(bad, 2.0).fall_back("ModuleNotFoundError: bad")
        self.assertEqual((boot.committed, boot.tree.root), (good, self.code / good.hash))
        self.assertEqual((boot.tried, boot.failure, boot.fallback), (bad.hash, "ModuleNotFoundError: bad", None))
        for words in (bad.hash[:12], "ModuleNotFoundError: bad", "generation 1", "`cloudctl upgrade` or restart"):
            self.assertIn(words, boot.note)
        self.assertTrue(self.choose(bad, 3.0).is_unproven, "each start tries it again")

    def test_a_start_tree_that_cannot_be_copied(self) -> None:
        """It does not compile, or is none at all: the committed code is booted, where there is some."""
        broken = self.write_tree(self.start, {"cloudd/application.py": "def broken(:"})
        self.assertRaises(TreeError, self.choose, broken, 1.0)
        good = self.boot(self.version(1), 1.0).committed
        broken = self.write_tree(self.start, {"cloudd/application.py": "def broken(:"})
        boot = self.choose(broken, 2.0)
        self.assertEqual((boot.committed, boot.tried, boot.is_unproven), (good, broken.hash, False))
        self.assertIn("does not compile: line 1", boot.failure)

        def no_tree() -> CodeTree:
            raise TreeError(self.start, "is no folder")

        boot = choose_boot_tree(self.code, no_tree, 3.0)
        self.assertEqual((boot.committed, boot.tried), (good, ""))
        self.assertIn("is no folder", boot.note)

    def test_code_that_is_held_back(self) -> None:
        """What failed in an upgrade is not tried by a restart, which says why; after another upgrade it may be."""
        good = self.boot(self.version(1), 1.0).committed
        bad = self.version(2)
        held = hold_back(good, bad.hash, "failed in an upgrade (no such word)", 1_000_000_000.0)
        write_committed(self.code, held)
        boot = self.choose(bad, 9.0)
        self.assertEqual((boot.committed, boot.tried, boot.failure), (held, bad.hash, ""))
        self.assertIn("failed in an upgrade (no such word) at 2001-09-09 01:46:40 UTC", boot.note)
        self.assertIn("`cloudctl upgrade` tries it again", boot.note)
        write_committed(self.code, let_in(held, bad.hash))
        self.assertEqual(self.choose(bad, 9.0).committed.hash, bad.hash)

    def test_what_is_held_back_is_bounded(self) -> None:
        """The latest ones are remembered, each once; the running code never is."""
        record = Committed(hash="good", generation=1, started_from="good", since=0.0)
        for number in range(40):
            record = hold_back(record, f"bad{number}", "x" * 2_000, number)
            record = hold_back(record, "bad7", "failed again", number)
        for never in ("good", ""):
            record = hold_back(record, never, "failed", 50.0)
        hashes = [held.hash for held in record.held_back]
        self.assertEqual(len(hashes), MAX_HELD_BACK)
        self.assertEqual(hashes[-3:], ["bad38", "bad39", "bad7"])
        self.assertLess(len(msgspec.json.encode(record)), 10_000)

    def test_a_damaged_record_is_an_error_with_a_way_out(self) -> None:
        """Neither a torn record nor one of a later version is guessed at."""
        start = self.version(1)
        path = self.code / RECORD_NAME
        later = Committed(hash=start.hash, generation=1, started_from="", since=0.0, format=2)
        for data in (b"", b'{"hash": 3}', msgspec.json.encode(later)):
            path.write_bytes(data)
            error = self.assertRaises(RecordError, self.boot, start, 1.0)
            self.assertIn("move it away", str(error))

    def test_find_copy(self) -> None:
        """A copy by its hash, or the reason why not."""
        tree = self.version(1)
        tree.stage(self.code)
        self.assertEqual(find_copy(self.code, tree.hash).hash, tree.hash)
        self.assertRaises(TreeError, find_copy, self.code, "0" * 64)


class DiskTests(CodeTreeCase):
    """What can be read afterwards is what was said: the new record, or an error and the old one."""

    def setUp(self) -> None:
        super().setUp()
        self.code.mkdir(exist_ok=True)
        self.old = Committed(hash="a", generation=1, started_from="a", since=1.0)
        self.new = Committed(hash="b", generation=2, started_from="a", since=2.0)
        self.syncs = 0
        self.fails: set[int] = set()  # which syncs
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            self.syncs += 1
            if self.syncs in self.fails:
                raise OSError(errno.EIO, "Input/output error")
            sync(descriptor)

        self.patch(os, "fsync", fsync)

    def files(self) -> list[str]:
        return [path.name for path in self.code.iterdir()]

    def test_every_sync_that_fails(self) -> None:
        """Of the file, of the folder, with a record before and without."""
        for before in (None, self.old):
            for fails in (1, 2):
                (self.code / RECORD_NAME).unlink(missing_ok=True)
                self.fails.clear()
                if before is not None:
                    write_committed(self.code, before)
                self.fails = {self.syncs + fails}
                self.assertRaises(OSError, write_committed, self.code, self.new)
                self.assertEqual(read_committed(self.code), before)
                self.assertEqual(self.files(), [] if before is None else [RECORD_NAME])

    def test_nothing_can_be_synced_any_more(self) -> None:
        """The new record is there and stays: it counts, and no error says otherwise."""
        write_committed(self.code, self.old)
        self.fails = {self.syncs + 2, self.syncs + 3}
        write_committed(self.code, self.new)
        self.assertEqual((read_committed(self.code), self.files()), (self.new, [RECORD_NAME]))

    def test_no_descriptor_is_free(self) -> None:
        """Nothing is begun that could not be ended."""
        write_committed(self.code, self.old)

        def full(*_args: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(os, "open", full)
        self.assertRaises(OSError, write_committed, self.code, self.new)
        self.assertEqual((read_committed(self.code), self.files()), (self.old, [RECORD_NAME]))
