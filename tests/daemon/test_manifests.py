"""Only a tree that its manifest and, where one is asked for, its signature vouch for is staged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cloudd.control import (
    BOUNDARIES,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    make_key,
    manifest_places,
    read_private_key,
    sign_manifest,
    write_manifest,
)
from cloudd.daemon._allowed import scan_allowed
from cloudd.daemon._manifests import (
    MAX_MANIFEST_BYTES,
    NotVouchedFor,
    Proof,
    check_copy,
    check_manifest,
    stage_proved,
)
from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeTree, ManifestMismatch, TreeChanged, TreeError

from .code_trees import CodeTreeCase

NOTHING = UpgradeSettings()


def scan(path: Path, settings: UpgradeSettings) -> tuple[CodeTree, Proof]:
    """What ``scan_allowed`` finds of a folder or a wheel."""
    origin, proof = scan_allowed(path, settings)
    return origin.tree, proof


REQUIRED = UpgradeSettings(require_manifest=True)


class ManifestTests(CodeTreeCase):
    def test_a_required_manifest_must_be_there_and_fit(self) -> None:
        """Absent and unfitting ones are refused when required, and told of when not."""
        tree = self.version(1)
        self.assertEqual(check_manifest(tree, NOTHING), Proof("absent"))
        error = self.assertRaises(NotVouchedFor, check_manifest, tree, REQUIRED)
        self.assertIn("cloudctl manifest", error.cause)
        write_manifest(self.start)
        self.assertEqual(check_manifest(tree, REQUIRED).words, "fits")
        changed = self.version(2)
        self.assertIn("application.py differs", check_manifest(changed, NOTHING).words)
        error = self.assertRaises(NotVouchedFor, check_manifest, changed, REQUIRED)
        self.assertEqual(error.tree_hash, changed.hash)

    def test_an_empty_manifest_is_one(self) -> None:
        """Nothing in it is not the same as no manifest."""
        tree = self.version(1)
        (self.start / MANIFEST_NAME).write_bytes(b"")
        self.assertIn("not a manifest", check_manifest(tree, NOTHING).words)
        self.assertRaises(NotVouchedFor, check_manifest, tree, REQUIRED)

    def test_the_manifest_is_no_part_of_the_tree(self) -> None:
        """Writing it does not change what it describes, and leaves nothing else."""
        before = self.version(1)
        self.assertEqual(write_manifest(self.start).hash, before.hash)
        self.assertIn(MANIFEST_NAME, os.listdir(self.start))
        self.assertEqual([name for name in os.listdir(self.start) if name.startswith(".")], [])
        tree, proof = scan(self.start, REQUIRED)
        self.assertEqual((tree.hash, proof.words), (before.hash, "fits"))


class SignedCase(CodeTreeCase):
    """A start tree that is signed, and a daemon that has the key."""

    def setUp(self) -> None:
        super().setUp()
        self.settings = UpgradeSettings(public_key=make_key(self.folder / "key.pem"))
        self.key = read_private_key(self.folder / "key.pem")
        self.manifest = self.start / MANIFEST_NAME
        self.signature = self.start / SIGNATURE_NAME
        self.version(1)
        self.tree = write_manifest(self.start, self.key)

    def assertRefused(self, *words: str) -> TreeError:
        error: TreeError = self.assertRaises(NotVouchedFor, scan_allowed, self.start, self.settings)
        for word in words:
            self.assertIn(word, error.cause)
        self.assertEqual(os.listdir(self.code), [])
        return error


class SignatureTests(SignedCase):
    def test_a_signed_tree(self) -> None:
        """It passes, is staged, and its copy keeps the proof, so that it passes once more."""
        tree, proof = scan(self.start, self.settings)
        self.assertEqual((tree.hash, proof.words), (self.tree.hash, "fits, signed"))
        staged = stage_proved(tree, self.code, proof)
        self.assertEqual((staged.root / MANIFEST_NAME).read_bytes(), self.manifest.read_bytes())
        self.assertEqual(check_copy(staged, self.settings).words, "fits, signed")
        self.assertEqual(stage_proved(tree, self.code, proof), staged)

    def test_what_is_absent(self) -> None:
        """Without a signature or a manifest, also without ``require_manifest``: with the way to make one."""
        self.signature.unlink()
        self.assertRefused("is not signed", "--sign")
        self.manifest.unlink()
        self.assertRefused("no signed manifest", "--sign")

    def test_an_empty_manifest_is_not_none(self) -> None:
        """An empty file does not make the tree one that needs no signature; not even a signed one fits."""
        self.manifest.write_bytes(b"")
        self.assertRefused("does not belong to this manifest")
        self.signature.write_bytes(sign_manifest(b"", self.key))
        self.assertRefused("not a manifest")

    def test_code_that_was_changed_after_signing(self) -> None:
        """The signature holds, the manifest does not fit."""
        self.version(2)
        self.assertRefused("application.py differs")
        self.version(1)
        (self.start / "cloudd/more.py").write_text("")
        self.assertRefused("more.py is not listed")

    def test_a_manifest_that_was_changed_after_signing(self) -> None:
        """One that fits the changed code was not signed; nor was the same one with another line end."""
        original = self.manifest.read_bytes()
        self.version(2)
        self.manifest.write_bytes(CodeTree.scan(self.start, BOUNDARIES).manifest())
        self.assertRefused("does not belong to this manifest")
        self.version(1)
        for changed in (original + b"\n", original.replace(b"\n", b"\r\n"), original[:-1]):
            self.manifest.write_bytes(changed)
            self.assertRefused("does not belong to this manifest")

    def test_the_signature_of_an_older_tree(self) -> None:
        """A signature says nothing of another tree of the same key's owner."""
        old = self.signature.read_bytes()
        self.version(2)
        write_manifest(self.start, self.key)
        self.signature.write_bytes(old)
        self.assertRefused("does not belong")

    def test_a_stranger_signs(self) -> None:
        """Another key is named; that a signature names the right key does not make it one."""
        stranger = make_key(self.folder / "other.pem")
        write_manifest(self.start, read_private_key(self.folder / "other.pem"))
        self.assertRefused(f"of another key ({stranger})", self.settings.public_key)
        forged = self.signature.read_bytes().replace(stranger.encode(), self.settings.public_key.encode())
        self.signature.write_bytes(forged)
        self.assertRefused("does not belong")

    def test_links_pipes_and_giants(self) -> None:
        """A link is not followed, a pipe is not waited for, and a file of any size is not read."""
        for path in (self.manifest, self.signature):
            original = path.read_bytes()
            moved = path.rename(self.folder / path.name)
            path.symlink_to(moved)
            self.assertRefused("symbolic link")
            path.unlink()
            os.mkfifo(path)
            self.assertRefused("no regular file")
            path.unlink()
            path.mkdir()
            self.assertRefused("--sign")
            path.rmdir()
            path.write_bytes(b"")
            os.truncate(path, MAX_MANIFEST_BYTES + 1)
            self.assertRefused("more than")
            path.write_bytes(original)
        scan_allowed(self.start, self.settings)

    def test_a_copy_made_before_there_was_a_key(self) -> None:
        """It is not loaded again with one, and is without."""
        staged = self.tree.stage(self.code)
        self.assertEqual(check_copy(staged, NOTHING), Proof(""))
        error = self.assertRaises(NotVouchedFor, check_copy, staged, self.settings)
        self.assertEqual(error.tree_hash, self.tree.hash)


