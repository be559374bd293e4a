# -*- test-case-name: tests.tls_front.test_certificates -*-
"""
Certificates and keys of one face: read, checked, chosen by the name that a client asks for, read again when they
change.

Files are looked at by their facts (``stat``) and read once, so that what was checked is what is used.  A new version
that cannot be used leaves the old one in place and is told in ``problems``.  Files that have just changed are given
until the next look: key and certificate are rarely replaced in one step.

A folder of names holds ``NAME.pem`` files with certificate, chain and key each: ``www.example.org.pem``,
``_.example.org.pem`` for ``*.example.org`` (one label), and ``DEFAULT.pem`` for everybody else.
"""

from __future__ import annotations

import os
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ._validity import not_after

#: Mozilla's "intermediate" list, version 5.7, without finite-field Diffie-Hellman; TLS 1.3 has OpenSSL's three.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
DEFAULT_NAME = "DEFAULT"
FOLDER = "/"  # no name
MAX_FILE_BYTES = 262_144
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"

Facts = tuple[tuple[int, ...], ...]


class CertificateError(Exception):
    """A certificate cannot be used: ``str()`` names the file, what is wrong with it and what to do."""


class CertificateFiles(NamedTuple):
    """
    What an endpoint string says; absolute paths, or empty.

    :ivar private_key: PEM file, without a password
    :ivar certificate: PEM file of the certificate, which the chain may follow
    :ivar chain: PEM file with more of the chain
    :ivar names: folder of ``NAME.pem`` files
    """

    private_key: str = ""
    certificate: str = ""
    chain: str = ""
    names: str = ""


class Certificate(NamedTuple):
    """
    One that is in use.

    :ivar name: ``www.example.org``, ``_.example.org`` or ``DEFAULT``
    :ivar expires: seconds since the epoch
    """

    name: str
    path: str
    expires: float
    context: ssl.SSLContext


class ServerSocket(ssl.SSLSocket):
    """
    A client's connection.

    :ivar asked_name: the host name that it asked for (SNI)
    """

    asked_name = ""


