"""Certificate files: checked, chosen by name, read again."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.tls_front import CertificateError, CertificateFiles, CertificateStore
from cloudd.tls_front._certificates import FOLDER
from cloudd.tls_front._validity import not_after

from . import certificates


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def store(self, **files: str) -> CertificateStore:
        return CertificateStore(CertificateFiles(**files))

    def loaded(self, **files: str) -> CertificateStore:
        store = self.store(**files)
        store.load()
        return store

    def refusal(self, **files: str) -> str:
        return str(self.assertRaises(CertificateError, self.store(**files).load))

    def write(self, days: float = 90, with_rsa: bool = False) -> tuple[str, str]:
        return certificates.write(self.folder, certificates.make(days=days, with_rsa=with_rsa))


class FileTests(Case):
    def test_good(self) -> None:
        """Key and certificate, in two files or in one, of either kind, are taken, with their end."""
        for with_rsa in (False, True):
            key, certificate = self.write(with_rsa=with_rsa)
            (used,) = self.loaded(private_key=key, certificate=certificate).certificates
            self.assertEqual((used.name, used.path), ("DEFAULT", certificate))
            self.assertApproximates(used.expires, time.time() + 90 * 86400, 60)
        both = certificates.write_pair(self.folder, "both", certificates.make())
        self.assertEqual(len(self.loaded(private_key=str(both), certificate=str(both)).certificates), 1)

    def test_chain(self) -> None:
        """More of the chain may come from a file of its own."""
        key, certificate = self.write()
        chain = self.folder / "chain.pem"
        chain.write_bytes(certificates.make("an authority").certificate)
        self.loaded(private_key=key, certificate=certificate, chain=str(chain))
        chain.unlink()
        self.assertIn("chain.pem", self.refusal(private_key=key, certificate=certificate, chain=str(chain)))

    def test_bad(self) -> None:
        """Each thing that can be wrong with the files is said, with the file's name."""
        key, certificate = self.write()
        other_key, _other = certificates.write(self.folder, certificates.make(), key="other.pem", certificate="o")
        locked, _locked = certificates.write(
            self.folder, certificates.make(password=b"secret"), key="locked.pem", certificate="l"
        )
        text = self.folder / "text.pem"
        text.write_text("no certificate\n")
        text.chmod(0o600)
        cut = self.folder / "cut.pem"
        cut.write_bytes(Path(certificate).read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n")
        missing = str(self.folder / "missing.pem")
        for files, words in (
            ({"private_key": missing, "certificate": certificate}, ("missing.pem", "cannot be read")),
            ({"private_key": key, "certificate": missing}, ("missing.pem", "cannot be read")),
            ({"private_key": other_key, "certificate": certificate}, ("other.pem", "does not belong to the key")),
            ({"private_key": key, "certificate": str(text)}, ("text.pem", "no certificate in this file")),
            ({"private_key": str(text), "certificate": certificate}, ("text.pem", "no private key in this file")),
            ({"private_key": key, "certificate": str(cut)}, ("cut.pem", "OpenSSL")),
            ({"private_key": locked, "certificate": certificate}, ("locked.pem", "encrypted")),
            ({"names": missing}, ("missing.pem", "folder")),
            ({"names": str(self.folder / "empty")}, ("empty", "NAME.pem")),
        ):
            (self.folder / "empty").mkdir(exist_ok=True)
            refusal = self.refusal(**files)
            for word in words:
                self.assertIn(word, refusal)

    def test_who_may_read_a_key(self) -> None:
        """A key that everybody may read, its group may write, or that belongs to a stranger is refused."""
        key, certificate = self.write()
        for mode in (0o604, 0o602, 0o620, 0o644, 0o666):
            Path(key).chmod(mode)
            self.assertIn("chmod 600", self.refusal(private_key=key, certificate=certificate), oct(mode))
        for mode in (0o600, 0o400, 0o640):
            Path(key).chmod(mode)
            self.loaded(private_key=key, certificate=certificate)
        if os.geteuid() == 0:
            os.chown(key, 12345, -1)
            self.assertIn("user 12345", self.refusal(private_key=key, certificate=certificate))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=300))
    def test_validity_of_garbage(self, junk: bytes) -> None:
        """What is no certificate is refused as such."""
        with contextlib.suppress(ValueError):
            self.assertIsInstance(not_after(junk), float)


