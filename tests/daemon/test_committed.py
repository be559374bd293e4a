"""Which code a starting daemon boots."""

from __future__ import annotations

import shutil

import msgspec

from cloudd.daemon._committed import (
    RECORD_NAME,
    Committed,
    RecordError,
    choose_boot_tree,
    find_copy,
    read_committed,
    write_committed,
)
from reload import TreeError

from .code_trees import CodeTreeCase


class ChooseTests(CodeTreeCase):
    def test_first_start(self) -> None:
        """Without a record the start tree is booted, from a copy, as generation 1, and that is written down."""
        tree = self.version(1)
        boot = choose_boot_tree(self.code, tree, 5.0)
        self.assertEqual(boot.tree.root, self.code / tree.hash)
        record = Committed(hash=tree.hash, generation=1, started_from=tree.hash, since=5.0)
        self.assertEqual((boot.committed, read_committed(self.code)), (record, record))

    def test_the_last_upgrade_is_booted_again(self) -> None:
        """As long as the start tree is what it was, the committed code is booted with its number."""
        start, new = self.version(1), self.version(2, "new").stage(self.code)
        choose_boot_tree(self.code, start, 1.0)
        upgraded = Committed(hash=new.hash, previous=start.hash, generation=2, started_from=start.hash, since=2.0)
        write_committed(self.code, upgraded)
        boot = choose_boot_tree(self.code, start, 9.0)
        self.assertEqual((boot.tree, boot.committed), (new, upgraded))

    def test_a_new_start_tree_wins(self) -> None:
        """Someone installed other code and restarted: that runs, and a rollback leads to what ran before."""
        start, upgraded = self.version(1), self.version(2, "new").stage(self.code)
        write_committed(
            self.code,
            Committed(hash=upgraded.hash, previous=start.hash, generation=4, started_from=start.hash, since=2.0),
        )
        installed = self.version(3)
        boot = choose_boot_tree(self.code, installed, 9.0)
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
        choose_boot_tree(self.code, old, 1.0)
        edited = self.version(2)
        write_committed(
            self.code, Committed(hash=edited.hash, previous=old.hash, generation=2, started_from=old.hash, since=2.0)
        )
        boot = choose_boot_tree(self.code, edited, 3.0)
        self.assertEqual((boot.committed.previous, boot.committed.generation), (old.hash, 2))
        self.assertEqual(boot.committed.started_from, edited.hash)

    def test_a_restart_does_not_bring_back_what_was_rolled_back(self) -> None:
        """Edit in place, upgrade, roll back, restart: the checkout still holds the bad code, the good one is booted."""
        good = self.version(1)
        choose_boot_tree(self.code, good, 1.0)
        bad = self.version(2)
        record = Committed(
            hash=good.hash, previous=bad.hash, generation=3, started_from=good.hash, rolled_back=bad.hash, since=2.0
        )
        write_committed(self.code, record)
        boot = choose_boot_tree(self.code, bad, 3.0)
        self.assertEqual((boot.tree.hash, boot.committed), (good.hash, record))

    def test_a_lost_or_damaged_copy_falls_back_to_the_start_tree(self) -> None:
        """A copy that is gone, or is not what its name says, is not booted; the cause is told."""
        for damage in (shutil.rmtree, lambda root: (root / "cloudd/more.py").write_text("")):
            start, new = self.version(1), self.version(2, "new").stage(self.code)
            write_committed(self.code, Committed(hash=new.hash, generation=2, started_from=start.hash, since=2.0))
            damage(new.root)
            boot = choose_boot_tree(self.code, start, 9.0)
            self.assertEqual((boot.tree.hash, boot.committed.generation), (start.hash, 3))
            self.assertIn("cannot be used", boot.cause)
            (self.code / RECORD_NAME).unlink()

    def test_a_damaged_record_is_an_error_with_a_way_out(self) -> None:
        """Neither a torn record nor one of a later version is guessed at."""
        start = self.version(1)
        path = self.code / RECORD_NAME
        later = Committed(hash=start.hash, generation=1, started_from="", since=0.0, format=2)
        for data in (b"", b'{"hash": 3}', msgspec.json.encode(later)):
            path.write_bytes(data)
            error = self.assertRaises(RecordError, choose_boot_tree, self.code, start, 1.0)
            self.assertIn("move it away", str(error))

    def test_find_copy(self) -> None:
        """A copy by its hash, or the reason why not."""
        tree = self.version(1)
        tree.stage(self.code)
        self.assertEqual(find_copy(self.code, tree.hash).hash, tree.hash)
        self.assertRaises(TreeError, find_copy, self.code, "0" * 64)
