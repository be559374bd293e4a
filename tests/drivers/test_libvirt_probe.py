"""Guests of five instructions."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._libvirt_probe import runs_guests


class ProbeTests(SynchronousTestCase):
    def test_emulated(self) -> None:
        """Emulation always works, so that the guest is right is known here."""
        self.assertEqual(runs_guests("tcg", patience_s=60), "")

    def test_no_such_accelerator(self) -> None:
        """Why not is what QEMU says."""
        self.assertIn("warp", runs_guests("warp", patience_s=60))

    def test_a_guest_that_does_nothing(self) -> None:
        """A hypervisor whose guests die is not taken for one that runs them."""
        program = Path(self.mktemp())
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
        self.assertIn("did nothing", runs_guests("kvm", str(program.resolve()), patience_s=0.1))
        program.write_text("#!/bin/sh\nexit 0\n")
        self.assertIn("status 0", runs_guests("kvm", str(program.resolve()), patience_s=60))

    def test_no_qemu(self) -> None:
        self.assertIn("cannot be run", runs_guests("kvm", "/nowhere/qemu"))
