"""The page that tells what is served says what the code does."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.s3._table import tables

PAGE = Path(__file__).parents[3] / "docs" / "s3.md"


class Page(SynchronousTestCase):
    def test_tables(self) -> None:
        """``docs/s3.md``."""
        advice = "run `python -m cloudd.protocols.s3` and put its tables into docs/s3.md"
        self.assertIn(tables(), PAGE.read_text(encoding="utf-8"), advice)
