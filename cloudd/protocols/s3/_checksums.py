"""
The additional checksums of S3: which one a request promises, and those of objects made of parts.

A request promises at most one: its value in ``x-amz-checksum-<algorithm>``, or after the body in a trailer of that
name.  Stored with an object are ``checksum:<algorithm>`` (base64, with ``-N`` when composite) and ``checksum-type``.

Source: "Checking object integrity in Amazon S3", Amazon S3 user guide.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from cloudd.objects import DIGEST_BYTES, HASHERS, combine_checksums
from storage import Hasher

from ._errors import S3Error

PREFIX = "checksum:"
TYPE_KEY = "checksum-type"
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"
_HEADER = "x-amz-checksum-"
_NOT_VALUES = frozenset({"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type"})


@frozen
class Algorithm:
    """One checksum algorithm, by its name in lower case, and its names on the wire."""

    name: str

    @property
    def size(self) -> int:
        """Bytes of a digest."""
        return DIGEST_BYTES[self.name]

    @property
    def hasher(self) -> Callable[[], Hasher]:
        return HASHERS[self.name]

    @property
    def header(self) -> str:
        return _HEADER + self.name

    @property
    def label(self) -> str:
        """As in ``x-amz-checksum-algorithm``: upper case."""
        return self.name.upper()

    @property
    def tag(self) -> str:
        """The XML element of a value, for example ``ChecksumCRC32``."""
        return f"Checksum{self.label}"

    @property
    def key(self) -> str:
        """The metadata key of a stored value."""
        return PREFIX + self.name

    @property
    def is_crc(self) -> bool:
        """Whether the checksum of a whole follows from those of its parts."""
        return self.name.startswith("crc")


ALGORITHMS: Mapping[str, Algorithm] = {
    name: Algorithm(name) for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
}


@frozen
class Promise:
    """The checksum that a request says its payload has; ``digest`` is None until the trailer came."""

    algorithm: Algorithm
    digest: bytes | None


def algorithm(label: str, header: str) -> Algorithm:
    """
    The algorithm that ``header`` names.

    :raises S3Error: ``InvalidRequest``
    """
    found = ALGORITHMS.get(label.strip().lower())
    if found is None:
        raise S3Error("InvalidRequest", f"Checksum algorithm {label!r} in {header} is not known.")
    return found


def digest_of(value: str, promised: Algorithm) -> bytes:
    """
    The digest that a header, a trailer or an element carries in base64.

    :raises S3Error: ``InvalidRequest``
    """
    try:
        digest = b64decode(value, validate=True)
    except (Base64Error, ValueError) as cause:
        raise S3Error("InvalidRequest", f"Value for {promised.header} header is invalid.") from cause
    if len(digest) != promised.size:
        raise S3Error("InvalidRequest", f"Value for {promised.header} header is invalid.")
    return digest


def promise(headers: Mapping[str, str]) -> Promise | None:
    """
    What the headers of a request promise.

    :param headers: lower-case names; at least those that begin with ``x-amz-``
    :raises S3Error: ``InvalidRequest``: two checksums, an unknown one, or one without a value
    """
    values = {name: text for name, text in headers.items() if name.startswith(_HEADER) and name not in _NOT_VALUES}
    trailers = {name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")} - {""}
    foreign = {name for name in trailers if not name.startswith(_HEADER)}
    if foreign:
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported.")
    names = [*values, *trailers]
    label = headers.get("x-amz-sdk-checksum-algorithm")
    if len(names) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header.")
    if not names:
        if label is not None:
            algorithm(label, "x-amz-sdk-checksum-algorithm")
            raise S3Error(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found.",
            )
        return None
    promised = algorithm(names[0].removeprefix(_HEADER), names[0])
    if label is not None and algorithm(label, "x-amz-sdk-checksum-algorithm") is not promised:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    return Promise(promised, digest_of(values[promised.header], promised) if values else None)


def encoded(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")


def stored(algorithm: Algorithm, value: str, kind: str = FULL_OBJECT) -> dict[str, str]:
    """The metadata that keeps a checksum."""
    return {algorithm.key: value, TYPE_KEY: kind}


def found(metadata: Mapping[str, str]) -> list[tuple[Algorithm, str]]:
    """The checksums that metadata keeps."""
    return [(each, metadata[each.key]) for each in ALGORITHMS.values() if each.key in metadata]


def composite(algorithm: Algorithm, digests: Sequence[bytes]) -> str:
    """The checksum of the parts' checksums: base64 and the number of parts."""
    whole = algorithm.hasher()
    whole.update(b"".join(digests))
    return f"{encoded(whole.digest())}-{len(digests)}"


def full_object(algorithm: Algorithm, parts: Iterable[tuple[bytes, int]]) -> str:
    """
    The checksum of all bytes, from each part's digest and size; no data is read.

    :raises S3Error: ``InvalidRequest``: only CRCs can be combined
    """
    if not algorithm.is_crc:
        raise S3Error("InvalidRequest", f"The {FULL_OBJECT} checksum type cannot be used with {algorithm.label}.")
    whole = bytes(algorithm.size)
    for digest, size in parts:
        whole = combine_checksums(algorithm.name, whole, digest, size)
    return encoded(whole)