class RaceTests(SignedCase):
    """What changes between check and staging."""

    def assertNotStaged(self, error: type[Exception], change: Callable[[], object]) -> None:
        tree, proof = scan(self.start, self.settings)
        change()
        self.assertRaises(error, stage_proved, tree, self.code, proof)
        self.assertEqual(os.listdir(self.code), [])

    def test_a_file_is_replaced(self) -> None:
        """By other bytes, even when a fitting manifest and signature come with them."""
        self.assertNotStaged(TreeChanged, lambda: (self.version(2), write_manifest(self.start, self.key)))

    def test_a_file_becomes_a_link(self) -> None:
        """Links are not followed, whatever they point to."""
        path = self.start / "cloudd/application.py"
        self.assertNotStaged(TreeError, lambda: path.symlink_to(path.rename(self.folder / "elsewhere.py")))

    def test_a_folder_becomes_a_link(self) -> None:
        """What lies behind it counts by its hashes alone: equal bytes are the same code, others are refused."""
        path, away = self.start / "cloudd", self.folder / "away"

        def swap() -> None:
            path.rename(away)
            path.symlink_to(away)
            (away / "application.py").write_text("VERSION = 'evil'")

        self.assertNotStaged(TreeChanged, swap)

    def test_the_proof_is_replaced(self) -> None:
        """It was read once: what is kept is what was verified."""
        tree, proof = scan(self.start, self.settings)
        original = self.signature.read_bytes()
        self.manifest.write_bytes(b"other")
        self.signature.unlink()
        staged = stage_proved(tree, self.code, proof)
        self.assertEqual((staged.root / SIGNATURE_NAME).read_bytes(), original)
        self.assertEqual(check_copy(staged, self.settings).words, "fits, signed")

    def test_the_copy_holds_something_else(self) -> None:
        """A copy with a file too many, or one that was changed after it was made, is not what was signed."""
        tree, proof = scan(self.start, self.settings)
        staged = tree.stage(self.code)
        (staged.root / "cloudd/more.py").write_text("evil = 1")
        self.assertRaises(ManifestMismatch, stage_proved, tree, self.code, proof)
        (staged.root / "cloudd/more.py").unlink()

        def stage_badly(tree: CodeTree, folder: Path) -> CodeTree:
            made = folder / tree.hash
            (made / "cloudd/application.py").unlink()
            (made / "cloudd/application.py").write_text("evil = 1")
            return CodeTree(made, tree.files)

        self.patch(CodeTree, "stage", stage_badly)
        self.assertRaises(ManifestMismatch, stage_proved, tree, self.code, proof)

    def test_a_link_where_the_proof_is_kept(self) -> None:
        """It is replaced, not written through."""
        tree, proof = scan(self.start, self.settings)
        staged, victim = tree.stage(self.code), self.folder / "victim"
        victim.write_text("mine")
        (staged.root / MANIFEST_NAME).symlink_to(victim)
        stage_proved(tree, self.code, proof)
        self.assertEqual(victim.read_text(), "mine")


