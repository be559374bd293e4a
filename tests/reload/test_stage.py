"""Staged copies: whole or absent, checked, compiled."""

from __future__ import annotations

import errno
import importlib.util
import marshal
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from reload import CodeTree, TreeChanged, TreeError, _stage, prune_copies, remove_unfinished

from .trees import BOUNDARIES, KERNEL, TreeCase
from .wheels import WHEEL_NAME, write_wheel


class DiskFull:
    """Inside, from the ``file``-th one on no file finds room."""

    def __init__(self, file: int) -> None:
        self._left = file
        self._fsync = os.fsync

    def __enter__(self) -> None:
        os.fsync = self._sync  # type: ignore[assignment]

    def __exit__(self, *_details: object) -> None:
        os.fsync = self._fsync

    def _sync(self, descriptor: Any) -> None:
        self._left -= 1
        if self._left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(descriptor)


class StageTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.code = self.folder / "code"

    def names(self) -> list[str]:
        return sorted(path.name for path in self.code.iterdir())

    def test_the_copy_is_equal_and_compiled(self) -> None:
        """The copy scans to the same hash, and its bytecode names the copy's own paths."""
        tree = self.tree({"shopx/a.py": "A = 1", "shopx/doors/page.html": "<p>"})
        copy = tree.stage(self.code)
        self.assertEqual((copy.root, copy.hash), (self.code / tree.hash, tree.hash))
        self.assertEqual(CodeTree.scan(copy.root, BOUNDARIES).hash, tree.hash)
        data = Path(importlib.util.cache_from_source(str(copy.root / "shopx/a.py"))).read_bytes()
        self.assertEqual(data[4:8], b"\x01\0\0\0")  # PEP 552: by hash, not checked at import
        self.assertEqual(marshal.loads(data[16:]).co_filename, str(copy.root / "shopx/a.py"))
        self.assertEqual(self.names(), [tree.hash])

    def test_again_is_the_same_copy(self) -> None:
        """A second call changes nothing, also when the original is gone meanwhile."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        copy = tree.stage(self.code)
        before = (copy.root / "shopx/a.py").stat().st_ino
        (tree.root / "shopx/a.py").unlink()
        self.assertEqual(tree.stage(self.code), copy)
        self.assertEqual((copy.root / "shopx/a.py").stat().st_ino, before)

    def test_bytecode_of_an_earlier_copy(self) -> None:
        """What did not change is not compiled again; what did, and what is damaged in that copy, is."""
        words = {"shopx/a.py": "A = 1", "shopx/b.py": "B = 1", "shopx/c.py": "def place():\n    raise OSError"}
        old = self.tree(words).stage(self.code)
        damaged = Path(importlib.util.cache_from_source(str(old.root / "shopx/a.py")))
        damaged.chmod(0o644)
        damaged.write_bytes(damaged.read_bytes()[:-3])
        compiled: list[str] = []
        compile_ = _stage._compile_source

        def compile_source(source: bytes, path: Path, shown: Path) -> bytes:
            compiled.append(path.name)
            return compile_(source, path, shown)

        self.patch(_stage, "_compile_source", compile_source)
        new = self.generation({**words, "shopx/b.py": "B = 2"})
        self.assertEqual(sorted(name for name in compiled if len(name) == 4), ["a.py", "b.py"])
        for name in words:
            path = new.tree.root / name
            data = Path(importlib.util.cache_from_source(str(path))).read_bytes()
            self.assertEqual(data[8:16], importlib.util.source_hash(path.read_bytes()))
        place = new.load("shopx.c").place
        self.assertEqual(place.__code__.co_filename, str(new.tree.root / "shopx/c.py"))

    def test_concurrent_callers_get_one_copy(self) -> None:
        """Threads that stage the same tree at once all succeed and leave nothing else behind."""
        tree = self.tree({f"shopx/m{number}.py": f"A = {number}" for number in range(20)})
        with ThreadPoolExecutor(4) as pool:
            copies = list(pool.map(lambda _: tree.stage(self.code), range(4)))
        self.assertEqual({copy.root for copy in copies}, {self.code / tree.hash})
        self.assertEqual(self.names(), [tree.hash])
        self.assertEqual(CodeTree.scan(copies[0].root, BOUNDARIES).hash, tree.hash)

    def test_a_tree_that_changes_meanwhile_leaves_nothing(self) -> None:
        """A file that is no longer what was scanned, or is gone, stops the copy."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        (tree.root / "shopx/a.py").write_text("A = 2")
        error = self.assertRaises(TreeChanged, tree.stage, self.code)
        self.assertEqual(error.path, str(tree.root / "shopx/a.py"))
        (tree.root / "shopx/a.py").unlink()
        self.assertRaises(TreeError, tree.stage, self.code)
        self.assertEqual(self.names(), [])

    def test_code_that_does_not_compile_leaves_nothing(self) -> None:
        """The error has the original's path, the line and Python's words."""
        tree = self.tree({"shopx/a.py": "A = 1\ndef broken(:\n"})
        error = self.assertRaises(TreeError, tree.stage, self.code)
        self.assertEqual(error.path, str(tree.root / "shopx/a.py"))
        self.assertIn("line 2", error.cause)
        self.assertEqual(self.names(), [])
        error = self.assertRaises(TreeError, self.tree({"shopx/a.py": b"A = '\0'"}).stage, self.code)
        self.assertIn("does not compile", error.cause)

    def test_a_damaged_copy_is_made_anew(self) -> None:
        """A file that was changed or removed in the copy is found when it is staged again."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        copy = tree.stage(self.code)
        for spoil in (lambda path: os.truncate(path, 0), os.unlink):
            spoil(copy.root / "shopx/a.py")
            self.assertEqual(tree.stage(self.code), copy)
            self.assertEqual((copy.root / "shopx/a.py").read_text(), "A = 1")

    def test_missing_bytecode_is_made_again(self) -> None:
        """A copy that another interpreter made gets this one's bytecode."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        bytecode = Path(importlib.util.cache_from_source(str(tree.stage(self.code).root / "shopx/a.py")))
        good = bytecode.read_bytes()
        bytecode.unlink()
        tree.stage(self.code)
        self.assertEqual(bytecode.read_bytes(), good)

    def test_another_error_than_a_faster_caller_is_told(self) -> None:
        """When the copy cannot take its place for another reason, that reason comes out."""
        tree = self.tree({})
        self.code.mkdir()
        (self.code / tree.hash).write_text("in the way")
        self.assertRaises(OSError, tree.stage, self.code)

    def test_a_full_disk_leaves_nothing(self) -> None:
        """Whichever file finds no room: the error says so, nothing is kept, and there is a copy when there is room."""
        wheel = write_wheel(self.folder / WHEEL_NAME, {**KERNEL, "shopx/a.py": "A = 1"})
        for tree in (self.tree({"shopx/a.py": "A = 1"}), CodeTree.scan(wheel, BOUNDARIES)):
            for file in (1, 5, 2 * len(tree.files)):
                with DiskFull(file):
                    error = self.assertRaises(OSError, tree.stage, self.code)
                self.assertEqual(error.errno, errno.ENOSPC)
                self.assertEqual(self.names(), [])
        self.assertEqual(tree.stage(self.code).hash, tree.hash)

    def test_a_full_disk_when_bytecode_is_missing(self) -> None:
        """The copy stays as it was, without half a file in it."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        bytecode = Path(importlib.util.cache_from_source(str(tree.stage(self.code).root / "shopx/a.py")))
        bytecode.unlink()
        before = sorted(bytecode.parent.iterdir())
        with DiskFull(1):
            self.assertRaises(OSError, tree.stage, self.code)
        self.assertEqual(sorted(bytecode.parent.iterdir()), before)

    def test_another_file_in_a_wheels_place(self) -> None:
        """A link that is put in its place between the check and the copy is not followed, nor is a folder entered."""
        wheel = write_wheel(self.folder / WHEEL_NAME, {**KERNEL, "shopx/a.py": "A = 1"})
        tree = CodeTree.scan(wheel, BOUNDARIES)
        wheel.rename(self.folder / "elsewhere")
        wheel.symlink_to(self.folder / "elsewhere")
        self.assertIn("cannot be read", self.assertRaises(TreeError, tree.stage, self.code).cause)
        wheel.unlink()
        self.tree({"shopx/a.py": "A = 2"}, WHEEL_NAME)
        self.assertRaises(TreeChanged, tree.stage, self.code)
        self.assertEqual(self.names(), [])

    def test_prune(self) -> None:
        """Unneeded copies and what a dead process left go; kept ones, living stagings and strangers stay."""
        kept, old = self.tree({}).stage(self.code), self.tree({"shopx/a.py": ""}).stage(self.code)
        child = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(child, 0)
        living = f".staging-{os.getpid()}-00"
        for name in (f".staging-{child}-00", f".bad-{child}-00", living, "notes"):
            (self.code / name).mkdir()
        self.assertEqual(prune_copies(self.code, {kept.hash}), [old.hash])
        self.assertEqual(self.names(), sorted([kept.hash, living, "notes"]))
        self.assertEqual(prune_copies(self.folder / "absent", ()), [])

    def test_remove_unfinished(self) -> None:
        """At a start everything half done goes, also of a number that another process has now; copies stay."""
        kept = self.tree({}).stage(self.code)
        for name in (f".staging-{os.getpid()}-00", ".staging-1-ff", ".bad-1-00", "notes"):
            (self.code / name).mkdir()
        self.assertEqual(remove_unfinished(self.code), [".bad-1-00", ".staging-1-ff", f".staging-{os.getpid()}-00"])
        self.assertEqual(self.names(), sorted([kept.hash, "notes"]))
        self.assertEqual(remove_unfinished(self.folder / "absent"), [])
