"""Shared memory that tells who serves what."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from reload._handover_interfaces import ProtocolViolation
from reload._handover_ledger import Ledger, Mark
from reload._handover_messages import MAX_BATCH


class LedgerTests(SynchronousTestCase):
    """``Ledger``."""

    def setUp(self) -> None:
        self.giver = Ledger()
        self.addCleanup(self.giver.close)
        self.taker = Ledger(os.dup(self.giver.descriptor))
        self.addCleanup(self.taker.close)

    def test_shared(self) -> None:
        """What one side writes the other reads, in any order of slots."""
        self.assertIs(self.taker.read(1, 0), Mark.NONE)
        self.giver.mark(1, 0, Mark.OFFERED)
        self.giver.mark(1, MAX_BATCH - 1, Mark.TAKEN_BACK)
        self.assertIs(self.taker.read(1, 0), Mark.OFFERED)
        self.assertIs(self.taker.read(1, MAX_BATCH - 1), Mark.TAKEN_BACK)
        self.taker.mark(1, 0, Mark.RESUMED)
        self.assertIs(self.giver.read(1, 0), Mark.RESUMED)

    def test_outlives_its_writer(self) -> None:
        """The survivor reads what the dead one wrote."""
        self.giver.mark(2, 7, Mark.OFFERED)
        self.giver.close()
        self.giver.close()
        self.assertIs(self.taker.read(2, 7), Mark.OFFERED)

    def test_other_batch(self) -> None:
        """An entry of another batch is none of this one's."""
        self.giver.mark(300, 0, Mark.OFFERED)
        self.assertIs(self.taker.read(299, 0), Mark.NONE)
        self.assertIs(self.taker.read(300, 0), Mark.OFFERED)

    def test_not_inherited(self) -> None:
        """A child of the process does not get it."""
        self.assertFalse(os.get_inheritable(self.giver.descriptor))

    def test_no_ledger(self) -> None:
        """Another descriptor is refused, and stays open no longer than the caller wants."""
        for descriptor in (os.memfd_create("short"), os.open("/", os.O_RDONLY)):
            self.addCleanup(os.close, descriptor)
            self.assertRaises(ProtocolViolation, Ledger, descriptor)
