"""The generated page."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._settings_page import settings_tables
from cloudd.daemon.settings import section_classes


class SettingsPageTests(SynchronousTestCase):
    def test_every_key_has_a_row(self) -> None:
        """Each key stands in its table with default, unit and range."""
        page = settings_tables()
        for name, section in section_classes().items():
            part = page.split(f"## [{name}]\n")[1].split("\n## ")[0]
            self.assertEqual(part.count("\n| `"), len(attrs.fields(section)), name)
        self.assertIn("| `front` | `0` | processes | 0 to 256 |", page)
        self.assertIn('| `access_format` | `"text"` | text or json |  | form of access lines | yes |', page)
        self.assertIn("| `trees` | `[]` | paths |", page)
        self.assertIn("| `agent` | `true` |", page)
