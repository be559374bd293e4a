# -*- test-case-name: tests.control.test_signature -*-
"""
Signatures of manifests: who made a code tree, as Ed25519 (RFC 8032) says it.

``cloudctl manifest TREE --sign KEYFILE`` writes ``cloudd.manifest.sig`` beside the manifest; a daemon with the setting
``[upgrade] public_key`` loads nothing else.  What is signed is ``PREFIX`` and then the manifest's exact bytes: the
prefix keeps a signature that the key made for another purpose from being one of a manifest.  The file is one line::

    ed25519 PUBLIC_KEY SIGNATURE

in base64.  The key in it only serves to say whose signature it is when it is a stranger's; what counts is the setting.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = b"cloudd manifest signature 1\0"
SIGNATURE_NAME = "cloudd.manifest.sig"
ALGORITHM = b"ed25519"
MAX_KEY_BYTES = 65_536
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


class SignatureError(Exception):
    """A key or a signature cannot be used; the text says why."""


def make_key(file: Path) -> str:
    """
    Make a private key in a new file that its owner alone can read (PEM, PKCS #8, mode 0600).

    :return: the public key in base64, for ``[upgrade] public_key``
    :raises SignatureError: the file is there already, or cannot be written
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SignatureError(f"{file}: there is such a file already; a key is never replaced") from None
    except OSError as error:
        raise SignatureError(f"{file}: the key cannot be written: {error.strerror}") from error
    try:
        with open(descriptor, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(descriptor)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise SignatureError(f"{file}: the key cannot be written: {error.strerror}") from error
    return _public_text(key)


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """
    A private key from its PEM file.

    :raises SignatureError: others than its owner may read the file, or it holds no such key
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with open(file, "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            pem = opened.read(MAX_KEY_BYTES)
    except OSError as error:
        raise SignatureError(f"{file}: the key cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SignatureError(f"{file}: others than its owner may read this key: chmod 600 it, or make a new one")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise SignatureError(f"{file}: the key is encrypted; give one without a password") from None
    except Exception:  # cryptography raises several kinds, UnsupportedAlgorithm among them
        raise SignatureError(f"{file}: this is no private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(
            f"{file}: the key is of another kind than Ed25519; `cloudctl manifest --new-key` makes one"
        )
    return key


def public_key_in(pem: bytes) -> str:
    """
    The public key of a PEM text, in base64.

    :raises SignatureError: it is none, or of another kind
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    if b"PRIVATE KEY" in pem:
        raise SignatureError("is a private key, which does not belong on this host")
    try:
        key = load_pem_public_key(pem)
    except Exception:  # cryptography raises several kinds, UnsupportedAlgorithm among them
        raise SignatureError("is no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError("is a public key of another kind than Ed25519")
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def is_public_key(text: str) -> bool:
    """Whether a text is a public key in base64 as ``make_key`` gives it."""
    return _decoded(text.encode("utf-8", "replace"), _KEY_BYTES) is not None


def sign_manifest(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The content of ``cloudd.manifest.sig``."""
    signature = base64.b64encode(key.sign(PREFIX + manifest))
    return b"%s %s %s\n" % (ALGORITHM, _public_text(key).encode(), signature)


def verify_signature(manifest: bytes, signature: bytes, public_key: str) -> None:
    """
    Check who signed exactly these bytes.

    :param signature: the content of ``cloudd.manifest.sig``
    :param public_key: in base64
    :raises SignatureError: not the owner of that key, or not these bytes
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    trusted = base64.b64decode(public_key)
    signer, value = _parse(signature)
    if signer != trusted:
        who = base64.b64encode(signer).decode()
        raise SignatureError(f"is of another key ({who}) than [upgrade] public_key ({public_key})")
    try:
        Ed25519PublicKey.from_public_bytes(trusted).verify(value, PREFIX + manifest)
    except InvalidSignature:
        raise SignatureError("does not belong to this manifest: one of the two was changed") from None


def _parse(signature: bytes) -> tuple[bytes, bytes]:
    fields = signature.removesuffix(b"\n").split(b" ")
    if len(fields) == 3 and fields[0] == ALGORITHM:
        signer, value = _decoded(fields[1], _KEY_BYTES), _decoded(fields[2], _SIGNATURE_BYTES)
        if signer is not None and value is not None:
            return signer, value
    raise SignatureError("is no signature that this version reads")


def _decoded(text: bytes, length: int) -> bytes | None:
    """The bytes of a base64 text; None for another length or a second way to write the same bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and base64.b64encode(raw) == text else None


def _public_text(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
