"""``docs/swift.md`` says what the code does."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.swift._document import tables

PAGE = Path(__file__).parents[3] / "docs" / "swift.md"


class DocumentTests(SynchronousTestCase):
    def test_tables(self) -> None:
        """The page's tables are those that the code gives."""
        self.assertIn(
            f"<!-- made by: cloudd.protocols.swift -->\n\n{tables().strip()}\n\n<!-- end -->", PAGE.read_text()
        )

    def test_every_route_is_described(self) -> None:
        """No cell is empty."""
        self.assertNotIn("|  |", tables())
        self.assertIn("| COPY | `/v1/{account}/{container}/{object}` | Copy the object", tables())
