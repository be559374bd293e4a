"""Inspection: each format is recognised while it passes by, and what names other files is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.image import Findings, Inspector, unfit
from cloudd.image._inspection import MAX_VIRTUAL_BYTES, read_findings

from .formats import GIB, iso, qcow2, vdi, vhd, vmdk


def inspected(data: bytes, piece: int = 1000) -> Findings:
    """What is found in data that comes in pieces."""
    inspector = Inspector()
    for start in range(0, len(data), piece):
        inspector.update(data[start : start + piece])
    return read_findings(inspector.digest())


class FormatTests(SynchronousTestCase):
    def test_each(self) -> None:
        """Name and size of the disk."""
        for data, name, size in (
            (qcow2(), "qcow2", GIB),
            (qcow2(version=2), "qcow2", GIB),
            (vmdk(), "vmdk", 2048 * 512),
            (vmdk("streamOptimized"), "vmdk", 2048 * 512),
            (vhd(), "vhd", GIB),
            (vdi(), "vdi", GIB),
            (iso(), "iso", None),
            (b"vhdxfile".ljust(100, b"\0"), "vhdx", None),
            (b"\0" * 5000, "raw", 5000),
            (b"", "raw", 0),
        ):
            found = inspected(data)
            self.assertEqual((found.format, found.virtual_size, found.harm), (name, size, ""), name)

    def test_harm(self) -> None:
        """What would have a hypervisor read other files, or is not what it seems."""
        for words, data in {
            "backing file": qcow2(backing=512),
            "external file": qcow2(incompatible=4),
            "unknown features (0x20)": qcow2(incompatible=0x20),
            "of version 4": qcow2(version=4),
            "cut off": qcow2()[:80],
            "more than": qcow2(size=MAX_VIRTUAL_BYTES + 1),
            "its createType is monolithicFlat": vmdk("monolithicFlat"),
            "its createType is not told": vmdk(kind='"\n#'),
            "another file": vmdk(extent='RW 2048 FLAT "/etc/shadow" 0'),
            "an extent": vmdk(extent='RW 2048 SPARSE "../x.vmdk"'),
            "a parent": vmdk(more='parentFileNameHint="/etc/shadow"'),
            "descriptor alone": b"# Disk DescriptorFile\n" + b" " * 500,
            "within its first": vmdk()[:600],
            "differs": vhd(kind=4),
            "differs from a parent": vdi(kind=4),
        }.items():
            self.assertIn(words, inspected(data).harm, words)

    @given(st.sampled_from([qcow2(), vmdk(), vhd(), vdi(), iso(), b"\0" * 3000]), st.integers(1, 5000))
    def test_pieces(self, data: bytes, piece: int) -> None:
        """However it is cut, the same is found."""
        self.assertEqual(inspected(data, piece), inspected(data, len(data)))

    @given(st.binary(max_size=600), st.sampled_from([b"", b"QFI\xfb", b"KDMV", b"conectix", b"vhdxfile"]))
    def test_any_bytes(self, data: bytes, magic: bytes) -> None:
        """Nothing that a client sends is an accident."""
        inspected(magic + data, 100)


class FitTests(SynchronousTestCase):
    def test_unfit(self) -> None:
        """The data is of the format that its image has; a disk that is none of the others is raw."""
        for disk_format, data in {
            "qcow2": qcow2(),
            "raw": b"x",
            "iso": iso(),
            "aki": b"kernel",
            "vmdk": vmdk(),
        }.items():
            self.assertEqual(unfit(inspected(data), disk_format), "", disk_format)
        self.assertEqual(unfit(inspected(iso()), "raw"), "")
        self.assertIn("its data is qcow2", unfit(inspected(qcow2()), "raw"))
        self.assertIn("its data is raw", unfit(inspected(b"x"), "qcow2"))
        self.assertIn("backing file", unfit(inspected(qcow2(backing=1)), "qcow2"))
