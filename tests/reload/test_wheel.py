"""Wheels as code trees: equal to the folder they were made of, and nothing else than that."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path
from unittest import mock

from reload import CodeTree, TreeChanged, TreeError, _wheel

from .trees import BOUNDARIES, KERNEL
from .wheels import FACTS, WHEEL_NAME, Change, OriginCase, record_line, write_wheel

Entries = list[tuple[zipfile.ZipInfo, bytes]]


class WheelTests(OriginCase):
    def refused(self, path: Path) -> TreeError:
        error: TreeError = self.assertRaises(TreeError, CodeTree.scan, path, BOUNDARIES)
        return error

    def test_a_wheel_is_the_tree_it_was_made_of(self) -> None:
        """Same files, same hash; what is of other packages or derived is left out."""
        files = {"shopx/a.py": "A = 1", "shopx/doors/page.html": "<p>"}
        tree = self.tree(files)
        wheel = self.wheel({**files, "twisted/plugins/x.py": "", "shopx/__pycache__/a.pyc": "", "shopx/.hidden": ""})
        found = CodeTree.scan(wheel, BOUNDARIES)
        self.assertEqual((found.files, found.hash, found.root), (tree.files, tree.hash, wheel))

    def test_it_is_staged_like_a_folder(self) -> None:
        """Both give the same copy, compiled, and a generation loads from it."""
        wheel = CodeTree.scan(self.wheel({"shopx/a.py": "A = 7"}), BOUNDARIES)
        copy = wheel.stage(self.folder / "code")
        self.assertEqual(CodeTree.scan(copy.root, BOUNDARIES).files, wheel.files)
        self.assertEqual(self.tree({"shopx/a.py": "A = 7"}).stage(self.folder / "code"), copy)
        self.assertEqual(sorted(path.name for path in (self.folder / "code").iterdir()), [wheel.hash])

    def test_a_wheel_that_changes_before_it_is_staged(self) -> None:
        """Another content under the same name, no such file, and no such wheel: nothing is kept."""
        tree = CodeTree.scan(self.wheel({"shopx/a.py": "A = 1"}), BOUNDARIES)
        self.wheel({"shopx/a.py": "A = 2"})
        self.assertRaises(TreeChanged, tree.stage, self.folder / "code")
        self.wheel({})
        self.assertIn("not in the wheel", self.assertRaises(TreeError, tree.stage, self.folder / "code").cause)
        tree.root.unlink()
        self.assertRaises(TreeError, tree.stage, self.folder / "code")
        self.assertEqual(list((self.folder / "code").iterdir()), [])

    def test_names_of_wheels(self) -> None:
        """Code for one platform or of no version is no wheel for us; a folder of such a name is a folder."""
        for name in ("shopx.whl", "shopx-1.0-cp311-cp311-linux_x86_64.whl", "shopx-1.0-py3-none-linux_x86_64.whl"):
            self.assertIn("not named", self.refused(self.wheel({}).rename(self.folder / name)).cause)
        self.assertIn("cannot be read", self.refused(self.folder / "gone-1.0-py3-none-any.whl").cause)
        tree = self.tree({}, WHEEL_NAME.replace("1.0", "2.0"))
        self.assertIn("shopx/__init__.py", tree.files)

    def test_what_is_no_zip_file(self) -> None:
        """A text, a pipe, and one cut in the middle."""
        path = self.folder / WHEEL_NAME
        path.write_bytes(b"no zip file")
        self.assertIn("no readable zip", self.refused(path).cause)
        self.wheel({})
        os.truncate(path, path.stat().st_size // 2)
        self.assertIn("no readable zip", self.refused(path).cause)
        path.unlink()
        os.mkfifo(path)
        self.assertIn("no regular file", self.refused(path).cause)

    def test_a_root_package_is_missing(self) -> None:
        """Named, as of a folder."""
        files = {name: text for name, text in KERNEL.items() if not name.startswith("stockx")}
        self.assertIn("'stockx'", self.refused(write_wheel(self.folder / WHEEL_NAME, files)).cause)

    def test_names_that_lead_elsewhere(self) -> None:
        """Absolute, upward, empty and unclean names are refused, whatever package they are of."""
        for name in ("/etc/passwd", "../x.py", "shopx/../../x.py", "shopx//a.py", "shopx/./a.py", "shopx\\a.py",
                     "c:x.py", "shopx/a\n.py", "shopx/a.py ", "shopx/b./a.py", "o/../x", "s/\u200bb.py"):  # fmt: skip
            self.assertIn("has the entry", self.refused(self.wheel({name: ""})).cause, name)

    def test_a_name_that_ends_at_a_zero_byte(self) -> None:
        """What one reader cuts off at the zero another one does not."""

        def change(entries: Entries) -> None:
            for entry, _data in entries:
                if entry.filename == "shopx/a.pyXb":
                    entry.filename = "shopx/a.py\0b"

        self.assertIn("characters", self.refused(self.wheel({"shopx/a.pyXb": ""}, change=change)).cause)

    def test_two_entries_for_one_file(self) -> None:
        """The same name twice, by another case, another form of a letter, and a folder of that name."""

        def twice(entries: Entries) -> None:
            entries.append((zipfile.ZipInfo("shopx/__init__.py"), b"evil"))

        path = self.wheel({}, change=twice)
        self.assertEqual(len(self.flushWarnings()), 1)  # of zipfile, which writes what it must not read
        self.assertIn("twice", self.refused(path).cause)
        for name in ("Shopx/__init__.py", "shopx/KERNEL/x.py", "shopx/__init__.py/x.py", "\uff53hopx/a.py"):
            self.assertIn("twice", self.refused(self.wheel({name: ""})).cause, name)
        self.assertIn("twice", self.refused(self.wheel({"shopx/\u017f.py": "", "shopx/s.py": ""})).cause)

    def test_an_explicit_folder_is_no_file(self) -> None:
        """Entries of folders are passed over; one that has a file's name is refused."""

        def folder(name: str) -> Change:
            def change(entries: Entries) -> None:
                entry = zipfile.ZipInfo(name)
                entry.external_attr = (stat.S_IFDIR | 0o755) << 16
                entries.append((entry, b""))

            return change

        self.assertNotIn("shopx/", CodeTree.scan(self.wheel({}, change=folder("shopx/")), BOUNDARIES).files)
        self.assertIn("twice", self.refused(self.wheel({}, change=folder("shopx/__init__.py/"))).cause)

    def test_links_devices_and_encrypted_entries(self) -> None:
        """What an entry says it is must be a file."""
        for kind, word in ((stat.S_IFLNK, "no regular"), (stat.S_IFIFO, "no regular"), (stat.S_IFDIR, "no regular")):

            def change(entries: Entries, kind: int = kind) -> None:
                entries[-2][0].external_attr = (kind | 0o777) << 16

            self.assertIn(word, self.refused(self.wheel({"shopx/a.py": "/etc/passwd"}, change=change)).cause)
        path = self.wheel({"shopx/a.py": ""})
        data = bytearray(path.read_bytes())
        data[data.index(b"PK\x01\x02") + 8] |= 1  # general purpose flag of the first entry: encrypted
        path.write_bytes(bytes(data))
        self.assertIn("encrypted", self.refused(path).cause)

    def test_other_ways_to_pack(self) -> None:
        """A wheel is stored or deflated."""

        def change(entries: Entries) -> None:
            entries[0][0].compress_type = zipfile.ZIP_LZMA

        self.assertIn("packed", self.refused(self.wheel({}, change=change)).cause)

    def test_bounds(self) -> None:
        """The file, the number of entries, one entry, and all of them together."""
        path = self.wheel({"shopx/a.py": "A" * 5_000})
        for name, most in (("MAX_WHEEL_BYTES", 100), ("MAX_ENTRIES", 3), ("MAX_ENTRY_BYTES", 4_999),
                           ("MAX_UNPACKED_BYTES", 5_000)):  # fmt: skip
            with mock.patch.object(_wheel, name, most):
                self.assertIn("more than", self.refused(path).cause)

    def test_more_bytes_than_the_list_says(self) -> None:
        """An entry that unpacks to more than its size is refused, not read on."""
        path = self.wheel({"shopx/a.py": "A" * 5_000})
        data = path.read_bytes()
        self.assertEqual(data.count((5_000).to_bytes(4, "little")), 2)
        path.write_bytes(data.replace((5_000).to_bytes(4, "little"), (4_000).to_bytes(4, "little")))
        self.assertIn("wheel", self.refused(path).cause)

    def test_a_damaged_entry(self) -> None:
        """A byte that turned over is found, before RECORD is asked."""
        path = self.wheel({"shopx/a.py": os.urandom(200)})
        data = bytearray(path.read_bytes())
        data[data.index(b"shopx/a.py") + 60] ^= 1
        path.write_bytes(bytes(data))
        self.assertIn("cannot be read from the wheel", self.refused(path).cause)


