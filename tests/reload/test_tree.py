"""Scanning trees, manifests, comparison."""

from __future__ import annotations

import hashlib
import os

from reload import Changes, CodeTree, ManifestMismatch, TreeError, compare, module_name, parse_manifest

from .trees import BOUNDARIES, KERNEL, TreeCase, write_tree


class ScanTests(TreeCase):
    def test_files_and_hash_follow_the_content_alone(self) -> None:
        """The same files in another folder are the same tree; a changed byte is another one."""
        first, second = self.tree({"shopx/a.py": "A = 1"}, "one"), self.tree({"shopx/a.py": "A = 1"}, "two")
        self.assertEqual((first.files, first.hash), (second.files, second.hash))
        self.assertEqual(first.files["shopx/a.py"], hashlib.sha256(b"A = 1").hexdigest())
        self.assertNotEqual(self.tree({"shopx/a.py": "A = 2"}, "two").hash, first.hash)

    def test_derived_files_are_left_out(self) -> None:
        """Bytecode, caches, dot files and backups do not count; package data does."""
        plain = self.tree({})
        litter = {
            "shopx/__pycache__/a.py": "", "shopx/x.pyc": "", "shopx/dropin.cache": "", "shopx/.a.py.swp": "",
            "shopx/a.py~": "", "shopx/.cache/a.py": "", "outside.py": "", "other/__init__.py": "",
        }  # fmt: skip
        self.assertEqual(self.tree(litter).hash, plain.hash)
        self.assertIn("shopx/doors/page.html", self.tree({"shopx/doors/page.html": "<p>"}).files)

    def test_a_missing_root_package_is_refused(self) -> None:
        """A folder that lacks a package is no tree, and the error says which one is missing."""
        files = {path: text for path, text in KERNEL.items() if not path.startswith("stockx")}
        root = write_tree(self.folder / "half", files)
        error = self.assertRaises(TreeError, CodeTree.scan, root, BOUNDARIES)
        self.assertIn("no package 'stockx'", error.cause)
        self.assertRaises(TreeError, CodeTree.scan, self.folder / "absent", BOUNDARIES)

    def test_links_and_special_files_are_refused(self) -> None:
        """A symbolic link and a named pipe below a package are refused by their path."""
        root = self.tree({}).root
        (root / "shopx" / "link.py").symlink_to(root / "shopx" / "__init__.py")
        error = self.assertRaises(TreeError, CodeTree.scan, root, BOUNDARIES)
        self.assertEqual(error.path, str(root / "shopx" / "link.py"))
        (root / "shopx" / "link.py").unlink()
        (root / "shopx" / "linked").symlink_to(root / "stockx")
        error = self.assertRaises(TreeError, CodeTree.scan, root, BOUNDARIES)
        self.assertEqual((error.path, "link" in error.cause), (str(root / "shopx" / "linked"), True))
        (root / "shopx" / "linked").unlink()
        os.mkfifo(root / "shopx" / "pipe.py")
        self.assertIn("neither", self.assertRaises(TreeError, CodeTree.scan, root, BOUNDARIES).cause)

    def test_a_linked_root_package_is_refused(self) -> None:
        """The root packages themselves must be folders; the folder that holds them may be reached by a link."""
        root = self.tree({}).root
        (self.folder / "current").symlink_to(root)
        self.assertEqual(CodeTree.scan(self.folder / "current", BOUNDARIES).root, root)
        (root / "stockx").rename(root / "elsewhere")
        (root / "stockx").symlink_to(root / "elsewhere")
        self.assertRaises(TreeError, CodeTree.scan, root, BOUNDARIES)

    def test_names_that_a_manifest_cannot_hold_are_refused(self) -> None:
        """A line break in a file name would forge a manifest line."""
        root = self.tree({}).root
        (root / "shopx" / "a\nb.txt").write_bytes(b"")
        self.assertRaises(TreeError, CodeTree.scan, root, BOUNDARIES)

    def test_find(self) -> None:
        """A module's source, a package's ``__init__``, a folder without one, and nothing."""
        tree = self.tree({"shopx/a.py": "", "shopx/data/page.html": ""})
        root = tree.root
        self.assertEqual(tree.find("shopx.a"), (root / "shopx/a.py", False))
        self.assertEqual(tree.find("shopx.doors"), (root / "shopx/doors/__init__.py", True))
        self.assertEqual(tree.find("shopx.data"), (root / "shopx/data", True))
        self.assertIsNone(tree.find("shopx.b"))


class ManifestTests(TreeCase):
    def test_round_trip(self) -> None:
        """A tree passes its own manifest, and the manifest lists what was scanned."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        tree.verify_manifest(tree.manifest())
        self.assertEqual(parse_manifest(tree.manifest(), "here"), dict(tree.files))
        self.assertEqual(hashlib.sha256(tree.manifest()).hexdigest(), tree.hash)
        self.assertTrue(tree.manifest().startswith(b"code-manifest 1\n"))

    def test_differences_are_named(self) -> None:
        """Changed, missing and unlisted files are told apart."""
        manifest = self.tree({"shopx/a.py": "1", "shopx/b.py": "1"}, "old").manifest()
        new = self.tree({"shopx/a.py": "2", "shopx/c.py": "1"}, "new")
        error = self.assertRaises(ManifestMismatch, new.verify_manifest, manifest)
        self.assertEqual(error.differences, ("shopx/a.py differs", "shopx/b.py is missing", "shopx/c.py is not listed"))

    def test_foreign_and_broken_manifests_are_refused(self) -> None:
        """Another version's header, a short digest, no digest and a file listed twice are errors of their own."""
        line = b"0" * 64 + b"  shopx/a.py\n"
        for bad in (b"", b"code-manifest 2\n", b"code-manifest 1\nabc  x\n", b"code-manifest 1\nx\n",
                    b"code-manifest 1\n" + line + line):  # fmt: skip
            self.assertRaises(TreeError, parse_manifest, bad, "here")


class CompareTests(TreeCase):
    def test_added_removed_and_changed_modules(self) -> None:
        """Each counts to the side its name belongs to; data counts to its package."""
        old = self.tree({"shopx/a.py": "1", "shopx/gone.py": "", "shopx/kernel/k.py": "1"}, "old")
        new = self.tree({"shopx/a.py": "2", "shopx/doors/page.html": "", "shopx/kernel/k.py": "2",
                         "shopx/doors/http/new.py": ""}, "new")  # fmt: skip
        changes = compare(old, new, BOUNDARIES)
        self.assertEqual(changes.swappable, ("shopx.a", "shopx.doors", "shopx.gone"))
        self.assertEqual(changes.kernel, ("shopx.doors.http.new", "shopx.kernel.k"))
        self.assertTrue(changes)

    def test_equal_trees(self) -> None:
        """Nothing changed is false."""
        tree = self.tree({})
        self.assertEqual(compare(tree, tree, BOUNDARIES), Changes())
        self.assertFalse(Changes())

    def test_module_names(self) -> None:
        """Packages by their ``__init__``, data by the package it lies in."""
        self.assertEqual(module_name("a/__init__.py"), "a")
        self.assertEqual(module_name("a/b.py"), "a.b")
        self.assertEqual(module_name("a/b/c.txt"), "a.b")
