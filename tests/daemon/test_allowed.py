"""Only trees that nobody else can write are loaded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from cloudd.control import BOUNDARIES
from cloudd.daemon import _writers
from cloudd.daemon._allowed import allowed_tree, check_file_owner, check_owners, own_environment, scan_allowed
from cloudd.daemon._writers import Writers
from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeOrigin, TreeError, environment_of

from .code_trees import CodeTreeCase


@contextlib.contextmanager
def others_may_write(path: Path, mode: int = 0o775) -> Iterator[None]:
    """As if the group of a file or folder, which may write it for this time, were shared by several users."""
    before, known = path.stat(), Writers.others

    def others(self: Writers, asked: Path, facts: os.stat_result) -> str:
        if asked == path:
            with mock.patch.object(_writers, "is_private_group", lambda *_: False):
                return known(Writers(os.geteuid()), asked, facts)
        return known(self, asked, facts)

    path.chmod(mode)
    with mock.patch.object(Writers, "others", others):
        yield
    path.chmod(before.st_mode)


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
    def origin(self) -> CodeOrigin:
        self.version(1)
        return CodeOrigin.at(self.start, BOUNDARIES)

    def assertRefused(self, path: Path, word: str) -> None:
        error = self.assertRaises(TreeError, check_owners, self.origin(), os.geteuid())
        self.assertEqual((error.path, word in error.cause), (str(path), True), error)

    def test_a_tree_of_ones_own(self) -> None:
        """What root or the daemon's user alone can write passes."""
        check_owners(self.origin(), os.geteuid())

    def test_world_writable_parts_are_refused(self) -> None:
        """A file, a package's folder, the tree's folder and one above it that everyone may write."""
        for path in (self.start / "cloudd/application.py", self.start / "cloudd", self.start, self.folder):
            mode = path.stat().st_mode
            path.chmod(0o777)
            self.assertRefused(path, "everyone")
            path.chmod(mode)

    def test_parts_that_a_group_may_write_are_refused(self) -> None:
        """The same parts, when a group may write them that is nobody's own."""
        for path in (self.start / "cloudd/application.py", self.start / "cloudd", self.start, self.folder):
            with others_may_write(path):
                self.assertRefused(path, "its group")
        check_owners(self.origin(), os.geteuid())

    def test_what_a_umask_leaves(self) -> None:
        """With the group of one's own, which a umask of 002 lets write, all is well."""
        self.patch(_writers, "is_private_group", lambda gid, uid, trusted: gid == self.start.stat().st_gid)
        for path in (self.start / "cloudd/application.py", self.start / "cloudd", self.start, self.folder):
            path.chmod(path.stat().st_mode | 0o020)
        check_owners(self.origin(), os.geteuid())

    def test_a_sticky_folder_above_is_no_harm(self) -> None:
        """In a folder such as ``/tmp`` nobody can replace what belongs to others."""
        self.folder.chmod(0o1777)
        check_owners(self.origin(), os.geteuid())
        self.start.chmod(0o1777)
        self.assertRefused(self.start, "everyone")
        self.start.chmod(0o755)
        with others_may_write(self.folder, 0o3775):
            check_owners(self.origin(), os.geteuid())

    def test_foreign_owners_are_refused(self) -> None:
        """A file of another user, unless that is root."""
        error = self.assertRaises(TreeError, self.check_as_another_user)
        self.assertIn("belongs to user", error.cause)

    def check_as_another_user(self) -> None:
        tree = self.origin()
        if os.geteuid() != 0:  # the test's own files are foreign to any other user
            return check_owners(tree, os.geteuid() + 1)
        os.chown(self.start / "cloudd/application.py", 12_345, -1)
        return check_owners(tree, 0)

    def test_a_file_that_vanishes(self) -> None:
        """What was scanned and is gone is named."""
        tree = self.origin()
        (self.start / "cloudd/application.py").unlink()
        self.assertIn("examined", self.assertRaises(TreeError, check_owners, tree, os.geteuid()).cause)


