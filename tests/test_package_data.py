"""A wheel holds all that a checkout's packages hold."""

from __future__ import annotations

from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cloudd
from cloudd.control import BOUNDARIES
from reload import CodeTree


class PackageDataTests(SynchronousTestCase):
    def test_every_file_is_packaged(self) -> None:
        """Files that are no modules match ``package_data``; else a wheel of the same code would have another hash."""
        checkout = Path(cloudd.__file__).parent.parent
        settings = ConfigParser()
        settings.read(checkout / "setup.cfg")
        patterns = [pattern.strip() for pattern in settings["options.package_data"]["*"].split(",")]
        data = [name for name in CodeTree.scan(checkout, BOUNDARIES).files if not name.endswith(".py")]
        self.assertIn("cloudd/database/migrations/script.py.mako", data)
        missing = [name for name in data if not any(fnmatch(Path(name).name, pattern) for pattern in patterns)]
        self.assertEqual(missing, [])
