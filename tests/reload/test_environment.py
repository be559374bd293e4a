"""What a virtual environment holds, without running it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from attrs import evolve

from reload import Environment, TreeError, environment_of

from .wheels import OriginCase


class EnvironmentTests(OriginCase):
    def test_what_it_tells(self) -> None:
        """Version, interpreter, packages; found by the prefix and by the interpreter."""
        prefix = self.environment()
        found = environment_of(prefix, besides=("shopx",))
        self.assertEqual(found, environment_of(prefix / "bin/python", besides=("Shopx",)))
        self.assertEqual((found.python, found.executable), (prefix / "bin/python", self.folder / "base/bin/python"))
        self.assertEqual(found.site_packages, prefix / "lib/python3.11/site-packages")
        self.assertEqual(
            (found.version, found.distributions), ("3.11.7", (("twisted", "24.7.0"), ("zope-interface", "7.0")))
        )

    def test_this_one(self) -> None:
        """The environment that runs the tests, by its interpreter; its facts are what Python says of itself."""
        if sys.prefix == sys.base_prefix:
            self.assertRaises(TreeError, environment_of, Path(sys.executable))
            return
        found = environment_of(Path(sys.executable))
        self.assertEqual(found.version, ".".join(map(str, sys.version_info[:3])))
        self.assertIn("twisted", dict(found.distributions))
        self.assertTrue(Path(os.__file__).is_relative_to(found.executable.parent.parent))

    def test_equal_ones_elsewhere(self) -> None:
        """Where it lies does not count; versions, packages and the interpreter do."""
        first = environment_of(self.environment("one"))
        self.assertEqual(environment_of(self.environment("two")).hash, first.hash)
        self.assertEqual(first.differences(environment_of(self.environment("two"))), [])
        others = {
            "three": {"version": "3.11.8"},
            "four": {"installed": ("Twisted-25.5.0", "new-1")},
            "five": {"base": "base2"},
        }
        found = {name: environment_of(self.environment(name, **facts)) for name, facts in others.items()}  # type: ignore[arg-type]
        self.assertEqual(len({first.hash, *(other.hash for other in found.values())}), 4)
        self.assertEqual(first.differences(found["four"]),
                         ["new absent -> 1", "twisted 24.7.0 -> 25.5.0", "zope-interface 7.0 -> absent"])  # fmt: skip
        self.assertIn("Python 3.11.7", first.differences(found["three"])[0])
        self.assertIn("base2", first.differences(found["five"])[0])

    def test_configurations_of_other_makers(self) -> None:
        """``version_info``, as others write it, is understood; its last parts are not."""
        home = self.folder / "base/bin"
        text = f"HOME={home}\nversion_info = 3.12.1.final.0\nversion = 99\nnoise\n"
        prefix = self.environment(version="3.12.1", configuration=text)
        self.assertEqual(environment_of(prefix).version, "3.12.1")

    def test_what_cannot_be_judged(self) -> None:
        """No environment, no version, no interpreter, packages of the system: refused with the place."""
        self.assertRaises(TreeError, environment_of, self.folder)
        home = self.folder / "base/bin"
        for text in ("", f"home = {home}", "version = 3.11.7", "home = bin\nversion = 3.11.7",
                     f"home = {home}\nversion = 3.11.7\ninclude-system-site-packages = true"):  # fmt: skip
            error = self.assertRaises(TreeError, environment_of, self.environment(configuration=text or "x"))
            self.assertTrue(error.path.endswith("pyvenv.cfg"))
        prefix = self.environment("two", base="base2")
        (self.folder / "base2/bin/python").unlink()
        self.assertIn("interpreter", self.assertRaises(TreeError, environment_of, prefix).cause)
        prefix = self.environment("three")
        (prefix / "lib").rename(prefix / "gone")
        self.assertIn("cannot be read", self.assertRaises(TreeError, environment_of, prefix).cause)

    def test_a_linked_configuration_is_refused(self) -> None:
        """``pyvenv.cfg`` is read, never what it points to."""
        prefix = self.environment()
        (prefix / "pyvenv.cfg").rename(self.folder / "cfg")
        (prefix / "pyvenv.cfg").symlink_to(self.folder / "cfg")
        self.assertRaises(TreeError, environment_of, prefix)


class TrustedPathsTests(OriginCase):
    def paths(self, found: Environment) -> set[Path]:
        return set(found.trusted_paths())

    def test_all_that_decides_what_runs(self) -> None:
        """Configuration, every link of the interpreter's chain, the base, its library and each package file."""
        prefix = self.environment()
        found = self.paths(environment_of(prefix))
        base = self.folder / "base"
        expected = {prefix / "pyvenv.cfg", prefix / "bin", prefix / "bin/python", prefix / "bin/python3",
                    base / "bin/python", base / "bin", base / "lib/python3.11",
                    prefix / "lib/python3.11/site-packages/Twisted-24.7.0.dist-info/METADATA",
                    prefix / "lib/python3.11/site-packages/shopx/__init__.py"}  # fmt: skip
        self.assertEqual(expected - found, set())

    def test_links_among_the_packages_are_refused(self) -> None:
        """What lies behind one is not looked at by anybody."""
        prefix = self.environment()
        site_packages = prefix / "lib/python3.11/site-packages"
        (site_packages / "linked").symlink_to(self.folder)
        self.assertIn("symbolic link", self.assertRaises(TreeError, self.paths, environment_of(prefix)).cause)

    def test_path_files_that_lead_out_are_refused(self) -> None:
        """A ``.pth`` file may import, and name folders inside; an editable installation is refused."""
        prefix = self.environment()
        file = prefix / "lib/python3.11/site-packages/x.pth"
        file.write_text("# note\n\nimport sys\nshopx\n./shopx/kernel\n")
        self.paths(environment_of(prefix))
        for line in (f"{self.folder}", "../elsewhere", "importance/../.."):
            file.write_text(f"{line}\n")
            self.assertIn("editable", self.assertRaises(TreeError, self.paths, environment_of(prefix)).cause)

    def test_links_without_end(self) -> None:
        """A chain that was made a ring since is refused."""
        found = environment_of(self.environment())
        ring = self.folder / "ring"
        (ring / "bin").mkdir(parents=True)
        (ring / "bin/python").symlink_to("python")
        (ring / "pyvenv.cfg").write_text("")
        self.assertIn(
            "too many", self.assertRaises(TreeError, self.paths, evolve(found, python=ring / "bin/python")).cause
        )
