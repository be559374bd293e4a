"""The internal authority: made once, opened by who has its key file, and what its certificates say."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import select
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.database import tables
from cloudd.joining import AUTHORITY_NAME, certificate_facts, new_request, node_name
from cloudd.nodes import AuthorityUnavailable, Credentials, JoinRefused
from cloudd.nodes._authority import Authority
from cloudd.nodes._tls import EARLY_S

from .house import House

NODE_ID = "a" * 32


class AuthorityTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.secrets = Path(self.mktemp()).absolute()

    def authority(self, secrets: Path | None = None) -> Authority:
        return Authority(self.house.database, self.house.threads, secrets or self.secrets, 3_600)

    async def issue(self, request: str, **facts: Any) -> Any:
        return await self.authority().issue(request, NODE_ID, issues=False, **facts)

    async def refused(self, request: str) -> str:
        failed = await self.assertFailure(Deferred.fromCoroutine(self.issue(request)), JoinRefused)
        self.assertEqual(failed.status, 400)
        return str(failed)

    async def test_made_once(self) -> None:
        """Processes that come together, and later ones, have the same; its key is nowhere in clear."""
        asked = [Deferred.fromCoroutine(self.authority().certificate()) for _ in range(4)]
        found = [*(await gatherResults(asked)), await self.authority().certificate()]
        self.assertEqual(len(set(found)), 1)
        [row] = await self.house.database.read(lambda c: c.execute(select(tables.node_authority)).all())
        self.assertEqual(row.certificate, found[0])
        self.assertNotIn("PRIVATE", row.sealed_key)
        [key] = (self.secrets / "authority").iterdir()
        self.assertEqual((key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777), (0o600, 0o700))

    async def test_without_its_key_file(self) -> None:
        """A node that has the database alone issues nothing; with the file it does."""
        certificate = await self.authority().certificate()
        other = Path(self.mktemp()).absolute()
        asking = Deferred.fromCoroutine(self.authority(other).certificate())
        failed = await self.assertFailure(asking, AuthorityUnavailable)
        self.assertIn("role authority", str(failed))
        shutil.copytree(self.secrets, other)
        self.assertEqual(await self.authority(other).certificate(), certificate)

    async def test_certificate(self) -> None:
        """Its names, its times by the database's clock, its authority."""
        _key, request = new_request()
        issued = await self.issue(request, hosts=("one.example", "192.0.2.7", "192.0.2.7", ""))
        facts = certificate_facts(issued.certificate)
        self.assertEqual(facts.node_id, NODE_ID)
        self.assertEqual(facts.ends, issued.ends_us // 1_000_000)
        self.assertLessEqual(abs(facts.ends - facts.begins - 3_600 - EARLY_S), 1)
        read = x509.load_pem_x509_certificate(issued.certificate.encode())
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), [node_name(NODE_ID), "one.example"])
        self.assertEqual([str(each) for each in names.get_values_for_type(x509.IPAddress)], ["192.0.2.7"])
        read.verify_directly_issued_by(x509.load_pem_x509_certificate(issued.authority.encode()))
        self.assertFalse(read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)

    async def test_who_lets_others_in(self) -> None:
        """The name of one that does is in no other certificate, whatever the request asks for."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(AUTHORITY_NAME), x509.DNSName(node_name("b" * 32))])
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, False)
        request = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        issued = await self.issue(request, hosts=())
        read = x509.load_pem_x509_certificate(issued.certificate.encode())
        found = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(found.get_values_for_type(x509.DNSName), [node_name(NODE_ID)])
        issuing = await self.authority().issue(request, NODE_ID, issues=True)
        self.assertIn(AUTHORITY_NAME, str(x509.load_pem_x509_certificate(issuing.certificate.encode()).extensions))

    async def test_hosts_that_claim_a_name(self) -> None:
        """A machine that calls itself as those that let others in, or as another node, does not become one by that."""
        _key, request = new_request()
        issued = await self.issue(request, hosts=(AUTHORITY_NAME, AUTHORITY_NAME.upper(), node_name("b" * 32)))
        read = x509.load_pem_x509_certificate(issued.certificate.encode())
        found = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(found.get_values_for_type(x509.DNSName), [node_name(NODE_ID)])

    async def test_bad_requests(self) -> None:
        """What is no request, another kind of key, a signature that is not its key's."""
        weak = rsa.generate_private_key(65537, 2048)
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        other = builder.sign(weak, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        for request in (
            "",
            "no request",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
        ):
            self.assertIn("cannot be read", await self.refused(request))
        self.assertIn("P-256", await self.refused(other))
        _key, good = new_request()
        der = bytearray(ssl.PEM_cert_to_DER_cert(good.replace("CERTIFICATE REQUEST", "CERTIFICATE")))
        der[-1] ^= 1
        forged = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
        self.assertIn("signing request", await self.refused(forged))


class CredentialsTests(TestCase):
    async def test_read(self) -> None:
        """What was issued can be used, is due when a third is left; what does not fit together is refused."""
        house = House.built(self)
        authority = Authority(house.database, house.threads, Path(self.mktemp()).absolute(), 3_600)
        key, request = new_request()
        other_key, _ = new_request()
        issued = await authority.issue(request, NODE_ID, issues=True)
        found = Credentials.read(issued.certificate + key, issued.authority)
        self.assertEqual((found.node_id, found.ends), (NODE_ID, issued.ends_us // 1_000_000))
        self.assertAlmostEqual(found.lasts_s, 3_600, delta=1)
        self.assertFalse(found.is_due(found.ends - 1_210))
        self.assertTrue(found.is_due(found.ends - 1_190))
        for identity, trusted in (
            (issued.certificate + other_key, issued.authority),
            (issued.authority + key, issued.authority),
            ("", issued.authority),
            (issued.certificate + key, ""),
        ):
            with self.assertRaises(ValueError):
                Credentials.read(identity, trusted)
