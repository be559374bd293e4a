"""The page about the Image API and its code say the same."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.rest import route_table
from cloudd.protocols.rest._tables import tables
from cloudd.protocols.rest.image import ABSENT, PREFIX, SUBJECTS

PAGE = Path(__file__).parents[4] / "docs" / "images.md"


class PageTests(SynchronousTestCase):
    """``docs/images.md``."""

    def test_tables(self) -> None:
        """Every row of the tables made from the code stands in the page."""
        made = {line for line in tables(PREFIX, SUBJECTS, ABSENT).splitlines() if line.startswith("| ")}
        written = {line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")}
        self.assertEqual(made - written, set(), "run script/pages")

    def test_each_route_once(self) -> None:
        """No path is declared twice for one method, and each tells what it does."""
        routes = [(method, template) for method, template, _ in route_table(SUBJECTS)]
        self.assertEqual(len(routes), len(set(routes)))
        self.assertNotIn("|  |", tables(PREFIX, SUBJECTS, ABSENT))
