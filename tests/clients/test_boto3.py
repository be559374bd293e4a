"""boto3 against a real daemon: the scripts run in the clients' own environment."""

from __future__ import annotations

from pathlib import Path

from tests.running_cloud import CLIENTS

from .walk import ClientWalk

SCRIPT = Path(__file__).with_name("boto3_walk.py")


class Boto3Walk(ClientWalk):
    program = "aws"  # installed together with boto3

    def walk(self, name: str) -> None:
        said = self.runs(str(CLIENTS / "python"), str(SCRIPT), name)
        self.assertEqual(said, f"{name}: done\n")

    def test_conditional_writes(self) -> None:
        """If-None-Match: * and If-Match protect what is there, under concurrency too."""
        self.walk("conditional_writes")

    def test_checksums(self) -> None:
        """All five checksums are verified, kept and given back."""
        self.walk("checksums")

    def test_listing(self) -> None:
        """Both list calls page through names with delimiter and prefix."""
        self.walk("listing")

    def test_multi_delete(self) -> None:
        """Many objects go in one call; missing ones count as deleted."""
        self.walk("multi_delete")

    def test_multipart(self) -> None:
        """Parts out of order, part copies, list, abort and complete."""
        self.walk("multipart")

    def test_ranges_and_metadata(self) -> None:
        """Ranges, conditional reads, metadata and copies with new metadata."""
        self.walk("ranges_and_metadata")
