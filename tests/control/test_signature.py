"""Signatures of manifests, and the keys that make them."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.control import (
    SignatureError,
    is_public_key,
    make_key,
    public_key_in,
    read_private_key,
    sign_manifest,
    verify_signature,
)
from cloudd.control._signature import PREFIX

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


class VerifyTests(SynchronousTestCase):
    @given(manifest=st.binary(max_size=200))
    def test_round_trip(self, manifest: bytes) -> None:
        """What was signed verifies, and nothing else does."""
        signature = sign_manifest(manifest, KEY)
        verify_signature(manifest, signature, PUBLIC)
        for other in (manifest + b"x", manifest[:-1] + b"\xff\xff", b"\n" + manifest):
            self.assertRaises(SignatureError, verify_signature, other, signature, PUBLIC)

    def test_the_prefix_counts(self) -> None:
        """A signature that the key made of the bare bytes, for something else, is none of a manifest."""
        line = sign_manifest(b"m", KEY)
        self.assertEqual(base64.b64decode(line.split()[2]), KEY.sign(PREFIX + b"m"))
        bare = b"ed25519 %s %s\n" % (PUBLIC.encode(), base64.b64encode(KEY.sign(b"m")))
        self.assertRaises(SignatureError, verify_signature, b"m", bare, PUBLIC)

    def test_any_changed_byte_of_the_signature(self) -> None:
        """None of them verifies, and each is refused by a ``SignatureError``."""
        line = sign_manifest(b"m", KEY)
        for place in range(len(line) - 1):
            for byte in (line[place] ^ 1, 0x20, 0xFF):
                changed = line[:place] + bytes([byte]) + line[place + 1 :]
                if changed != line:
                    self.assertRaises(SignatureError, verify_signature, b"m", changed, PUBLIC)

    def test_what_is_no_signature(self) -> None:
        """Other forms, lengths and algorithms are not read."""
        line = sign_manifest(b"m", KEY)
        _algorithm, public, value = line.split()
        for bad in (b"", b"\n", line + b"\n", line + line, b" " + line, line.replace(b" ", b"  ", 1), value,
                    b"rsa %s %s\n" % (public, value), b"ed25519 %s\n" % value, b"ed25519 %s %s" % (public, public),
                    b"ed25519 %s %s" % (value, value), b"ed25519 ! !"):  # fmt: skip
            error = self.assertRaises(SignatureError, verify_signature, b"m", bad, PUBLIC)
            self.assertIn("no signature that this version reads", str(error))


class KeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "key.pem"

    def assertNoKey(self, word: str) -> None:
        self.assertIn(word, str(self.assertRaises(SignatureError, read_private_key, self.file)))

    def write(self, pem: bytes, mode: int = 0o600) -> None:
        self.file.write_bytes(pem)
        self.file.chmod(mode)

    def test_a_new_key(self) -> None:
        """Its owner's alone whatever the umask, in PEM, and it signs for the public key that was told."""
        self.addCleanup(os.umask, os.umask(0))
        public = make_key(self.file)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertTrue(is_public_key(public))
        verify_signature(b"m", sign_manifest(b"m", read_private_key(self.file)), public)

    def test_a_key_is_never_replaced(self) -> None:
        """Neither a file nor what a link points to."""
        self.write(b"precious")
        self.assertIn("already", str(self.assertRaises(SignatureError, make_key, self.file)))
        link = self.folder / "link"
        link.symlink_to(self.folder / "absent")
        self.assertRaises(SignatureError, make_key, link)
        self.assertEqual((self.file.read_bytes(), (self.folder / "absent").exists()), (b"precious", False))
        error = self.assertRaises(SignatureError, make_key, self.folder / "no/where.pem")
        self.assertIn("No such file", str(error))

    def test_a_full_disk_leaves_no_half_key(self) -> None:
        """What could not be written whole is not there."""

        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        self.assertIn("No space left", str(self.assertRaises(SignatureError, make_key, self.file)))
        self.assertFalse(self.file.exists())

    def test_others_must_not_read_it(self) -> None:
        """The group neither."""
        make_key(self.file)
        for mode in (0o640, 0o604, 0o620, 0o601):
            self.file.chmod(mode)
            self.assertNoKey("chmod 600")
        self.file.chmod(0o400)
        read_private_key(self.file)

    def test_what_is_no_private_key(self) -> None:
        """Other kinds, public ones, encrypted ones, text, and nothing: each with its cause."""
        self.assertNoKey("No such file")
        self.write(b"hello")
        self.assertNoKey("no private key in PEM")
        self.write(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.assertNoKey("no private key in PEM")
        self.write(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
        self.assertNoKey("encrypted")
        other = rsa.generate_private_key(65_537, 2048)
        self.write(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.assertNoKey("another kind")

    def test_public_keys(self) -> None:
        """PEM and base64 say the same; other kinds and private keys are refused."""
        pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.assertEqual(public_key_in(pem), PUBLIC)
        other = rsa.generate_private_key(65_537, 2048).public_key()
        for bad, word in (
            (KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "does not belong on this host"),
            (other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "another kind"),
            (b"hello", "no public key"),
        ):
            self.assertIn(word, str(self.assertRaises(SignatureError, public_key_in, bad)))
        for text in ("", "hello", PUBLIC[:-4], PUBLIC + "AAAA", f" {PUBLIC}", "é" * 44):
            self.assertFalse(is_public_key(text), text)