class WheelTests(SignedCase):
    def test_a_signed_wheel(self) -> None:
        """Manifest and signature lie beside the file; the copy gets both, and is what was signed."""
        wheel = self.write_wheel(3)
        self.assertRaises(NotVouchedFor, scan_allowed, wheel, self.settings)
        code = write_manifest(wheel, self.key)
        places = manifest_places(wheel)
        self.assertEqual([place.name for place in places], [f"{wheel.name}.manifest", f"{wheel.name}.manifest.sig"])
        tree, proof = scan(wheel, self.settings)
        self.assertEqual((tree.hash, proof.words), (code.hash, "fits, signed"))
        staged = stage_proved(tree, self.code, proof)
        self.assertEqual((staged.root / MANIFEST_NAME).read_bytes(), places[0].read_bytes())
        self.assertEqual(check_copy(staged, self.settings).words, "fits, signed")

    def test_another_wheel_under_a_signed_name(self) -> None:
        """The signature is of the content."""
        wheel = self.write_wheel(3)
        write_manifest(wheel, self.key)
        other = self.write_wheel(4)
        manifest_places(wheel)[0].rename(manifest_places(other)[0])
        manifest_places(wheel)[1].rename(manifest_places(other)[1])
        self.assertIn("differs", self.assertRaises(NotVouchedFor, scan_allowed, other, self.settings).cause)

    def test_an_environment_is_signed_in_its_packages(self) -> None:
        """The manifest lies where the packages do, and is written by the environment's name."""
        prefix = self.write_environment()
        write_manifest(prefix, self.key)
        self.assertTrue((prefix / "lib/python3.11/site-packages" / MANIFEST_NAME).is_file())
        self.assertEqual(scan(prefix, self.settings)[1].words, "fits, signed")
