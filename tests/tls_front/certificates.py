"""Certificates for tests."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID


class Made(NamedTuple):
    """PEM texts, and the certificate's number."""

    key: bytes
    certificate: bytes
    serial: int


def make(
    name: str = "localhost",
    days: float = 90,
    password: bytes = b"",
    with_rsa: bool = False,
    addresses: bool = False,
    issuer: Made | None = None,
) -> Made:
    """A certificate for ``name``, which begins a day ago (or ends then); without ``issuer`` it is its own authority."""
    key = rsa.generate_private_key(65537, 2048) if with_rsa else ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if addresses:
        import ipaddress

        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    serial = x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else x509.load_pem_x509_certificate(issuer.certificate).subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=max(1, 1 - days)))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(key if issuer is None else _signing_key(issuer), hashes.SHA256())
    )
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return Made(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
        certificate.public_bytes(Encoding.PEM),
        serial,
    )


def _signing_key(issuer: Made) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(issuer.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def write(folder: Path, made: Made, key: str = "key.pem", certificate: str = "cert.pem") -> tuple[str, str]:
    """Write key and certificate by rename; gives their paths."""
    paths = []
    for name, content in ((key, made.key), (certificate, made.certificate)):
        path = folder / name
        fresh = folder / f".{name}"
        fresh.write_bytes(content)
        fresh.chmod(0o600)
        fresh.rename(path)
        paths.append(str(path))
    return paths[0], paths[1]


def write_pair(folder: Path, name: str, made: Made) -> Path:
    """Write ``NAME.pem`` with both."""
    path = folder / f"{name}.pem"
    path.write_bytes(made.certificate + made.key)
    path.chmod(0o600)
    return path
