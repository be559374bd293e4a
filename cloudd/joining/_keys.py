# -*- test-case-name: tests.nodes.test_authority -*-
"""A node's key, and asking for a certificate for it.  The key never leaves its machine."""

from __future__ import annotations

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ._messages import node_of


def new_request() -> tuple[str, str]:
    """A new key and a signing request for it, both PEM; a fifth of a millisecond."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode(), request.public_bytes(serialization.Encoding.PEM).decode()


@frozen
class CertificateFacts:
    """Of a node's certificate: whose, and from when until when, in seconds since the epoch."""

    node_id: str
    serial: int
    begins: float
    ends: float


def certificate_facts(pem: str) -> CertificateFacts:
    """
    :param pem: certificate, with or without its key
    :raises ValueError: it cannot be read, or is no node's
    """
    start = pem.find("-----BEGIN CERTIFICATE-----")
    if start < 0:
        raise ValueError("there is no certificate")
    certificate = x509.load_pem_x509_certificate(pem[start:].encode())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("the certificate has no names") from None
    found = next(filter(None, map(node_of, names.get_values_for_type(x509.DNSName))), "")
    if not found:
        raise ValueError("the certificate is no node's")
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return CertificateFacts(found, certificate.serial_number, begins.timestamp(), ends.timestamp())