class NameTests(Case):
    def setUp(self) -> None:
        super().setUp()
        for name in ("www.example.org", "_.example.org", "*.example.net"):
            certificates.write_pair(self.folder, name, certificates.make(name))

    def chosen(self, store: CertificateStore, name: str | None) -> str | None:
        found = store.choose(name)
        return None if found is None else found.name

    def test_choice(self) -> None:
        """The exact name, then the wildcard of one label, then the default; else the client is refused."""
        store = self.loaded(names=str(self.folder))
        for asked, expected in (
            ("www.example.org", "www.example.org"),
            ("WWW.Example.ORG.", "www.example.org"),
            ("a.example.org", "_.example.org"),
            ("a.b.example.org", None),
            ("example.org", None),
            ("b.example.net", "_.example.net"),
            ("other.test", None),
            ("DEFAULT", None),
            ("_.example.org", "_.example.org"),
            (None, None),
        ):
            self.assertEqual(self.chosen(store, asked), expected, asked)

    def test_defaults(self) -> None:
        """``DEFAULT.pem`` is for everybody else; a certificate that the endpoint names comes before it."""
        pair = certificates.write_pair(self.folder, "DEFAULT", certificates.make())
        found = self.loaded(names=str(self.folder)).choose("other.test")
        assert found is not None
        self.assertEqual(found.path, str(pair))
        key, certificate = self.write()
        store = self.loaded(names=str(self.folder), private_key=key, certificate=certificate)
        found = store.choose(None)
        assert found is not None
        self.assertEqual(found.path, certificate)
        self.assertEqual(self.chosen(store, "www.example.org"), "www.example.org")

    def test_coming_and_going(self) -> None:
        """A name's file that comes is used, one that goes is not used any more, a broken one is a problem."""
        store = self.loaded(names=str(self.folder))
        certificates.write_pair(self.folder, "new.test", certificates.make("new.test"))
        (self.folder / "www.example.org.pem").unlink()
        (self.folder / "broken.test.pem").write_text("nothing")
        notes = store.look(at_once=True)
        self.assertEqual(self.chosen(store, "new.test"), "new.test")
        self.assertEqual(self.chosen(store, "www.example.org"), "_.example.org")
        self.assertEqual(list(store.problems), ["broken.test"])
        self.assertIn(str(self.folder / "broken.test.pem"), store.problems["broken.test"])
        self.assertEqual(len(notes), 3)
        (self.folder / "broken.test.pem").unlink()
        store.look(at_once=True)
        self.assertEqual(store.problems, {})

    def test_a_folder_that_goes_away(self) -> None:
        """When the folder cannot be read any more, what was read is kept, and that is a problem."""
        store = self.loaded(names=str(self.folder))
        moved = self.folder.with_name(self.folder.name + "-moved")
        self.folder.rename(moved)
        store.look(at_once=True)
        self.assertEqual(self.chosen(store, "www.example.org"), "www.example.org")
        self.assertIn(str(self.folder), store.problems[FOLDER])
        moved.rename(self.folder)
        store.look(at_once=True)
        self.assertEqual(store.problems, {})


class RenewalTests(Case):
    def test_new_files(self) -> None:
        """Files that have changed are taken at the second look, when they stand still, or at once on request."""
        key, certificate = self.write(days=10)
        store = self.loaded(private_key=key, certificate=certificate)
        self.assertEqual(store.look(), [])
        self.write(days=50)
        self.assertEqual(store.look(), [])
        (note,) = store.look()
        self.assertIn("is used", note)
        self.assertGreater(store.certificates[0].expires, time.time() + 49 * 86400)
        self.assertEqual(store.look(), [])
        self.write(days=90)
        self.assertEqual(len(store.look(at_once=True)), 1)

    def test_half_replaced(self) -> None:
        """Between the new key and the new certificate nothing is said and the old pair is used."""
        key, certificate = self.write()
        store = self.loaded(private_key=key, certificate=certificate)
        before = store.certificates[0]
        fresh = certificates.make(days=50)
        Path(key).write_bytes(fresh.key)
        self.assertEqual(store.look(), [])
        Path(certificate).write_bytes(fresh.certificate)
        self.assertEqual(store.look(), [])
        self.assertIs(store.certificates[0], before)
        self.assertEqual(len(store.look()), 1)
        self.assertEqual(store.problems, {})

    def test_broken(self) -> None:
        """A new version that cannot be used is said once, and the old one stays in use until there is a good one."""
        key, certificate = self.write()
        store = self.loaded(private_key=key, certificate=certificate)
        before = store.certificates[0]
        Path(certificate).write_text("broken")
        store.look()
        (note,) = store.look()
        self.assertIn("stays in use", note)
        self.assertEqual(store.look(), [])
        self.assertIs(store.certificates[0], before)
        self.assertEqual(list(store.problems), ["DEFAULT"])
        self.write(days=5)
        store.look()
        store.look()
        self.assertEqual(store.problems, {})
        self.assertNotEqual(store.certificates[0].expires, before.expires)

    def test_mended_mode(self) -> None:
        """A key whose mode was wrong is read again when only the mode has changed."""
        key, certificate = self.write()
        store = self.loaded(private_key=key, certificate=certificate)
        self.write(days=20)
        Path(key).chmod(0o644)
        store.look(at_once=True)
        self.assertEqual(list(store.problems), ["DEFAULT"])
        Path(key).chmod(0o600)
        store.look()
        store.look()
        self.assertEqual(store.problems, {})
