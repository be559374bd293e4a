"""Checksums: known values, any cut, and the sum of two pieces."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import DIGEST_BYTES, HASHERS, _checksums, combine_checksums


def digest(name: str, *pieces: bytes) -> bytes:
    """The digest of these pieces in a row."""
    hasher = HASHERS[name]()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


class ChecksumTests(SynchronousTestCase):
    """``_checksums``."""

    def test_check_values(self) -> None:
        """The published check value of each algorithm, over ``123456789``."""
        _checksums.warm_up()
        self.assertEqual(digest("crc32", b"123456789").hex(), "cbf43926")
        self.assertEqual(digest("crc32c", b"123456789").hex(), "e3069283")
        self.assertEqual(digest("crc64nvme", b"123456789").hex(), "ae8b14860a799888")

    def test_wrong_machine(self) -> None:
        """A checksum that gives wrong values is found before it is used."""
        self.patch(_checksums, "_CHECKS", {**_checksums._CHECKS, "crc32": "00000000"})
        error = self.assertRaises(ValueError, _checksums.warm_up)
        self.assertIn("crc32", str(error))

    def test_sizes(self) -> None:
        """Every digest has its length; a checksum has hashlib's face."""
        for name in HASHERS:
            self.assertEqual(len(digest(name)), DIGEST_BYTES[name])
        checksum = _checksums.crc32()
        assert isinstance(checksum, _checksums._Checksum)
        self.assertEqual((checksum.hexdigest(), checksum.digest_size, checksum.name), ("00000000", 4, "crc32"))

    @settings(deadline=None)
    @given(st.binary(max_size=200), st.integers(0, 200))
    def test_any_cut(self, data: bytes, cut: int) -> None:
        """Cut anywhere, the digest is the same, and that of the two pieces combines to it."""
        first, second = data[:cut], data[cut:]
        for name in HASHERS:
            self.assertEqual(digest(name, first, second), digest(name, data))
        for name in ("crc32", "crc32c", "crc64nvme"):
            combined = combine_checksums(name, digest(name, first), digest(name, second), len(second))
            self.assertEqual(combined, digest(name, data))
