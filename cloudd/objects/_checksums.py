"""
Digests and checksums with one face, ``hashlib``'s, for uploads in both faces.

The CRCs come from awscrt, which uses the processor's instructions for them.  It costs 60 ms and 7 MB to import, so
that happens when the first such checksum is asked for, or when ``warm_up`` is called in a thread.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

from storage import Hasher

#: Bytes of each digest, by the algorithm's name as S3 writes it in lower case.
DIGEST_BYTES = {"md5": 16, "sha1": 20, "sha256": 32, "crc32": 4, "crc32c": 4, "crc64nvme": 8}


class _Checksum:
    """A CRC as a ``Hasher``; the digest is in network order, as S3 sends it in base64."""

    def __init__(self, name: str, step: Callable[[bytes, int], int]) -> None:
        self.name = name
        self.digest_size = DIGEST_BYTES[name]
        self._step = step
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Go on with more bytes."""
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""
        return self._value.to_bytes(self.digest_size, "big")

    def hexdigest(self) -> str:
        """The same in hex."""
        return self.digest().hex()


def md5() -> Hasher:
    """An MD5, as the APIs ask for it: never for secrecy."""
    return hashlib.md5(usedforsecurity=False)


def sha1() -> Hasher:
    """A SHA-1, as S3 clients may ask for it: never for secrecy."""
    return hashlib.sha1(usedforsecurity=False)


def sha256() -> Hasher:
    """A SHA-256."""
    return hashlib.sha256()


def crc32() -> Hasher:
    """The CRC-32 of zip and Ethernet."""
    return _Checksum("crc32", zlib.crc32)


def crc32c() -> Hasher:
    """CRC-32C, Castagnoli's polynomial."""
    from awscrt import checksums

    return _Checksum("crc32c", checksums.crc32c)


def crc64nvme() -> Hasher:
    """CRC-64/NVME."""
    from awscrt import checksums

    return _Checksum("crc64nvme", checksums.crc64nvme)


#: Makers of hashers by algorithm, for ``IObjectStore.receive``.
HASHERS: dict[str, Callable[[], Hasher]] = {
    "md5": md5,
    "sha1": sha1,
    "sha256": sha256,
    "crc32": crc32,
    "crc32c": crc32c,
    "crc64nvme": crc64nvme,
}


def combine_checksums(name: str, first: bytes, second: bytes, second_length: int) -> bytes:
    """
    The CRC of two pieces of data in a row, from the CRC of each: S3's FULL_OBJECT checksum of a multipart object.

    :param name: ``crc32``, ``crc32c`` or ``crc64nvme``
    :param second_length: bytes of the second piece
    """
    from awscrt import checksums

    combine: Callable[[int, int, int], int] = getattr(checksums, f"combine_{name}")
    joined = combine(int.from_bytes(first, "big"), int.from_bytes(second, "big"), second_length)
    return joined.to_bytes(DIGEST_BYTES[name], "big")


def warm_up() -> None:
    """Import what the checksums need and try each once; call it in a thread."""
    for name, make in HASHERS.items():
        hasher = make()
        hasher.update(b"123456789")
        if hasher.digest().hex() != _CHECKS[name]:
            raise ValueError(f"{name} of this machine gives {hasher.digest().hex()} for the check string")


_CHECKS = {
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
}
