"""Folders, wheels and environments as one thing."""

from __future__ import annotations

from reload import CodeOrigin, TreeError, environment_of

from .trees import BOUNDARIES
from .wheels import OriginCase


class OriginTests(OriginCase):
    def test_three_kinds_of_one_code(self) -> None:
        """A folder, a wheel and an environment that hold the same code give the same tree."""
        tree = self.tree({})
        prefix = self.environment()
        origins = [CodeOrigin.at(path, BOUNDARIES, ("shopx",)) for path in (tree.root, self.wheel({}), prefix)]
        self.assertEqual([origin.kind for origin in origins], ["tree", "wheel", "environment"])
        self.assertEqual({origin.tree.hash for origin in origins}, {tree.hash})
        self.assertEqual([origin.environment is not None for origin in origins], [False, False, True])
        self.assertEqual(origins[2].environment, environment_of(prefix, ("shopx",)))

    def test_an_environment_by_its_packages(self) -> None:
        """The folder that the daemon imports from leads to the environment; so does a link to it."""
        prefix = self.environment()
        (self.folder / "current").symlink_to(prefix)
        found = CodeOrigin.at(prefix, BOUNDARIES)
        self.assertEqual(CodeOrigin.at(prefix / "lib/python3.11/site-packages", BOUNDARIES), found)
        self.assertEqual(CodeOrigin.at(self.folder / "current", BOUNDARIES), found)

    def test_an_environment_without_the_code(self) -> None:
        """Nothing installed, or only a link to a checkout: the error tells what to give instead."""
        prefix = self.environment()
        (prefix / "lib/python3.11/site-packages/stockx").rename(self.folder / "away")
        self.assertIn("editable", self.assertRaises(TreeError, CodeOrigin.at, prefix, BOUNDARIES).cause)

    def test_whether_a_new_process_is_needed(self) -> None:
        """Trees and wheels run where the old code does, an environment where its like does."""
        prefix = self.environment()
        running = environment_of(self.environment("running"), ("shopx",))
        for path in (self.tree({}).root, self.wheel({})):
            self.assertEqual(CodeOrigin.at(path, BOUNDARIES).needs_new_process(running), [])
        origin = CodeOrigin.at(prefix, BOUNDARIES, ("shopx",))
        self.assertEqual(origin.needs_new_process(running), [])
        self.assertTrue(origin.needs_new_process(None))
        other = CodeOrigin.at(self.environment("newer", installed=("Twisted-25.5.0",)), BOUNDARIES, ("shopx",))
        self.assertIn("twisted 24.7.0 -> 25.5.0", other.needs_new_process(running))

    def test_trusted_paths(self) -> None:
        """Of a tree every file and folder, of a wheel the file, of an environment its own too."""
        tree = self.tree({"shopx/a.py": ""})
        found = set(CodeOrigin.at(tree.root, BOUNDARIES).trusted_paths())
        expected = {tree.root, tree.root / "shopx", tree.root / "shopx/a.py", tree.root / "shopx/doors/http"}
        self.assertEqual(expected - found, set())
        wheel = self.wheel({})
        self.assertEqual(list(CodeOrigin.at(wheel, BOUNDARIES).trusted_paths()), [wheel])
        origin = CodeOrigin.at(self.environment(), BOUNDARIES)
        assert origin.environment is not None
        found = set(origin.trusted_paths())
        self.assertTrue(found >= set(origin.environment.trusted_paths()))
        self.assertIn(origin.tree.root / "shopx/kernel/facts.py", found)