class RecordTests(OriginCase):
    def refused(self, record: str, files: dict[str, str | bytes] | None = None) -> TreeError:
        error: TreeError = self.assertRaises(TreeError, CodeTree.scan, self.wheel(files or {}, record), BOUNDARIES)
        return error

    def right(self, **changes: str) -> str:
        """What RECORD holds by right, with other lines in the place of some."""
        contents = {f"{FACTS}/METADATA": b"Name: shopx\n", f"{FACTS}/WHEEL": b"Wheel-Version: 1.0\n"}
        contents |= {name: text.encode() for name, text in KERNEL.items()}
        lines = {name: record_line(name, data) for name, data in contents.items()}
        return "".join({**lines, **{name.replace(":", "/"): line for name, line in changes.items()}}.values())

    def test_every_file_is_listed_with_its_hash(self) -> None:
        """A file that is not listed, has no hash, a weak one, a wrong one, or another size."""
        self.assertIn("RECORD", self.refused(self.right(), {"other/a.py": ""}).cause)
        for line in ("{},,\n", "{},md5=1B2M2Y8AsgTpgAmY7PhCfg,0\n", "{},sha256=AAAA,0\n", "{},sha256=&,0\n",
                     record_line("{}", b"").replace(",0\n", ",1\n")):  # fmt: skip
            name = "stockx/__init__.py"
            error = self.refused(self.right(**{name: line.format(name)}))
            self.assertEqual((error.path, "RECORD" in error.cause), (str(self.folder / WHEEL_NAME / name), True))

    def test_nothing_else_is_listed(self) -> None:
        """A file that is missing, a line twice, and what is no list."""
        self.assertIn("not in the wheel", self.refused(self.right(more=record_line("shopx/gone.py", b""))).cause)
        self.assertIn("twice", self.refused(self.right() * 2).cause)
        self.assertIn("no list", self.refused("a,b\n").cause)

    def test_one_folder_of_facts(self) -> None:
        """RECORD must be there, and be the only one."""

        def without(entries: Entries) -> None:
            del entries[-1]

        path = self.wheel({}, change=without)
        self.assertIn("must have", self.assertRaises(TreeError, CodeTree.scan, path, BOUNDARIES).cause)
        path = self.wheel({"other-2.dist-info/RECORD": ""})
        self.assertIn("other-2", self.assertRaises(TreeError, CodeTree.scan, path, BOUNDARIES).cause)