class WheelTests(CodeTreeCase):
    def test_who_may_change_a_wheel(self) -> None:
        """The file and the folders above it are asked about, not what is in it."""
        wheel = self.write_wheel(1)
        origin, proof = scan_allowed(wheel, UpgradeSettings())
        self.assertEqual((origin.tree.hash, proof.words), (self.version(1).hash, "absent"))
        for path in (wheel, wheel.parent):
            mode = path.stat().st_mode
            path.chmod(0o777)
            error = self.assertRaises(TreeError, scan_allowed, wheel, UpgradeSettings())
            self.assertEqual((error.path, "everyone" in error.cause), (str(path), True))
            path.chmod(mode)
            with others_may_write(path):
                error = self.assertRaises(TreeError, scan_allowed, wheel, UpgradeSettings())
                self.assertEqual((error.path, "its group" in error.cause), (str(path), True))
        scan_allowed(wheel, UpgradeSettings())

    def test_a_wheel_in_a_named_folder(self) -> None:
        """A wheel may be named itself, or lie in a folder that is."""
        wheel = self.write_wheel(1)
        for trees in ((str(wheel),), (str(wheel.parent),)):
            self.assertEqual(allowed_tree(str(wheel), self.start, trees), wheel)
        self.assertRaises(TreeError, allowed_tree, str(wheel), self.start, ())


class EnvironmentTests(CodeTreeCase):
    def refused(self, path: Path) -> TreeError:
        error: TreeError = self.assertRaises(TreeError, scan_allowed, self.prefix, UpgradeSettings())
        self.assertEqual(error.path, str(path), error)
        return error

    def setUp(self) -> None:
        super().setUp()
        self.prefix = self.write_environment()

    def test_what_was_installed_is_the_code(self) -> None:
        """The tree of an environment is that of its packages, and its interpreter comes with it."""
        origin, _proof = scan_allowed(self.prefix, UpgradeSettings())
        self.assertEqual(origin.tree.hash, self.version(1).hash)
        assert origin.environment is not None
        self.assertEqual(origin.environment.python, self.prefix / "bin/python")
        self.assertEqual(dict(origin.environment.distributions), {"twisted": "24.7.0"})

    def test_all_that_decides_what_runs_must_be_ours(self) -> None:
        """Configuration, programs, the interpreter behind the links, another package's file, a folder above."""
        base, site_packages = self.folder / "base", self.prefix / "lib/python3.11/site-packages"
        for path in (self.prefix / "pyvenv.cfg", self.prefix / "bin", base / "bin/python", base / "bin", base,
                     base / "lib/python3.11", site_packages, site_packages / "twisted/__init__.py",
                     self.prefix / "lib", self.folder):  # fmt: skip
            mode = path.stat().st_mode
            path.chmod(0o777)
            self.assertIn("everyone", self.refused(path).cause)
            path.chmod(mode)
            with others_may_write(path):
                self.assertIn("its group", self.refused(path).cause)
        scan_allowed(self.prefix, UpgradeSettings())

    def test_a_link_of_another_user(self) -> None:
        """Who owns a link decides where it leads; its own mode says nothing."""
        origin, _proof = scan_allowed(self.prefix, UpgradeSettings())
        if os.geteuid() == 0:
            os.lchown(self.prefix / "bin/python3", 12_345, -1)
            self.assertIn("belongs to user", self.refused(self.prefix / "bin/python3").cause)
        else:
            self.assertIn("belongs to", self.assertRaises(TreeError, check_owners, origin, os.geteuid() + 1).cause)

    def test_our_own(self) -> None:
        """The environment of this process, where there is one; what it is of is not counted among the versions."""
        found = own_environment()
        if sys.prefix == sys.base_prefix:
            self.assertIsNone(found)
        else:
            assert found is not None
            self.assertEqual(found, environment_of(Path(sys.executable), ("cloudd",)))
            self.assertNotIn("cloudd", dict(found.distributions))


class KeyFileTests(CodeTreeCase):
    def test_nobody_else_may_change_it(self) -> None:
        """A file that everyone or a group may write, or in a folder that they may write, is refused."""
        file = self.folder / "key.pem"
        file.write_text("")
        check_file_owner(file, os.geteuid())
        for path in (file, self.folder):
            mode = path.stat().st_mode
            path.chmod(0o777)
            self.assertEqual(self.assertRaises(TreeError, check_file_owner, file, os.geteuid()).path, str(path))
            path.chmod(mode)
            with others_may_write(path):
                self.assertEqual(self.assertRaises(TreeError, check_file_owner, file, os.geteuid()).path, str(path))
        check_file_owner(file, os.geteuid())
