# -*- test-case-name: tests.nodes.test_authority -*-
"""
The internal certificate authority: one root, made once, which signs short-lived certificates of nodes.

**Where its key is**: in the control database, encrypted with a key in ``SECRETS/authority`` (Fernet, as the other
key folders).  In a file of one machine alone it would be lost with that machine, and nobody could join or renew any
more; in the database as it is, a copy of the database would let its reader pose as any node.  This way any node that
has the role ``authority``, which brings that key file, issues certificates, and neither the database nor the file is
enough by itself.  ``cloudctl backup`` has both.

**Times** are the database's: a host whose clock is wrong by minutes issues certificates that all others take, since
they begin ``EARLY_S`` before.  **Revocation**: whoever is removed from the registry gets no other certificate, and
the calls of nodes ask the registry; what is left of a certificate is a few days.

The functions that sign block for less than a millisecond; they run in threads all the same, with their reads of keys.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets as randomness
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import define, field, frozen
from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import Connection, insert, select

from cloudd.database import now_us, tables
from cloudd.interfaces.application import Threads, Transactions
from cloudd.joining import AUTHORITY_NAME, INTERNAL, node_name

from . import _rows
from ._errors import AuthorityUnavailable, JoinRefused
from ._tls import EARLY_S

ROOT_YEARS = 20
FOLDER = "authority"

_table = tables.node_authority


@frozen
class Issued:
    """PEM of a node's certificate and of the authority's; ``ends_us`` since the epoch."""

    certificate: str
    authority: str
    ends_us: int


@frozen
class _Root:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    pem: str


@define(eq=False)
class Authority:
    """
    :param secrets: the folder of key files
    :param lasts_s: life of a node's certificate
    """

    _database: Transactions
    _threads: Threads
    _secrets: Path
    _lasts_s: int
    _root: _Root | None = field(init=False, default=None)

    async def certificate(self) -> str:
        """
        The authority's certificate; the authority is made when there is none yet.

        :raises AuthorityUnavailable: this node has not the key that opens the authority's
        """
        return (await self._opened()).pem

    async def issue(self, request: str, node_id: str, *, issues: bool, hosts: Iterable[str] = ()) -> Issued:
        """
        A certificate for the key in a signing request.

        :param issues: the node lets others in, too
        :param hosts: names and IP addresses that it is reached by
        :raises AuthorityUnavailable: this node has not the key that opens the authority's
        :raises JoinRefused: the request is none, or its key is of another kind than ours
        """
        root = await self._opened()
        now = await self._database.read(_rows.time_us)
        ends_us = now + self._lasts_s * 1_000_000
        names = [node_name(node_id), *([AUTHORITY_NAME] if issues else [])]
        certificate = await self._threads.run(_signed, root, request, names, tuple(hosts), now, ends_us)
        return Issued(certificate, root.pem, ends_us)

    async def _opened(self) -> _Root:
        if self._root is None:
            row = await self._database.read(_read)
            if row is None:
                made = await self._threads.run(_made, self._secrets / FOLDER)
                row = await self._database.write(_enter, *made)
            self._root = await self._threads.run(_open, self._secrets / FOLDER, *row)
        return self._root


def _read(connection: Connection) -> tuple[str, str] | None:
    row = connection.execute(select(_table.c.certificate, _table.c.sealed_key)).first()
    return None if row is None else (row.certificate, row.sealed_key)


def _enter(connection: Connection, certificate: str, sealed_key: str) -> tuple[str, str]:
    """The one that is there: ours, or that of who was first."""
    found = _read(connection)
    if found is not None:
        return found
    values = {"id": 1, "certificate": certificate, "sealed_key": sealed_key, "created_us": now_us()}
    connection.execute(insert(_table).values(**values))
    return certificate, sealed_key


# ---- in threads


def _made(folder: Path) -> tuple[str, str]:
    """A new root: its certificate as PEM, and its key, sealed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloudd nodes")])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * ROOT_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), _seal(folder).encrypt(pem).decode()


def _open(folder: Path, certificate: str, sealed_key: str) -> _Root:
    try:
        key = serialization.load_pem_private_key(_ring(folder).decrypt(sealed_key.encode()), None)
    except (OSError, ValueError, InvalidToken) as error:
        raise AuthorityUnavailable(
            f"this node cannot issue certificates: it has not the key that opens the authority's ({folder}); a node "
            "gets it that joins with the role authority"
        ) from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return _Root(x509.load_pem_x509_certificate(certificate.encode()), key, certificate)


def _signed(root: _Root, request: str, names: list[str], hosts: tuple[str, ...], now_us_: int, ends_us: int) -> str:
    key = _key_in(request)
    begins = datetime.fromtimestamp(now_us_ // 1_000_000 - EARLY_S, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(root.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(datetime.fromtimestamp(ends_us // 1_000_000, UTC))
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), *_addresses(hosts)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
            critical=False,
        )
        .sign(root.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_in(request: str) -> ec.EllipticCurvePublicKey:
    """Nothing but the key of a request counts; that its owner signed it proves that it has the key."""
    try:
        read = x509.load_pem_x509_csr(request.encode())
        key = read.public_key()
        is_good = (
            isinstance(key, ec.EllipticCurvePublicKey)
            and isinstance(key.curve, ec.SECP256R1)
            and read.is_signature_valid
        )
    except Exception:  # cryptography has many ways to refuse what is no request
        raise JoinRefused("the signing request cannot be read", 400) from None
    if not is_good:
        raise JoinRefused("the signing request must be signed by a key on the curve P-256", 400)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def _addresses(hosts: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in dict.fromkeys(filter(None, hosts)):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            # A machine chooses its name: none of those that say who it is.
            if host.isascii() and not host.lower().rstrip(".").endswith(INTERNAL):
                found.append(x509.DNSName(host))
    return found


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ring(folder: Path) -> MultiFernet:
    """
    :raises OSError, ValueError: there are no keys, or one is none
    """
    numbers = sorted(int(file.name) for file in folder.iterdir() if file.name.isascii() and file.name.isdigit())
    return MultiFernet([Fernet((folder / str(number)).read_bytes().strip()) for number in reversed(numbers)])


def _seal(folder: Path) -> MultiFernet:
    """The keys, with a first one where there is none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = folder / f".new-{randomness.token_hex(8)}"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # there is one already, or another process was first
        os.link(fresh, folder / "1")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(descriptor)
    os.close(descriptor)
    return _ring(folder)