def base_context() -> ssl.SSLContext:
    """Our rules, without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # All of these ciphers are good: the client knows which one its processor is quick with.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


class CertificateStore:
    """
    The certificates of one face.

    :ivar entry: what handshakes begin with.  It lives as long as the store, and so do the keys of session tickets
    :ivar problems: by name, why a file is not used; under ``FOLDER`` why the folder of names cannot be read
    """

    def __init__(self, files: CertificateFiles, owner: int | None = None) -> None:
        self.files = files
        self.problems: dict[str, str] = {}
        self.entry = base_context()
        self.entry.sslsocket_class = ServerSocket
        self.entry.sni_callback = self._chosen
        self._owner = os.geteuid() if owner is None else owner
        self._used: dict[str, Certificate] = {}
        self._facts: dict[str, Facts] = {}  # of what was read last, by name
        self._seen: dict[str, Facts] = {}  # at the last look

    @property
    def certificates(self) -> list[Certificate]:
        """Those in use."""
        return list(self._used.values())

    def load(self) -> None:
        """
        Read all for the first time.

        :raises CertificateError: not one can be used, or the one that was named by itself cannot
        """
        self.look(at_once=True)
        needed = [FOLDER] + [DEFAULT_NAME] * bool(self.files.private_key or self.files.certificate)
        for name in needed:
            if name in self.problems:
                raise CertificateError(self.problems[name])
        if not self._used:
            raise CertificateError(next(iter(self.problems.values())))

    def look(self, at_once: bool = False) -> list[str]:
        """
        Read what has changed.

        :param at_once: also what has changed since the last look only
        :return: a sentence on each certificate that was taken, is gone, or cannot be used
        """
        notes: list[str] = []
        sources = dict(self._sources())
        for name in self._used.keys() - sources.keys():
            notes.append(f"the certificate {self._used[name].path} is gone and no longer used")
            self._forget(name)
        for name in self.problems.keys() - {FOLDER, *sources}:
            del self.problems[name]
        seen, self._seen = self._seen, {}
        for name, paths in sources.items():
            facts = tuple(_facts(path) for path in paths if path)
            self._seen[name] = facts
            is_fresh = facts != self._facts.get(name)
            if (is_fresh and (at_once or seen.get(name) == facts)) or (at_once and name in self.problems):
                notes += self._take(name, paths, facts)
        return notes

    def choose(self, name: str | None) -> Certificate | None:
        """The certificate for a client that asks for ``name``; ``None``: the client is refused."""
        if name:
            lowered = name.lower().rstrip(".")
            exact = self._used.get(lowered) or self._used.get("_." + lowered.partition(".")[2])
            if exact is not None:
                return exact
        return self._used.get(DEFAULT_NAME)

    def _chosen(self, connection: Any, name: str | None, _context: ssl.SSLContext) -> int | None:
        connection.asked_name = name or ""
        found = self.choose(name)
        if found is None:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        connection.context = found.context
        return None

    def _sources(self) -> Iterator[tuple[str, tuple[str, str, str]]]:
        """Name -> key, certificate and chain file."""
        files = self.files
        if files.names:
            self.problems.pop(FOLDER, None)
            try:
                found = sorted(path for path in Path(files.names).iterdir() if path.suffix == ".pem")
            except OSError as error:
                self.problems[FOLDER] = f"{files.names}: the folder cannot be read: {error.strerror}"
                found = [Path(each.path) for each in self._used.values() if each.path.startswith(files.names)]
            if not found and FOLDER not in self.problems:
                self.problems[FOLDER] = f"{files.names}: there is no NAME.pem file in this folder"
            for path in found:
                name = path.stem if path.stem == DEFAULT_NAME else path.stem.lower().replace("*.", "_.", 1)
                yield name, (str(path), str(path), "")
        if files.private_key or files.certificate:
            yield (
                DEFAULT_NAME,
                (files.private_key or files.certificate, files.certificate or files.private_key, files.chain),
            )

    def _take(self, name: str, paths: tuple[str, str, str], facts: Facts) -> list[str]:
        path = paths[1]
        self._facts[name] = facts
        try:
            context, expires = load_certificate(*paths, self._owner)
        except CertificateError as error:
            kept = "; the one before it stays in use" if name in self._used else ""
            self.problems[name] = f"{error}{kept}"
            return [self.problems[name]]
        self.problems.pop(name, None)
        self._used[name] = Certificate(name, path, expires, context)
        return [f"the certificate {path} is used, until {time.strftime('%F %T', time.gmtime(expires))} UTC"]

    def _forget(self, name: str) -> None:
        del self._used[name]
        self._facts.pop(name, None)


def load_certificate(key_path: str, path: str, chain_path: str, owner: int) -> tuple[ssl.SSLContext, float]:
    """
    A context with a certificate, and when it ends, in seconds since the epoch.

    :param owner: the user besides root whose key files are taken
    :raises CertificateError: something cannot be used
    """
    key = read_file(key_path, secret_of=owner)
    chain = read_file(path)
    if chain_path:
        chain = chain.rstrip(b"\n") + b"\n" + read_file(chain_path)
    begin, end = chain.find(_BEGIN), chain.find(_END)
    if begin < 0 or end < begin:
        raise CertificateError(f"{path}: there is no certificate in this file: it must be PEM")
    if b" PRIVATE KEY-----" not in key:
        raise CertificateError(f"{key_path}: there is no private key in this file: it must be PEM")
    context = base_context()
    asked: list[bool] = []

    def refuse_password() -> str:
        asked.append(True)
        return "-"

    try:
        with _in_memory(chain) as chain_name, _in_memory(key) as key_name:
            context.load_cert_chain(chain_name, key_name, refuse_password)
        expires = not_after(ssl.PEM_cert_to_DER_cert(chain[begin : end + len(_END)].decode("ascii", "replace")))
    except (OSError, ValueError) as error:
        if asked:
            raise CertificateError(f"{key_path}: the key is encrypted: give one without a password") from None
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{path}: the certificate does not belong to the key in {key_path}") from None
        cause = getattr(error, "reason", None) or str(error)
        raise CertificateError(f"{path}: OpenSSL does not take certificate and key: {cause}") from None
    return context, expires


def read_file(path: str, secret_of: int | None = None) -> bytes:
    """
    A file's bytes.

    :param secret_of: refuse it when it belongs to another user than this one and root, or when others may read it; the
        group may, as Debian's ``ssl-cert`` has it
    :raises CertificateError: it cannot be read, or must not be used
    """
    try:
        with open(path, "rb") as opened:
            facts = os.fstat(opened.fileno())
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"{path}: it cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise CertificateError(f"{path}: it is longer than {MAX_FILE_BYTES} bytes")
    if secret_of is not None:
        if facts.st_uid not in {0, secret_of}:
            who = "root" if secret_of == 0 else f"root or user {secret_of}"
            raise CertificateError(
                f"{path}: this key belongs to user {facts.st_uid}; it must belong to {who}: chown it"
            )
        if facts.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise CertificateError(f"{path}: others may read or change this key: chmod 600 it (640 is allowed as well)")
    return data


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A name for bytes that OpenSSL reads by name: what was checked is what it gets."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _facts(path: str) -> tuple[int, ...]:
    try:
        facts = Path(path).stat()
    except OSError:
        return ()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
