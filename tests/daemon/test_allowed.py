"""Only trees that nobody else can write are loaded."""

from __future__ import annotations

import os
from pathlib import Path

from cloudd.daemon._allowed import allowed_tree, check_file_owner, check_owners
from reload import TreeError

from .code_trees import CodeTreeCase


class AllowedTests(CodeTreeCase):
    def test_the_start_tree_and_named_ones(self) -> None:
        """The start tree, a named folder and what lies below it are allowed, also by another way to them."""
        releases = self.folder / "releases"
        (releases / "2").mkdir(parents=True)
        trees = (str(releases),)
        self.assertEqual(allowed_tree("", self.start, trees), self.start)
        self.assertEqual(allowed_tree(str(self.start), self.start, ()), self.start)
        self.assertEqual(allowed_tree(str(releases / "2"), self.start, trees), releases / "2")
        self.assertEqual(allowed_tree(f"{releases}/../releases", self.start, trees), releases)

    def test_others_are_refused(self) -> None:
        """Another folder, one below the start tree, one reached through ``..`` or a link, and what is no path."""
        releases = self.folder / "releases"
        releases.mkdir()
        (releases / "out").symlink_to(self.folder)
        for named in (str(self.folder), f"{self.start}/cloudd", f"{releases}/../x", f"{releases}/out/x",
                      f"{releases}x", "releases", "\0", "/a\0b"):  # fmt: skip
            self.assertRaises(TreeError, allowed_tree, named, self.start, (str(releases),))


class OwnerTests(CodeTreeCase):
    def assertRefused(self, path: Path, word: str) -> None:
        error = self.assertRaises(TreeError, check_owners, self.version(1), os.geteuid())
        self.assertEqual((error.path, word in error.cause), (str(path), True), error)

    def test_a_tree_of_ones_own(self) -> None:
        """What root or the daemon's user alone can write passes."""
        check_owners(self.version(1), os.geteuid())

    def test_world_writable_parts_are_refused(self) -> None:
        """A file, a package's folder, the tree's folder and one above it that everyone may write."""
        for path in (self.start / "cloudd/application.py", self.start / "cloudd", self.start, self.folder):
            mode = path.stat().st_mode
            path.chmod(0o777)
            self.assertRefused(path, "everyone")
            path.chmod(mode)

    def test_a_sticky_folder_above_is_no_harm(self) -> None:
        """In a folder such as ``/tmp`` nobody can replace what belongs to others."""
        self.folder.chmod(0o1777)
        check_owners(self.version(1), os.geteuid())
        self.start.chmod(0o1777)
        self.assertRefused(self.start, "everyone")

    def test_foreign_owners_are_refused(self) -> None:
        """A file of another user, unless that is root."""
        error = self.assertRaises(TreeError, self.check_as_another_user)
        self.assertIn("belongs to user", error.cause)

    def check_as_another_user(self) -> None:
        tree = self.version(1)
        if os.geteuid() != 0:  # the test's own files are foreign to any other user
            return check_owners(tree, os.geteuid() + 1)
        os.chown(self.start / "cloudd/application.py", 12_345, -1)
        return check_owners(tree, 0)

    def test_a_file_that_vanishes(self) -> None:
        """What was scanned and is gone is named."""
        tree = self.version(1)
        (self.start / "cloudd/application.py").unlink()
        self.assertIn("examined", self.assertRaises(TreeError, check_owners, tree, os.geteuid()).cause)


class KeyFileTests(CodeTreeCase):
    def test_nobody_else_may_change_it(self) -> None:
        """A file that everyone may write, or in a folder that everyone may write, is refused."""
        file = self.folder / "key.pem"
        file.write_text("")
        check_file_owner(file, os.geteuid())
        for path in (file, self.folder):
            mode = path.stat().st_mode
            path.chmod(0o777)
            self.assertEqual(self.assertRaises(TreeError, check_file_owner, file, os.geteuid()).path, str(path))
            path.chmod(mode)
