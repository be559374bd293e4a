# -*- test-case-name: tests.compute.test_keys -*-
"""
Keys as Nova makes and names them: fingerprints of given public keys, and new keys.  ``generated`` blocks for a while.

Source: nova/crypto.py describes what clients were always given: MD5 of an SSH key, SHA-1 of a certificate, RSA keys of
2,048 bits in PEM.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from .._errors import BadComputeValue
from .._facts import X509

_BITS = 2048
_PRINCIPAL = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # Microsoft's user principal name, which WinRM looks for
_LIFE = datetime.timedelta(days=3650)
_UTF8_STRING = 0x0C
_MAX_COMMON_NAME = 64  # bytes: X.520


@frozen
class NewKey:
    """A generated pair; the private one is told once."""

    public_key: str
    private_key: str = field(repr=False)


def fingerprint_of(kind: str, public_key: str) -> str:
    """
    :param kind: ``SSH`` or ``X509``
    :return: bytes in hex with colons between
    :raises BadComputeValue: it is no key of that kind
    """
    try:
        raw = _of_certificate(public_key) if kind == X509 else _of_ssh(public_key)
    except (ValueError, IndexError, UnsupportedAlgorithm, binascii.Error, x509.InvalidVersion):
        raise BadComputeValue("Keypair data is invalid: failed to generate fingerprint") from None
    return ":".join(f"{byte:02x}" for byte in raw)


def _of_ssh(public_key: str) -> bytes:
    serialization.load_ssh_public_key(public_key.encode("utf-8"))
    data = base64.b64decode(public_key.split()[1])
    return hashlib.md5(data, usedforsecurity=False).digest()


def _of_certificate(public_key: str) -> bytes:
    found = x509.load_pem_x509_certificate(public_key.encode("utf-8"))
    return found.fingerprint(hashes.SHA1())  # noqa: S303 - the API's form of a name, not a proof


def generated(kind: str, user_id: str) -> NewKey:
    """A new pair of that kind.  Blocks for some tenths of a second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    if kind == X509:
        return NewKey(_certificate(key, user_id), _pem(key, serialization.PrivateFormat.PKCS8))
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return NewKey(f"{public.decode()} Generated-by-cloudd", _pem(key, serialization.PrivateFormat.TraditionalOpenSSL))


def _pem(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode("ascii")


def _certificate(key: rsa.RSAPrivateKey, user_id: str) -> str:
    """Signed by itself, for a client that logs in to Windows as this user."""
    common_name = user_id.encode()[:_MAX_COMMON_NAME].decode("utf-8", "ignore")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    other = x509.OtherName(_PRINCIPAL, _utf8_string(f"{user_id}@localhost"))
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _utf8_string(text: str) -> bytes:
    """In DER: ITU-T X.690, 8.1.3."""
    data = text.encode()
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    length = size if len(data) < 0x80 else bytes([0x80 | len(size)]) + size
    return bytes([_UTF8_STRING]) + length + data
