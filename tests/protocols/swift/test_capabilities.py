"""What ``/info`` says."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.settings import ObjectSettings, Settings
from cloudd.protocols.swift._capabilities import capabilities


class CapabilitiesTests(SynchronousTestCase):
    def test_true_ones_only(self) -> None:
        """What answers 501 is not listed, and limits are those of the settings."""
        info = capabilities(Settings(state=Path("state"), objects=ObjectSettings(max_object_bytes=5)))
        self.assertEqual(set(info), {"swift", "bulk_delete", "dlo", "tempauth"})
        self.assertEqual(info["swift"]["max_file_size"], 5)
        self.assertEqual(info["swift"]["max_object_name_length"], 1024)

    def test_tempauth_off(self) -> None:
        """A log-in that is turned off is not listed."""
        info = capabilities(Settings(state=Path("state"), objects=ObjectSettings(tempauth=False)))
        self.assertNotIn("tempauth", info)
