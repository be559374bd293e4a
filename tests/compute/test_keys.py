"""Fingerprints, as other tools give them for the same keys."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import SSH, X509, BadComputeValue, fingerprint_of, generated


class FingerprintTests(SynchronousTestCase):
    def test_ssh(self) -> None:
        """As ``ssh-keygen`` names a key of each kind."""
        for kind in ("rsa", "ecdsa", "ed25519"):
            file = Path(self.mktemp())
            command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a comment", "-f", str(file)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
            public = file.with_suffix(".pub")
            public.write_text(public.read_text().replace(" ", "  ", 1))
            told = subprocess.run(
                ["ssh-keygen", "-l", "-E", "md5", "-f", str(public)], check=True, capture_output=True, text=True
            ).stdout
            self.assertEqual(f"MD5:{fingerprint_of(SSH, public.read_text())}", told.split()[1])

    def test_x509(self) -> None:
        """As ``openssl`` names a certificate, which it also finds whole."""
        made = generated(X509, "somebody")
        told = subprocess.run(
            ["openssl", "x509", "-noout", "-fingerprint", "-sha1", "-ext", "extendedKeyUsage,subjectAltName"],
            check=True, capture_output=True, text=True, input=made.public_key,
        ).stdout  # fmt: skip
        self.assertIn(fingerprint_of(X509, made.public_key).upper(), told)
        self.assertIn("TLS Web Client Authentication", told)

    def test_bad(self) -> None:
        """Whatever it is, it is refused, and the key is not repeated."""
        for kind in (SSH, X509):
            for key in ("", "x", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa ä", "-----BEGIN CERTIFICATE-----\n", "\0"):
                error = self.assertRaises(BadComputeValue, fingerprint_of, kind, key)
                self.assertEqual(error.cause, "Keypair data is invalid: failed to generate fingerprint")

    def test_private_key_is_not_shown(self) -> None:
        """Not in logs and failures."""
        self.assertNotIn("PRIVATE", repr(generated(SSH, "somebody")))
