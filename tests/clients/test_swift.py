"""python-swiftclient's ``swift`` against a real daemon, with Keystone and with TempAuth."""

from __future__ import annotations

from pathlib import Path

from .walk import ClientWalk


class SwiftWalk(ClientWalk):
    program = "swift"

    def swift(self, *words: str) -> str:
        return self.runs("swift", "--os-cloud", "cloudd", *words)

    def test_upload_download_stat_list_delete(self) -> None:
        """A tree of awkward names goes up, is listed, comes back byte for byte and is removed."""
        tree = self.tree("files")
        names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
        for name in names:
            self.swift("upload", "swift-walk", str(tree / name), "--object-name", name)
        self.assertEqual(sorted(self.swift("list", "swift-walk").splitlines()), names)
        self.assertIn("Objects: 8", self.swift("stat", "swift-walk").replace("  ", ""))
        self.assertIn("Content Length: 1", self.swift("stat", "swift-walk", "with space.txt"))
        self.swift("download", "swift-walk", "--output-dir", str(self.folder / "back"))
        self.assert_same_tree(tree, self.folder / "back")
        self.swift("post", "swift-walk", "plain.txt", "--meta", "colour:green")
        self.assertIn("green", self.swift("stat", "swift-walk", "plain.txt"))
        self.swift("copy", "swift-walk", "plain.txt", "--destination", "/swift-walk/copied.txt")
        self.assertIn("copied.txt", self.swift("list", "swift-walk", "--prefix", "cop"))
        self.swift("delete", "swift-walk")
        self.assertNotIn("swift-walk", self.swift("list").splitlines())

    def test_tempauth(self) -> None:
        """Swift's own v1 log-in gives a storage URL and a token that work."""
        secrets = self.passwords()
        auth = (
            "-A",
            self.cloud.url("object") + "/auth/v1.0",
            "-U",
            f"demo:{secrets['username']}",
            "-K",
            secrets["password"],
        )
        source = self.file("one.bin", 300_000)
        self.runs("swift", *auth, "upload", "tempauth-walk", str(source), "--object-name", "one.bin", OS_CLOUD="")
        self.runs("swift", *auth, "download", "tempauth-walk", "one.bin", "-o", "two.bin", environment={"OS_CLOUD": ""})
        self.assert_same_file(source, self.folder / "two.bin")
        self.runs("swift", *auth, "delete", "tempauth-walk", environment={"OS_CLOUD": ""})
        wrong = (*auth[:-1], "wrong")
        self.refused("swift", *wrong, "list", environment={"OS_CLOUD": ""})

    def passwords(self) -> dict[str, str]:
        """User name and password of the tenant's cloud in ``clouds.yaml``."""
        found = {}
        inside = False
        for line in Path(self.cloud.state / "clouds.yaml").read_text().splitlines():
            if line.startswith("  ") and line[2] != " ":
                inside = line.strip() == "cloudd:"
            name, _, value = line.strip().partition(": ")
            if inside and name in ("username", "password"):
                found[name] = value.strip("\"'")
        return found
