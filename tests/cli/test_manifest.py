"""``cloudctl manifest``: hashes, signatures and keys, without a daemon."""

from __future__ import annotations

import json
import stat

from cloudd.cli import Exit
from cloudd.control import MANIFEST_NAME, SIGNATURE_NAME, verify_signature

from .test_commands import CommandCase


class ManifestTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect = None
        self.key = self.folder / "key.pem"

    def test_it_is_written_without_a_daemon(self) -> None:
        """The file, how many files it lists, and the tree's hash."""
        output = self.run_it("manifest", str(self.start)).output
        self.assertIn(f"6 files, tree {self.old.hash[:12]}", output)
        self.assertEqual((self.start / MANIFEST_NAME).read_bytes(), self.old.manifest())
        found = json.loads(self.run_it("--json", "manifest", str(self.start)).output)
        self.assertEqual((found["hash"], found["signature"]), (self.old.hash, ""))

    def test_what_is_no_tree(self) -> None:
        """1 with the cause; a folder that is not there is wrong usage."""
        self.assertIn("not a code tree", self.run_it("manifest", str(self.state), code=Exit.REFUSED).output)
        self.run_it("manifest", str(self.folder / "absent"), code=Exit.USAGE)

    def test_a_wheel(self) -> None:
        """Its manifest is written beside it, and named so."""
        wheel = self.write_wheel(1)
        found = json.loads(self.run_it("--json", "manifest", str(wheel)).output)
        self.assertEqual((found["manifest"], found["hash"]), (f"{wheel}.manifest", self.old.hash))
        self.assertIn(f"{wheel}.manifest: 6 files", self.run_it("manifest", str(wheel)).output)

    def test_a_key_and_a_signature(self) -> None:
        """The public key that is printed verifies what the private one signed."""
        output = self.run_it("manifest", "--new-key", str(self.key)).output
        public_key = output.split('public_key = "')[1].split('"')[0]
        self.assertEqual(stat.S_IMODE(self.key.stat().st_mode), 0o600)
        self.assertIn("signed with", self.run_it("manifest", str(self.start), "--sign", str(self.key)).output)
        signature = (self.start / SIGNATURE_NAME).read_bytes()
        verify_signature((self.start / MANIFEST_NAME).read_bytes(), signature, public_key)
        found = json.loads(self.run_it("--json", "manifest", str(self.start), "--sign", str(self.key)).output)
        self.assertEqual(found["signature"], str(self.start / SIGNATURE_NAME))

    def test_a_new_key_for_programs(self) -> None:
        """Both as JSON; the second one of that name is refused."""
        found = json.loads(self.run_it("--json", "manifest", "--new-key", str(self.key)).output)
        self.assertEqual((found["key"], len(found["public_key"])), (str(self.key), 44))
        self.assertIn("already", self.run_it("manifest", "--new-key", str(self.key), code=Exit.REFUSED).output)

    def test_a_bad_key_writes_nothing(self) -> None:
        """A key that others may read is refused before the tree is touched."""
        self.run_it("manifest", "--new-key", str(self.key))
        self.key.chmod(0o644)
        output = self.run_it("manifest", str(self.start), "--sign", str(self.key), code=Exit.REFUSED).output
        self.assertIn("chmod 600", output)
        self.assertFalse((self.start / MANIFEST_NAME).exists())

    def test_an_old_signature_does_not_stay(self) -> None:
        """A new manifest without ``--sign`` takes the old one's signature away; the same manifest keeps it."""
        self.run_it("manifest", "--new-key", str(self.key))
        self.run_it("manifest", str(self.start), "--sign", str(self.key))
        self.run_it("manifest", str(self.start))
        self.assertTrue((self.start / SIGNATURE_NAME).exists())
        self.version(2)
        self.run_it("manifest", str(self.start))
        self.assertFalse((self.start / SIGNATURE_NAME).exists())

    def test_wrong_usage(self) -> None:
        """Nothing to do, or two things at once."""
        for arguments in ((), (str(self.start), "--new-key", "x"), ("--sign", "x"), ("--sign", "x", "--new-key", "y")):
            self.run_it("manifest", *arguments, code=Exit.USAGE)
