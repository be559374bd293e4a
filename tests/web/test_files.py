"""The page's own files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd import web
from cloudd.control import BOUNDARIES
from cloudd.web._files import FILES, read_files
from reload import CodeTree
from tests.running_cloud import CHECKOUT

FOLDER = Path(web.__file__).parent


class FilesTests(SynchronousTestCase):
    def test_all_there(self) -> None:
        """Every file beside the code is served, and no file of another kind lies there."""
        found = {path.name for path in FOLDER.iterdir() if path.suffix != ".py" and path.is_file()}
        self.assertEqual(found, set(FILES))

    def test_tags_and_version(self) -> None:
        """Tag and version change with the content, and with nothing else."""
        folder = Path(self.mktemp())
        folder.mkdir()
        for name in FILES:
            shutil.copy(FOLDER / name, folder / name)
        before = read_files()
        self.assertEqual(read_files(folder), before)
        (folder / "page.css").write_text("h1 { color: red }")
        after = read_files(folder)
        changed = [name for name in FILES if after.by_name[name].tag != before.by_name[name].tag]
        self.assertEqual((changed, after.version != before.version), (["page.css"], True))

    def test_missing(self) -> None:
        """Without one of them there is no generation: the upgrade fails and says which."""
        folder = Path(self.mktemp())
        folder.mkdir()
        error = self.assertRaises(FileNotFoundError, read_files, folder)
        self.assertIn("page.html", str(error))

    def test_in_the_tree(self) -> None:
        """They belong to the code tree, with their hashes, and to the swappable part of it."""
        tree = CodeTree.scan(CHECKOUT, BOUNDARIES)
        self.assertEqual([name for name in FILES if f"cloudd/web/{name}" not in tree.files], [])
        self.assertFalse(BOUNDARIES.is_kernel("cloudd.web"))

    def test_nothing_from_elsewhere(self) -> None:
        """No file names a place outside, runs a script or a style within markup, or makes markup of text."""
        for name in FILES:
            text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"(?i)https?://|@import|(?:src|href)=[\"']//", name)
        page = (FOLDER / "page.html").read_text()
        self.assertNotRegex(page, r"(?i)<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)")
        script = (FOLDER / "page.js").read_text()
        self.assertNotRegex(script, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")

    def test_names_fit(self) -> None:
        """Each element that the script looks for by its id is on the page, once."""
        page, script = (FOLDER / "page.html").read_text(), (FOLDER / "page.js").read_text()
        there = re.findall(r'\sid="([^"]+)"', page)
        self.assertEqual(len(there), len(set(there)))
        self.assertEqual(set(re.findall(r'\$\("([^"]+)"\)', script)) - set(there), set())
