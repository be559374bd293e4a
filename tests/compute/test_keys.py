"""Fingerprints, as other tools give them for the same keys."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import SSH, X509, BadComputeValue, fingerprint_of
from cloudd.compute.keypairs._keys import generated


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

    def test_other_versions(self) -> None:
        """A certificate of version 2, which exists on paper alone, is none."""
        found = x509.load_pem_x509_certificate(generated(X509, "u").public_key.encode())
        data = found.public_bytes(serialization.Encoding.DER).replace(
            b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01", 1
        )
        pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(data).decode()}-----END CERTIFICATE-----\n"
        self.assertRaises(BadComputeValue, fingerprint_of, X509, pem)

    def test_any_user(self) -> None:
        """Ids of any letters and length that there may be are read again as they were, by ``openssl`` too."""
        for user_id in ("u", "ü" * 64, "\U0001f600" * 64, "a" * 63 + "ü", "x" * 300):
            made = generated(X509, user_id)
            found = x509.load_pem_x509_certificate(made.public_key.encode())
            (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            self.assertTrue(name.value and user_id.startswith(str(name.value)))
            command = ["openssl", "asn1parse"]
            parsed = subprocess.run(command, check=True, capture_output=True, text=True, input=made.public_key).stdout
            (names,) = re.findall(r"X509v3 Subject Alternative Name\n.*\[HEX DUMP\]:([0-9A-F]+)", parsed)
            told = subprocess.run(
                ["openssl", "asn1parse", "-inform", "DER"], check=True, capture_output=True, input=bytes.fromhex(names)
            ).stdout.decode()
            self.assertEqual(told.rpartition("UTF8STRING")[2].strip(" :\n"), f"{user_id}@localhost")

    def test_private_key_is_not_shown(self) -> None:
        """Not in logs and failures."""
        self.assertNotIn("PRIVATE", repr(generated(SSH, "somebody")))
